//! Whether the services of guests work: asks what their templates say
//! (`[[health]]`, see [`crate::template::HealthCheck`]) and keeps the answers.
//!
//! - `probe` asks one question, once: a room for each protocol. What answers is
//!   hostile: every read has a limit, every question a deadline.
//! - `state` makes a state of the answers. Pure.
//! - `watch` has a task for each check of each guest that runs. It sleeps until
//!   the check is due; only so many ask at the same time.
//! - `source` tells a guest that is silent from a Dom0 that cannot ask.
//!
//! Which guests run, and where they are, is told by `domain::health`.

mod probe;
mod source;
mod state;
mod watch;

pub use probe::Target;
pub use watch::{Health, Subject};

use crate::template::HealthCheck;

/// `http port 80 /xlfs-health`, as people are told of a check.
fn title(check: &HealthCheck) -> String {
    let what = check.path.as_deref().or(check.query.as_deref());
    let what = what.map(|what| format!(" {what}")).unwrap_or_default();
    format!("{} port {}{what}", check.kind.as_str(), check.port)
}

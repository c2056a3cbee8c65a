//! Long work as its user sees it: a task with steps, progress, a log and a way
//! to cancel it.
//!
//! A task is opened with [`TaskRegistry::begin`] and belongs to whoever holds
//! its [`TaskHandle`]: that is where steps are marked and where the task ends.
//! Everybody else sees it through the registry, as snapshots.
//!
//! ```text
//!            step fails or is cancelled
//!  RUNNING ────────────────────────────> UNDOING
//!     │                                     │
//!     └─ finish(Ok) ─> SUCCEEDED            └─ finish(Err) ─> FAILED or CANCELLED
//! ```
//!
//! A handle that is dropped without `finish`, as by a panic, ends its task as
//! FAILED: no task runs for ever with nobody behind it. What the steps do, their
//! undo and their journal are the domain's; this module only tells about them.

mod handle;
mod record;
mod registry;

pub use handle::TaskHandle;
pub use record::Step;
pub use registry::{TaskLimits, TaskRegistry};

use xlfs_proto::v1 as pb;

/// A step of a plan, before it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedStep {
    /// Stable, kebab-case, such as `create-domain`.
    pub name: String,
    /// What it acts on, such as `domain web, 256 MiB`.
    pub object: String,
}

impl PlannedStep {
    pub fn new(name: impl Into<String>, object: impl Into<String>) -> Self {
        Self { name: name.into(), object: object.into() }
    }
}

impl From<PlannedStep> for pb::PlannedStep {
    fn from(step: PlannedStep) -> Self {
        Self { name: step.name, object: step.object }
    }
}

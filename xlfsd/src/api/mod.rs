//! The gRPC services, one file each, and the Unix socket they are served on.
//!
//! A service only translates: from messages to calls of the rooms beside it,
//! and from what they answer, or their [`Problem`]s, to messages.

mod authority;
mod builds;
mod console;
mod domains;
mod events;
mod host;
mod hpack;
mod images;
mod networks;
mod recipes;
mod server;
mod services;
mod slots;
mod socket;
mod sources;
mod status;
mod tasks;
mod templates;
mod until_stopping;
mod volumes;

pub use console::ConsoleDirectory;
pub use host::{HostCounters, HostInfo, NoHypervisor};
pub use server::{ServeError, ServerLimits, serve};
pub use services::{MAX_MESSAGE, Services};
pub use socket::{Socket, SocketError};
pub use until_stopping::{ReplyStream, until_stopping};

use crate::problem::{Problem, ProblemKind};

/// Runs work that waits for the disk where it holds up nobody else.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        let message = "the work came to a halt";
        Problem::from_error(ProblemKind::Internal, "INTERNAL", message, &error)
    })
}

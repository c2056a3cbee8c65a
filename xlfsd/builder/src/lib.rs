//! The integrated builder: packages and images out of source, described by
//! recipes (see docs/recipes.md), built in sandboxes, kept by content.
//!
//! It knows nothing of Xen and of xlfsd: the daemon serves it over gRPC, and
//! the program `xlfs-build` drives it from a command line.

pub mod action;
pub mod build;
pub mod digest;
pub mod durable;
pub mod graph;
pub mod image;
pub mod layout;
pub mod newc;
pub mod pattern;
pub mod reapi;
pub mod recipe;
pub mod remote;
pub mod sandbox;
pub mod source;
pub mod store;
pub mod timeline;
pub mod toolchain;
pub mod tree;

/// The error and all that it comes from, in one line.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

/// Runs what would keep a worker of the runtime waiting for the disk.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        // Not cancelled by anybody, so it panicked: so do we, in the same words.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

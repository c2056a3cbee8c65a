//! Conformance with the real xenstored.
//!
//! Run with `cargo test -p xlfs-xen --features real-xenstored --test xenstored`; see `server.rs`
//! for the environment.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "all of this is tests, the functions they share too"
)]

mod domains;
mod nodes;
mod restart;
mod server;
mod transactions;
mod watches;

use std::time::Duration;

/// Long enough for any machine; a test that needs all of it has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for `future`, but not for ever.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: nothing happened for {PATIENCE:?}"),
    }
}

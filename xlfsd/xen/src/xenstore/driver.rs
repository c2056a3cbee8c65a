//! The driver: the one task that owns the connection, and makes a new one when it is lost.
//!
//! ```text
//!            open fails: wait, twice as long each time
//!                 ┌───┐
//!                 ▼   │
//!   connect ──> Opening ──────────────> Session
//!                 ▲                        │
//!                 └── lost: calls fail, ◄──┘──> ends when the last Client, Transaction
//!                     watches stay              and Watch are gone
//! ```
//!
//! While there is no connection, calls that nothing was sent of wait in the list, each until
//! its own deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, timeout_at};

use super::backoff::Backoff;
use super::call::Submission;
use super::calls::Calls;
use super::client::Config;
use super::endpoint::Endpoint;
use super::session::{End, Session};
use super::stats::Counters;
use super::transport::Transport;
use super::watch::Registry;

/// The first and the longest pause between two attempts to connect.
const PAUSES: [Duration; 2] = [Duration::from_millis(20), Duration::from_secs(2)];

/// What the callers and the driver share.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) endpoint: Endpoint,
    pub(super) config: Config,
    pub(super) counters: Counters,
    pub(super) watches: Registry,
    /// The number of the connection: 1, 2, ...
    pub(super) generation: AtomicU64,
}

/// Runs until the last caller is gone. `transport` is the first connection.
pub(super) async fn run(
    core: Arc<Core>,
    mut transport: Transport,
    mut incoming: UnboundedReceiver<Submission>,
) {
    let mut calls = Calls::default();
    let mut pauses = Backoff::new(PAUSES[0], PAUSES[1]);
    loop {
        let generation = core.generation.fetch_add(1, Ordering::AcqRel) + 1;
        let mut session = Session::new(&core, &mut calls, transport, generation);
        let end = session.run(&mut incoming).await;
        let heard = session.heard;
        drop(session);
        let End::Lost(why) = end else { return };
        tracing::warn!(endpoint = %core.endpoint.path().display(), why, "lost xenstored");
        calls.lose_connection(&why);
        // A xenstored that ends each connection without a word is not asked again at once.
        if heard {
            pauses.reset();
        }
        match reopen(&core, &mut calls, &mut incoming, &mut pauses).await {
            Some(reopened) => transport = reopened,
            None => return,
        }
        core.counters.reconnects.add(1);
        tracing::info!(endpoint = %core.endpoint.path().display(), "xenstored is back");
    }
}

/// Tries until it works. `None` when nobody holds the client any more.
async fn reopen(
    core: &Core,
    calls: &mut Calls,
    incoming: &mut UnboundedReceiver<Submission>,
    pauses: &mut Backoff,
) -> Option<Transport> {
    loop {
        let next = Instant::now() + pauses.next();
        while let Ok(submission) = timeout_at(next, incoming.recv()).await {
            calls.admit(submission?);
        }
        calls.forget_abandoned();
        match Transport::open(&core.endpoint).await {
            Ok(transport) => return Some(transport),
            Err(error) => tracing::debug!(%error, "xenstored is not back yet"),
        }
    }
}

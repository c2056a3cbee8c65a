//! Carries what guests printed from memory to the disk, in batches, for all
//! guests together: a thousand guests that print make as many small writes a
//! second as one. A disk that hangs holds up only this.

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::hub::ConsoleHub;

/// How long output is collected before it is written: what a kill may lose.
const BATCH: Duration = Duration::from_millis(50);

/// The hubs that have something to write.
#[derive(Debug, Default)]
pub(super) struct Flusher {
    waiting: Mutex<Vec<Weak<ConsoleHub>>>,
    some: Notify,
    urgent: Notify,
}

impl Flusher {
    /// `hub` has output for the disk; to be called once until it was flushed.
    pub(super) fn add(&self, hub: Weak<ConsoleHub>) {
        self.waiting.lock().push(hub);
        self.some.notify_one();
    }

    /// A hub's memory fills up: do not wait for the batch to be complete.
    pub(super) fn hurry(&self) {
        self.urgent.notify_one();
    }

    /// Writes for as long as the daemon lives.
    pub(super) async fn run(flusher: Arc<Self>) {
        loop {
            flusher.some.notified().await;
            tokio::select! {
                () = tokio::time::sleep(BATCH) => {}
                () = flusher.urgent.notified() => {}
            }
            let hubs = std::mem::take(&mut *flusher.waiting.lock());
            let written = tokio::task::spawn_blocking(move || flush(&hubs)).await;
            if let Err(error) = written {
                tracing::error!(%error, "console logs could not be written");
            }
        }
    }
}

fn flush(hubs: &[Weak<ConsoleHub>]) {
    let hubs: Vec<Arc<ConsoleHub>> = hubs.iter().filter_map(Weak::upgrade).collect();
    hubs.iter().for_each(|hub| hub.flush());
}

//! The consoles of all guests, by uuid.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::task::AbortHandle;
use uuid::Uuid;

use super::flusher::Flusher;
use super::hub::ConsoleHub;
use super::run_log;
use super::segments::Caps;
use crate::event::EventBus;
use crate::problem::{Problem, ProblemKind};
use crate::size::ByteSize;

/// What is kept of each guest's output.
#[derive(Debug, Clone, Copy)]
pub struct ConsoleLimits {
    /// From the beginning of a run.
    pub first: ByteSize,
    /// Before its end.
    pub recent: ByteSize,
    /// Bytes a second that one guest may have written to the disk for long.
    pub disk_rate: ByteSize,
}

impl Default for ConsoleLimits {
    fn default() -> Self {
        Self { first: ByteSize::kib(256), recent: ByteSize::mib(1), disk_rate: ByteSize::kib(256) }
    }
}

impl ConsoleLimits {
    pub(super) fn caps(&self) -> Caps {
        Caps { first: self.first.0, recent: self.recent.0 }
    }
}

/// All consoles. A clone is another handle to the same ones.
#[derive(Clone)]
pub struct Consoles {
    shared: Arc<Shared>,
}

struct Shared {
    dir: PathBuf,
    limits: ConsoleLimits,
    events: EventBus,
    hubs: Mutex<HashMap<Uuid, Arc<ConsoleHub>>>,
    flusher: Arc<Flusher>,
    flushing: AbortHandle,
}

impl Consoles {
    /// Keeps logs below `<state>/console`. Must be called within a tokio
    /// runtime, where it runs what writes to the disk.
    pub fn new(state_dir: &Path, limits: ConsoleLimits, events: EventBus) -> Self {
        let flusher = Arc::new(Flusher::default());
        let flushing = tokio::spawn(Flusher::run(flusher.clone())).abort_handle();
        let hubs = Mutex::default();
        let dir = state_dir.join("console");
        Self { shared: Arc::new(Shared { dir, limits, events, hubs, flusher, flushing }) }
    }

    /// The console of the guest `uuid`, called `name`; what is kept of it is
    /// found on disk the first time. Reads a folder.
    pub fn hub(&self, uuid: Uuid, name: &str) -> Result<Arc<ConsoleHub>, Problem> {
        let Shared { limits, events, flusher, .. } = &*self.shared;
        let mut hubs = self.shared.hubs.lock();
        if let Some(hub) = hubs.get(&uuid) {
            return Ok(hub.clone());
        }
        let dir = self.dir(uuid);
        let hub = ConsoleHub::open(uuid, name, dir, *limits, flusher.clone(), events.clone())
            .map_err(|error| {
                Problem::from_error(
                    ProblemKind::Internal,
                    "CONSOLE_LOG_UNREADABLE",
                    "the console log cannot be opened",
                    &error,
                )
                .object(format!("domain {name}"))
            })?;
        hubs.insert(uuid, hub.clone());
        Ok(hub)
    }

    /// Forgets a guest and its log. Waits for the disk.
    pub fn remove(&self, uuid: Uuid) {
        let hub = self.shared.hubs.lock().remove(&uuid);
        if let Some(hub) = hub {
            hub.close();
        }
        run_log::remove_run(&self.dir(uuid));
    }

    /// Removes logs of guests that are not `known`, left by a daemon that was
    /// killed while it forgot a guest. Waits for the disk.
    pub fn sweep(&self, known: &HashSet<Uuid>) {
        let entries = fs::read_dir(&self.shared.dir).into_iter().flatten().flatten();
        for entry in entries {
            let uuid = entry.file_name().to_str().and_then(|name| Uuid::parse_str(name).ok());
            if let Some(uuid) = uuid.filter(|uuid| !known.contains(uuid)) {
                run_log::remove_run(&self.dir(uuid));
            }
        }
    }

    /// Writes what is still in memory; for the daemon's end. Waits for the disk.
    pub fn flush(&self) {
        let hubs: Vec<_> = self.shared.hubs.lock().values().cloned().collect();
        hubs.iter().for_each(|hub| hub.flush_all());
    }

    fn dir(&self, uuid: Uuid) -> PathBuf {
        self.shared.dir.join(uuid.to_string())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.flushing.abort();
    }
}

impl fmt::Debug for Consoles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consoles").field("dir", &self.shared.dir).finish_non_exhaustive()
    }
}

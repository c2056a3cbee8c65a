//! What is done with the records when the daemon starts: finished is what it
//! was in the middle of, and what the pools hold is compared with them.

use std::collections::HashMap;
use std::path::Path;
use std::sync::OnceLock;

use parking_lot::Mutex;
use uuid::Uuid;

use super::{State, Volumes};
use crate::durable::FileError;
use crate::event::EventBus;
use crate::storage::record::{VolumeRecord, VolumeRecords, VolumeWork};
use crate::storage::{Pool, Pools};

impl Volumes {
    /// Opens the volumes below the state folder. Only a folder that cannot be
    /// used is an error. What is strange about single volumes is told as
    /// warnings: bad records, volumes that are gone from their pool, and
    /// volumes in a pool that nobody has on record. Those are left alone: they
    /// may be all that remains of somebody's data.
    pub fn open(state_dir: &Path, pools: Pools, events: &EventBus) -> Result<Self, FileError> {
        let (dir, quarantine) = (state_dir.join("volume-records"), state_dir.join("quarantine"));
        let (records, found) = VolumeRecords::open(dir, &quarantine, events)?;
        let volumes = found.into_iter().map(|record| (record.uuid, record)).collect();
        let state = Mutex::new(State { volumes, ..State::default() });
        let volumes = Self { records, pools, state, users: OnceLock::new() };
        for (name, pool) in volumes.pools.iter() {
            // Why it cannot be used was told when it was opened. What its
            // volumes were in the middle of waits for the next start.
            if let Ok(pool) = pool {
                volumes.settle(name, pool.as_ref(), events);
            }
        }
        Ok(volumes)
    }

    fn settle(&self, name: &str, pool: &dyn Pool, events: &EventBus) {
        let of_pool = |record: &&VolumeRecord| record.pool == name;
        let known: Vec<_> = self.state.lock().volumes.values().filter(of_pool).cloned().collect();
        for record in &known {
            if matches!(record.work, Some(VolumeWork::Create | VolumeWork::Remove)) {
                let gone = pool.remove(record.uuid).and_then(|_| self.forget(record));
                if let Err(problem) = gone {
                    events.warn(record.title(), "VOLUME_NOT_REMOVED", format!("{problem:#}"));
                }
            }
        }
        let mut there: HashMap<Uuid, u64> = match pool.list() {
            Ok(list) => list.into_iter().map(|volume| (volume.id, volume.size)).collect(),
            Err(problem) => {
                events.warn(format!("pool {name}"), "POOL_FAILED", format!("{problem:#}"));
                return;
            }
        };
        for record in known {
            let size = there.remove(&record.uuid);
            match record.work {
                None | Some(VolumeWork::Grow) => self.compare(record, size, events),
                Some(VolumeWork::Create | VolumeWork::Remove) => {}
            }
        }
        for (uuid, _) in there {
            let text = format!("the pool {name} holds a volume that is not on record; it stays");
            events.warn(format!("volume {uuid}"), "UNKNOWN_VOLUME", text);
        }
    }

    fn compare(&self, record: VolumeRecord, size: Option<u64>, events: &EventBus) {
        let Some(size) = size else {
            let text = format!("it is gone from its pool {}", record.pool);
            events.warn(record.title(), "VOLUME_MISSING", text);
            return;
        };
        if record.work.is_none() && record.size == size {
            return;
        }
        // It grew when the daemon was killed, or by somebody's hand.
        let title = record.title();
        if let Err(problem) = self.put(VolumeRecord { size, work: None, ..record }) {
            events.warn(title, "VOLUME_RECORD_FAILED", format!("{problem:#}"));
        }
    }
}

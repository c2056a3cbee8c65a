//! The volumes of this host: what there is, and what is done with it.
//!
//! ```text
//! <state>/volume-records/<uuid>.toml    what is known of a volume
//! ```
//!
//! A record comes before the volume in its pool and goes after it, and says
//! what the volume is in the middle of. So every volume that was begun is on
//! record, and a start of the daemon undoes a creation, and finishes a removal
//! or a growth (`open`).

mod open;
#[cfg(test)]
mod tests;
mod users;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use parking_lot::Mutex;
use uuid::Uuid;
use xlfs_xen::block;
use xlfs_xen::loopdev::Access;

use super::claims::{Claim, Claims, Holder};
use super::record::{
    SNAPSHOT_MARK, VolumeOrigin, VolumeRecord, VolumeRecords, VolumeWork, check_name,
};
use super::{Pools, VolumeDevice, Watch};
pub use users::{VolumeUse, VolumeUsers};

use crate::durable::FileError;
use crate::image::Digest;
use crate::problem::{Problem, ProblemKind};
use xlfs_mistakes::suggest::did_you_mean;

/// Most characters of a name that a user chooses.
const MAX_CHOSEN: usize = 120;

/// A volume to be made.
#[derive(Debug, Clone)]
pub struct NewVolume {
    /// Never used before.
    pub uuid: Uuid,
    pub name: String,
    pub pool: String,
    /// Bytes at least.
    pub size: u64,
    pub owner: Option<Uuid>,
    pub kept: bool,
}

/// The volumes of this host, and who has them.
#[derive(Debug)]
pub struct Volumes {
    records: VolumeRecords,
    pools: Pools,
    state: Mutex<State>,
    users: OnceLock<Arc<dyn VolumeUsers>>,
}

#[derive(Debug, Default)]
struct State {
    volumes: BTreeMap<Uuid, VolumeRecord>,
    claims: Claims,
    /// Volumes that are being copied, and how many times at once.
    copied: HashMap<Uuid, usize>,
}

impl Volumes {
    pub fn pools(&self) -> &Pools {
        &self.pools
    }

    /// All volumes, by name.
    pub fn list(&self) -> Vec<VolumeRecord> {
        let mut all: Vec<_> = self.state.lock().volumes.values().cloned().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    pub fn get(&self, uuid: Uuid) -> Result<VolumeRecord, Problem> {
        self.state.lock().get(uuid).cloned()
    }

    /// The volume that `reference` means: its name, or its UUID.
    pub fn resolve(&self, reference: &str) -> Result<VolumeRecord, Problem> {
        let state = self.state.lock();
        if let Some(record) = state.volumes.values().find(|record| record.name == reference) {
            return Ok(record.clone());
        }
        match reference.parse() {
            Ok(uuid) => state.get(uuid).cloned(),
            Err(_) => Err(state.no_such(reference)),
        }
    }

    /// Whether a volume can be made under this name, which a user chose.
    pub fn check_new(&self, name: &str) -> Result<(), Problem> {
        // The rest is for the names of what is made of it.
        if name.contains(SNAPSHOT_MARK) || name.len() > MAX_CHOSEN {
            return Err(Problem::invalid_field(
                "BAD_NAME",
                "name",
                "must have at most 120 of a-z, 0-9 and inner '-' and '.'",
            )
            .hint("Examples: web-root, db-1.swap"));
        }
        self.state.lock().check_new_name(name)
    }

    /// Makes a volume, with the content of an image where one is given.
    ///
    /// VOLUME_NAME_TAKEN, and what [`Pool::create`](super::Pool::create) says.
    pub fn create(
        &self,
        new: NewVolume,
        image: Option<(Digest, &File)>,
        watch: Watch<'_>,
    ) -> Result<VolumeRecord, Problem> {
        let pool = self.pools.get(&new.pool)?;
        let origin =
            image.map_or(VolumeOrigin::Empty, |(digest, _)| VolumeOrigin::Image { digest });
        let source = image.map(|(_, file)| file);
        let record = self.begin(new, origin)?;
        self.finish(record, |record| pool.create(record.uuid, record.size, source, watch))
    }

    /// Makes a volume with the content of `from`, also in another pool. Nobody
    /// may write `from` meanwhile: its guest is stopped or paused, and is not
    /// started before this is over (a claim to write is refused). The size is
    /// that of `from`, whatever `new` says.
    pub fn duplicate(
        &self,
        from: Uuid,
        mut new: NewVolume,
        watch: Watch<'_>,
    ) -> Result<VolumeRecord, Problem> {
        let pool = self.pools.get(&new.pool)?;
        let source = {
            let mut state = self.state.lock();
            let source = state.ready(from)?.clone();
            *state.copied.entry(from).or_default() += 1;
            source
        };
        let _copying = Copying { volumes: self, from };
        new.size = source.size;
        let record = self.begin(new, VolumeOrigin::Volume { uuid: from })?;
        self.finish(record, |record| {
            if source.pool == record.pool {
                return pool.duplicate(from, record.uuid, watch);
            }
            let (path, is_block) = match self.pools.get(&source.pool)?.device(from)? {
                VolumeDevice::File(path) => (path, false),
                VolumeDevice::Block(node) => (node.path, true),
            };
            let file = File::open(&path).map_err(FileError::at("open", &path));
            let file = file.map_err(|error| unreadable(&source, &error))?;
            if is_block {
                // A back end writes past Dom0's page cache, which may be older.
                block::drop_cache(&file)
                    .map_err(|errno| FileError::at("read anew", &path)(errno.into()))
                    .map_err(|error| unreadable(&source, &error))?;
            }
            pool.create(record.uuid, record.size, Some(&file), watch)
        })
    }

    /// Makes a volume that nobody has attached at least `size` bytes large.
    pub fn grow(&self, uuid: Uuid, size: u64, watch: Watch<'_>) -> Result<VolumeRecord, Problem> {
        let mut record = self.begin_work(uuid, VolumeWork::Grow)?;
        let pool = self.pools.get(&record.pool);
        let grown = pool.and_then(|pool| pool.grow(uuid, size, watch));
        record.work = None;
        if let Ok(size) = grown {
            record.size = size;
        }
        self.put(record.clone())?;
        grown.map(|_| record)
    }

    /// Removes a volume of `guest` that nobody has attached. False: there was
    /// none. VOLUME_IN_USE where another guest has it, running or not.
    pub fn remove(&self, uuid: Uuid, guest: Uuid) -> Result<bool, Problem> {
        let record = {
            let mut state = self.state.lock();
            let Some(record) = state.volumes.get(&uuid).cloned() else { return Ok(false) };
            self.check_others(&record, guest)?;
            self.begin_work_locked(&mut state, uuid, VolumeWork::Remove)?
        };
        self.take_away(record)
    }

    /// Removes a volume that no guest has, running or not. VOLUME_IN_USE names
    /// who has it.
    pub fn remove_unused(&self, uuid: Uuid) -> Result<(), Problem> {
        let record = {
            let mut state = self.state.lock();
            self.check_unused(&state.get(uuid)?.clone())?;
            self.begin_work_locked(&mut state, uuid, VolumeWork::Remove)?
        };
        self.take_away(record).map(drop)
    }

    fn take_away(&self, mut record: VolumeRecord) -> Result<bool, Problem> {
        let uuid = record.uuid;
        let removed = self.pools.get(&record.pool).and_then(|pool| pool.remove(uuid));
        match removed {
            Ok(_) => self.forget(&record).map(|()| true),
            Err(problem) => {
                record.work = None;
                self.put(record)?;
                Err(problem)
            }
        }
    }

    /// Changes what is only on record.
    pub fn change(
        &self,
        uuid: Uuid,
        name: Option<String>,
        owner: Option<Option<Uuid>>,
        kept: Option<bool>,
    ) -> Result<VolumeRecord, Problem> {
        let mut state = self.state.lock();
        let mut record = state.ready(uuid)?.clone();
        if let Some(name) = name.filter(|name| *name != record.name) {
            state.check_new_name(&name)?;
            record.name = name;
        }
        record.owner = owner.unwrap_or(record.owner);
        record.kept = kept.unwrap_or(record.kept);
        self.put_locked(&mut state, record.clone())?;
        Ok(record)
    }

    /// What stands for the volume in Dom0. Claim it first.
    pub fn device(&self, uuid: Uuid) -> Result<VolumeDevice, Problem> {
        let pool = self.state.lock().ready(uuid)?.pool.clone();
        self.pools.get(&pool)?.device(uuid)
    }

    /// Whether something in Dom0 has the device of a volume open, as far as its
    /// pool can tell: where volumes are files, their loop devices say.
    pub fn is_open(&self, uuid: Uuid) -> Result<bool, Problem> {
        let pool = self.state.lock().ready(uuid)?.pool.clone();
        self.pools.get(&pool)?.is_open(uuid)
    }

    /// Reserves the volume for a guest before it is attached: to write, for it
    /// alone. False: the guest has it so already. VOLUME_IN_USE.
    pub fn claim(&self, uuid: Uuid, holder: &Holder, access: Access) -> Result<bool, Problem> {
        let mut state = self.state.lock();
        let record = state.ready(uuid)?.clone();
        let is_new = !state.claims.of(uuid).iter().any(|claim| claim.holder.uuid == holder.uuid);
        if is_new && access == Access::ReadWrite && state.copied.contains_key(&uuid) {
            return Err(busy(&record, "is being copied"));
        }
        state.claims.claim(&record, holder, access)
    }

    /// Ends a guest's claim, after its device is gone. Whether it had one.
    pub fn release(&self, uuid: Uuid, guest: Uuid) -> bool {
        self.state.lock().claims.release(uuid, guest)
    }

    /// Ends all claims of a guest; answers the volumes.
    pub fn release_all(&self, guest: Uuid) -> Vec<Uuid> {
        self.state.lock().claims.release_all(guest)
    }

    /// Who has the volume.
    pub fn claims(&self, uuid: Uuid) -> Vec<Claim> {
        self.state.lock().claims.of(uuid).to_vec()
    }

    /// Puts a volume that is to come on record; its name is taken from then on.
    fn begin(&self, new: NewVolume, origin: VolumeOrigin) -> Result<VolumeRecord, Problem> {
        let NewVolume { uuid, name, pool, size, owner, kept } = new;
        let mut state = self.state.lock();
        state.check_new_name(&name)?;
        if let Some(known) = state.volumes.get(&uuid) {
            let message = format!("there is a volume {uuid} already: {}", known.name);
            return Err(Problem::already_exists("VOLUME_EXISTS", message).object(known.title()));
        }
        let record = VolumeRecord {
            format: VolumeRecord::FORMAT,
            uuid,
            name,
            pool,
            size,
            created_ms: now_ms(),
            owner,
            kept,
            work: Some(VolumeWork::Create),
            origin,
        };
        self.put_locked(&mut state, record.clone())?;
        Ok(record)
    }

    /// Lets the pool do its part of a creation, and undoes the rest if it cannot.
    fn finish(
        &self,
        mut record: VolumeRecord,
        make: impl FnOnce(&VolumeRecord) -> Result<u64, Problem>,
    ) -> Result<VolumeRecord, Problem> {
        match make(&record) {
            Ok(size) => {
                record.size = size;
                record.work = None;
                self.put(record.clone())?;
                Ok(record)
            }
            Err(problem) => {
                let problem = problem.context(format!("the {} was not made", record.title()));
                Err(match self.forget(&record) {
                    Ok(()) => problem,
                    Err(left) => problem.leftover(format!("its record: {left}")),
                })
            }
        }
    }

    fn begin_work(&self, uuid: Uuid, work: VolumeWork) -> Result<VolumeRecord, Problem> {
        self.begin_work_locked(&mut self.state.lock(), uuid, work)
    }

    fn begin_work_locked(
        &self,
        state: &mut State,
        uuid: Uuid,
        work: VolumeWork,
    ) -> Result<VolumeRecord, Problem> {
        let mut record = state.ready(uuid)?.clone();
        state.claims.check_free(&record)?;
        if state.copied.contains_key(&uuid) {
            return Err(busy(&record, "is being copied"));
        }
        record.work = Some(work);
        self.put_locked(state, record.clone())?;
        Ok(record)
    }

    fn put(&self, record: VolumeRecord) -> Result<(), Problem> {
        self.put_locked(&mut self.state.lock(), record)
    }

    /// Writes the record, then takes it in.
    fn put_locked(&self, state: &mut State, record: VolumeRecord) -> Result<(), Problem> {
        self.records.save(&record).map_err(|error| record_problem(&record, &error))?;
        state.volumes.insert(record.uuid, record);
        Ok(())
    }

    fn forget(&self, record: &VolumeRecord) -> Result<(), Problem> {
        let mut state = self.state.lock();
        self.records.remove(record.uuid).map_err(|error| record_problem(record, &error))?;
        state.volumes.remove(&record.uuid);
        Ok(())
    }
}

impl State {
    fn get(&self, uuid: Uuid) -> Result<&VolumeRecord, Problem> {
        self.volumes.get(&uuid).ok_or_else(|| self.no_such(&uuid.to_string()))
    }

    /// A volume that is whole and in the middle of nothing.
    fn ready(&self, uuid: Uuid) -> Result<&VolumeRecord, Problem> {
        let record = self.get(uuid)?;
        match record.work {
            None => Ok(record),
            Some(VolumeWork::Create) => Err(busy(record, "is being made")),
            Some(VolumeWork::Grow) => Err(busy(record, "is growing")),
            Some(VolumeWork::Remove) => Err(busy(record, "is being removed")),
        }
    }

    fn check_new_name(&self, name: &str) -> Result<(), Problem> {
        check_name(name)?;
        match self.volumes.values().any(|record| record.name == name) {
            false => Ok(()),
            true => {
                let message = format!("there is a volume {name} already");
                Err(Problem::already_exists("VOLUME_NAME_TAKEN", message)
                    .object(format!("volume {name}"))
                    .hint("Choose another name, or remove that volume first."))
            }
        }
    }

    fn no_such(&self, reference: &str) -> Problem {
        let shown: String = reference.chars().take(80).collect();
        let names = self.volumes.values().map(|record| record.name.as_str());
        let suggestion = did_you_mean(&shown, names);
        Problem::not_found("NO_SUCH_VOLUME", format!("there is no volume {shown:?}{suggestion}"))
            .object(format!("volume {shown}"))
            .hint("List the volumes. A volume is named by its name or its UUID.")
    }
}

/// A copy of a volume goes on.
struct Copying<'a> {
    volumes: &'a Volumes,
    from: Uuid,
}

impl Drop for Copying<'_> {
    fn drop(&mut self) {
        let mut state = self.volumes.state.lock();
        if let Some(count) = state.copied.get_mut(&self.from) {
            *count -= 1;
            if *count == 0 {
                state.copied.remove(&self.from);
            }
        }
    }
}

fn busy(record: &VolumeRecord, what: &str) -> Problem {
    Problem::aborted("VOLUME_BUSY", format!("the {} {what}", record.title()))
        .object(record.title())
        .hint("Try again when that is over.")
}

fn record_problem(record: &VolumeRecord, error: &FileError) -> Problem {
    let kind = ProblemKind::Internal;
    let message = format!("the record of the {} cannot be written", record.title());
    Problem::from_error(kind, "VOLUME_RECORD_FAILED", message, error)
        .object(record.title())
        .hint("Look at the disk that holds xlfsd's state folder.")
}

fn unreadable(record: &VolumeRecord, error: &FileError) -> Problem {
    let message = format!("the {} cannot be read", record.title());
    Problem::from_error(ProblemKind::Internal, "POOL_FAILED", message, error).object(record.title())
}

fn now_ms() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis() as u64)
}

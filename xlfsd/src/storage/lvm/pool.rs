//! What the pool does with volumes.

use std::fs::File;

use nix::errno::Errno;
use uuid::Uuid;
use xlfs_xen::block::{self, BlockNode};

use super::report::Lv;
use super::{LvmPool, UNFINISHED_PREFIX, flush, tag_zero_from, volume_name, zero_from};
use crate::durable::FileError;
use crate::problem::Problem;
use crate::storage::PoolKind;
use crate::storage::copy::{self, Before, CopyError};
use crate::storage::pool::{
    self, Copies, Pool, PoolAbout, PoolSpace, PoolVolume, VolumeDevice, Watch,
};

impl Pool for LvmPool {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> PoolKind {
        PoolKind::Lvm
    }

    fn about(&self) -> PoolAbout {
        let (path, copies) = match &self.thin_pool {
            Some(thin) => (format!("{}/{thin}", self.group), Copies::ThinSnapshot),
            None => (self.group.clone(), Copies::Full),
        };
        PoolAbout { path, thin: self.thin_pool.is_some(), copies }
    }

    fn create(
        &self,
        id: Uuid,
        size: u64,
        source: Option<&File>,
        watch: Watch<'_>,
    ) -> Result<u64, Problem> {
        let len = source.map_or(Ok(0), pool::length).map_err(|source| {
            self.trouble().copy("read the image", &CopyError::Read { at: 0, source })
        })?;
        let source = source.map(|file| (file, len));
        let size = pool::whole_size(size, len, self.vg()?.vg_extent_size)?;
        if self.find(id)?.is_some() {
            return Err(self.trouble().exists(id));
        }
        self.check_room(size, source, watch)?;
        self.make(id, size, source, watch)?;
        Ok(size)
    }

    fn duplicate(&self, from: Uuid, to: Uuid, watch: Watch<'_>) -> Result<u64, Problem> {
        // One question for both: each is a program that is run.
        let lvs = self.lvs()?;
        let find = |id| lvs.iter().find(|lv| self.volume_of(lv) == Some(id)).cloned();
        let origin = self.made_ready(from, find(from))?;
        if find(to).is_some() {
            return Err(self.trouble().exists(to));
        }
        if origin.is_thin() {
            self.run(self.group().snapshot_thin(&origin.lv_name, &volume_name(to)))?;
            watch.done(origin.lv_size);
            return Ok(origin.lv_size);
        }
        let source = self.open_node(&origin.lv_name, false)?;
        // A back end writes past Dom0's page cache, which may be older.
        match block::drop_cache(&source) {
            Ok(()) | Err(Errno::ENOTTY) => {}
            Err(errno) => {
                let error = CopyError::Read { at: 0, source: errno.into() };
                return Err(self.trouble().copy("read a logical volume", &error));
            }
        }
        self.create(to, origin.lv_size, Some(&source), watch)
    }

    fn grow(&self, id: Uuid, size: u64, watch: Watch<'_>) -> Result<u64, Problem> {
        let lv = self.ready(id)?;
        let now = lv.lv_size;
        let size = pool::grown_size(now, size, self.vg()?.vg_extent_size)?;
        if size == now {
            return Ok(size);
        }
        let extend = self.group().extend(&lv.lv_name, size);
        if lv.is_thin() {
            self.run(extend)?;
            return Ok(size);
        }
        let free = self.space()?.free;
        if size - now > free {
            return Err(self.trouble().full(size - now, free));
        }
        // From here on a kill leaves the tag, and the next opening clears the rest.
        let tag = tag_zero_from(now);
        self.run(self.group().add_tag(&lv.lv_name, &tag))?;
        let grown = self.run(extend).and_then(|_| {
            self.zero_rest(&lv.lv_name, now, size, watch).inspect_err(|_| {
                if let Err(left) = self.run(self.group().reduce(&lv.lv_name, now)) {
                    tracing::warn!(
                        volume = lv.lv_name,
                        "stays large until the next start: {left:#}"
                    );
                }
            })
        });
        // Without the tag it can be attached: only when nothing is left to clear.
        if grown.is_ok() || self.volume(id)?.lv_size == now {
            self.run(self.group().delete_tag(&lv.lv_name, &tag))?;
        }
        grown.map(|()| size)
    }

    fn remove(&self, id: Uuid) -> Result<bool, Problem> {
        let Some(lv) = self.find(id)? else { return Ok(false) };
        if lv.is_open() {
            let message = format!("something in Dom0 has the volume {id} open");
            return Err(Problem::failed_precondition("VOLUME_OPEN", message)
                .object(format!("volume {id}"))
                .hint("Detach it from its guest, or unmount it."));
        }
        self.run(self.group().remove(&lv.lv_name))?;
        Ok(true)
    }

    fn list(&self) -> Result<Vec<PoolVolume>, Problem> {
        let lvs = self.lvs()?;
        let volume = |lv: &Lv| {
            let id = self.volume_of(lv)?;
            Some(PoolVolume { id, size: lv.lv_size, allocated: lv.allocated() })
        };
        let mut volumes: Vec<_> = lvs.iter().filter_map(volume).collect();
        volumes.sort_by_key(|volume| volume.id);
        Ok(volumes)
    }

    fn space(&self) -> Result<PoolSpace, Problem> {
        let Some(thin) = &self.thin_pool else {
            let vg = self.vg()?;
            return Ok(PoolSpace { total: vg.vg_size, free: vg.vg_free });
        };
        let lvs = self.lvs()?;
        self.check_thin_pool(&lvs)?;
        let total = lvs.iter().find(|lv| lv.lv_name == *thin);
        let (total, used) = total.map_or((0, 0), |lv| (lv.lv_size, lv.allocated()));
        Ok(PoolSpace { total, free: total - used })
    }

    fn is_open(&self, id: Uuid) -> Result<bool, Problem> {
        Ok(self.find(id)?.is_some_and(|lv| lv.is_open()))
    }

    fn device(&self, id: Uuid) -> Result<VolumeDevice, Problem> {
        let path = self.node(&self.ready(id)?.lv_name);
        let node = BlockNode::of(&path).map_err(FileError::at("look at", &path));
        node.map(VolumeDevice::Block).map_err(|error| {
            self.trouble().file(&format!("find the device of the volume {id}"), &error)
        })
    }
}

impl LvmPool {
    /// A volume whose device is there and holds nothing of others.
    fn ready(&self, id: Uuid) -> Result<Lv, Problem> {
        self.made_ready(id, self.find(id)?)
    }

    /// The same of what was found.
    fn made_ready(&self, id: Uuid, found: Option<Lv>) -> Result<Lv, Problem> {
        let lv = found.ok_or_else(|| self.trouble().no_such(id))?;
        if zero_from(&lv).is_some() {
            let message = format!("the volume {id} grew, and is not cleared yet");
            return Err(Problem::failed_precondition("VOLUME_NOT_CLEARED", message)
                .object(format!("volume {id}"))
                .hint("xlfsd clears it when it opens the pool: start it again."));
        }
        // Groups that the host does not activate by itself at its start.
        if !lv.is_active() {
            self.run(self.group().activate(&lv.lv_name))?;
        }
        Ok(lv)
    }

    /// Writes the new logical volume `lv` of `size` bytes.
    fn fill(
        &self,
        lv: &str,
        size: u64,
        source: Option<(&File, u64)>,
        watch: Watch<'_>,
    ) -> Result<(), Problem> {
        let before = match self.thin_pool {
            Some(_) => Before::Zeros,
            None => Before::Anything,
        };
        let device = self.open_node(lv, true)?;
        let mut written = 0;
        let copied = match source {
            Some((from, len)) => {
                written = len;
                copy::copy(from, &device, len, before, watch)
            }
            None => Ok(()),
        };
        let whole = copied.and_then(|()| match before {
            Before::Zeros => Ok(()),
            Before::Anything => copy::zero(&device, written, size, watch),
        });
        whole
            .and_then(|()| flush(&device))
            .map_err(|error| self.trouble().copy("write a logical volume", &error))
    }

    /// Whether the volume fits, before anything is made.
    fn check_room(
        &self,
        size: u64,
        source: Option<(&File, u64)>,
        watch: Watch<'_>,
    ) -> Result<(), Problem> {
        let free = self.space()?.free;
        let beyond = match (&self.thin_pool, source) {
            (None, _) => (size > free).then_some(size),
            (Some(_), None) => None,
            (Some(_), Some((from, len))) => copy::needed_beyond(free, from, len, watch)
                .map_err(|error| self.trouble().copy("read the image", &error))?,
        };
        beyond.map_or(Ok(()), |needed| Err(self.trouble().full(needed, free)))
    }

    /// Under its unfinished name, then under its own.
    fn make(
        &self,
        id: Uuid,
        size: u64,
        source: Option<(&File, u64)>,
        watch: Watch<'_>,
    ) -> Result<(), Problem> {
        let new = format!("{UNFINISHED_PREFIX}{id}");
        let create = match &self.thin_pool {
            Some(thin) => self.group().create_thin(thin, &new, size),
            None => self.group().create_thick(&new, size),
        };
        let made = self
            .run(create)
            .and_then(|_| self.fill(&new, size, source, watch))
            .and_then(|()| self.run(self.group().rename(&new, &volume_name(id))));
        made.map(drop).map_err(|problem| match self.run(self.group().remove(&new)) {
            Ok(_) => problem,
            // It may not have come so far; if it did, the next opening removes it.
            Err(left) => {
                tracing::debug!(volume = new, "not removed: {left:#}");
                problem
            }
        })
    }
}

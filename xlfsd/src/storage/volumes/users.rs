//! Who has a volume though it is not attached: guests that are stopped have
//! their disks too, and snapshots. The guests know; they are asked.

use std::sync::Arc;

use uuid::Uuid;
use xlfs_xen::loopdev::Access;

use super::Volumes;
use crate::problem::Problem;
use crate::storage::{Holder, VolumeRecord};

/// Knows which guests have a volume, running or not.
///
/// Asked while volumes are locked: it must not ask back.
pub trait VolumeUsers: Send + Sync + std::fmt::Debug {
    fn users_of(&self, volume: Uuid) -> Vec<VolumeUse>;
}

/// A guest's use of a volume, as its record has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeUse {
    pub guest: Holder,
    /// The disk that it is, such as `xvda`.
    pub disk: String,
    pub access: Access,
    /// The snapshot that it is a part of, instead of a disk.
    pub snapshot: Option<String>,
}

impl VolumeUse {
    /// `the disk xvda of guest web`.
    fn title(&self) -> String {
        let Self { guest, disk, .. } = self;
        match &self.snapshot {
            None => format!("the disk {disk} of guest {}", guest.name),
            Some(snapshot) => {
                format!("the disk {disk} in the snapshot {snapshot} of guest {}", guest.name)
            }
        }
    }
}

impl Volumes {
    /// Whoever knows the guests. Once.
    pub fn set_users(&self, users: Arc<dyn VolumeUsers>) {
        // A second one would be a second set of guests; there is none.
        let _ = self.users.set(users);
    }

    /// The guests that have the volume, running or not.
    pub fn users(&self, volume: Uuid) -> Vec<VolumeUse> {
        self.users.get().map(|users| users.users_of(volume)).unwrap_or_default()
    }

    /// Whether the volume could be removed now, by [`Self::remove_unused`].
    pub fn check_removable(&self, volume: Uuid) -> Result<(), Problem> {
        let state = self.state.lock();
        let record = state.ready(volume)?;
        self.check_unused(record)?;
        state.claims.check_free(record)
    }

    /// VOLUME_IN_USE where a guest has it, running or not.
    pub(super) fn check_unused(&self, volume: &VolumeRecord) -> Result<(), Problem> {
        match self.users(volume.uuid).as_slice() {
            [] => Ok(()),
            users => Err(in_use(volume, users)),
        }
    }

    /// VOLUME_IN_USE where another guest than this has it, running or not.
    pub(super) fn check_others(&self, volume: &VolumeRecord, guest: Uuid) -> Result<(), Problem> {
        let mut others = self.users(volume.uuid);
        others.retain(|user| user.guest.uuid != guest);
        if others.is_empty() { Ok(()) } else { Err(in_use(volume, &others)) }
    }

    /// Whether `guest` may have the volume as a disk beside whoever has it now:
    /// to write for it alone, or all to read. Its record names it already.
    pub fn check_shared(&self, volume: Uuid, guest: Uuid, access: Access) -> Result<(), Problem> {
        let state = self.state.lock();
        let record = state.ready(volume)?.clone();
        let mut others = self.users(volume);
        // Its own snapshots count: nobody writes what they hold.
        others.retain(|user| user.guest.uuid != guest || user.snapshot.is_some());
        let reads = |user: &VolumeUse| user.access == Access::ReadOnly && user.snapshot.is_none();
        match access == Access::ReadOnly && others.iter().all(reads) || others.is_empty() {
            true => Ok(()),
            false => Err(in_use(&record, &others)),
        }
    }
}

fn in_use(volume: &VolumeRecord, users: &[VolumeUse]) -> Problem {
    let is = users.iter().map(VolumeUse::title).collect::<Vec<_>>().join(", and ");
    Problem::failed_precondition("VOLUME_IN_USE", format!("the {} is {is}", volume.title()))
        .object(volume.title())
        .hint("Delete that guest or snapshot first, or copy the volume: xlfsctl volume clone.")
}

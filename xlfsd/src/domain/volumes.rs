//! Which guests have which volumes, and volumes of guests that are at rest.

use std::sync::{Arc, Weak};

use uuid::Uuid;
use xlfs_xen::loopdev::Access;

use super::devices::Device;
use super::guest::Guest;
use super::operations::{Guests, Shared, Turn, take_turn};
use super::record::access;
use crate::problem::Problem;
use crate::storage::{Holder, VolumeUse, VolumeUsers};

impl Guests {
    /// For the book of volumes, which cannot know by itself.
    pub fn volume_users(&self) -> Arc<dyn VolumeUsers> {
        Arc::new(Users(Arc::downgrade(&self.shared)))
    }

    /// The name of the guest with this UUID.
    pub fn name_of(&self, uuid: Uuid) -> Option<String> {
        self.shared.table.by_uuid(uuid).map(|guest| guest.name().to_owned())
    }

    /// The guests that have an interface on a network, by name.
    pub fn on_network(&self, network: &str) -> Vec<String> {
        let guests = self.shared.table.all();
        let on = |guest: &&Arc<Guest>| guest.record().nics.iter().any(|n| n.network == network);
        guests.iter().filter(on).map(|guest| guest.name().to_owned()).collect()
    }

    /// Has nobody else work on the guests that have a volume while the answer
    /// lives: none of them starts, or is changed. BUSY.
    pub(crate) async fn at_rest(&self, volume: Uuid) -> Result<AtRest, Problem> {
        let mut turns = Vec::new();
        for guest in self.shared.table.all() {
            if guest.record().disks.iter().any(|disk| disk.volume.uuid == volume) {
                let turn = take_turn(&guest).await?;
                turns.push((guest, turn));
            }
        }
        Ok(AtRest { guests: self.clone(), volume, turns })
    }
}

/// The guests that have a volume, while nobody works on them.
#[derive(Debug)]
pub(crate) struct AtRest {
    guests: Guests,
    volume: Uuid,
    turns: Vec<(Arc<Guest>, Turn)>,
}

impl AtRest {
    /// Has their records say how large the volume is now.
    pub(crate) fn note_size(&self, size: u64) -> Result<(), Problem> {
        for (guest, _) in &self.turns {
            self.guests.note(guest, |record| {
                let of_it = record.disks.iter_mut().filter(|d| d.volume.uuid == self.volume);
                of_it.for_each(|disk| disk.volume.size = size);
            })?;
        }
        Ok(())
    }
}

/// Tells what the guests' records say of volumes.
#[derive(Debug)]
struct Users(Weak<Shared>);

impl VolumeUsers for Users {
    fn users_of(&self, volume: Uuid) -> Vec<VolumeUse> {
        let Some(shared) = self.0.upgrade() else { return Vec::new() };
        let records = shared.table.all().into_iter().map(|guest| guest.record());
        let of = |record: super::GuestRecord| {
            let guest = Holder { uuid: record.uuid, name: record.name.clone() };
            let coming = record.change.iter().filter_map(|change| match &change.device {
                Device::Disk(disk) if !record.disks.iter().any(|d| d.name == disk.name) => {
                    Some(disk)
                }
                _ => None,
            });
            let disks = record.disks.iter().chain(coming);
            let of_it = disks.filter(|disk| disk.volume.uuid == volume);
            let mut uses: Vec<_> = of_it
                .map(|disk| VolumeUse {
                    guest: guest.clone(),
                    disk: disk.name.to_string(),
                    access: access(disk),
                    snapshot: None,
                })
                .collect();
            for restored in &record.restoring {
                let other = uses.is_empty()
                    && (restored.volume.uuid == volume || restored.replaces == volume);
                uses.extend(other.then(|| VolumeUse {
                    guest: guest.clone(),
                    disk: restored.name.to_string(),
                    access: Access::ReadWrite,
                    snapshot: None,
                }));
            }
            for snapshot in &record.snapshots {
                let of_it = snapshot.disks.iter().filter(|disk| disk.volume.uuid == volume);
                uses.extend(of_it.map(|disk| VolumeUse {
                    guest: guest.clone(),
                    disk: disk.name.to_string(),
                    access: Access::ReadOnly,
                    snapshot: Some(snapshot.name.clone()),
                }));
            }
            uses
        };
        records.flat_map(of).collect()
    }
}

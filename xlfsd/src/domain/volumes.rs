//! Which guests have which volumes, and volumes of guests that are at rest.

use std::sync::{Arc, Weak};

use uuid::Uuid;
use xlfs_xen::loopdev::Access;

use super::guest::{Current, Guest};
use super::lent::Lent;
use super::operations::{Guests, Shared, take_turn};
use super::record::{Work, access};
use crate::problem::Problem;
use crate::storage::{Holder, VolumeUse, VolumeUsers};
use crate::task::TaskHandle;

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

    /// Has nobody else work on the guests that write a volume, or only `read` it,
    /// while the answer lives: none of them starts, or is changed. BUSY.
    pub(crate) async fn at_rest(&self, volume: Uuid, read: Readers) -> Result<AtRest, Problem> {
        let host = self.shared.reach.reach().await.ok();
        let (mut lent, mut running) = (Vec::new(), None);
        for guest in self.shared.table.all() {
            let record = guest.record();
            let mut uses = record.all_disks().filter(|disk| disk.volume.uuid == volume);
            if !uses.any(|disk| read == Readers::Too || !disk.read_only) {
                continue;
            }
            let turn = take_turn(&guest).await?;
            // Where Xen cannot be asked, one that is meant to run is taken to do so.
            let runs = match &host {
                Some(host) => guest.find_domain(&*host.hypervisor)?.is_some(),
                None => record.wanted_running,
            };
            running = running.or(runs.then(|| record.name.clone()));
            lent.push(Lent::new(guest, turn));
        }
        Ok(AtRest { guests: self.clone(), volume, lent, running })
    }
}

/// The guests that have a volume, while nobody works on them.
#[derive(Debug)]
pub(crate) struct AtRest {
    guests: Guests,
    volume: Uuid,
    lent: Vec<Lent>,
    running: Option<String>,
}

/// Whether guests that only read a volume are to be at rest, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readers {
    /// What it holds, or its size, changes.
    Too,
    /// It is only read.
    GoOn,
}

impl AtRest {
    /// The name of one of them that has a domain.
    pub(crate) fn running(&self) -> Option<&str> {
        self.running.as_deref()
    }

    /// Which task has them: whoever destroys one of them cancels it.
    pub(crate) fn worked_on_by(&self, task: &TaskHandle) {
        let (task, cancel) = (task.id().to_owned(), task.cancel_token());
        let current = Current { task, work: Work::Clone, cancel };
        self.lent.iter().for_each(|lent| lent.to(&current));
    }

    /// Has their records say how large the volume is now.
    pub(crate) fn note_size(&self, size: u64) -> Result<(), Problem> {
        for guest in self.lent.iter().map(Lent::guest) {
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
            let of_it = record.all_disks().filter(|disk| disk.volume.uuid == volume);
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

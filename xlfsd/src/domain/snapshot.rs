//! Snapshots: what a guest's disks hold, kept and brought back.
//!
//! All disks that the guest writes are copied at one instant, when it is stopped
//! or paused. A stopped guest has written all that it meant to; a paused one's
//! disks are as after a power failure. Swap has nothing that outlives a boot,
//! and is left out.
//!
//! A restore makes copies of the snapshot's volumes first, and then the guest's
//! record names them instead of the old ones: the disks change all at once, and
//! the snapshot stays.

use uuid::Uuid;
use xlfs_proto::v1::Operation;

use super::approach::{Approached, Xen};
use super::devices::{
    DiskRecord, RestoredDisk, SnapshotDisk, SnapshotRecord, VolumeRecipe, check_snapshot_name,
};
use super::operations::{Accepted, Guests, busy, dry, take_turn};
use super::plan::{Goal, World, plan};
use super::record::{GuestRecord, Work, now_ms};
use crate::problem::Problem;
use crate::storage::SNAPSHOT_MARK;
use xlfs_mistakes::suggest::did_you_mean;

/// Snapshots of a guest: its record is one file.
const MOST: usize = 64;

impl Guests {
    /// Keeps what a guest's disks hold now, under a name.
    pub async fn snapshot(
        &self,
        name: &str,
        snapshot: Option<String>,
        dry_run: bool,
    ) -> Result<Accepted, Problem> {
        if let Some(snapshot) = &snapshot {
            check_snapshot_name(snapshot)?;
        }
        let approached = self
            .approach(name, Operation::Snapshot, "make a snapshot of", (Xen::Needed, dry_run))
            .await?;
        let Approached { guest, host, turn, paused, world } = approached;
        let mut record = guest.record();
        let snapshot = new_snapshot(&record, snapshot, paused)?;
        let title = format!("snapshot {} of the guest {name}", snapshot.name);
        record.snapshots.push(snapshot);
        let steps = plan(world, Goal::Kept { paused });
        let Some(turn) = turn else {
            let planned = steps.iter().map(|step| step.planned(&record)).collect();
            return Ok(dry(planned, format!("would make the {title}")));
        };
        guest.update(|kept| kept.snapshots.clone_from(&record.snapshots));
        Ok(self.begin(guest, turn, host, Work::Snapshot, steps, format!("{title}: begun")))
    }

    /// Has a stopped guest's disks hold what they held then.
    pub async fn restore(
        &self,
        name: &str,
        snapshot: &str,
        dry_run: bool,
    ) -> Result<Accepted, Problem> {
        let approached = self
            .approach(name, Operation::Restore, "restore a snapshot of", (Xen::Needed, dry_run))
            .await?;
        let Approached { guest, host, turn, world, .. } = approached;
        let mut record = guest.record();
        let found = find(&record, snapshot)?;
        if let Some(problem) = found.problem(&record) {
            return Err(Problem::failed_precondition(
                "SNAPSHOT_UNUSABLE",
                format!("the snapshot {snapshot} cannot be restored: {problem}"),
            )
            .object(record.title())
            .hint(format!("See the guest's disks: xlfsctl show {name}")));
        }
        let restored = |kept: &SnapshotDisk| {
            let disk = record.disks.iter().find(|disk| disk.name == kept.name)?;
            Some(restored(disk, kept))
        };
        let restoring: Vec<_> = found.disks.iter().filter_map(restored).collect();
        record.restoring.clone_from(&restoring);
        let steps = plan(world, Goal::Restored);
        let title = format!("snapshot {snapshot} of the guest {name}");
        let Some(turn) = turn else {
            let planned = steps.iter().map(|step| step.planned(&record)).collect();
            return Ok(dry(planned, format!("would restore the {title}")));
        };
        guest.update(|record| record.restoring = restoring);
        let text = format!("restoring the {title}");
        Ok(self.begin(guest, turn, host, Work::Restore, steps, text))
    }

    /// Removes a snapshot, whatever the guest does.
    pub async fn delete_snapshot(
        &self,
        name: &str,
        snapshot: &str,
        dry_run: bool,
    ) -> Result<Accepted, Problem> {
        let guest = self.unless_unmanaged(name).await?;
        let turn = if dry_run { None } else { Some(take_turn(&guest).await?) };
        if guest.is_forgotten() {
            return Err(self.shared.table.get(name).err().unwrap_or_else(|| busy(&guest)));
        }
        let mut record = guest.record();
        find(&record, snapshot)?;
        let goes = |record: &mut GuestRecord| {
            let of_it = record.snapshots.iter_mut().filter(|one| one.name == snapshot);
            of_it.for_each(|one| one.unfinished = true);
        };
        goes(&mut record);
        let steps = plan(World::of(&record, None), Goal::Tidied);
        let title = format!("snapshot {snapshot} of the guest {name}");
        let Some(turn) = turn else {
            let planned = steps.iter().map(|step| step.planned(&record)).collect();
            return Ok(dry(planned, format!("would delete the {title}")));
        };
        guest.update(goes);
        let host = self.shared.reach.reached();
        Ok(self.begin(guest, turn, host, Work::Unsnapshot, steps, format!("deleting the {title}")))
    }
}

fn find<'a>(record: &'a GuestRecord, name: &str) -> Result<&'a SnapshotRecord, Problem> {
    record.snapshots.iter().find(|snapshot| snapshot.name == name).ok_or_else(|| {
        let shown: String = name.chars().take(80).collect();
        let names = record.snapshots.iter().map(|snapshot| snapshot.name.as_str());
        let suggestion = did_you_mean(&shown, names);
        let message = format!("the guest {} has no snapshot {shown:?}{suggestion}", record.name);
        Problem::not_found("NO_SUCH_SNAPSHOT", message)
            .object(record.title())
            .hint(format!("See them: xlfsctl snapshot list {}", record.name))
    })
}

fn new_snapshot(
    record: &GuestRecord,
    name: Option<String>,
    paused: bool,
) -> Result<SnapshotRecord, Problem> {
    let taken = |name: &str| record.snapshots.iter().any(|snapshot| snapshot.name == name);
    if record.snapshots.len() >= MOST {
        let message = format!("the guest {} has {MOST} snapshots already", record.name);
        return Err(Problem::resource_exhausted("TOO_MANY_SNAPSHOTS", message)
            .object(record.title())
            .hint("Delete one: xlfsctl snapshot delete"));
    }
    let name = match name {
        Some(name) if taken(&name) => {
            let message = format!("the guest {} has a snapshot {name} already", record.name);
            return Err(Problem::already_exists("SNAPSHOT_EXISTS", message)
                .object(record.title())
                .hint("Choose another name, or delete that one."));
        }
        Some(name) => name,
        None => (1..)
            .map(|number| format!("snapshot-{number}"))
            .find(|name| !taken(name))
            .unwrap_or_default(),
    };
    let disks: Vec<_> = record
        .disks
        .iter()
        .filter(|disk| disk.has_data())
        .map(|disk| SnapshotDisk {
            name: disk.name,
            volume: copy(&disk.volume, disk.volume.uuid, &name),
        })
        .collect();
    if disks.is_empty() {
        let message = format!("the guest {} has no disk that it writes", record.name);
        return Err(Problem::failed_precondition("NO_DISKS", message)
            .object(record.title())
            .hint("There is nothing to keep: it begins anew at each start."));
    }
    Ok(SnapshotRecord { name, created_ms: now_ms(), paused, unfinished: true, disks })
}

/// What a copy of a disk's volume is called.
fn copy_name(of: &VolumeRecipe, mark: &str) -> String {
    format!("{}{SNAPSHOT_MARK}{mark}", of.name)
}

/// A volume with the content of `from`, named after `of`.
fn copy(of: &VolumeRecipe, from: Uuid, mark: &str) -> VolumeRecipe {
    VolumeRecipe {
        uuid: Uuid::new_v4(),
        name: copy_name(of, mark),
        copy_of: Some(from),
        ..of.clone()
    }
}

fn restored(disk: &DiskRecord, kept: &SnapshotDisk) -> RestoredDisk {
    // A name that no snapshot's volume has.
    let mark = format!("{SNAPSHOT_MARK}restored");
    let volume = copy(&disk.volume, kept.volume.uuid, &mark);
    let volume = VolumeRecipe { size: kept.volume.size, ..volume };
    RestoredDisk { name: disk.name, volume, replaces: disk.volume.uuid }
}

impl SnapshotRecord {
    /// Why it cannot be restored now.
    pub(super) fn problem(&self, record: &GuestRecord) -> Option<String> {
        if self.unfinished {
            return Some("it is being made, or removed".to_owned());
        }
        // Not another volume that has taken the disk's place since: it would go.
        let has = |kept: &&SnapshotDisk| {
            let same = |disk: &&DiskRecord| {
                disk.name == kept.name && kept.volume.name == copy_name(&disk.volume, &self.name)
            };
            record.disks.iter().find(same).is_some_and(DiskRecord::has_data)
        };
        let missing: Vec<_> = self.disks.iter().filter(|kept| !has(kept)).collect();
        let names = missing.iter().map(|kept| kept.name.to_string()).collect::<Vec<_>>();
        (!missing.is_empty())
            .then(|| format!("the guest does not have its disk {} now", names.join(", ")))
    }
}

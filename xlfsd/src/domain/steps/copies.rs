//! The steps that copy a guest's disks: into a snapshot, out of one, and for
//! another guest (whose own steps make the volumes, see `disks`).

use std::time::Duration;

use tokio::time::Instant;

use super::Run;
use crate::host::{BlockNumber, VolumePlan};
use crate::problem::Problem;

/// How long disks must have done nothing until they are taken to be at rest: a
/// back end takes up a request that it was told of within that time.
const REST: Duration = Duration::from_millis(250);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// How long a paused guest's last requests may take.
const SETTLES: Duration = Duration::from_secs(30);

impl Run {
    /// Waits until what a paused guest had asked for is on its disks. Its vCPUs
    /// stand still, so nothing follows: all disks are at rest at one instant.
    pub(super) async fn settle_disks(&mut self) -> Result<(), Problem> {
        let guest = self.guest.source().unwrap_or_else(|| self.guest.clone());
        let record = guest.record();
        let mut blocks = Vec::new();
        for disk in record.disks.iter().filter(|disk| disk.has_data()) {
            // It is attached: this answers which device it is.
            blocks.push(self.disks.attach(record.uses_disk(disk)).await?);
        }
        let until = Instant::now() + SETTLES;
        let (mut before, mut since) = (self.activity(&blocks).await?, Instant::now());
        loop {
            self.pause_for(LOOK).await?;
            let now = self.activity(&blocks).await?;
            if now.in_flight > 0 || now.writes != before.writes {
                (before, since) = (now, Instant::now());
            } else if since.elapsed() >= REST {
                self.settled = blocks.into_iter().zip(now.writes).collect();
                return Ok(());
            }
            if Instant::now() >= until {
                return Err(Problem::deadline_exceeded(
                    "DISKS_BUSY",
                    format!("the disks of the paused guest {} do not come to rest", record.name),
                )
                .hint("Something in Dom0 may write to them, or their disk is very slow."));
            }
        }
    }

    /// That nothing was written to them since. ABORTED otherwise: the copies may
    /// be of different moments.
    pub(super) async fn check_settled(&mut self) -> Result<(), Problem> {
        let (blocks, writes): (Vec<_>, Vec<_>) = self.settled.iter().copied().unzip();
        let now = self.activity(&blocks).await?;
        if now.in_flight == 0 && now.writes == writes {
            return Ok(());
        }
        Err(Problem::aborted(
            "DISKS_CHANGED",
            "the guest wrote to its disks while they were copied",
        )
        .hint("Another toolstack may have let it run. Pause it, and try again."))
    }

    async fn activity(&self, blocks: &[BlockNumber]) -> Result<Activities, Problem> {
        let mut all = Activities::default();
        for block in blocks {
            let one = self.disks.activity(*block).await?;
            all.in_flight += one.in_flight;
            all.writes.push(one.writes);
        }
        Ok(all)
    }

    /// Copies the guest's disks into the volumes of its unfinished snapshot.
    pub(super) async fn copy_disks(&mut self) -> Result<(), Problem> {
        for snapshot in self.record.snapshots.iter().filter(|snapshot| snapshot.unfinished) {
            for disk in &snapshot.disks {
                self.task.log(format!("copying {} as the volume {}", disk.name, disk.volume.name));
                let recipe = disk.volume.clone();
                let plan = VolumePlan { guest: self.record.uuid, recipe, keep: false };
                self.disks.make(plan, self.cancel.clone()).await?;
            }
        }
        self.check_settled().await
    }

    /// From here on the snapshot is there.
    pub(super) fn keep_snapshot(&mut self) -> Result<(), Problem> {
        let before = self.guest.update(|record| {
            let before = record.snapshots.clone();
            record.snapshots.iter_mut().for_each(|snapshot| snapshot.unfinished = false);
            before
        });
        let written = self.define();
        if written.is_err() {
            self.guest.update(|record| record.snapshots = before);
        }
        written
    }

    /// Makes volumes of the snapshot that is restored.
    pub(super) async fn copy_snapshot(&mut self) -> Result<(), Problem> {
        for disk in &self.record.restoring {
            self.task.log(format!("restoring {}", disk.name));
            let recipe = disk.volume.clone();
            let plan = VolumePlan { guest: self.record.uuid, recipe, keep: false };
            self.disks.make(plan, self.cancel.clone()).await?;
        }
        Ok(())
    }

    pub(super) async fn remove_restored(&mut self) -> Result<(), Problem> {
        if self.guest.record().is_restored() {
            return Ok(());
        }
        for disk in &self.record.restoring {
            self.disks.remove(disk.volume.uuid, self.record.uuid).await?;
        }
        Ok(())
    }

    /// Makes the restored volumes the guest's disks. That is one record, written
    /// whole or not at all: so they all change, or none does.
    pub(super) fn switch_disks(&mut self) -> Result<(), Problem> {
        let before = self.guest.update(|record| {
            let before = record.disks.clone();
            for restored in &record.restoring {
                let of_it = record.disks.iter_mut().filter(|disk| disk.name == restored.name);
                for disk in of_it {
                    disk.volume.uuid = restored.volume.uuid;
                    disk.volume.size = restored.volume.size;
                    disk.volume.pool.clone_from(&restored.volume.pool);
                }
            }
            before
        });
        let written = self.define();
        if written.is_err() {
            self.guest.update(|record| record.disks = before);
        }
        written
    }

    /// Removes what is not needed of the disks that were being restored: the
    /// replaced volumes, whose names the new ones get; or the new ones, if it
    /// never came to that.
    pub(super) async fn remove_replaced(&mut self) -> Result<(), Problem> {
        let record = self.guest.record();
        let done = record.is_restored();
        for restored in &record.restoring {
            if !done {
                self.disks.remove(restored.volume.uuid, self.record.uuid).await?;
                continue;
            }
            self.disks.remove(restored.replaces, self.record.uuid).await?;
            if let Some(disk) = record.disks.iter().find(|disk| disk.name == restored.name) {
                let (name, keep) = (disk.volume.name.clone(), !disk.goes_with_guest());
                self.disks.rename(restored.volume.uuid, name, keep).await?;
            }
        }
        if record.restoring.is_empty() {
            return Ok(());
        }
        self.guest.update(|record| record.restoring.clear());
        self.define()
    }

    /// Removes the snapshots that are unfinished, or all, with their volumes.
    pub(super) async fn remove_snapshots(&mut self, all: bool) -> Result<(), Problem> {
        let goes = |unfinished: bool| all || unfinished;
        let record = self.guest.record();
        if !record.snapshots.iter().any(|snapshot| goes(snapshot.unfinished)) {
            return Ok(());
        }
        for snapshot in record.snapshots.iter().filter(|snapshot| goes(snapshot.unfinished)) {
            for disk in &snapshot.disks {
                self.disks.remove(disk.volume.uuid, self.record.uuid).await?;
            }
        }
        self.guest.update(|record| record.snapshots.retain(|one| !goes(one.unfinished)));
        self.define()
    }
}

/// What several disks have been doing.
#[derive(Debug, Default)]
struct Activities {
    in_flight: u64,
    /// Of each.
    writes: Vec<u64>,
}

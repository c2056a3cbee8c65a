//! The steps that make, attach and remove a guest's disks.

use super::Run;
use crate::domain::devices::{DiskName, DiskRecord};
use crate::domain::nodes::vbd::{self, Vbd};
use crate::host::VolumePlan;
use crate::problem::Problem;

impl Run {
    /// One after another: they share a disk of the host.
    pub(super) async fn make_volumes(&mut self) -> Result<(), Problem> {
        for disk in self.record.disks.iter().filter(|disk| !disk.adopted) {
            self.task.log(format!("making the volume {}", disk.volume.name));
            let recipe = disk.volume.clone();
            let plan = VolumePlan { guest: self.record.uuid, recipe, keep: disk.keep };
            self.disks.make(plan, self.cancel.clone()).await?;
        }
        self.check_settled().await?;
        // The guest that they are copies of may go on.
        self.guest.lend(None);
        Ok(())
    }

    /// Those to be kept, too: there is no guest yet that they were kept for.
    pub(super) async fn unmake_volumes(&mut self) -> Result<(), Problem> {
        for disk in self.record.disks.iter().filter(|disk| !disk.adopted) {
            self.disks.remove(disk.volume.uuid, self.record.uuid).await?;
        }
        Ok(())
    }

    pub(super) async fn remove_volumes(&mut self) -> Result<(), Problem> {
        let change = self.record.change.as_ref();
        let coming_goes = change.is_some_and(|change| change.remove_volume);
        let listed = |disk: &DiskRecord| self.record.disks.iter().any(|d| d.name == disk.name);
        let goes = |disk: &&DiskRecord| match listed(disk) {
            true => disk.goes_with_guest(),
            false => coming_goes,
        };
        for disk in self.record.all_disks().filter(goes) {
            let volume = &disk.volume;
            match self.disks.remove(volume.uuid, self.record.uuid).await {
                Err(problem) if problem.reason == "VOLUME_IN_USE" => {
                    // Another guest reads it, too, and needs it on.
                    self.task.log(format!("the volume {} stays: {problem}", volume.name));
                    self.disks.keep(volume.uuid).await?;
                }
                removed => removed?,
            }
        }
        Ok(())
    }

    pub(super) async fn attach_disks(&mut self) -> Result<(), Problem> {
        self.vbds.clear();
        if self.record.seed {
            let block = self.disks.attach(self.record.uses_seed()).await?;
            self.vbds.push(Vbd { name: DiskName::CONFIGURATION, block, read_only: true });
        }
        for disk in &self.record.disks {
            let block = self.disks.attach(self.record.uses_disk(disk)).await?;
            self.vbds.push(Vbd { name: disk.name, block, read_only: disk.read_only });
        }
        Ok(())
    }

    /// Takes the disks from the guest's domain, if it has one, then lets go of
    /// the devices.
    pub(super) async fn detach_disks(&mut self) -> Result<(), Problem> {
        if let (Some(host), Some(domid)) = (&self.host, self.guest.last_domid()) {
            // The domain is to end whatever xenstored does; the step that takes
            // all of its nodes away fails where this does.
            if let Err(error) = host.store.apply(vbd::withdraw_all(domid)).await {
                self.task.log(format!("the disks' nodes stay: {error}"));
            }
        }
        for disk in self.record.all_disks() {
            self.disks.detach(self.record.uses_disk(disk)).await?;
        }
        if self.record.seed {
            self.disks.detach(self.record.uses_seed()).await?;
        }
        Ok(())
    }

    pub(super) async fn write_seed(&mut self) -> Result<(), Problem> {
        let content = self.guest.take_seed().ok_or_else(|| {
            Problem::internal("nothing is there for the guest's configuration disk")
        })?;
        self.disks.write_seed(self.record.uuid, content).await
    }

    pub(super) async fn remove_seed(&mut self) -> Result<(), Problem> {
        self.disks.remove_seed(self.record.uuid).await
    }
}

//! The steps that give a device to a guest that is there, and take one away.
//! Which device it is stands in the guest's record while that lasts.

use std::time::Duration;

use tokio::time::Instant;
use xlfs_xen::hypercall::DomainId;
use xlfs_xen::xenstore;

use super::Run;
use crate::domain::devices::{Device, DiskRecord};
use crate::domain::nodes::vbd::{self, Vbd};
use crate::host::{StoreOp, VolumePlan};
use crate::network::nodes as vif;
use crate::problem::Problem;

/// How long a guest may take to find a new device before that is remarked.
const TAKES: Duration = Duration::from_secs(10);
/// Bytes of a kernel's complaint that are told.
const MAX_COMPLAINT: usize = 200;

/// The two ends of a device in xenstore.
struct Ends {
    back: String,
    front: String,
}

impl Run {
    pub(super) fn device(&self) -> Result<Device, Problem> {
        let change = self.record.change.as_ref().map(|change| change.device.clone());
        change.ok_or_else(|| Problem::internal("the record does not say which device it is"))
    }

    fn disk(&self) -> Result<DiskRecord, Problem> {
        match self.device()? {
            Device::Disk(disk) => Ok(disk),
            Device::Nic(_) => Err(Problem::internal("an interface has no volume")),
        }
    }

    /// Its ends, if the guest has a domain.
    fn ends(&self) -> Result<Option<(DomainId, Ends)>, Problem> {
        let Some(domain) = self.host.as_ref().map(|_| self.find_domain()).transpose()?.flatten()
        else {
            return Ok(None);
        };
        let domid = domain.domid;
        let ends = match self.device()? {
            Device::Disk(disk) => Ends {
                back: vbd::back_end(domid, disk.name),
                front: vbd::front_end(domid, disk.name),
            },
            Device::Nic(nic) => Ends {
                back: vif::backend(domid, nic.index),
                front: vif::frontend(domid, nic.index),
            },
        };
        Ok(Some((domid, ends)))
    }

    pub(super) async fn make_volume(&mut self) -> Result<(), Problem> {
        let disk = self.disk()?;
        if disk.adopted {
            return Ok(());
        }
        let plan = VolumePlan { guest: self.record.uuid, recipe: disk.volume, keep: disk.keep };
        self.disks.make(plan, self.cancel.clone()).await
    }

    /// Removes the volume, if it was made for this disk or is to go with it.
    pub(super) async fn remove_volume(&mut self) -> Result<(), Problem> {
        let disk = self.disk()?;
        if self.record.change.as_ref().is_some_and(|change| change.remove_volume) {
            self.disks.remove(disk.volume.uuid, self.record.uuid).await?;
        }
        Ok(())
    }

    pub(super) async fn keep_volume(&mut self) -> Result<(), Problem> {
        self.disks.keep(self.disk()?.volume.uuid).await
    }

    pub(super) async fn prepare_device(&mut self) -> Result<(), Problem> {
        match self.device()? {
            Device::Disk(disk) => {
                let block = self.disks.attach(self.record.uses_disk(&disk)).await?;
                self.vbds = vec![Vbd { name: disk.name, block, read_only: disk.read_only }];
            }
            Device::Nic(nic) => {
                let domid = self.domid()?;
                let vif = self.guard_nic(domid, &nic).await?;
                self.vifs = vec![vif];
            }
        }
        Ok(())
    }

    pub(super) async fn publish_device(&mut self) -> Result<(), Problem> {
        let domid = self.domid()?;
        // What an earlier domain of that number, or a kill, left (XSA-322).
        let mut ops = Vec::new();
        for disk in &self.vbds {
            ops.extend(vbd::withdraw(domid, disk.name));
            ops.extend(vbd::publish(domid, disk));
        }
        for nic in &self.vifs {
            ops.push(StoreOp::Remove(vbd::complaint(&vif::backend(domid, nic.index))));
            ops.extend(vif::withdraw(domid, nic.index));
            ops.extend(vif::publish(domid, nic));
        }
        let store = self.host()?.store.clone();
        store.apply(ops).await.map_err(|error| unreachable_store(&error))
    }

    pub(super) async fn connect_nic(&mut self) -> Result<(), Problem> {
        let Device::Nic(nic) = self.device()? else { return Ok(()) };
        let domid = self.domid()?;
        let told = self.connect_one(domid, &nic).await?;
        let store = self.host()?.store.clone();
        store.apply(vec![told]).await.map_err(|error| unreachable_store(&error))
    }

    /// Waits until the guest has taken the device. One that does not is no
    /// reason to take it away again: it may be booting, or paused.
    pub(super) async fn await_device(&mut self) -> Result<(), Problem> {
        let deadline = Instant::now() + TAKES;
        loop {
            let Some((_, ends)) = self.ends()? else {
                self.domid()?;
                return Ok(());
            };
            let state = self.end_state(&ends.back).await?;
            if state.as_deref() == Some(vbd::CONNECTED.as_bytes()) {
                return Ok(());
            }
            if let Some(why) = self.complaint(&ends.back).await? {
                let title = self.device()?.title();
                return Err(Problem::failed_precondition(
                    "BACK_END_FAILED",
                    format!("Dom0's kernel cannot serve the {title}: {why}"),
                )
                .hint("Its log says more: dmesg. Load the modules xen-blkback and xen-netback."));
            }
            if self.is_paused()? {
                self.task.log("the guest is paused: it takes the device when it runs on");
                return Ok(());
            }
            if Instant::now() >= deadline {
                self.task.log(format!(
                    "the guest has not taken the device within {} s: see whether its kernel has \
                     a driver for it",
                    TAKES.as_secs()
                ));
                return Ok(());
            }
            self.pause_for(super::end::POLL).await?;
        }
    }

    async fn end_state(&self, end: &str) -> Result<Option<Vec<u8>>, Problem> {
        let state = self.host()?.store.read(&format!("{end}/state")).await;
        state.map_err(|error| unreachable_store(&error))
    }

    /// What Dom0's kernel says of a back end, if it gave up. It quotes no guest.
    async fn complaint(&self, back: &str) -> Result<Option<String>, Problem> {
        let path = format!("{}/error", vbd::complaint(back));
        let text = self.host()?.store.read(&path).await;
        let text = text.map_err(|error| unreachable_store(&error))?.filter(|t| !t.is_empty());
        Ok(text.map(|text| String::from_utf8_lossy(&text).chars().take(MAX_COMPLAINT).collect()))
    }

    pub(super) fn list_device(&mut self) -> Result<(), Problem> {
        let device = self.device()?;
        self.guest.update(|record| record.add_device(device));
        self.define()
    }

    pub(super) fn unlist_device(&mut self) -> Result<(), Problem> {
        let key = self.device()?.key();
        self.guest.update(|record| record.remove_device(key));
        self.define()
    }

    pub(super) async fn close_device(&mut self, timeout: Duration) -> Result<(), Problem> {
        let deadline = Instant::now() + timeout;
        let Some((_, ends)) = self.ends()? else { return Ok(()) };
        let store = self.host()?.store.clone();
        // No driver of the guest has it: nobody needs to let go.
        let front = self.end_state(&ends.front).await?;
        if front.as_deref().is_none_or(|state| state == b"1") {
            return Ok(());
        }
        let ask = vbd::ask_to_close(&ends.back);
        store.apply(ask).await.map_err(|error| unreachable_store(&error))?;
        loop {
            let state = self.end_state(&ends.back).await?;
            if state.as_deref().is_none_or(|state| state == vbd::CLOSED.as_bytes())
                || self.has_ended()?
            {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let title = self.device()?.title();
                return Err(Problem::deadline_exceeded(
                    "DEVICE_BUSY",
                    format!(
                        "the guest has not let go of the {title} within {} s",
                        timeout.as_secs()
                    ),
                )
                .hint(
                    "Unmount it in the guest first; a paused guest cannot let go. --timeout gives \
                     it more time, and --force takes it away all the same.",
                ));
            }
            self.pause_for(super::end::POLL).await?;
        }
    }

    /// For a guest that has not reacted. One that did lets go of the device
    /// still: that cannot be taken back.
    pub(super) async fn reopen_device(&mut self) -> Result<(), Problem> {
        let Some((_, ends)) = self.ends()? else { return Ok(()) };
        let front = self.end_state(&ends.front).await?;
        if front.as_deref() != Some(vbd::CONNECTED.as_bytes()) {
            self.task.log("the guest has begun to let go of the device: detach it again");
            return Ok(());
        }
        let store = self.host()?.store.clone();
        let stay = vbd::ask_to_stay(&ends.back);
        store.apply(stay).await.map_err(|error| unreachable_store(&error))
    }

    pub(super) async fn withdraw_device(&mut self) -> Result<(), Problem> {
        let Some((domid, ends)) = self.ends()? else { return Ok(()) };
        let ops = match self.device()? {
            Device::Disk(disk) => vbd::withdraw(domid, disk.name),
            Device::Nic(nic) => {
                let mut ops = vif::withdraw(domid, nic.index);
                ops.push(StoreOp::Remove(vbd::complaint(&ends.back)));
                ops
            }
        };
        let store = self.host()?.store.clone();
        store.apply(ops).await.map_err(|error| {
            let title = format!("{} of {}", ends.back, self.record.name);
            unreachable_store(&error).leftover(format!("xenstore nodes {title}"))
        })
    }

    pub(super) async fn release_device(&mut self) -> Result<(), Problem> {
        match self.device()? {
            Device::Disk(disk) => self.disks.detach(self.record.uses_disk(&disk)).await,
            Device::Nic(nic) => match self.guest.last_domid() {
                Some(domid) => self.release_nic(domid, &nic).await,
                None => Ok(()),
            },
        }
    }
}

fn unreachable_store(error: &xenstore::Error) -> Problem {
    Problem::unavailable("XENSTORE_FAILED", "the device's xenstore nodes cannot be changed")
        .cause(error)
        .hint("See whether xenstored runs, and its log. Then try again.")
}

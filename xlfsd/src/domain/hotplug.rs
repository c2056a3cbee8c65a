//! Devices that come to a guest that is there, and go from it: while it runs,
//! or into its definition while it does not.
//!
//! A running guest's kernel finds a new device by itself, and is asked to let
//! go of one before that is taken away. What the record says of the device on
//! its way (`change`) lets a daemon that was killed meanwhile take it away again.

use std::time::Duration;

use xlfs_proto::v1::Operation;
use xlfs_xen::loopdev::Access;

use super::approach::{Approached, Xen};
use super::devices::{self, Device, DeviceChange, DeviceKey};
use super::operations::{Accepted, Guests, dry};
use super::plan::{DeviceKind, Goal, plan};
use super::record::{Work, access};
use super::request::{DiskRequest, NicRequest};
use crate::image::ImageHold;
use crate::problem::{FieldProblem, Problem};

/// How long a guest may take to let go of a device unless told otherwise.
pub const LETS_GO: Duration = Duration::from_secs(30);

/// How a device is to be taken away.
#[derive(Debug, Clone, Copy)]
pub struct DetachRequest {
    pub key: DeviceKey,
    /// The disk's volume goes, too.
    pub remove_volume: bool,
    /// The guest is not asked.
    pub force: bool,
    pub timeout: Duration,
}

impl Guests {
    /// Gives a disk to a guest.
    pub async fn attach_disk(
        &self,
        name: &str,
        disk: DiskRequest,
        dry_run: bool,
    ) -> Result<Accepted, Problem> {
        let taken = self
            .approach(name, Operation::Attach, "attach a device to", (Xen::Optional, dry_run))
            .await?;
        let record = taken.guest.record();
        let mut wrong = Vec::new();
        let (found, holds) = devices::disks(
            name,
            (&[disk], &record.disks),
            self.images(),
            &*self.shared.disks,
            &mut wrong,
        )?;
        let disk = found.into_iter().next().filter(|_| wrong.is_empty());
        let disk = disk.ok_or_else(|| refused(&record.title(), wrong))?;
        let (volume, adopted, access) = (disk.volume.uuid, disk.adopted, access(&disk));
        let change = DeviceChange { device: Device::Disk(disk), remove_volume: !adopted };
        if adopted {
            // On the record first: from then on nobody removes the volume.
            if taken.turn.is_some() {
                taken.guest.update(|record| record.change = Some(change.clone()));
            }
            if let Err(problem) = self.shared.disks.check_shared(volume, record.uuid, access) {
                taken.guest.update(|record| record.change = None);
                return Err(problem);
            }
        }
        Ok(self.attach(taken, change, holds))
    }

    /// Gives a network interface to a guest.
    pub async fn attach_nic(
        &self,
        name: &str,
        nic: NicRequest,
        dry_run: bool,
    ) -> Result<Accepted, Problem> {
        let taken = self
            .approach(name, Operation::Attach, "attach a device to", (Xen::Optional, dry_run))
            .await?;
        let record = taken.guest.record();
        let net = &self.shared.net;
        let mut wrong = Vec::new();
        let found = devices::nics(
            (record.uuid, name),
            (&[nic], &record.nics),
            &[],
            &net.networks,
            &net.macs,
            &mut wrong,
        )?;
        let nic = found.into_iter().next();
        let Some(nic) = nic.clone().filter(|_| wrong.is_empty()) else {
            if let Some(nic) = nic {
                net.macs.release(record.uuid, nic.index);
            }
            return Err(refused(&record.title(), wrong));
        };
        if taken.turn.is_none() {
            net.macs.release(record.uuid, nic.index);
        }
        let change = DeviceChange { device: Device::Nic(nic), remove_volume: false };
        Ok(self.attach(taken, change, Vec::new()))
    }

    /// Takes a device from a guest.
    pub async fn detach(
        &self,
        name: &str,
        asked: DetachRequest,
        dry_run: bool,
    ) -> Result<Accepted, Problem> {
        let taken = self
            .approach(name, Operation::Detach, "detach a device from", (Xen::Optional, dry_run))
            .await?;
        let record = taken.guest.record();
        let Some(device) = record.device(asked.key) else {
            let (what, has) = match asked.key {
                DeviceKey::Disk(disk) => {
                    let has: Vec<_> = record.disks.iter().map(|d| d.name.to_string()).collect();
                    (format!("disk {disk}"), has)
                }
                DeviceKey::Nic(index) => {
                    let has: Vec<_> =
                        record.nics.iter().map(|n| format!("eth{}", n.index)).collect();
                    (format!("interface eth{index}"), has)
                }
            };
            let hint = match has.is_empty() {
                true => "It has none of that kind.".into(),
                false => format!("It has: {}.", has.join(", ")),
            };
            let message = format!("the guest {name} has no {what}");
            return Err(Problem::not_found("NO_SUCH_DEVICE", message)
                .object(record.title())
                .hint(hint));
        };
        if taken.paused && !asked.force {
            return Err(Problem::failed_precondition(
                "WRONG_STATE",
                format!("cannot detach the {}: the guest {name} is paused", device.title()),
            )
            .object(record.title())
            .hint("A paused guest cannot let go: unpause it first, or use --force."));
        }
        if let Device::Disk(disk) = &device
            && asked.remove_volume
        {
            // To remove it is as much as to write it: no other guest may have it.
            let disks = &self.shared.disks;
            disks.check_shared(disk.volume.uuid, record.uuid, Access::ReadWrite)?;
        }
        let kind = DeviceKind::of(&device);
        let DetachRequest { remove_volume, force, timeout, .. } = asked;
        let goal = Goal::Detached { kind, timeout, force, remove_volume };
        let change = DeviceChange { device, remove_volume };
        let summary = format!("{} of the guest {name}", change.device.title());
        Ok(self.change(taken, change, goal, Work::Detach, &summary))
    }

    fn attach(&self, taken: Approached, change: DeviceChange, holds: Vec<ImageHold>) -> Accepted {
        let name = taken.guest.name().to_owned();
        let goal = Goal::Attached(DeviceKind::of(&change.device));
        let summary = format!("{} for the guest {name}", change.device.title());
        let accepted = self.change(taken, change, goal, Work::Attach, &summary);
        // From here on the record holds the image.
        drop(holds);
        accepted
    }

    fn change(
        &self,
        taken: Approached,
        change: DeviceChange,
        goal: Goal,
        work: Work,
        summary: &str,
    ) -> Accepted {
        let Approached { guest, host, turn, world, .. } = taken;
        let steps = plan(world, goal);
        let verb = if work == Work::Attach { "attach" } else { "detach" };
        let Some(turn) = turn else {
            let mut record = guest.record();
            record.change = Some(change);
            let planned = steps.iter().map(|step| step.planned(&record)).collect();
            return dry(planned, format!("would {verb} the {summary}"));
        };
        guest.update(|record| record.change = Some(change));
        self.begin(guest, turn, host, work, steps, format!("{verb}: {summary}"))
    }
}

fn refused(title: &str, wrong: Vec<FieldProblem>) -> Problem {
    let first = wrong.first().map(|field| format!("{}: {}", field.field, field.description));
    let message = first.unwrap_or_else(|| "nothing was asked for".into());
    Problem::invalid("BAD_REQUEST", message, wrong)
        .object(title.to_owned())
        .hint("What can be asked for: xlfsctl disk attach --help, xlfsctl nic attach --help")
}

//! Devices that come to a guest that is there, and go from it: while it runs,
//! or into its definition while it does not.
//!
//! A running guest's kernel finds a new device by itself, and is asked to let
//! go of one before that is taken away. What the record says of the device on
//! its way (`change`) lets a daemon that was killed meanwhile take it away again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use xlfs_proto::v1::Operation;

use super::devices::{self, Device, DeviceChange, DeviceKey};
use super::guest::Guest;
use super::operations::{Accepted, Guests, Turn, busy, dry, take_turn, wrong_state};
use super::plan::{DeviceKind, Goal, World, plan};
use super::record::Work;
use super::request::{DiskRequest, NicRequest};
use super::state::{Observed, refusal, state};
use crate::host::Host;
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

/// A guest whose turn it is, and what of it must be known.
struct Taken {
    guest: Arc<Guest>,
    host: Option<Arc<Host>>,
    /// None on a dry run.
    turn: Option<Turn>,
    world: World,
    paused: bool,
}

impl Guests {
    /// Gives a disk to a guest.
    pub async fn attach_disk(
        &self,
        name: &str,
        disk: DiskRequest,
        dry_run: bool,
    ) -> Result<Accepted, Problem> {
        let taken = self.take(name, Operation::Attach, dry_run).await?;
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
        let adopted = disk.adopted;
        if adopted {
            let disks = &self.shared.disks;
            disks.check_shared(disk.volume.uuid, record.uuid, super::record::access(&disk))?;
        }
        let change = DeviceChange { device: Device::Disk(disk), remove_volume: !adopted };
        Ok(self.attach(taken, change, holds))
    }

    /// Gives a network interface to a guest.
    pub async fn attach_nic(
        &self,
        name: &str,
        nic: NicRequest,
        dry_run: bool,
    ) -> Result<Accepted, Problem> {
        let taken = self.take(name, Operation::Attach, dry_run).await?;
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
        let taken = self.take(name, Operation::Detach, dry_run).await?;
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
        let kind = DeviceKind::of(&device);
        let DetachRequest { remove_volume, force, timeout, .. } = asked;
        let goal = Goal::Detached { kind, timeout, force, remove_volume };
        let change = DeviceChange { device, remove_volume };
        let summary = format!("{} of the guest {name}", change.device.title());
        Ok(self.change(taken, change, goal, Work::Detach, &summary))
    }

    fn attach(&self, taken: Taken, change: DeviceChange, holds: Vec<ImageHold>) -> Accepted {
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
        taken: Taken,
        change: DeviceChange,
        goal: Goal,
        work: Work,
        summary: &str,
    ) -> Accepted {
        let Taken { guest, host, turn, world, .. } = taken;
        let steps = plan(world, goal);
        let verb = if work == Work::Attach { "attach" } else { "detach" };
        let Some(turn) = turn else {
            let mut record = guest.record();
            record.change = Some(change);
            let planned = steps.iter().map(|step| step.planned(&record)).collect();
            return dry(planned, format!("would {verb} the {summary}"));
        };
        guest.update(|record| record.change = Some(change));
        let accepted = self.begin(guest, turn, host, work, steps, format!("{verb}: {summary}"));
        Accepted { generated: BTreeMap::new(), ..accepted }
    }

    /// A guest's turn, if its state allows for `operation`.
    async fn take(
        &self,
        name: &str,
        operation: Operation,
        dry_run: bool,
    ) -> Result<Taken, Problem> {
        let guest = self.unless_unmanaged(name).await?;
        let title = guest.record().title();
        // The definition of a guest that does not run can be changed without Xen.
        let host = match self.shared.reach.reach().await {
            Ok(host) => Some(host),
            Err(_) if !guest.record().wanted_running => None,
            Err(problem) => return Err(problem.object(title)),
        };
        let turn = if dry_run { None } else { Some(take_turn(&guest).await?) };
        if guest.is_forgotten() {
            return Err(self.shared.table.get(name).err().unwrap_or_else(|| busy(&guest)));
        }
        let record = guest.record();
        if record.change.is_some() {
            return Err(Problem::failed_precondition(
                "BUSY",
                format!("another device of the guest {name} is still on its way"),
            )
            .object(title)
            .hint("See: xlfsctl task list. What was cut off is settled soon after the start."));
        }
        let domain = match &host {
            Some(host) => guest.find_domain(&*host.hypervisor)?,
            None => None,
        };
        let work = guest.current().map(|current| current.work);
        let now = state(&Observed { domain: domain.as_ref(), work, held: record.held });
        if let Some(reason) = refusal(operation, now) {
            let verb = if operation == Operation::Attach {
                "attach a device to"
            } else {
                "detach a device from"
            };
            return Err(wrong_state(verb, name, now, reason));
        }
        let world = World::of(&record, domain.as_ref());
        let paused = domain.is_some_and(|domain| domain.paused);
        Ok(Taken { guest, host, turn, world, paused })
    }
}

fn refused(title: &str, wrong: Vec<FieldProblem>) -> Problem {
    let first = wrong.first().map(|field| format!("{}: {}", field.field, field.description));
    let message = first.unwrap_or_else(|| "nothing was asked for".into());
    Problem::invalid("BAD_REQUEST", message, wrong)
        .object(title.to_owned())
        .hint("What can be asked for: xlfsctl disk attach --help, xlfsctl nic attach --help")
}

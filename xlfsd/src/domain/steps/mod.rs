//! The steps of all plans: what each is called, does, undoes, and how it knows
//! that it was done already.
//!
//! A step does one thing and has no branches that a plan could have taken. Its
//! undo may meet a step that was done in part, or not at all, and copes.
//!
//! | step | does | undo |
//! |---|---|---|
//! | define-guest | writes the guest's record | removes it |
//! | make-volumes | makes the disks' volumes out of their images | removes them |
//! | write-seed | writes the configuration disk | removes it |
//! | reserve-memory | promises memory in the ledger | gives it back |
//! | prepare-kernel | has the kernel parsed, or finds its plan | - |
//! | attach-disks | makes block devices of the volumes | lets go of them |
//! | create-domain | makes an empty domain | destroys it |
//! | populate-memory | gives it vCPUs and memory | (as create-domain) |
//! | load-kernel | fills its memory | (as create-domain) |
//! | guard-nics | has the firewall hold the guest to its addresses | lifts that |
//! | publish-nodes | writes its nodes, introduces it | removes them |
//! | attach-console | serves its console | lets go of it |
//! | connect-nics | puts its vifs on their bridges | takes them off |
//! | unpause-domain, pause-domain | | the other |
//! | ask-guest | asks to power off or reboot | withdraws the request |
//! | await-end | waits until the guest has ended | - |
//! | detach-console | drains the console, lets go of it | - |
//! | stop-domain | stops the vCPUs of a domain that is to go | - |
//! | disconnect-nics | takes the interfaces from the domain, lifts the firewall's hold | - |
//! | detach-disks | takes the disks from the domain, lets go of the devices | - |
//! | destroy-domain | takes the domain apart | - |
//! | withdraw-nodes | removes its nodes | - |
//! | remove-seed | removes the configuration disk | - |
//! | remove-volumes | removes the volumes that are not to be kept | - |
//! | forget-guest | removes record and console log | - |
//!
//! A device that comes to a guest that is there, or goes from it:
//!
//! | step | does | undo |
//! |---|---|---|
//! | make-volume | makes the disk's volume | removes it |
//! | prepare-device | makes a block device; has the firewall hold the interface | lets go |
//! | publish-device | writes its nodes | removes them |
//! | connect-nic | puts its vif on its bridge | (as publish-device) |
//! | await-device | waits until the guest has taken it | - |
//! | list-device | puts it on the guest's record | takes it off |
//! | close-device | asks the guest to let go of it | takes that back |
//! | withdraw-device | removes its nodes | - |
//! | release-device | lets go of block device or firewall rules | - |
//! | unlist-device | takes it off the record | - |
//! | remove-volume, keep-volume | removes the volume; keeps it for others | - |
//!
//! Snapshots, and disks that are copied:
//!
//! | step | does | undo |
//! |---|---|---|
//! | settle-disks | waits until a paused guest's writes are on its disks | - |
//! | copy-disks | copies the disks into the snapshot's volumes | removes them |
//! | keep-snapshot | has the record say that it is whole | - |
//! | copy-snapshot | copies the snapshot's volumes for the guest | removes them |
//! | switch-disks | makes them the guest's disks, all at once | - |
//! | remove-replaced | removes the volumes that were its disks | - |
//! | remove-snapshots | removes snapshots that are unfinished, or all | - |

mod build;
mod copies;
mod disks;
mod end;
mod hotplug;
mod nics;
mod run;

use std::time::Duration;

pub(super) use build::cancelled;
pub(super) use run::Run;

use crate::problem::Problem;
use crate::task::PlannedStep;

use super::devices::Device;
use super::record::GuestRecord;

/// What a guest is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    Poweroff,
    Reboot,
}

impl Ask {
    /// The word of the protocol.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Poweroff => "poweroff",
            Self::Reboot => "reboot",
        }
    }
}

/// A step of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Define,
    MakeVolumes,
    WriteSeed,
    ReserveMemory,
    PrepareKernel,
    AttachDisks,
    CreateDomain,
    PopulateMemory,
    LoadKernel,
    GuardNics,
    Publish,
    AttachConsole,
    ConnectNics,
    Unpause,
    Pause,
    AskGuest(Ask),
    AwaitEnd { timeout: Duration, force: bool },
    DetachConsole,
    StopDomain,
    DisconnectNics,
    DetachDisks,
    DestroyDomain,
    Withdraw,
    RemoveSeed,
    RemoveVolumes,
    Forget,
    MakeVolume,
    PrepareDevice,
    PublishDevice,
    ConnectNic,
    AwaitDevice,
    ListDevice,
    CloseDevice { timeout: Duration },
    WithdrawDevice,
    ReleaseDevice,
    UnlistDevice,
    RemoveVolume,
    KeepVolume,
    SettleDisks,
    CopyDisks,
    KeepSnapshot,
    CopySnapshot,
    SwitchDisks,
    RemoveReplaced,
    RemoveSnapshots { all: bool },
}

impl Step {
    /// Stable, for tasks and tests.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Define => "define-guest",
            Self::MakeVolumes => "make-volumes",
            Self::WriteSeed => "write-seed",
            Self::GuardNics => "guard-nics",
            Self::ConnectNics => "connect-nics",
            Self::DisconnectNics => "disconnect-nics",
            Self::RemoveSeed => "remove-seed",
            Self::ReserveMemory => "reserve-memory",
            Self::PrepareKernel => "prepare-kernel",
            Self::AttachDisks => "attach-disks",
            Self::CreateDomain => "create-domain",
            Self::PopulateMemory => "populate-memory",
            Self::LoadKernel => "load-kernel",
            Self::Publish => "publish-nodes",
            Self::AttachConsole => "attach-console",
            Self::Unpause => "unpause-domain",
            Self::Pause => "pause-domain",
            Self::AskGuest(_) => "ask-guest",
            Self::AwaitEnd { .. } => "await-end",
            Self::DetachConsole => "detach-console",
            Self::StopDomain => "stop-domain",
            Self::DetachDisks => "detach-disks",
            Self::DestroyDomain => "destroy-domain",
            Self::Withdraw => "withdraw-nodes",
            Self::RemoveVolumes => "remove-volumes",
            Self::Forget => "forget-guest",
            Self::MakeVolume => "make-volume",
            Self::PrepareDevice => "prepare-device",
            Self::PublishDevice => "publish-device",
            Self::ConnectNic => "connect-nic",
            Self::AwaitDevice => "await-device",
            Self::ListDevice => "list-device",
            Self::CloseDevice { .. } => "close-device",
            Self::WithdrawDevice => "withdraw-device",
            Self::ReleaseDevice => "release-device",
            Self::UnlistDevice => "unlist-device",
            Self::RemoveVolume => "remove-volume",
            Self::KeepVolume => "keep-volume",
            Self::SettleDisks => "settle-disks",
            Self::CopyDisks => "copy-disks",
            Self::KeepSnapshot => "keep-snapshot",
            Self::CopySnapshot => "copy-snapshot",
            Self::SwitchDisks => "switch-disks",
            Self::RemoveReplaced => "remove-replaced",
            Self::RemoveSnapshots { .. } => "remove-snapshots",
        }
    }

    /// What it acts on, for a person.
    pub(super) fn planned(&self, record: &GuestRecord) -> PlannedStep {
        let name = &record.name;
        let object = match self {
            Self::ReserveMemory | Self::PopulateMemory => format!("{} MiB", record.memory_mib),
            Self::PrepareKernel => format!("kernel {}", record.kernel.short()),
            Self::LoadKernel => {
                let ramdisk = record.ramdisk.map(|d| format!(", ramdisk {}", d.short()));
                format!("kernel {}{}", record.kernel.short(), ramdisk.unwrap_or_default())
            }
            Self::CreateDomain => format!("domain of {name}, {} vCPUs", record.vcpus),
            Self::AskGuest(ask) => format!("guest {name}, {}", ask.word()),
            Self::AwaitEnd { timeout, .. } => {
                format!("guest {name}, at most {} s", timeout.as_secs())
            }
            Self::Define | Self::Forget => format!("guest {name}"),
            Self::Publish | Self::Withdraw => format!("xenstore nodes of {name}"),
            Self::AttachConsole | Self::DetachConsole => format!("console of {name}"),
            Self::MakeVolumes | Self::RemoveVolumes => {
                let volumes = record.disks.iter().map(|disk| disk.volume.name.as_str());
                format!("volumes {}", volumes.collect::<Vec<_>>().join(", "))
            }
            Self::WriteSeed | Self::RemoveSeed => format!("configuration disk of {name}"),
            Self::GuardNics | Self::ConnectNics | Self::DisconnectNics => {
                let networks = record.nics.iter().map(|nic| nic.network.as_str());
                format!("{name} on {}", networks.collect::<Vec<_>>().join(", "))
            }
            Self::AttachDisks | Self::DetachDisks => {
                let names = record.disks.iter().map(|disk| disk.name.to_string());
                format!("disks {} of {name}", names.collect::<Vec<_>>().join(", "))
            }
            Self::Unpause | Self::Pause | Self::StopDomain | Self::DestroyDomain => {
                format!("domain of {name}")
            }
            Self::CloseDevice { timeout } => {
                format!("{}, at most {} s", changing(record), timeout.as_secs())
            }
            Self::MakeVolume | Self::RemoveVolume | Self::KeepVolume => {
                match record.change.as_ref().map(|change| &change.device) {
                    Some(Device::Disk(disk)) => format!("volume {}", disk.volume.name),
                    _ => format!("volume of {name}"),
                }
            }
            Self::SettleDisks => format!("disks of the paused guest that {name} is made from"),
            Self::CopyDisks | Self::KeepSnapshot | Self::RemoveSnapshots { .. } => {
                let all = *self == Self::RemoveSnapshots { all: true };
                let snapshots = record.snapshots.iter().filter(|one| all || one.unfinished);
                let names: Vec<_> = snapshots.map(|snapshot| snapshot.name.as_str()).collect();
                format!("snapshot {} of {name}", names.join(", "))
            }
            Self::CopySnapshot | Self::SwitchDisks | Self::RemoveReplaced => {
                let names = record.restoring.iter().map(|disk| disk.name.to_string());
                format!("disks {} of {name}", names.collect::<Vec<_>>().join(", "))
            }
            Self::PrepareDevice
            | Self::PublishDevice
            | Self::ConnectNic
            | Self::AwaitDevice
            | Self::ListDevice
            | Self::WithdrawDevice
            | Self::ReleaseDevice
            | Self::UnlistDevice => changing(record),
        };
        PlannedStep::new(self.name(), object)
    }

    /// True when what the step would do is done.
    pub(super) async fn done(&self, run: &mut Run) -> Result<bool, Problem> {
        match self {
            Self::Unpause => run.is_paused().map(|paused| !paused),
            Self::Pause | Self::StopDomain => run.is_paused(),
            Self::DestroyDomain => run.find_domain().map(|domain| domain.is_none()),
            _ => Ok(false),
        }
    }

    /// Does it.
    pub(super) async fn act(&self, run: &mut Run) -> Result<(), Problem> {
        match self {
            Self::Define => run.define(),
            Self::MakeVolumes => run.make_volumes().await,
            Self::WriteSeed => run.write_seed().await,
            Self::RemoveSeed => run.remove_seed().await,
            Self::GuardNics => run.guard_nics().await,
            Self::ConnectNics => run.connect_nics().await,
            Self::DisconnectNics => run.disconnect_nics().await,
            Self::AttachDisks => run.attach_disks().await,
            Self::StopDomain => run.pause(),
            Self::DetachDisks => run.detach_disks().await,
            Self::RemoveVolumes => run.remove_volumes().await,
            Self::ReserveMemory => run.reserve_memory().await,
            Self::PrepareKernel => run.prepare_kernel().await,
            Self::CreateDomain => run.create_domain().await,
            Self::PopulateMemory => run.populate_memory().await,
            Self::LoadKernel => run.load_kernel().await,
            Self::Publish => run.publish().await,
            Self::AttachConsole => run.attach_console().await,
            Self::Unpause => run.unpause(),
            Self::Pause => run.pause(),
            Self::AskGuest(ask) => run.ask_guest(*ask).await,
            Self::AwaitEnd { timeout, force } => run.await_end(*timeout, *force).await,
            Self::DetachConsole => run.detach_console().await,
            Self::DestroyDomain => run.destroy_domain().await,
            Self::Withdraw => run.withdraw().await,
            Self::Forget => run.forget(),
            Self::MakeVolume => run.make_volume().await,
            Self::PrepareDevice => run.prepare_device().await,
            Self::PublishDevice => run.publish_device().await,
            Self::ConnectNic => run.connect_nic().await,
            Self::AwaitDevice => run.await_device().await,
            Self::ListDevice => run.list_device(),
            Self::CloseDevice { timeout } => run.close_device(*timeout).await,
            Self::WithdrawDevice => run.withdraw_device().await,
            Self::ReleaseDevice => run.release_device().await,
            Self::UnlistDevice => run.unlist_device(),
            Self::RemoveVolume => run.remove_volume().await,
            Self::KeepVolume => run.keep_volume().await,
            Self::SettleDisks => run.settle_disks().await,
            Self::CopyDisks => run.copy_disks().await,
            Self::KeepSnapshot => run.keep_snapshot(),
            Self::CopySnapshot => run.copy_snapshot().await,
            Self::SwitchDisks => run.switch_disks(),
            Self::RemoveReplaced => run.remove_replaced().await,
            Self::RemoveSnapshots { all } => run.remove_snapshots(*all).await,
        }
    }

    /// Undoes it, whether it was done whole, in part or not at all.
    pub(super) async fn undo(&self, run: &mut Run) -> Result<(), Problem> {
        match self {
            Self::Define => run.forget(),
            Self::ReserveMemory => {
                run.give_memory_back();
                Ok(())
            }
            Self::MakeVolumes => run.unmake_volumes().await,
            Self::WriteSeed => run.remove_seed().await,
            Self::GuardNics | Self::ConnectNics => run.disconnect_nics().await,
            Self::AttachDisks => run.detach_disks().await,
            Self::CreateDomain => run.destroy_domain().await,
            Self::Publish => run.withdraw().await,
            Self::AttachConsole => run.detach_console().await,
            Self::AskGuest(_) => run.withdraw_request().await,
            Self::MakeVolume => run.remove_volume().await,
            Self::PrepareDevice => run.release_device().await,
            Self::PublishDevice => run.withdraw_device().await,
            Self::ListDevice => run.unlist_device(),
            Self::CloseDevice { .. } => run.reopen_device().await,
            Self::CopyDisks => run.remove_snapshots(false).await,
            Self::CopySnapshot => run.remove_restored().await,
            Self::SettleDisks
            | Self::KeepSnapshot
            | Self::SwitchDisks
            | Self::RemoveReplaced
            | Self::RemoveSnapshots { .. }
            | Self::ConnectNic
            | Self::AwaitDevice
            | Self::WithdrawDevice
            | Self::ReleaseDevice
            | Self::UnlistDevice
            | Self::RemoveVolume
            | Self::KeepVolume
            | Self::PrepareKernel
            | Self::PopulateMemory
            | Self::LoadKernel
            | Self::Unpause
            | Self::Pause
            | Self::AwaitEnd { .. }
            | Self::DetachConsole
            | Self::StopDomain
            | Self::DisconnectNics
            | Self::DetachDisks
            | Self::DestroyDomain
            | Self::Withdraw
            | Self::RemoveSeed
            | Self::RemoveVolumes
            | Self::Forget => Ok(()),
        }
    }
}

/// `disk xvdb of web`.
fn changing(record: &GuestRecord) -> String {
    match &record.change {
        Some(change) => format!("{} of {}", change.device.title(), record.name),
        None => format!("a device of {}", record.name),
    }
}

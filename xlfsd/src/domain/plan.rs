//! From what is observed and what is wanted to a list of steps. Pure.

use std::time::Duration;

use xlfs_xen::hypercall::DomainInfo;

use super::devices::Device;
use super::record::GuestRecord;
use super::steps::{Ask, Step};

/// What an operation is to reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    /// A new guest; it runs unless `start` is false.
    Defined { start: bool, paused: bool },
    /// A domain runs the guest.
    Running { paused: bool },
    /// The guest has shut itself down, and its domain is gone.
    Down { timeout: Duration, force: bool },
    /// The guest has shut itself down and runs anew.
    Rebooted { timeout: Duration },
    /// The domain is gone, whatever the guest thinks of it.
    Gone,
    /// The domain, which has ended, is gone and built anew.
    Restarted,
    /// The guest is forgotten, with its domain.
    Forgotten,
    /// The guest has one more device.
    Attached(DeviceKind),
    /// It has one less.
    Detached { kind: DeviceKind, timeout: Duration, force: bool, remove_volume: bool },
    /// What the disks hold is kept, after what is under way has come to them.
    Kept { paused: bool },
    /// The disks hold what a snapshot has.
    Restored,
    /// Nothing unfinished is left of snapshots and restored disks.
    Tidied,
    /// The vCPUs stand still.
    Paused,
    /// The vCPUs run.
    Unpaused,
}

/// What comes or goes; which one it is stands in the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DeviceKind {
    Disk,
    Nic,
}

impl DeviceKind {
    pub(super) fn of(device: &Device) -> Self {
        match device {
            Device::Disk(_) => Self::Disk,
            Device::Nic(_) => Self::Nic,
        }
    }
}

/// What there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct World {
    /// A domain of the guest exists.
    pub domain: bool,
    /// That domain has ended by itself: there is nobody to ask to shut down.
    pub ended: bool,
    /// The guest has volumes.
    pub volumes: bool,
    /// It has a configuration disk.
    pub seed: bool,
    /// It has network interfaces.
    pub nics: bool,
    /// It has snapshots, or disks that were being restored.
    pub snapshots: bool,
}

impl World {
    fn disks(self) -> bool {
        self.volumes || self.seed
    }

    /// What there is of a guest.
    pub(super) fn of(record: &GuestRecord, domain: Option<&DomainInfo>) -> Self {
        Self {
            domain: domain.is_some(),
            ended: domain.is_some_and(|domain| domain.shutdown.is_some() || domain.dying),
            volumes: record.all_disks().next().is_some(),
            seed: record.seed,
            nics: record.all_nics().next().is_some(),
            snapshots: !record.snapshots.is_empty() || !record.restoring.is_empty(),
        }
    }
}

/// The steps from `world` to `goal`. Each is skipped when what it would do is
/// true already, so that a plan may be run again after a crash of the daemon.
pub(super) fn plan(world: World, goal: Goal) -> Vec<Step> {
    let mut steps = Vec::new();
    match goal {
        Goal::Defined { start, paused } => {
            steps.push(Step::Define);
            if world.volumes {
                steps.push(Step::MakeVolumes);
            }
            if world.seed {
                steps.push(Step::WriteSeed);
            }
            if start {
                build(&mut steps, world, paused);
            }
        }
        Goal::Running { paused } => {
            take_down(&mut steps, world);
            build(&mut steps, world, paused);
        }
        Goal::Down { timeout, force } => {
            ask(&mut steps, world, Ask::Poweroff, timeout, force);
            take_down(&mut steps, world);
        }
        Goal::Rebooted { timeout } => {
            ask(&mut steps, world, Ask::Reboot, timeout, false);
            take_down(&mut steps, world);
            build(&mut steps, world, false);
        }
        Goal::Restarted => {
            take_down(&mut steps, world);
            build(&mut steps, world, false);
        }
        Goal::Gone => take_down(&mut steps, world),
        Goal::Forgotten => {
            take_down(&mut steps, world);
            if world.seed {
                steps.push(Step::RemoveSeed);
            }
            if world.snapshots {
                steps.extend([Step::RemoveReplaced, Step::RemoveSnapshots { all: true }]);
            }
            if world.volumes {
                steps.push(Step::RemoveVolumes);
            }
            steps.push(Step::Forget);
        }
        Goal::Attached(kind) => attach(&mut steps, world, kind),
        Goal::Detached { kind, timeout, force, remove_volume } => {
            if world.domain {
                if !force && !world.ended {
                    steps.push(Step::CloseDevice { timeout });
                }
                steps.push(Step::WithdrawDevice);
            }
            steps.extend([Step::ReleaseDevice, Step::UnlistDevice]);
            if kind == DeviceKind::Disk {
                steps.push(if remove_volume { Step::RemoveVolume } else { Step::KeepVolume });
            }
        }
        Goal::Kept { paused } => {
            if paused {
                steps.push(Step::SettleDisks);
            }
            steps.extend([Step::CopyDisks, Step::KeepSnapshot]);
        }
        Goal::Restored => {
            steps.extend([Step::CopySnapshot, Step::SwitchDisks, Step::RemoveReplaced]);
        }
        Goal::Tidied => {
            steps.extend([Step::RemoveReplaced, Step::RemoveSnapshots { all: false }]);
        }
        Goal::Paused => steps.push(Step::Pause),
        Goal::Unpaused => steps.push(Step::Unpause),
    }
    steps
}

/// The record lists the device last: what is not listed is taken away again by
/// whoever finds the guest after a crash of the daemon.
fn attach(steps: &mut Vec<Step>, world: World, kind: DeviceKind) {
    if kind == DeviceKind::Disk {
        steps.push(Step::MakeVolume);
    }
    if world.domain {
        steps.extend([Step::PrepareDevice, Step::PublishDevice]);
        if kind == DeviceKind::Nic {
            steps.push(Step::ConnectNic);
        }
        steps.push(Step::AwaitDevice);
    }
    steps.push(Step::ListDevice);
}

fn build(steps: &mut Vec<Step>, world: World, paused: bool) {
    steps.extend([Step::ReserveMemory, Step::PrepareKernel]);
    if world.disks() {
        steps.push(Step::AttachDisks);
    }
    steps.extend([Step::CreateDomain, Step::PopulateMemory, Step::LoadKernel]);
    // What holds a guest to its addresses is there before its interfaces.
    if world.nics {
        steps.push(Step::GuardNics);
    }
    steps.extend([Step::Publish, Step::AttachConsole]);
    if world.nics {
        steps.push(Step::ConnectNics);
    }
    if !paused {
        steps.push(Step::Unpause);
    }
}

fn ask(steps: &mut Vec<Step>, world: World, ask: Ask, timeout: Duration, force: bool) {
    if world.domain && !world.ended {
        steps.push(Step::AskGuest(ask));
        steps.push(Step::AwaitEnd { timeout, force });
    }
}

fn take_down(steps: &mut Vec<Step>, world: World) {
    if world.domain {
        steps.push(Step::DetachConsole);
        // A back end holds on to the domain's memory: it goes first.
        if world.disks() || world.nics {
            steps.push(Step::StopDomain);
        }
        if world.nics {
            steps.push(Step::DisconnectNics);
        }
        if world.disks() {
            steps.push(Step::DetachDisks);
        }
        steps.extend([Step::DestroyDomain, Step::Withdraw]);
        return;
    }
    // What a domain that vanished has left.
    if world.nics {
        steps.push(Step::DisconnectNics);
    }
    if world.disks() {
        steps.push(Step::DetachDisks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: World = World {
        domain: false,
        ended: false,
        volumes: false,
        seed: false,
        nics: false,
        snapshots: false,
    };
    const WITH_ALL: World =
        World { volumes: true, seed: true, nics: true, snapshots: true, ..NONE };
    const RUNS: World = World { domain: true, ..NONE };
    const ENDED: World = World { ended: true, ..RUNS };
    const TIMEOUT: Duration = Duration::from_secs(1);

    fn names(world: World, goal: Goal) -> Vec<&'static str> {
        plan(world, goal).iter().map(Step::name).collect()
    }

    #[test]
    fn a_create_defines_then_builds_then_runs() {
        let steps = names(NONE, Goal::Defined { start: true, paused: false });
        assert_eq!(
            steps,
            [
                "define-guest",
                "reserve-memory",
                "prepare-kernel",
                "create-domain",
                "populate-memory",
                "load-kernel",
                "publish-nodes",
                "attach-console",
                "unpause-domain"
            ]
        );
        assert_eq!(names(NONE, Goal::Defined { start: false, paused: false }), ["define-guest"]);
        assert!(!names(NONE, Goal::Running { paused: true }).contains(&"unpause-domain"));
    }

    #[test]
    fn a_guest_that_ended_is_not_asked() {
        let down = Goal::Down { timeout: TIMEOUT, force: false };
        assert_eq!(
            names(RUNS, down),
            ["ask-guest", "await-end", "detach-console", "destroy-domain", "withdraw-nodes"]
        );
        assert_eq!(names(ENDED, down), ["detach-console", "destroy-domain", "withdraw-nodes"]);
        assert!(names(NONE, down).is_empty());
    }

    #[test]
    fn a_reboot_takes_down_before_it_builds() {
        let steps = names(RUNS, Goal::Rebooted { timeout: TIMEOUT });
        let at = |name| steps.iter().position(|s| *s == name).unwrap();
        assert!(at("await-end") < at("destroy-domain"));
        assert!(at("withdraw-nodes") < at("reserve-memory"));
    }

    #[test]
    fn devices_are_there_before_the_domain_runs_and_go_before_it() {
        let steps = names(WITH_ALL, Goal::Defined { start: true, paused: false });
        let at = |name| steps.iter().position(|s| *s == name).unwrap();
        assert!(at("define-guest") < at("make-volumes"));
        assert!(at("attach-disks") < at("create-domain"));
        assert!(at("write-seed") < at("attach-disks"));
        assert!(at("guard-nics") < at("publish-nodes"));
        assert!(at("connect-nics") < at("unpause-domain"));
        let steps = names(World { domain: true, ..WITH_ALL }, Goal::Forgotten);
        let at = |name| steps.iter().position(|s| *s == name).unwrap();
        assert!(at("stop-domain") < at("detach-disks"));
        assert!(at("detach-disks") < at("destroy-domain"));
        assert!(at("stop-domain") < at("disconnect-nics"));
        assert!(at("disconnect-nics") < at("destroy-domain"));
        assert!(at("withdraw-nodes") < at("remove-volumes"));
        assert!(at("withdraw-nodes") < at("remove-snapshots"));
        assert!(at("remove-volumes") < at("forget-guest"));
    }

    #[test]
    fn a_device_comes_and_goes_in_order() {
        assert_eq!(
            names(RUNS, Goal::Attached(DeviceKind::Disk)),
            ["make-volume", "prepare-device", "publish-device", "await-device", "list-device"]
        );
        assert_eq!(names(NONE, Goal::Attached(DeviceKind::Disk)), ["make-volume", "list-device"]);
        let nic = names(RUNS, Goal::Attached(DeviceKind::Nic));
        let at = |name| nic.iter().position(|s| *s == name).unwrap();
        // The firewall holds the guest before the interface is there.
        assert!(at("prepare-device") < at("publish-device"));
        assert!(at("publish-device") < at("connect-nic"));
        let gone = |world, force, remove_volume| {
            let kind = DeviceKind::Disk;
            names(world, Goal::Detached { kind, timeout: TIMEOUT, force, remove_volume })
        };
        assert_eq!(
            gone(RUNS, false, false),
            ["close-device", "withdraw-device", "release-device", "unlist-device", "keep-volume"]
        );
        assert!(!gone(RUNS, true, true).contains(&"close-device"));
        assert_eq!(gone(NONE, false, true), ["release-device", "unlist-device", "remove-volume"]);
    }

    #[test]
    fn disks_are_switched_when_all_are_copied_and_removed_after_that() {
        let kept = names(RUNS, Goal::Kept { paused: true });
        assert_eq!(kept, ["settle-disks", "copy-disks", "keep-snapshot"]);
        assert_eq!(names(NONE, Goal::Kept { paused: false }), kept[1..]);
        let restored = names(NONE, Goal::Restored);
        assert_eq!(restored, ["copy-snapshot", "switch-disks", "remove-replaced"]);
    }

    /// Plans are the same for the same input, and no step comes twice.
    #[test]
    fn no_step_comes_twice() {
        let goals = [
            Goal::Defined { start: true, paused: false },
            Goal::Running { paused: false },
            Goal::Down { timeout: TIMEOUT, force: true },
            Goal::Rebooted { timeout: TIMEOUT },
            Goal::Gone,
            Goal::Restarted,
            Goal::Forgotten,
        ];
        for goal in goals {
            let with_all = [NONE, RUNS, ENDED].map(|world| World {
                domain: world.domain,
                ended: world.ended,
                ..WITH_ALL
            });
            for world in [NONE, RUNS, ENDED].into_iter().chain(with_all) {
                let steps = names(world, goal);
                let mut unique = steps.clone();
                unique.sort_unstable();
                unique.dedup();
                assert_eq!(unique.len(), steps.len(), "{goal:?} from {world:?}");
            }
        }
    }
}

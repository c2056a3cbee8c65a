//! Guests and other domains.

use std::collections::BTreeMap;

use serde::Serialize;
use xlfs_proto::v1::{
    ConsoleStats, Disk, Domain, DomainState, EndAction, EndPolicy, ListDomainsResponse, Nic,
    Operation, OperationStatus, Snapshot, SnapshotDisk,
};

use super::health::HealthView;
use super::{moment, span};
use crate::errors::filled;

/// `list`.
#[derive(Debug, Serialize)]
pub(crate) struct DomainsView {
    pub(crate) domains: Vec<DomainView>,
    pub(crate) hypervisor_problem: Option<String>,
}

/// `show`, `wait`, and each of `list`.
#[derive(Debug, Serialize)]
pub(crate) struct DomainView {
    name: String,
    uuid: Option<String>,
    managed: bool,
    state: &'static str,
    domid: Option<u32>,
    template: Option<String>,
    parameters: BTreeMap<String, String>,
    memory_mib: u64,
    vcpus: u32,
    end_policy: Option<EndPolicyView>,
    kernel_digest: Option<String>,
    ramdisk_digest: Option<String>,
    wanted_running: bool,
    created: Option<String>,
    started: Option<String>,
    cpu_time_seconds: Option<f64>,
    last_end: Option<String>,
    last_end_time: Option<String>,
    restarts: u32,
    operations: Vec<OperationView>,
    task_id: Option<String>,
    problems: Vec<String>,
    console: Option<ConsoleView>,
    disks: Vec<DiskView>,
    nics: Vec<NicView>,
    health: Option<HealthView>,
    snapshots: Vec<SnapshotView>,
}

/// `snapshot list`.
#[derive(Debug, Serialize)]
pub(crate) struct SnapshotsView {
    pub(crate) snapshots: Vec<SnapshotView>,
}

#[derive(Debug, Serialize)]
pub(crate) struct SnapshotView {
    name: String,
    created: Option<String>,
    guest_was: &'static str,
    disks: Vec<SnapshotDiskView>,
    problem: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct SnapshotDiskView {
    name: String,
    volume: String,
    size_bytes: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct NicView {
    name: String,
    network: String,
    mac: String,
    addresses: Vec<String>,
    rate: Option<String>,
    anti_spoofing: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct DiskView {
    name: String,
    volume: String,
    volume_uuid: String,
    pool: String,
    size_bytes: u64,
    read_only: bool,
    keep: bool,
    image_digest: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct EndPolicyView {
    on_poweroff: Option<&'static str>,
    on_reboot: Option<&'static str>,
    on_crash: Option<&'static str>,
}

#[derive(Debug, Serialize)]
pub(crate) struct OperationView {
    operation: &'static str,
    allowed: bool,
    reason: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ConsoleView {
    bytes: u64,
    dropped_bytes: u64,
    readers: u32,
    writer_attached: bool,
    protocol_errors: u64,
}

impl From<ListDomainsResponse> for DomainsView {
    fn from(reply: ListDomainsResponse) -> DomainsView {
        DomainsView {
            domains: reply.domains.iter().map(DomainView::from).collect(),
            hypervisor_problem: filled(&reply.hypervisor_problem),
        }
    }
}

impl From<&Domain> for DomainView {
    fn from(domain: &Domain) -> DomainView {
        DomainView {
            name: domain.name.clone(),
            uuid: filled(&domain.uuid),
            managed: domain.managed,
            state: state_word(domain.state()),
            domid: domain.domid,
            template: filled(&domain.template),
            parameters: domain.parameters.clone().into_iter().collect(),
            memory_mib: domain.memory_mib,
            vcpus: domain.vcpus,
            end_policy: domain.end_policy.as_ref().map(EndPolicyView::from),
            kernel_digest: filled(&domain.kernel_digest),
            ramdisk_digest: filled(&domain.ramdisk_digest),
            wanted_running: domain.wanted_running,
            created: moment(&domain.created),
            started: moment(&domain.started),
            cpu_time_seconds: span(&domain.cpu_time),
            last_end: filled(&domain.last_end),
            last_end_time: moment(&domain.last_end_time),
            restarts: domain.restarts,
            operations: domain.operations.iter().map(OperationView::from).collect(),
            task_id: filled(&domain.task_id),
            problems: domain.problems.clone(),
            console: domain.console.as_ref().map(ConsoleView::from),
            disks: domain.disks.iter().map(DiskView::from).collect(),
            nics: domain.nics.iter().map(NicView::from).collect(),
            health: domain.health.as_ref().map(HealthView::from),
            snapshots: domain.snapshots.iter().map(SnapshotView::from).collect(),
        }
    }
}

impl From<&Snapshot> for SnapshotView {
    fn from(snapshot: &Snapshot) -> SnapshotView {
        let disk = |disk: &SnapshotDisk| SnapshotDiskView {
            name: disk.name.clone(),
            volume: disk.volume.clone(),
            size_bytes: disk.size_bytes,
        };
        SnapshotView {
            name: snapshot.name.clone(),
            created: moment(&snapshot.created),
            guest_was: if snapshot.paused { "paused" } else { "stopped" },
            disks: snapshot.disks.iter().map(disk).collect(),
            problem: filled(&snapshot.problem),
        }
    }
}

impl From<&Nic> for NicView {
    fn from(nic: &Nic) -> NicView {
        NicView {
            name: format!("eth{}", nic.index),
            network: nic.network.clone(),
            mac: nic.mac.clone(),
            addresses: nic.addresses.clone(),
            rate: filled(&nic.rate),
            anti_spoofing: nic.anti_spoofing,
        }
    }
}

impl From<&Disk> for DiskView {
    fn from(disk: &Disk) -> DiskView {
        DiskView {
            name: disk.name.clone(),
            volume: disk.volume.clone(),
            volume_uuid: disk.volume_uuid.clone(),
            pool: disk.pool.clone(),
            size_bytes: disk.size_bytes,
            read_only: disk.read_only,
            keep: disk.keep,
            image_digest: filled(&disk.image_digest),
        }
    }
}

impl From<&EndPolicy> for EndPolicyView {
    fn from(policy: &EndPolicy) -> EndPolicyView {
        EndPolicyView {
            on_poweroff: end_action_word(policy.on_poweroff()),
            on_reboot: end_action_word(policy.on_reboot()),
            on_crash: end_action_word(policy.on_crash()),
        }
    }
}

impl From<&OperationStatus> for OperationView {
    fn from(status: &OperationStatus) -> OperationView {
        OperationView {
            operation: operation_word(status.operation()),
            allowed: status.allowed,
            reason: filled(&status.reason),
        }
    }
}

impl From<&ConsoleStats> for ConsoleView {
    fn from(stats: &ConsoleStats) -> ConsoleView {
        ConsoleView {
            bytes: stats.bytes,
            dropped_bytes: stats.dropped,
            readers: stats.readers,
            writer_attached: stats.writer_attached,
            protocol_errors: stats.protocol_errors,
        }
    }
}

/// The word for a state; also what `wait --state` takes.
pub(crate) fn state_word(state: DomainState) -> &'static str {
    match state {
        DomainState::Unspecified => "unknown",
        DomainState::Stopped => "stopped",
        DomainState::Starting => "starting",
        DomainState::Running => "running",
        DomainState::Paused => "paused",
        DomainState::Stopping => "stopping",
        DomainState::Crashed => "crashed",
        DomainState::Dying => "dying",
        DomainState::Held => "held",
    }
}

/// The word for an end action; also what `--on-crash` takes.
pub(crate) fn end_action_word(action: EndAction) -> Option<&'static str> {
    match action {
        EndAction::Unspecified => None,
        EndAction::Destroy => Some("destroy"),
        EndAction::Restart => Some("restart"),
        EndAction::Preserve => Some("preserve"),
    }
}

/// The word for an operation: the command that asks for it.
pub(crate) fn operation_word(operation: Operation) -> &'static str {
    match operation {
        Operation::Unspecified => "unknown",
        Operation::Start => "start",
        Operation::Shutdown => "shutdown",
        Operation::Reboot => "reboot",
        Operation::Pause => "pause",
        Operation::Unpause => "unpause",
        Operation::Destroy => "destroy",
        Operation::Delete => "delete",
        Operation::Console => "console",
        Operation::Snapshot => "snapshot",
        Operation::Clone => "clone",
        Operation::Restore => "restore",
        Operation::Attach => "attach",
        Operation::Detach => "detach",
    }
}

//! A sample of every message and document. Each names all fields, without
//! defaults: a field that is added to the interface does not compile here until
//! it is looked at.

use std::collections::HashMap;

use prost_types::{Duration, Timestamp};
use xlfs_proto::v1;

use crate::errors::Failure;
use crate::output::view::domain::SnapshotView;
use crate::output::view::imported::ImportedView;
use crate::output::view::outcome::{OutcomeView, OutcomesView};
use crate::output::view::task::TaskView;

pub(super) const MOMENT: Option<Timestamp> = Some(Timestamp { seconds: 1_795_324_680, nanos: 0 });
const SPAN: Option<Duration> = Some(Duration { seconds: 1, nanos: 0 });

pub(super) fn text() -> String {
    "text".to_owned()
}

pub(super) fn end_policy() -> v1::EndPolicy {
    v1::EndPolicy { on_poweroff: 1, on_reboot: 2, on_crash: 3 }
}

pub(super) fn health_check() -> v1::HealthCheck {
    v1::HealthCheck {
        kind: v1::HealthKind::Http.into(),
        port: 80,
        path: text(),
        query: text(),
        expect: text(),
        interval: SPAN,
        timeout: SPAN,
        grace: SPAN,
    }
}

pub(super) fn health() -> v1::Health {
    let status = v1::HealthCheckStatus {
        check: Some(health_check()),
        state: 3,
        since: MOMENT,
        asked: MOMENT,
        took: SPAN,
        failures: 3,
        error: text(),
    };
    v1::Health { state: 3, since: MOMENT, reason: text(), checks: vec![status] }
}

pub(super) fn domain() -> v1::Domain {
    v1::Domain {
        name: text(),
        uuid: text(),
        managed: true,
        state: v1::DomainState::Running.into(),
        domid: Some(5),
        template: text(),
        parameters: HashMap::from([("hostname".to_owned(), text())]),
        memory_mib: 1,
        vcpus: 1,
        end_policy: Some(end_policy()),
        kernel_digest: text(),
        ramdisk_digest: text(),
        wanted_running: true,
        created: MOMENT,
        started: MOMENT,
        cpu_time: SPAN,
        last_end: text(),
        last_end_time: MOMENT,
        restarts: 1,
        operations: vec![v1::OperationStatus { operation: 1, allowed: false, reason: text() }],
        task_id: text(),
        problems: vec![text()],
        disks: vec![v1::Disk {
            name: text(),
            volume: text(),
            volume_uuid: text(),
            pool: text(),
            size_bytes: 1,
            read_only: true,
            keep: true,
            image_digest: text(),
        }],
        nics: vec![v1::Nic {
            index: 0,
            network: text(),
            mac: text(),
            addresses: vec![text()],
            rate: text(),
            anti_spoofing: true,
        }],
        health: Some(health()),
        snapshots: vec![v1::Snapshot {
            name: text(),
            created: MOMENT,
            paused: true,
            disks: vec![v1::SnapshotDisk { name: text(), volume: text(), size_bytes: 1 }],
            problem: text(),
        }],
        console: Some(v1::ConsoleStats {
            bytes: 1,
            dropped: 1,
            readers: 1,
            writer_attached: true,
            protocol_errors: 1,
        }),
    }
}

pub(super) fn snapshots() -> Vec<SnapshotView> {
    domain().snapshots.iter().map(SnapshotView::from).collect()
}

pub(super) fn task() -> v1::Task {
    v1::Task {
        id: text(),
        kind: text(),
        object: text(),
        state: v1::TaskState::Failed.into(),
        percent: 1,
        steps: vec![v1::TaskStep { name: text(), object: text(), state: 1, took: SPAN }],
        started: MOMENT,
        ended: MOMENT,
        error: Some(v1::TaskError {
            code: 13,
            message: text(),
            reason: text(),
            step: text(),
            object: text(),
            causes: vec!["cause".to_owned()],
            hint: text(),
            leftovers: vec![text()],
        }),
        log: vec![v1::TaskLogLine { time: MOMENT, text: text() }],
    }
}

pub(super) fn image() -> v1::Image {
    v1::Image {
        digest: text(),
        kind: v1::ImageKind::Kernel.into(),
        aliases: vec![text()],
        size: 1,
        imported: MOMENT,
        origin: text(),
        summary: text(),
        used_by: vec![text()],
    }
}

pub(super) fn volume() -> v1::Volume {
    v1::Volume {
        name: text(),
        uuid: text(),
        pool: text(),
        size_bytes: 1,
        allocated_bytes: Some(1),
        kind: v1::VolumeKind::Copy.into(),
        image_digest: text(),
        copy_of: text(),
        holders: vec![v1::VolumeHolder {
            guest: text(),
            disk: text(),
            read_only: true,
            attached: true,
            snapshot: text(),
        }],
        kept: true,
        created: MOMENT,
        problem: text(),
    }
}

pub(super) fn pool() -> v1::Pool {
    v1::Pool {
        name: text(),
        kind: text(),
        path: text(),
        total_bytes: Some(1),
        free_bytes: Some(1),
        thin: true,
        copies: v1::CopyMethod::Reflink.into(),
        volumes: 1,
        default: true,
        problem: text(),
    }
}

pub(super) fn slot() -> v1::Slot {
    v1::Slot {
        name: text(),
        state: v1::SlotState::Failed.into(),
        running: true,
        good: true,
        next: true,
        image: text(),
        digest: text(),
        written: MOMENT,
        judged: MOMENT,
        problem: text(),
        device: text(),
        size_bytes: 1,
    }
}

pub(super) fn network() -> v1::Network {
    v1::Network {
        name: text(),
        bridge: text(),
        state: v1::NetworkState::Ready.into(),
        addresses: vec![text()],
        uplinks: vec![text()],
        mtu: Some(1500),
        isolated: true,
        ports: vec![v1::NetworkPort {
            name: text(),
            up: true,
            guest: text(),
            rx_bytes: 1,
            tx_bytes: 1,
            rx_dropped: 1,
            tx_dropped: 1,
        }],
        guests: vec![text()],
        problem: text(),
    }
}

pub(super) fn template() -> v1::Template {
    let parameter = v1::TemplateParameter {
        name: text(),
        r#type: v1::ParameterType::String.into(),
        description: text(),
        required: true,
        default: Some(text()),
        min: Some(1),
        max: Some(2),
        choices: vec![text()],
        pattern: text(),
        secret: true,
        generated: true,
        length: 20,
    };
    let disk = v1::TemplateDisk {
        name: text(),
        device: text(),
        image: text(),
        image_digest: text(),
        size_mib: 2,
        size_min_mib: 1,
        pool: text(),
    };
    v1::Template {
        name: text(),
        version: text(),
        summary: text(),
        description: text(),
        kernel: text(),
        kernel_digest: text(),
        ramdisk: text(),
        ramdisk_digest: text(),
        command_line: text(),
        memory_mib: 1,
        memory_min_mib: 1,
        vcpus: 1,
        vcpus_max: 1,
        parameters: vec![parameter],
        end_policy: Some(end_policy()),
        problem: text(),
        disks: vec![disk],
        swap: Some(v1::TemplateSwap { percent: 150, device: text(), pool: text() }),
        network: Some(v1::TemplateNetwork { networks: vec![text()], interfaces: 1 }),
        first_boot_steps: vec![text()],
        services: vec![v1::OfferedService { name: text(), description: text() }],
        health: vec![health_check()],
    }
}

pub(super) fn host() -> v1::Host {
    v1::Host {
        hostname: text(),
        xlfsd_version: text(),
        hypervisor: Some(v1::Hypervisor {
            version: text(),
            domctl_version: 1,
            sysctl_version: 1,
            abi: text(),
            capabilities: text(),
            command_line: text(),
            scheduler: text(),
            cpus: 1,
            cores_per_socket: 1,
            threads_per_core: 1,
            nodes: 1,
            cpu_khz: 1,
            memory_mib: 1,
            free_mib: 1,
            reserved_mib: 1,
            topology: vec![v1::Cpu { id: 0, core: 0, socket: 0, node: 0 }],
            numa: vec![v1::NumaNode { id: 0, memory_mib: 1, free_mib: 1, distances: vec![10] }],
        }),
        hypervisor_problem: text(),
        kernel: text(),
        xlfsd: Some(v1::XlfsdStats {
            resident_kib: 1,
            xenstore_operations: 1,
            xenstore_waits: 1,
            xenstore_transactions: 1,
            hypercalls: 1,
            uptime_seconds: 1,
        }),
    }
}

/// An event of each kind.
pub(super) fn events() -> Vec<v1::Event> {
    use v1::event::Kind;
    let kinds = [
        Kind::DomainState(v1::DomainStateChanged {
            state: 1,
            previous: 1,
            domid: Some(1),
            cause: text(),
        }),
        Kind::Task(task()),
        Kind::Lagged(v1::Lagged { missed: 1, resync_from: 1 }),
        Kind::Image(v1::ImageChanged { digest: text(), deleted: true }),
        Kind::Warning(v1::Warning { reason: text() }),
        Kind::Health(v1::HealthChanged { state: 3, previous: 2, reason: text() }),
    ];
    let event = |kind| v1::Event {
        sequence: 1,
        time: MOMENT,
        object: text(),
        text: text(),
        kind: Some(kind),
    };
    kinds.into_iter().map(event).collect()
}

pub(super) fn failure() -> Failure {
    let mut failure = Failure::from_task(&task().error.unwrap_or_default(), "7");
    failure.fields.push((text(), text()));
    failure
}

pub(super) fn results() -> OutcomesView {
    let plan = v1::PlannedStep { name: text(), object: text() };
    OutcomesView {
        results: vec![OutcomeView {
            name: text(),
            operation: "create",
            changed: true,
            dry_run: false,
            summary: Some(text()),
            plan: vec![(&plan).into()],
            task: Some(TaskView::from(&task())),
            generated: [("*".to_owned(), text())].into(),
        }],
    }
}

/// A guest of xl, once as a dry run and once with what was done.
pub(super) fn imported() -> Vec<ImportedView> {
    const FILE: &[u8] = b"name = 'a'\nkernel = '/k'\nuuid = 'x'\non_crash = 'restart'\n\
        disk = [ '/d,qcow2,xvda,r' ]\nvif = [ 'bridge=b,mac=00:16:3e:00:00:01,ip=10.0.0.2/24,rate=1Mb/s' ]";
    let mut guest = crate::xl_cfg::convert::convert(FILE, None).expect("a guest");
    guest.definition.parameters.insert("hostname".to_owned(), text());
    guest.bind("minimal", None);
    let result = results().results.pop();
    vec![ImportedView::new(&guest, true, None), ImportedView::new(&guest, false, result)]
}

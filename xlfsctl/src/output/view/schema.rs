//! Compares docs/cli.md with the documents: every field that is printed is
//! documented, and every field that is documented is printed.
//!
//! The samples name every field of a message, without defaults: a field that is
//! added to the interface does not compile here until it is looked at.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use prost_types::{Duration, Timestamp};
use serde::Serialize;
use serde_json::Value;
use xlfs_proto::v1;

use super::domain::{DomainView, DomainsView, SnapshotView, SnapshotsView};
use super::event::EventView;
use super::host::{HostView, HypervisorLogView};
use super::image::{DeletedView, ImageView, ImagesView, ImportView};
use super::imported::ImportedView;
use super::network::{NetworkView, NetworksView};
use super::outcome::{OutcomeView, OutcomesView};
use super::task::{TaskView, TasksView};
use super::template::{TemplateView, TemplatesView};
use super::volume::{PoolView, PoolsView, VolumeView, VolumesView};
use crate::errors::Failure;
use crate::exit::{Exit, MEANINGS};
use crate::output::failure::FailureDocument;

const MANUAL: &str = include_str!("../../../../docs/cli.md");
const MOMENT: Option<Timestamp> = Some(Timestamp { seconds: 1_795_324_680, nanos: 0 });
const SPAN: Option<Duration> = Some(Duration { seconds: 1, nanos: 0 });

fn text() -> String {
    "text".to_owned()
}

fn end_policy() -> v1::EndPolicy {
    v1::EndPolicy { on_poweroff: 1, on_reboot: 2, on_crash: 3 }
}

fn health_check() -> v1::HealthCheck {
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

fn health() -> v1::Health {
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

fn domain() -> v1::Domain {
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

fn snapshots() -> Vec<SnapshotView> {
    domain().snapshots.iter().map(SnapshotView::from).collect()
}

fn task() -> v1::Task {
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

fn image() -> v1::Image {
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

fn volume() -> v1::Volume {
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

fn pool() -> v1::Pool {
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

fn network() -> v1::Network {
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

fn template() -> v1::Template {
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

fn host() -> v1::Host {
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
fn events() -> Vec<v1::Event> {
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

fn failure() -> Failure {
    let mut failure = Failure::from_task(&task().error.unwrap_or_default(), "7");
    failure.fields.push((text(), text()));
    failure
}

fn results() -> OutcomesView {
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
fn imported() -> Vec<ImportedView> {
    const FILE: &[u8] = b"name = 'a'\nkernel = '/k'\nuuid = 'x'\non_crash = 'restart'\n\
        disk = [ '/d,qcow2,xvda,r' ]\nvif = [ 'bridge=b,mac=00:16:3e:00:00:01,ip=10.0.0.2/24,rate=1Mb/s' ]";
    let mut guest = crate::xl_cfg::convert::convert(FILE, None).expect("a guest");
    guest.definition.parameters.insert("hostname".to_owned(), text());
    guest.bind("minimal", None);
    let result = results().results.pop();
    vec![ImportedView::new(&guest, true, None), ImportedView::new(&guest, false, result)]
}

fn json(view: &impl Serialize) -> Value {
    serde_json::to_value(view).expect("JSON")
}

/// Each schema with a sample that has everything.
fn samples() -> BTreeMap<&'static str, Vec<Value>> {
    let domains = v1::ListDomainsResponse { domains: vec![domain()], hypervisor_problem: text() };
    let image = || ImageView::from(&image());
    let import = ImportView { image: Some(image()), changed: true, dry_run: false };
    BTreeMap::from([
        ("results", vec![json(&results())]),
        ("domains", vec![json(&DomainsView::from(domains))]),
        ("domain", vec![json(&DomainView::from(&domain()))]),
        ("templates", vec![json(&TemplatesView { templates: vec![(&template()).into()] })]),
        ("template", vec![json(&TemplateView::from(&template()))]),
        ("images", vec![json(&ImagesView { images: vec![image()] })]),
        ("image", vec![json(&image())]),
        ("import", vec![json(&import)]),
        ("imported", imported().iter().map(json).collect()),
        ("snapshots", vec![json(&SnapshotsView { snapshots: snapshots() })]),
        ("volumes", vec![json(&VolumesView { volumes: vec![(&volume()).into()] })]),
        ("volume", vec![json(&VolumeView::from(&volume()))]),
        ("pools", vec![json(&PoolsView { pools: vec![PoolView::from(&pool())] })]),
        ("networks", vec![json(&NetworksView { networks: vec![NetworkView::from(&network())] })]),
        ("deleted", vec![json(&DeletedView { deleted: vec![image()], dry_run: false })]),
        ("host", vec![json(&HostView::from(&host()))]),
        ("dmesg", vec![json(&HypervisorLogView { text: text(), cleared: true })]),
        ("tasks", vec![json(&TasksView { tasks: vec![(&task()).into()] })]),
        ("task", vec![json(&TaskView::from(&task()))]),
        ("event", events().iter().map(|event| json(&EventView::from(event))).collect()),
        ("failure", vec![json(&FailureDocument { error: (&failure()).into() })]),
    ])
}

/// The fields of each schema, as the manual lists them.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let mut schemas: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let (_, text) = MANUAL.split_once("\n## Schemas\n").expect("the chapter is there");
    for part in text.split("\n### ").skip(1) {
        let (name, rest) = part.split_once('\n').expect("a heading");
        let rows = rest.lines().filter_map(|line| line.strip_prefix("| `"));
        let fields: Vec<_> =
            rows.map(|row| row.split('`').next().unwrap_or_default().to_owned()).collect();
        let unique: BTreeSet<_> = fields.iter().cloned().collect();
        assert_eq!(unique.len(), fields.len(), "{name} lists a field twice");
        schemas.insert(name.to_owned(), unique);
    }
    schemas
}

/// The fields of a sample. What has a schema of its own is not looked into.
fn fields(value: &Value, path: &str, own: &BTreeSet<String>, found: &mut BTreeSet<String>) {
    // `task` is a field of its own in the manual, `task.id` is not.
    if own.contains(path) {
        found.insert(path.to_owned());
        return;
    }
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                fields(value, &path, own, found);
            }
        }
        Value::Array(list) => {
            for value in list {
                fields(value, &format!("{path}[]"), own, found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            found.insert(path.to_owned());
        }
    }
}

#[test]
fn the_manual_lists_the_fields_that_are_printed() {
    let documented = documented();
    let samples = samples();
    let names: Vec<_> = documented.keys().map(String::as_str).collect();
    assert_eq!(names, samples.keys().copied().collect::<Vec<_>>());
    for (name, values) in samples {
        let listed = &documented[name];
        let mut printed = BTreeSet::new();
        for value in &values {
            fields(value, "", listed, &mut printed);
        }
        // Of an event, the kinds that it is not of are null.
        if name == "event" {
            for kind in ["domain_state", "lagged", "image", "warning", "health"] {
                printed.remove(kind);
            }
        }
        assert_eq!(printed, *listed, "{name}: printed on the left, documented on the right");
    }
}

/// "Every field is always there", also when nothing is known.
#[test]
fn empty_messages_have_all_fields() {
    let keys = |value: &Value| -> BTreeSet<String> {
        value.as_object().expect("an object").keys().cloned().collect()
    };
    let samples = samples();
    for (name, empty) in [
        ("domain", json(&DomainView::from(&v1::Domain::default()))),
        ("task", json(&TaskView::from(&v1::Task::default()))),
        ("image", json(&ImageView::from(&v1::Image::default()))),
        ("volume", json(&VolumeView::from(&v1::Volume::default()))),
        ("template", json(&TemplateView::from(&v1::Template::default()))),
        ("host", json(&HostView::from(&v1::Host::default()))),
        ("event", json(&EventView::from(&v1::Event::default()))),
    ] {
        assert_eq!(keys(&empty), keys(&samples[name][0]), "{name}");
    }
    let failure = Failure::new(Exit::Failed, "no");
    let empty = json(&FailureDocument { error: (&failure).into() });
    assert_eq!(keys(&empty["error"]), keys(&samples["failure"][0]["error"]));
}

#[test]
fn the_manual_lists_the_exit_codes() {
    let (_, text) = MANUAL.split_once("\n## Exit codes\n").expect("the chapter is there");
    let (text, _) = text.split_once("\n## ").expect("another chapter");
    let rows: Vec<_> = text.lines().filter(|line| line.contains("| `")).collect();
    let expected: Vec<_> = MEANINGS
        .iter()
        .map(|one| format!("| {} | `{}` | {} |", one.exit.code(), one.word, one.text))
        .collect();
    assert_eq!(rows, expected);
}

/// Every command of the program is in the manual, and every link leads
/// somewhere.
#[test]
fn the_manual_lists_the_commands() {
    use clap::CommandFactory as _;
    let (_, text) = MANUAL.split_once("\n## Commands\n").expect("the chapter is there");
    let (text, _) = text.split_once("\n## ").expect("another chapter");
    for command in crate::cli::Cli::command().get_subcommands() {
        let name = command.get_name();
        for inner in command.get_subcommands() {
            let both = format!("`{name} {}", inner.get_name());
            assert!(text.contains(&both), "{both} is not in the table");
        }
        assert!(
            text.contains(&format!("`{name} ")) || text.contains(&format!("`{name}`")),
            "{name}"
        );
    }
    let anchor = |title: &str| {
        let kept = title.chars().filter(|c| c.is_alphanumeric() || " -".contains(*c));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    let titles: BTreeSet<_> = MANUAL
        .lines()
        .filter_map(|line| line.strip_prefix("## ").or_else(|| line.strip_prefix("### ")))
        .map(anchor)
        .collect();
    for link in MANUAL.split("](#").skip(1).filter_map(|rest| rest.split(')').next()) {
        assert!(titles.contains(link), "nothing has the anchor #{link}");
    }
}

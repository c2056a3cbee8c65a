//! `volume`, `pool`, `network`: tables that fit, documents, and what is sent.

use xlfs_proto::v1::{DomainState, OperationReply, Snapshot, SnapshotDisk, Task, VolumeHolder};

use crate::fake::domains::{MOMENT, domain};
use crate::fake::tasks::success;
use crate::fake::volumes::{network, pool, volume};
use crate::fake::{World, refusal, serve};
use crate::run::xlfsctl;

fn world() -> World {
    let mut shared = volume("data", "web");
    shared.holders[0].read_only = true;
    shared.holders[0].disk = "xvdb".to_owned();
    shared.holders.push(VolumeHolder {
        guest: "mail".to_owned(),
        attached: false,
        ..shared.holders[0].clone()
    });
    let mut gone = volume("gone", "");
    gone.problem = "it is gone from its pool default".to_owned();
    World {
        volumes: vec![shared, gone, volume("web-xvda", "web")],
        pools: vec![pool("default")],
        networks: vec![network("lan")],
        ..World::default()
    }
}

fn with_task(world: &mut World, name: &str, kind: &str, object: &str) {
    let states: Vec<Task> = success(kind, kind, object);
    let task = states.first().cloned();
    let reply = OperationReply { task, changed: true, ..OperationReply::default() };
    world.replies.insert(name.to_owned(), Ok(reply));
    world.tasks.insert(kind.to_owned(), states);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_fit_and_say_who_has_what() {
    let fake = serve(world());
    let list = xlfsctl(&fake, &["volume", "list"]).await.expect(0);
    // Without a terminal nothing is cut, so that only one with many guests is wider.
    let wide = list.out.lines().filter(|line| line.chars().count() > 80);
    assert!(wide.into_iter().all(|line| line.contains(',')), "{}", list.out);
    assert!(list.out.contains("web:xvdb(ro)*,mail:xvdb(ro)"), "{}", list.out);
    assert!(list.out.contains("web:xvda*"), "{}", list.out);
    assert!(list.err.contains("gone: it is gone from its pool"), "{}", list.err);
    let names = xlfsctl(&fake, &["volume", "list", "-q"]).await.expect(0);
    assert_eq!(names.out, "data\ngone\nweb-xvda\n");
    for (what, words) in [("pool", "60.0 GiB"), ("network", "10.0.0.1/24")] {
        let list = xlfsctl(&fake, &[what, "list"]).await.expect(0);
        assert!(list.out.contains(words), "{}", list.out);
        assert!(list.out.lines().all(|line| line.chars().count() <= 80), "{}", list.out);
    }
    // The guest sent what Dom0 received.
    let line = xlfsctl(&fake, &["network", "list"]).await.expect(0).out;
    let words: Vec<_> = line.lines().nth(1).unwrap_or_default().split_whitespace().collect();
    assert_eq!(words[5..], ["1.0", "MiB", "2.0", "MiB", "web"], "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_have_all_of_it() {
    let fake = serve(world());
    let json = xlfsctl(&fake, &["volume", "show", "data", "-o", "json"]).await.expect(0).json();
    assert_eq!(json["holders"][1]["guest"], "mail");
    assert_eq!(json["holders"][1]["attached"], false);
    assert_eq!(json["size_bytes"], 10_u64 << 30);
    assert_eq!(json["kind"], "image");
    let json = xlfsctl(&fake, &["pool", "list", "-o", "json"]).await.expect(0).json();
    assert_eq!(json["pools"][0]["copies"], "reflink");
    let json = xlfsctl(&fake, &["network", "list", "-o", "json"]).await.expect(0).json();
    assert_eq!(json["networks"][0]["ports"][0]["rx_bytes"], 2_u64 << 20);
    let show = xlfsctl(&fake, &["volume", "show", "data"]).await.expect(0);
    assert!(show.out.contains("web, as xvdb, read-only, attached now"), "{}", show.out);
    let missing = xlfsctl(&fake, &["volume", "show", "none"]).await.expect(3);
    assert!(missing.err.contains("cannot show volume \"none\""), "{}", missing.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_send_what_was_asked_and_wait() {
    let mut world = world();
    with_task(&mut world, "new", "create", "volume new");
    with_task(&mut world, "data", "grow", "volume data");
    let fake = serve(world);
    let args = ["volume", "create", "new", "--size", "10G", "--image", "root", "--pool", "fast"];
    let run = xlfsctl(&fake, &args).await.expect(0);
    assert!(run.err.contains("volume new: create done"), "{}", run.err);
    xlfsctl(&fake, &["volume", "grow", "data", "20G"]).await.expect(0);
    xlfsctl(&fake, &["volume", "clone", "data", "copy", "--dry-run"]).await.expect(0);
    let requests = fake.stage.world().requests.clone();
    for (request, parts) in [
        (&requests[0], ["size_bytes: 10737418240", "image: \"root\"", "pool: \"fast\""]),
        (&requests[1], ["GrowVolumeRequest", "size_bytes: 21474836480", "dry_run: false"]),
        (&requests[2], ["CloneVolumeRequest", "name: \"copy\"", "dry_run: true"]),
    ] {
        assert!(parts.iter().all(|part| request.contains(part)), "{request}");
    }
    let run = xlfsctl(&fake, &["volume", "create", "x"]).await.expect(2);
    assert!(run.err.contains("--size"), "{}", run.err);
}

fn with_snapshot() -> World {
    let mut world = world();
    let mut web = domain("web", DomainState::Stopped);
    web.snapshots.push(Snapshot {
        name: "before".to_owned(),
        created: Some(MOMENT),
        paused: true,
        disks: vec![SnapshotDisk {
            name: "xvda".to_owned(),
            volume: "web-xvda@before".to_owned(),
            size_bytes: 10 << 30,
        }],
        problem: String::new(),
    });
    world.domains = vec![web];
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_are_listed_and_shown_with_their_guest() {
    let fake = serve(with_snapshot());
    let list = xlfsctl(&fake, &["snapshot", "list", "web"]).await.expect(0);
    let line = list.out.lines().nth(1).unwrap_or_default();
    assert_eq!(line, "before  2026-11-22 05:18:00 UTC  paused     10.0 GiB  xvda");
    let json = xlfsctl(&fake, &["snapshot", "list", "web", "-o", "json"]).await.expect(0).json();
    assert_eq!(json["snapshots"][0]["guest_was"], "paused");
    assert_eq!(json["snapshots"][0]["disks"][0]["volume"], "web-xvda@before");
    let show = xlfsctl(&fake, &["show", "web"]).await.expect(0);
    assert!(show.out.contains("before: 2026-11-22 05:18:00 UTC, paused, xvda"), "{}", show.out);
    let none = xlfsctl(&fake, &["snapshot", "list", "nobody"]).await.expect(3);
    assert!(none.err.contains("cannot list the snapshots of guest"), "{}", none.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_and_clones_send_what_was_asked() {
    let mut world = with_snapshot();
    with_task(&mut world, "web", "snapshot", "web");
    let fake = serve(world);
    xlfsctl(&fake, &["snapshot", "create", "web"]).await.expect(0);
    xlfsctl(&fake, &["snapshot", "create", "web", "now"]).await.expect(0);
    xlfsctl(&fake, &["snapshot", "restore", "web", "before"]).await.expect(0);
    xlfsctl(&fake, &["snapshot", "delete", "web", "before", "--dry-run"]).await.expect(0);
    let clone = ["clone", "web", "copy", "--ip", "10.0.0.4/24", "--set", "a=b", "--start"];
    xlfsctl(&fake, &clone).await.expect(0);
    let disk = ["create", "web", "-t", "lapp", "--disk", "xvdb,volume=data,ro"];
    xlfsctl(&fake, &disk).await.expect(0);
    let requests = fake.stage.world().requests.clone();
    for (request, parts) in [
        (&requests[0], ["CreateSnapshotRequest", "name: \"web\"", "snapshot: \"\""]),
        (&requests[1], ["CreateSnapshotRequest", "snapshot: \"now\"", "dry_run: false"]),
        (&requests[2], ["RestoreSnapshotRequest", "snapshot: \"before\"", "dry_run: false"]),
        (&requests[3], ["DeleteSnapshotRequest", "snapshot: \"before\"", "dry_run: true"]),
        (&requests[4], ["new_name: \"copy\"", "\"10.0.0.4/24\"", "start: true"]),
        (&requests[5], ["volume: \"data\"", "read_only: true", "size_bytes: 0"]),
    ] {
        assert!(parts.iter().all(|part| request.contains(part)), "{request}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_names_the_volume() {
    let mut world = world();
    let status = refusal(
        tonic::Code::FailedPrecondition,
        "VOLUME_IN_USE",
        "the volume web-xvda is the disk xvda of guest web",
    );
    world.replies.insert("web-xvda".to_owned(), Err(status));
    let fake = serve(world);
    let run = xlfsctl(&fake, &["volume", "delete", "web-xvda"]).await.expect(5);
    assert!(run.err.contains("cannot delete volume \"web-xvda\": the volume"), "{}", run.err);
}

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::*;
use crate::event::{EventBus, EventLimits, Numbering};
use crate::storage::{FolderPool, Pool};

/// No guest of these tests.
const NOBODY: Uuid = Uuid::nil();
const MIB: u64 = 1 << 20;

struct Host {
    dir: tempfile::TempDir,
    events: EventBus,
}

impl Host {
    fn new() -> Self {
        let events = EventBus::new(Numbering::starting_at(0), EventLimits::default());
        Self { dir: tempfile::tempdir().unwrap(), events }
    }

    fn pool_dir(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn start(&self) -> Volumes {
        let pools = ["default", "other"].map(|name| {
            Arc::new(FolderPool::open(name, &self.pool_dir(name)).unwrap()) as Arc<dyn Pool>
        });
        Volumes::open(self.dir.path(), Pools::of(pools), &self.events).unwrap()
    }

    fn files(&self) -> usize {
        let count = |dir: &Path| std::fs::read_dir(dir).unwrap().count();
        ["default", "other", "volume-records"].map(|name| count(&self.pool_dir(name))).iter().sum()
    }
}

fn new(name: &str) -> NewVolume {
    let (uuid, pool) = (Uuid::new_v4(), "default".to_owned());
    NewVolume { uuid, name: name.into(), pool, size: MIB, owner: None, kept: false }
}

fn make(volumes: &Volumes, name: &str) -> Uuid {
    volumes.create(new(name), None, Watch::nobody()).unwrap().uuid
}

fn guest(name: &str) -> Holder {
    Holder { uuid: Uuid::new_v4(), name: name.into() }
}

#[test]
fn volumes_survive_a_restart_until_they_are_removed() {
    let host = Host::new();
    let volumes = host.start();
    let image = host.dir.path().join("image");
    std::fs::write(&image, b"content").unwrap();
    let digest = Digest::new([3; 32]);
    let owner = Some(Uuid::new_v4());
    let root = NewVolume { owner, ..new("web-root") };
    let file = File::open(&image).unwrap();
    let root = volumes.create(root, Some((digest, &file)), Watch::nobody()).unwrap();
    assert_eq!((root.size, root.origin), (MIB, VolumeOrigin::Image { digest }));
    let copy = volumes.duplicate(root.uuid, new("copy"), Watch::nobody()).unwrap();
    let elsewhere = NewVolume { pool: "other".into(), ..new("elsewhere") };
    let elsewhere = volumes.duplicate(root.uuid, elsewhere, Watch::nobody()).unwrap();
    for record in [&root, &copy, &elsewhere] {
        let VolumeDevice::File(path) = volumes.device(record.uuid).unwrap() else { panic!() };
        assert!(std::fs::read(path).unwrap().starts_with(b"content\0"));
    }
    volumes.change(copy.uuid, Some("renamed".into()), Some(owner), Some(true)).unwrap();
    volumes.grow(copy.uuid, 2 * MIB, Watch::nobody()).unwrap();
    drop(volumes);

    let volumes = host.start();
    let names: Vec<_> = volumes.list().into_iter().map(|record| record.name).collect();
    assert_eq!(names, ["elsewhere", "renamed", "web-root"]);
    assert_eq!(volumes.resolve("web-root").unwrap(), root);
    let problem = volumes.resolve("web-rot").unwrap_err();
    assert!(problem.message.contains("did you mean \"web-root\""), "{problem}");
    let renamed = volumes.resolve(&copy.uuid.to_string()).unwrap();
    let origin = VolumeOrigin::Volume { uuid: root.uuid };
    assert_eq!((renamed.size, renamed.kept, renamed.owner), (2 * MIB, true, owner));
    assert_eq!(renamed.origin, origin);
    for record in volumes.list() {
        assert_eq!(volumes.remove(record.uuid, NOBODY), Ok(true));
        assert_eq!(volumes.remove(record.uuid, NOBODY), Ok(false));
    }
    assert_eq!((host.files(), host.events.latest()), (0, 0));
}

#[test]
fn a_creation_that_fails_leaves_its_name_free() {
    let host = Host::new();
    let volumes = host.start();
    let cancelled = Watch::new(&|| true, &|_| {});
    let image = host.dir.path().join("image");
    std::fs::write(&image, vec![1; 2 << 20]).unwrap();
    let file = File::open(&image).unwrap();
    let digest = Digest::new([3; 32]);
    let small = volumes.create(new("x"), Some((digest, &file)), Watch::nobody()).unwrap_err();
    assert_eq!(small.reason, "VOLUME_TOO_SMALL");
    assert_eq!(small.message, "the volume x was not made");
    let large = NewVolume { size: 4 * MIB, ..new("x") };
    let problem = volumes.create(large, Some((digest, &file)), cancelled).unwrap_err();
    assert!(problem.is_cancelled());
    let nowhere = NewVolume { pool: "nowhere".into(), ..new("x") };
    let problem = volumes.create(nowhere, None, Watch::nobody()).unwrap_err();
    assert_eq!(problem.reason, "NO_SUCH_POOL");
    assert_eq!(volumes.create(new("X"), None, Watch::nobody()).unwrap_err().reason, "BAD_NAME");
    assert_eq!(host.files(), 0);

    let id = make(&volumes, "x");
    let taken = volumes.create(new("x"), None, Watch::nobody()).unwrap_err();
    assert_eq!(taken.reason, "VOLUME_NAME_TAKEN");
    let again = NewVolume { uuid: id, ..new("y") };
    let again = volumes.create(again, None, Watch::nobody()).unwrap_err();
    assert_eq!(again.reason, "VOLUME_EXISTS");
    assert_eq!(host.files(), 2);
}

#[test]
fn what_is_attached_is_neither_removed_nor_grown() {
    let host = Host::new();
    let volumes = host.start();
    let id = make(&volumes, "data");
    let (web, db) = (guest("web"), guest("db"));
    assert_eq!(volumes.claim(id, &web, Access::ReadWrite), Ok(true));
    assert_eq!(volumes.claim(id, &web, Access::ReadWrite), Ok(false));
    for problem in [
        volumes.claim(id, &db, Access::ReadWrite).unwrap_err(),
        volumes.claim(id, &db, Access::ReadOnly).unwrap_err(),
        volumes.remove(id, NOBODY).unwrap_err(),
        volumes.grow(id, 2 * MIB, Watch::nobody()).unwrap_err(),
    ] {
        assert_eq!(problem.reason, "VOLUME_IN_USE");
        assert_eq!(problem.message, "the volume data is attached to guest web");
    }
    assert_eq!(volumes.claims(id).len(), 1);
    assert_eq!(volumes.release_all(web.uuid), [id]);
    assert!(!volumes.release(id, web.uuid));
    volumes.grow(id, 2 * MIB, Watch::nobody()).unwrap();
    assert_eq!(volumes.remove(id, NOBODY), Ok(true));
    let gone = volumes.claim(id, &web, Access::ReadOnly).unwrap_err();
    assert_eq!(gone.reason, "NO_SUCH_VOLUME");
}

#[test]
fn what_is_being_copied_gets_no_new_writer() {
    let host = Host::new();
    let volumes = host.start();
    let image = host.dir.path().join("image");
    std::fs::write(&image, vec![1; 2 << 20]).unwrap();
    let file = File::open(&image).unwrap();
    let id = NewVolume { size: 2 * MIB, ..new("data") };
    let id = volumes.create(id, Some((Digest::new([3; 32]), &file)), Watch::nobody()).unwrap().uuid;
    let (paused, other) = (guest("paused"), guest("other"));
    volumes.claim(id, &paused, Access::ReadWrite).unwrap();
    let seen = std::cell::Cell::new(0);
    let during = |_| {
        seen.set(seen.get() + 1);
        // The paused guest has it, and keeps it.
        assert_eq!(volumes.claim(id, &paused, Access::ReadWrite), Ok(false));
        volumes.release(id, paused.uuid);
        for problem in [
            volumes.claim(id, &other, Access::ReadWrite).unwrap_err(),
            volumes.remove(id, NOBODY).unwrap_err(),
            volumes.grow(id, 8 * MIB, Watch::nobody()).unwrap_err(),
        ] {
            assert_eq!(problem.reason, "VOLUME_BUSY");
        }
        volumes.claim(id, &paused, Access::ReadOnly).unwrap();
        volumes.release(id, paused.uuid);
        // What is being made is nobody's yet.
        let copy = volumes.resolve("copy").unwrap();
        assert_eq!(
            volumes.claim(copy.uuid, &other, Access::ReadOnly).unwrap_err().reason,
            "VOLUME_BUSY"
        );
        assert_eq!(volumes.device(copy.uuid).unwrap_err().reason, "VOLUME_BUSY");
        // As it was, for the next call.
        let record = volumes.get(id).unwrap();
        let mut state = volumes.state.lock();
        state.claims.claim(&record, &paused, Access::ReadWrite).unwrap();
    };
    volumes.duplicate(id, new("copy"), Watch::new(&|| false, &during)).unwrap();
    assert!(seen.get() > 0);
    volumes.release(id, paused.uuid);
    assert_eq!(volumes.claim(id, &other, Access::ReadWrite), Ok(true));
}

#[test]
fn a_start_finishes_what_a_kill_left() {
    let host = Host::new();
    let volumes = host.start();
    let ids = ["made", "unmade", "removed", "grown", "missing"].map(|name| make(&volumes, name));
    let with = |id: Uuid, work| {
        let record = VolumeRecord { work: Some(work), ..volumes.get(id).unwrap() };
        volumes.records.save(&record).unwrap();
    };
    // Killed after the pool's part of it, before, and in the middle.
    with(ids[0], VolumeWork::Create);
    with(ids[1], VolumeWork::Create);
    with(ids[2], VolumeWork::Remove);
    with(ids[3], VolumeWork::Grow);
    let pool = volumes.pools().get("default").unwrap();
    pool.remove(ids[1]).unwrap();
    pool.grow(ids[3], 2 * MIB, Watch::nobody()).unwrap();
    pool.remove(ids[4]).unwrap();
    let stranger = Uuid::new_v4();
    pool.create(stranger, MIB, None, Watch::nobody()).unwrap();
    drop((pool, volumes));

    let volumes = host.start();
    let left: Vec<_> = volumes.list().into_iter().map(|r| (r.name, r.size, r.work)).collect();
    assert_eq!(left, [("grown".into(), 2 * MIB, None), ("missing".into(), MIB, None)]);
    assert_eq!(host.events.latest(), 2, "the missing one, and the stranger");
    let pool = volumes.pools().get("default").unwrap();
    let there: Vec<_> = pool.list().unwrap().into_iter().map(|volume| volume.id).collect();
    let mut expected = vec![ids[3], stranger];
    expected.sort();
    assert_eq!(there, expected);
    // The missing one can be removed.
    assert_eq!(volumes.device(ids[4]).unwrap_err().reason, "NO_SUCH_VOLUME");
    assert_eq!(volumes.remove(ids[4], NOBODY), Ok(true));
}

#[test]
fn a_pool_that_is_away_loses_nothing() {
    let host = Host::new();
    let volumes = host.start();
    let id = make(&volumes, "data");
    let half = make(&volumes, "half");
    let record = VolumeRecord { work: Some(VolumeWork::Create), ..volumes.get(half).unwrap() };
    volumes.records.save(&record).unwrap();
    drop(volumes);
    let pools = Pools::of([]);
    let volumes = Volumes::open(host.dir.path(), pools, &host.events).unwrap();
    assert_eq!(volumes.list().len(), 2);
    assert_eq!(volumes.remove(id, NOBODY).unwrap_err().reason, "NO_SUCH_POOL");
    assert_eq!(volumes.device(id).unwrap_err().reason, "NO_SUCH_POOL");
    assert_eq!(
        volumes.claim(half, &guest("x"), Access::ReadOnly).unwrap_err().reason,
        "VOLUME_BUSY"
    );
    drop(volumes);
    let volumes = host.start();
    assert_eq!(volumes.list().len(), 1);
    assert_eq!(volumes.get(id).unwrap().work, None);
}

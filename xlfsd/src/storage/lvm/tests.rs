//! With a group that exists in memory, its volumes being files (what these
//! devices held before is garbage): every step can be made to fail, or to be
//! the last one. With real LVM below, `real` does the same on a loop device.

mod fake;
mod real;

use std::fs;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use self::fake::{EXTENT, Fake, GARBAGE};
use super::*;
use crate::storage::{Pool, PoolSpace, PoolVolume, VolumeDevice};

const MIB: u64 = 1 << 20;

/// 3 MiB with data at both ends.
fn image(dir: &std::path::Path) -> File {
    let path = dir.join("image");
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(true).open(path).unwrap();
    file.set_len(3 * MIB).unwrap();
    file.write_all_at(&[1; 100_000], 0).unwrap();
    file.write_all_at(&[2; 5000], 3 * MIB - 5000).unwrap();
    file
}

fn bytes(file: &File, len: u64) -> Vec<u8> {
    let mut bytes = vec![0; len as usize];
    let size = (pool_length(file)).min(len) as usize;
    file.read_exact_at(&mut bytes[..size], 0).unwrap();
    bytes
}

fn pool_length(file: &File) -> u64 {
    crate::storage::pool::length(file).unwrap()
}

fn content(pool: &LvmPool, id: Uuid) -> Vec<u8> {
    let device = File::open(pool.node(&volume_name(id))).unwrap();
    bytes(&device, pool_length(&device))
}

/// All that a pool does, in the order of a volume's life.
fn a_volumes_life(pool: &LvmPool, image: &File, extent: u64) {
    let (id, copy) = (Uuid::new_v4(), Uuid::new_v4());
    let nobody = Watch::nobody();
    let before = pool.space().unwrap();
    let small = pool.create(id, 3 * MIB - 1, Some(image), nobody).unwrap_err();
    assert_eq!(small.reason, "VOLUME_TOO_SMALL");
    let size = pool.create(id, 5 * MIB, Some(image), nobody).unwrap();
    assert_eq!(size, (5 * MIB).next_multiple_of(extent));
    assert!(content(pool, id) == bytes(image, size));
    assert_eq!(pool.create(id, MIB, None, nobody).unwrap_err().reason, "VOLUME_EXISTS");

    let grown = pool.grow(id, size + 1, nobody).unwrap();
    assert_eq!(grown, size + extent);
    assert_eq!(pool.grow(id, grown, nobody), Ok(grown));
    assert_eq!(pool.grow(id, size, nobody).unwrap_err().reason, "VOLUME_SHRINKS");
    assert!(content(pool, id) == bytes(image, grown));

    assert_eq!(pool.duplicate(id, copy, nobody), Ok(grown));
    assert_eq!(pool.duplicate(id, copy, nobody).unwrap_err().reason, "VOLUME_EXISTS");
    let node = OpenOptions::new().write(true).open(pool.node(&volume_name(copy))).unwrap();
    node.write_all_at(b"changed", 0).unwrap();
    drop(node);
    assert!(content(pool, id) == bytes(image, grown));
    assert!(content(pool, copy)[7..] == bytes(image, grown)[7..]);

    let seen: Vec<_> = pool.list().unwrap().iter().map(|v| (v.id, v.size)).collect();
    let mut expected = [(id, grown), (copy, grown)];
    expected.sort();
    assert_eq!(seen, expected);
    assert_eq!(pool.remove(id), Ok(true));
    assert_eq!(pool.remove(id), Ok(false));
    assert_eq!(pool.remove(copy), Ok(true));
    assert_eq!(pool.device(id).unwrap_err().reason, "NO_SUCH_VOLUME");
    assert_eq!(pool.list().unwrap(), []);
    assert_eq!(pool.space().unwrap().total, before.total);
}

fn open(fake: &Arc<Fake>, thin: bool) -> LvmPool {
    let thin = thin.then_some("tp");
    LvmPool::open_with("p", "vg0", thin, Box::new(fake.clone()), fake.dev()).unwrap()
}

#[test]
fn thick_and_thin_volumes_live_and_go() {
    for thin in [false, true] {
        let fake = Fake::new();
        a_volumes_life(&open(&fake, thin), &image(fake.dev()), EXTENT);
        assert_eq!(fake.names(), ["home", "tp"], "thin: {thin}");
    }
}

#[test]
fn nothing_of_what_the_disk_held_is_shown() {
    let fake = Fake::new();
    let pool = open(&fake, false);
    let id = Uuid::new_v4();
    let size = pool.create(id, 9 * MIB, None, Watch::nobody()).unwrap();
    assert!(content(&pool, id).iter().all(|byte| *byte == 0));
    pool.grow(id, size + 1, Watch::nobody()).unwrap();
    assert!(content(&pool, id).iter().all(|byte| *byte == 0));
    assert!(fs::read(fake.dev().join("vg0/home")).unwrap().contains(&GARBAGE));
}

#[test]
fn thin_copies_and_empty_thin_volumes_write_nothing() {
    let fake = Fake::new();
    let pool = open(&fake, true);
    let id = Uuid::new_v4();
    pool.create(id, 1 << 30, None, Watch::nobody()).unwrap();
    pool.duplicate(id, Uuid::new_v4(), Watch::nobody()).unwrap();
    assert_eq!(fake.count("--snapshot"), 1);
    let allocated: u64 = pool.list().unwrap().iter().map(|v| v.allocated).sum();
    assert_eq!(allocated, 0);
}

/// Every command fails once; the undo works.
#[test]
fn a_command_that_fails_leaves_what_there_was() {
    for thin in [false, true] {
        for nth in 0.. {
            let fake = Fake::new();
            let pool = open(&fake, thin);
            let old = Uuid::new_v4();
            pool.create(old, 4 * MIB, Some(&image(fake.dev())), Watch::nobody()).unwrap();
            let before = (fake.state(), content(&pool, old));
            fake.fail(nth, 1);
            let (made, grown) = (Uuid::new_v4(), Watch::nobody());
            let result = pool.create(made, 4 * MIB, Some(&image(fake.dev())), Watch::nobody());
            let result = result.and_then(|_| {
                pool.remove(made).unwrap_or_default();
                pool.grow(old, 9 * MIB, grown)
            });
            if !fake.has_failed() {
                assert!(result.is_ok() && nth >= 9);
                break;
            }
            if let Err(problem) = result {
                assert_eq!(problem.reason, "LVM_FAILED", "{problem:#}");
                assert!(problem.causes[0].starts_with("lvm "), "{problem:#}");
            }
            pool.remove(made).unwrap();
            // What its undo could not do is done at the next opening.
            let pool = open(&fake, thin);
            let seen = content(&pool, old);
            assert!(seen.iter().skip(3 << 20).all(|byte| *byte == 0), "{nth}");
            assert!(seen[..3 << 20] == before.1[..3 << 20]);
            if seen.len() == before.1.len() {
                assert_eq!(fake.state(), before.0, "step {nth}, thin: {thin}");
            }
        }
    }
}

/// The daemon is killed before each of its commands: no undo, then a new daemon.
#[test]
fn a_kill_at_any_command_leaves_nothing_after_the_next_start() {
    for thin in [false, true] {
        for nth in 0.. {
            let fake = Fake::new();
            let pool = open(&fake, thin);
            let old = Uuid::new_v4();
            pool.create(old, 4 * MIB, Some(&image(fake.dev())), Watch::nobody()).unwrap();
            fake.fail(nth, usize::MAX);
            let made = Uuid::new_v4();
            let image = image(fake.dev());
            let result = pool
                .create(made, 4 * MIB, Some(&image), Watch::nobody())
                .and_then(|_| pool.grow(old, 9 * MIB, Watch::nobody()))
                .and_then(|_| pool.duplicate(old, Uuid::new_v4(), Watch::nobody()));
            drop(pool);
            if !fake.has_failed() {
                assert!(result.is_ok() && nth >= 9);
                break;
            }
            fake.fail(usize::MAX, 0);
            let pool = open(&fake, thin);
            for volume in pool.list().unwrap() {
                assert!(content(&pool, volume.id) == bytes(&image, volume.size), "{nth}");
                pool.grow(volume.id, 30 * MIB, Watch::nobody()).unwrap();
                pool.remove(volume.id).unwrap();
            }
            assert_eq!(fake.names(), ["home", "tp"], "killed before command {nth}");
        }
    }
}

#[test]
fn a_cancelled_creation_or_growth_is_undone() {
    let fake = Fake::new();
    let pool = open(&fake, false);
    let watch = Watch::new(&|| true, &|_| {});
    let id = Uuid::new_v4();
    let cancelled = pool.create(id, 4 * MIB, Some(&image(fake.dev())), watch).unwrap_err();
    assert!(cancelled.is_cancelled());
    assert_eq!(fake.names(), ["home", "tp"]);
    pool.create(id, 4 * MIB, None, Watch::nobody()).unwrap();
    let before = fake.state();
    assert!(pool.grow(id, 30 * MIB, watch).unwrap_err().is_cancelled());
    assert_eq!(fake.state(), before);
}

#[test]
fn a_full_group_and_a_full_thin_pool_say_so() {
    let fake = Fake::new();
    let pool = open(&fake, false);
    let PoolSpace { total, free } = pool.space().unwrap();
    assert!(free < total);
    let full = pool.create(Uuid::new_v4(), free + 1, None, Watch::nobody()).unwrap_err();
    assert_eq!(full.reason, "POOL_FULL");
    let id = Uuid::new_v4();
    pool.create(id, free, None, Watch::nobody()).unwrap();
    let full = pool.grow(id, free + 1, Watch::nobody()).unwrap_err();
    assert_eq!(full.reason, "POOL_FULL");

    let fake = Fake::new();
    fake.use_thin_pool(99.0);
    let pool = open(&fake, true);
    assert_eq!(pool.space().unwrap().free, fake::THIN / 100);
    // Its data do not fit; a volume of that size without data does.
    let dense = fake.dev().join("dense");
    fs::write(&dense, vec![1; 2 << 20]).unwrap();
    let dense = File::open(dense).unwrap();
    let full = pool.create(Uuid::new_v4(), 4 * MIB, Some(&dense), Watch::nobody()).unwrap_err();
    assert_eq!(full.reason, "POOL_FULL");
    pool.create(Uuid::new_v4(), 4 * MIB, None, Watch::nobody()).unwrap();
}

#[test]
fn what_is_not_ours_is_neither_seen_nor_touched() {
    let fake = Fake::new();
    let pool = open(&fake, false);
    let (no_tag, other_place) = (Uuid::new_v4(), Uuid::new_v4());
    fake.add(&volume_name(no_tag), "", false);
    fake.add(&volume_name(other_place), TAG, true);
    fake.add("xlfs-new-letter", TAG, false);
    fake.add(&format!("{UNFINISHED_PREFIX}{no_tag}"), "", false);
    let before = fake.state();
    assert_eq!(pool.list().unwrap(), []);
    for id in [no_tag, other_place] {
        assert_eq!(pool.remove(id), Ok(false));
        assert_eq!(pool.device(id).unwrap_err().reason, "NO_SUCH_VOLUME");
    }
    let pool = open(&fake, true);
    assert_eq!(pool.list().unwrap().iter().map(|v| v.id).collect::<Vec<_>>(), [other_place]);
    assert_eq!(fake.state(), before);
}

#[test]
fn a_device_has_its_numbers_and_an_open_one_is_not_removed() {
    let fake = Fake::new();
    let pool = open(&fake, false);
    let id = Uuid::new_v4();
    pool.create(id, 4 * MIB, None, Watch::nobody()).unwrap();
    let node = pool.node(&volume_name(id));
    // A file is no block device: an error, not a number that means another.
    assert_eq!(pool.device(id).unwrap_err().reason, "POOL_FAILED");
    if let Some(disk) = fs::read_dir("/sys/block").unwrap().next() {
        fs::remove_file(&node).unwrap();
        let disk = std::path::Path::new("/dev").join(disk.unwrap().file_name());
        std::os::unix::fs::symlink(&disk, &node).unwrap();
        let VolumeDevice::Block(block) = pool.device(id).unwrap() else { panic!() };
        assert_eq!(block.path, node);
        assert_eq!(block.physical_device().matches(':').count(), 1);
    }
    fake.open(&volume_name(id));
    assert_eq!(pool.remove(id).unwrap_err().reason, "VOLUME_OPEN");
}

#[test]
fn a_thin_pool_must_be_there_and_zero_its_blocks() {
    let fake = Fake::new();
    let open = |thin| {
        let lvm = Box::new(fake.clone());
        LvmPool::open_with("p", "vg0", Some(thin), lvm, fake.dev()).unwrap_err()
    };
    for thin in ["none", "home"] {
        let problem = open(thin);
        assert_eq!(problem.reason, "POOL_UNUSABLE");
        assert!(problem.message.contains(&format!("vg0/{thin}")), "{problem}");
    }
    fake.do_not_zero();
    let problem = open("tp");
    assert!(problem.hint.as_deref().unwrap_or_default().contains("--zero y"), "{problem:#}");
    fake.fail(0, usize::MAX);
    let problem = open("tp");
    assert_eq!(problem.reason, "POOL_UNUSABLE");
    assert!(problem.causes.iter().any(|cause| cause.contains("exit status: 5")), "{problem:#}");
}

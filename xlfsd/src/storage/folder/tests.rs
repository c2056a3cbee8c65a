use std::os::unix::fs::{FileExt, PermissionsExt};
use std::process::Command;

use super::*;

const MIB: u64 = 1 << 20;

fn pool() -> (tempfile::TempDir, FolderPool) {
    let dir = tempfile::tempdir().unwrap();
    let pool = FolderPool::open("p", &dir.path().join("volumes")).unwrap();
    (dir, pool)
}

/// An image of 30 MiB with 2 MiB of data, in a file system of its own choice.
fn image(dir: &Path) -> File {
    let path = dir.join("image");
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(path).unwrap();
    file.set_len(30 * MIB).unwrap();
    file.write_all_at(&[1; 1 << 20], 0).unwrap();
    file.write_all_at(&[2; 1 << 20], 20 * MIB).unwrap();
    file.sync_all().unwrap();
    file
}

fn content(pool: &FolderPool, id: Uuid) -> Vec<u8> {
    fs::read(pool.file(id)).unwrap()
}

fn create(pool: &FolderPool, size: u64, source: Option<&File>) -> Result<Uuid, Problem> {
    let id = Uuid::new_v4();
    pool.create(id, size, source, Watch::nobody()).map(|_| id)
}

fn files(pool: &FolderPool) -> usize {
    fs::read_dir(&pool.path).unwrap().count()
}

#[test]
fn a_volume_is_the_image_and_zeros_and_takes_no_more_than_its_data() {
    let (dir, pool) = pool();
    let image = image(dir.path());
    let id = create(&pool, 50 * MIB + 1, Some(&image)).unwrap();
    let mut expected = vec![0; 50 << 20];
    image.read_exact_at(&mut expected[..30 << 20], 0).unwrap();
    expected.resize((50 << 20) + GRAIN as usize, 0);
    assert!(content(&pool, id) == expected);
    let volumes = pool.list().unwrap();
    assert_eq!(volumes.len(), 1);
    assert_eq!((volumes[0].id, volumes[0].size), (id, 50 * MIB + GRAIN));
    assert!(volumes[0].allocated >= 2 * MIB && volumes[0].allocated < 3 * MIB, "{volumes:?}");
    assert_eq!(fs::metadata(pool.file(id)).unwrap().mode() & 0o777, 0o600);
    assert_eq!(pool.device(id).unwrap(), VolumeDevice::File(pool.file(id)));
    assert_eq!(files(&pool), 1);
}

#[test]
fn an_empty_volume_takes_nothing() {
    let (_dir, pool) = pool();
    let id = create(&pool, 1 << 40, None).unwrap();
    let volumes = pool.list().unwrap();
    assert_eq!(volumes, [PoolVolume { id, size: 1 << 40, allocated: 0 }]);
}

#[test]
fn grows_is_removed_and_both_once_only() {
    let (_dir, pool) = pool();
    let id = create(&pool, 5, None).unwrap();
    assert_eq!(pool.grow(id, MIB, Watch::nobody()), Ok(MIB));
    assert_eq!(pool.grow(id, MIB, Watch::nobody()), Ok(MIB));
    assert_eq!(pool.grow(id, 4096, Watch::nobody()).unwrap_err().reason, "VOLUME_SHRINKS");
    assert_eq!(content(&pool, id).len() as u64, MIB);
    let again = pool.create(id, 5, None, Watch::nobody()).unwrap_err();
    assert_eq!(again.reason, "VOLUME_EXISTS");
    assert_eq!(pool.remove(id), Ok(true));
    assert_eq!(pool.remove(id), Ok(false));
    assert_eq!(files(&pool), 0);
    assert_eq!(pool.device(id).unwrap_err().reason, "NO_SUCH_VOLUME");
    assert_eq!(pool.grow(id, MIB, Watch::nobody()).unwrap_err().reason, "NO_SUCH_VOLUME");
}

#[test]
fn a_duplicate_is_equal_and_independent() {
    let (dir, pool) = pool();
    let id = create(&pool, 40 * MIB, Some(&image(dir.path()))).unwrap();
    let copy = Uuid::new_v4();
    assert_eq!(pool.duplicate(id, copy, Watch::nobody()), Ok(40 * MIB));
    let before = content(&pool, id);
    assert!(content(&pool, copy) == before);
    pool.open_file(copy, true).unwrap().write_all_at(b"changed", 0).unwrap();
    assert!(content(&pool, id) == before);
    let none = pool.duplicate(Uuid::new_v4(), Uuid::new_v4(), Watch::nobody());
    assert_eq!(none.unwrap_err().reason, "NO_SUCH_VOLUME");
    assert_eq!(files(&pool), 2);
}

#[test]
fn what_fails_or_is_cancelled_leaves_nothing() {
    let (dir, pool) = pool();
    let image = image(dir.path());
    let small = create(&pool, 30 * MIB - 1, Some(&image)).unwrap_err();
    assert_eq!(small.reason, "VOLUME_TOO_SMALL");
    assert!(small.message.contains(&(30 * MIB).to_string()), "{small}");
    // 8 EiB are beyond what any file system takes.
    let large = create(&pool, i64::MAX as u64 - 8191, Some(&image)).unwrap_err();
    assert_eq!(large.reason, "POOL_FAILED");
    let watch = Watch::new(&|| true, &|_| {});
    let cancelled = pool.create(Uuid::new_v4(), 50 * MIB, Some(&image), watch).unwrap_err();
    assert!(cancelled.is_cancelled());
    assert_eq!(files(&pool), 0);
}

#[test]
fn opening_clears_what_was_not_finished_and_nothing_else() {
    let (dir, pool) = pool();
    let id = create(&pool, 5, None).unwrap();
    let path = pool.path.clone();
    let left = path.join(format!("{UNFINISHED}{}{SUFFIX}", Uuid::new_v4()));
    let others = [".unfinished-letter.txt", "notes", "lost+found"].map(|name| path.join(name));
    drop(pool);
    for file in others.iter().chain([&left]) {
        fs::write(file, "half").unwrap();
    }
    let pool = FolderPool::open("p", &path).unwrap();
    assert!(!left.exists());
    assert!(others.iter().all(|other| other.exists()));
    assert_eq!(pool.list().unwrap().len(), 1);
    assert!(pool.device(id).is_ok());
    drop(dir);
}

#[test]
fn a_folder_has_one_pool_and_only_root_writes_it() {
    let (dir, pool) = pool();
    let second = FolderPool::open("q", &pool.path).unwrap_err();
    assert_eq!(second.reason, "POOL_IN_USE");
    let path = pool.path.clone();
    drop(pool);
    FolderPool::open("q", &path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(FolderPool::open("q", &path).unwrap_err().reason, "POOL_UNUSABLE");
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert_eq!(FolderPool::open("q", &file).unwrap_err().reason, "POOL_UNUSABLE");
}

#[test]
fn a_link_is_no_volume() {
    let (dir, pool) = pool();
    let secret = dir.path().join("secret");
    fs::write(&secret, "x").unwrap();
    let id = Uuid::new_v4();
    std::os::unix::fs::symlink(&secret, pool.file(id)).unwrap();
    assert!(pool.device(id).is_err());
    assert!(pool.grow(id, MIB, Watch::nobody()).is_err());
    assert_eq!(pool.list().unwrap(), []);
    assert_eq!(fs::read(&secret).unwrap(), b"x");
}

/// Runs `test` in a thread with mounts of its own, which go with the thread,
/// and a folder for them. Only root may mount; where this is root, it must work.
fn with_mounts(test: impl FnOnce(&Path) + Send) {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("not tested: only root may mount file systems");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let run = || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
        command("/bin/mount", &["--make-rprivate", "/"]);
        test(dir.path());
    };
    std::thread::scope(|scope| scope.spawn(run).join()).unwrap();
    dir.close().unwrap();
}

fn command(program: &str, args: &[&str]) {
    let output = Command::new(program)
        .args(args)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; tests/install-missing installs it"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {said}");
}

/// A pool on a file system of its own with `size` MiB.
fn small_pool(dir: &Path, size: u64) -> FolderPool {
    let path = dir.join("small");
    fs::create_dir(&path).unwrap();
    let options = format!("size={size}m,mode=700");
    command("/bin/mount", &["-t", "tmpfs", "-o", &options, "t", path.to_str().unwrap()]);
    FolderPool::open("small", &path).unwrap()
}

#[test]
fn a_full_pool_says_so_before_it_copies() {
    with_mounts(|dir| {
        let image = image(dir);
        let pool = small_pool(dir, 7);
        assert_eq!(pool.space(), Ok(PoolSpace { total: 7 * MIB, free: 7 * MIB }));
        // Two of its 30 MiB are data.
        for _ in 0..3 {
            create(&pool, 100 * MIB, Some(&image)).unwrap();
        }
        let written = std::cell::Cell::new(0);
        let progress = |bytes| written.set(bytes);
        let watch = Watch::new(&|| false, &progress);
        let full = pool.create(Uuid::new_v4(), 100 * MIB, Some(&image), watch).unwrap_err();
        assert_eq!(full.reason, "POOL_FULL");
        assert_eq!(full.object.as_deref(), Some("pool small"));
        assert_eq!(full.message, "the pool small is full: 2 MiB needed, 1 MiB free");
        assert!(full.hint.is_some());
        assert_eq!(written.get(), 0);
        assert_eq!(files(&pool), 3);
    });
}

#[test]
fn a_pool_that_runs_full_meanwhile_keeps_nothing() {
    with_mounts(|dir| {
        let big = dir.join("big");
        fs::write(&big, vec![1; 5 << 20]).unwrap();
        let pool = small_pool(dir, 7);
        let thief = pool.path.join("thief");
        let steal = |_| fs::write(&thief, vec![1; 3 << 20]).unwrap_or_default();
        let watch = Watch::new(&|| false, &steal);
        let source = File::open(&big).unwrap();
        let full = pool.create(Uuid::new_v4(), 5 * MIB, Some(&source), watch).unwrap_err();
        assert_eq!(full.reason, "POOL_FULL", "{full:#}");
        assert!(full.causes.iter().any(|cause| cause.contains("No space left")), "{full:#}");
        assert_eq!(files(&pool), 1, "only the thief");
    });
}

#[test]
fn an_image_full_of_zeros_fits_where_its_data_does() {
    with_mounts(|dir| {
        let dense = dir.join("dense");
        fs::write(&dense, vec![0; 20 << 20]).unwrap();
        let pool = small_pool(dir, 4);
        let id = create(&pool, 20 * MIB, Some(&File::open(&dense).unwrap())).unwrap();
        assert_eq!(content(&pool, id).len() as u64, 20 * MIB);
    });
}

/// A file system that shares blocks: XFS, in a file, on a loop device.
#[test]
fn copies_share_blocks_where_the_file_system_can() {
    with_mounts(|dir| {
        let disk = dir.join("disk");
        File::create(&disk).unwrap().set_len(400 * MIB).unwrap();
        command("/sbin/mkfs.xfs", &["-q", disk.to_str().unwrap()]);
        let path = dir.join("xfs");
        fs::create_dir(&path).unwrap();
        command("/bin/mount", &["-o", "loop", disk.to_str().unwrap(), path.to_str().unwrap()]);
        let image_path = path.join("image");
        let bytes: Vec<u8> = (0..100u64 << 20).map(|n| (n / 4096) as u8).collect();
        fs::write(&image_path, &bytes).unwrap();
        let image = File::open(&image_path).unwrap();
        image.sync_all().unwrap();
        let pool = FolderPool::open("xfs", &path.join("volumes")).unwrap();
        let free = pool.space().unwrap().free;
        // Ten copies are more than there is room for.
        let mut last = None;
        for _ in 0..10 {
            last = Some(create(&pool, 150 * MIB, Some(&image)).unwrap());
        }
        let copy = Uuid::new_v4();
        pool.duplicate(last.unwrap(), copy, Watch::nobody()).unwrap();
        let taken = free - pool.space().unwrap().free;
        assert!(taken < 10 * MIB, "{taken}");
        let copied = content(&pool, copy);
        assert!(copied[..100 << 20] == bytes && copied[100 << 20..].iter().all(|b| *b == 0));
        assert_eq!(copied.len() as u64, 150 * MIB);
    });
}

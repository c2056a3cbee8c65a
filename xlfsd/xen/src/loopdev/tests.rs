//! On the loop devices of this machine, as root. Every device goes again, also
//! when a test fails.

use std::io::Write;
use std::os::unix::fs::FileExt;

use super::*;

/// Whether this process may attach loop devices. Where it is root, they must
/// be there: the tests fail rather than pass without having looked.
fn may_attach() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("not tested: only root may attach loop devices");
    }
    root
}

/// Detaches at the end of its test.
struct Guard(LoopDevice);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = detach(&self.0);
    }
}

const LEN: usize = 1 << 20;

fn file(dir: &tempfile::TempDir, name: &str) -> PathBuf {
    let path = dir.path().join(name);
    fs::write(&path, vec![7; LEN]).unwrap();
    path
}

fn attached(method: Method, path: &Path, access: Access) -> Guard {
    Guard(attach_by(method, path, access, "a-volume").unwrap())
}

#[test]
fn read_only_is_enforced_by_the_kernel() {
    if !may_attach() {
        return;
    }
    for method in [Method::Configure, Method::SetFd] {
        let dir = tempfile::tempdir().unwrap();
        let path = file(&dir, "disk");
        let device = attached(method, &path, Access::ReadOnly);
        assert_eq!(device.0.access, Access::ReadOnly);
        let refused = OpenOptions::new().write(true).open(&device.0.node.path).and_then(|node| {
            node.write_all_at(&[1; 4096], 0)?;
            node.sync_all()
        });
        assert!(refused.is_err(), "{method:?}");
        assert!(fs::read(&path).unwrap().iter().all(|byte| *byte == 7));
        let node = File::open(&device.0.node.path).unwrap();
        assert_eq!(block::is_read_only(&node), Ok(true));
        assert!(block::zero_out(&node, 0, 4096).is_err());
    }
}

#[test]
fn what_is_written_to_the_device_is_in_the_file() {
    if !may_attach() {
        return;
    }
    for method in [Method::Configure, Method::SetFd] {
        let dir = tempfile::tempdir().unwrap();
        let path = file(&dir, "disk");
        let device = attached(method, &path, Access::ReadWrite);
        assert_eq!(device.0.access, Access::ReadWrite);
        assert_eq!(device.0.tag.as_deref(), Some("a-volume"));
        let node = OpenOptions::new().read(true).write(true).open(&device.0.node.path).unwrap();
        assert_eq!(block::size(&node), Ok(LEN as u64));
        node.write_all_at(&[1; 4096], 8192).unwrap();
        node.sync_all().unwrap();
        block::zero_out(&node, 16384, 4096).unwrap();
        drop(node);
        assert_eq!(detach(&device.0).unwrap(), Detached::Free);
        let content = fs::read(&path).unwrap();
        assert!(content[8192..12288].iter().all(|byte| *byte == 1), "{method:?}");
        assert!(content[16384..20480].iter().all(|byte| *byte == 0), "{method:?}");
        assert!(content[..8192].iter().all(|byte| *byte == 7), "{method:?}");
    }
}

#[test]
fn a_device_is_found_by_its_file_also_under_another_name() {
    if !may_attach() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (file(&dir, "one"), file(&dir, "other"));
    let device = attached(Method::Configure, &one, Access::ReadWrite);
    let renamed = dir.path().join("renamed");
    fs::rename(&one, &renamed).unwrap();
    assert_eq!(find(&renamed).unwrap(), std::slice::from_ref(&device.0));
    assert_eq!(find(&other).unwrap(), []);
    assert!(list().unwrap().contains(&device.0));
    assert!(matches!(find(&one), Err(LoopError::Backing { .. })));

    // A second one for the same file, and one that we did not attach.
    let second = attached(Method::SetFd, &renamed, Access::ReadOnly);
    let mut found = find(&renamed).unwrap();
    found.sort_by_key(|found| found.access == Access::ReadOnly);
    assert_eq!(found, [device.0.clone(), second.0.clone()]);
    detach(&second.0).unwrap();
    assert_eq!(detach(&device.0).unwrap(), Detached::Free);
    assert_eq!(find(&renamed).unwrap(), []);
    assert_eq!(detach(&device.0).unwrap(), Detached::Already);
}

#[test]
fn a_stale_description_detaches_nothing() {
    if !may_attach() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "disk");
    let device = attached(Method::Configure, &path, Access::ReadWrite);
    let backing = Identity { inode: device.0.backing.inode + 1, ..device.0.backing };
    let stale = LoopDevice { backing, ..device.0.clone() };
    assert_eq!(detach(&stale).unwrap(), Detached::Already);
    assert_eq!(find(&path).unwrap(), std::slice::from_ref(&device.0));
}

#[test]
fn a_device_in_use_goes_when_it_is_closed() {
    if !may_attach() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "disk");
    let device = attached(Method::Configure, &path, Access::ReadWrite);
    let mut user = OpenOptions::new().write(true).open(&device.0.node.path).unwrap();
    assert_eq!(detach(&device.0).unwrap(), Detached::WhenClosed);
    user.write_all(&[3; 512]).unwrap();
    user.sync_all().unwrap();
    drop(user);
    // Another test that lists the devices may have it open for a moment.
    let begin = std::time::Instant::now();
    while !find(&path).unwrap().is_empty() {
        assert!(begin.elapsed() < Duration::from_secs(30), "it is never let go of");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(fs::read(&path).unwrap()[..512], [3; 512]);
}

#[test]
fn many_at_once_each_get_a_device_of_their_own() {
    if !may_attach() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let paths: Vec<_> = (0..12).map(|n| file(&dir, &n.to_string())).collect();
    let devices: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = paths
            .iter()
            .map(|path| scope.spawn(|| attached(Method::Configure, path, Access::ReadWrite)))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (path, device) in paths.iter().zip(&devices) {
        assert_eq!(find(path).unwrap(), std::slice::from_ref(&device.0));
    }
}

#[test]
fn what_cannot_be_attached_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "disk");
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    for (wrong, tag) in [(dir.path().join("none"), "x"), (link, "x")] {
        let error = attach(&wrong, Access::ReadOnly, tag).unwrap_err();
        assert!(matches!(error, LoopError::Backing { .. }), "{error}");
    }
    let error = attach(dir.path(), Access::ReadOnly, "x").unwrap_err();
    assert!(matches!(error, LoopError::NotAFile { .. }), "{error}");
    let long = "x".repeat(MAX_TAG + 1);
    for tag in ["", "a b", "a\0", "ä", &long] {
        let error = attach(&path, Access::ReadOnly, tag).unwrap_err();
        assert!(matches!(error, LoopError::BadTag { .. }), "{error}");
    }
    // A UUID fits, and the longest tag keeps the zero at the end.
    assert_eq!(file_name(&"x".repeat(MAX_TAG)).unwrap()[raw::LO_NAME_SIZE - 1], 0);
}

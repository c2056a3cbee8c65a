//! The partitions of the disk that the host runs from. They are found from the
//! device of the root file system, never by label alone: a second disk may carry
//! another host's slots.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sys::stat::{major, minor};

use super::Slot;

/// A slot's partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    pub device: PathBuf,
    pub bytes: u64,
}

/// The partition cannot be found.
#[derive(Debug, thiserror::Error)]
pub(super) enum DiskError {
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the disk of the root file system has no partition {name}")]
    Missing { name: &'static str },
}

/// Where a slot is, by sysfs (Documentation/ABI/testing/sysfs-block: `uevent`
/// has PARTNAME, `size` counts sectors of 512 bytes).
pub(super) fn partition(slot: Slot) -> Result<Partition, DiskError> {
    let root = Path::new("/");
    let number = fs::metadata(root).map_err(read(root))?.dev();
    find(Path::new("/sys"), number, slot)
}

fn find(sys: &Path, root: u64, slot: Slot) -> Result<Partition, DiskError> {
    let link = sys.join(format!("dev/block/{}:{}", major(root), minor(root)));
    let ours = fs::canonicalize(&link).map_err(read(&link))?;
    let disk = ours.parent().unwrap_or(&ours);
    let entries = fs::read_dir(disk).map_err(read(disk))?;
    for entry in entries.filter_map(Result::ok) {
        let folder = entry.path();
        let Ok(event) = fs::read_to_string(folder.join("uevent")) else { continue };
        let has = |line: &str| event.lines().any(|found| found == line);
        if !folder.join("partition").exists() || !has(&format!("PARTNAME={}", slot.partition())) {
            continue;
        }
        let size = folder.join("size");
        let sectors = fs::read_to_string(&size).map_err(read(&size))?;
        let bytes = sectors.trim().parse::<u64>().unwrap_or_default().saturating_mul(512);
        return Ok(Partition { device: Path::new("/dev").join(entry.file_name()), bytes });
    }
    Err(DiskError::Missing { name: slot.partition() })
}

fn read(path: &Path) -> impl FnOnce(io::Error) -> DiskError + '_ {
    move |source| DiskError::Read { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use nix::sys::stat::makedev;

    use super::*;

    /// A sysfs with two disks that carry the same names.
    fn sysfs() -> tempfile::TempDir {
        let sys = tempfile::tempdir().unwrap();
        fs::create_dir_all(sys.path().join("dev/block")).unwrap();
        for (at, disk) in ["vda", "vdb"].into_iter().enumerate() {
            for (number, name) in [(3, "xlfs-root-a"), (4, "xlfs-root-b")] {
                let part = format!("devices/pci0/{disk}/{disk}{number}");
                let folder = sys.path().join(&part);
                fs::create_dir_all(&folder).unwrap();
                fs::write(folder.join("uevent"), format!("PARTN={number}\nPARTNAME={name}\n"))
                    .unwrap();
                fs::write(folder.join("partition"), format!("{number}\n")).unwrap();
                fs::write(folder.join("size"), "524288\n").unwrap();
                let link = sys.path().join(format!("dev/block/254:{}", at * 16 + number));
                symlink(Path::new("../..").join(part), link).unwrap();
            }
        }
        sys
    }

    #[test]
    fn slots_are_on_the_disk_that_we_run_from() {
        let sys = sysfs();
        let found = find(sys.path(), makedev(254, 19), Slot::B).unwrap();
        assert_eq!(found, Partition { device: "/dev/vdb4".into(), bytes: 256 << 20 });
        let found = find(sys.path(), makedev(254, 3), Slot::B).unwrap();
        assert_eq!(found.device, Path::new("/dev/vda4"));
        fs::remove_dir_all(sys.path().join("devices/pci0/vda/vda4")).unwrap();
        assert!(find(sys.path(), makedev(254, 3), Slot::B).is_err(), "not the other disk's");
        assert!(find(sys.path(), makedev(8, 1), Slot::A).is_err());
    }
}

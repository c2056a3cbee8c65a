//! Loop devices: a file as a block device, attached by ioctl without `losetup`.
//!
//! xen-blkback serves block devices only, so a volume that is a file goes
//! through one of these. Three things matter more than speed:
//!
//! - Read-only is enforced here, by the kernel, and looked up afterwards: what
//!   the back end was told in xenstore is not enough (XSA-142).
//! - A device outlives the daemon, and is found again by the identity of the
//!   file that it serves: file system and inode, not the path.
//! - No LO_FLAGS_AUTOCLEAR. That lets go of the file when the last one closes
//!   the device: that is us, before blkback opens it, or between two domains.
//!   The device stays until it is detached; leftovers are told by their tag.
//!
//! `raw` has the layouts and ioctls. Source: Linux include/uapi/linux/loop.h.

mod error;
mod raw;
#[cfg(test)]
mod tests;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::OFlag;

pub use self::error::LoopError;
use self::raw::{LoopConfig, LoopInfo64};
use crate::block::{self, BlockNode};

const CONTROL: &str = "/dev/loop-control";
const SYS_BLOCK: &str = "/sys/block";
/// How the names of our devices begin.
const TAG_PREFIX: &str = "xlfs:";
/// Most characters of a tag.
pub const MAX_TAG: usize = raw::LO_NAME_SIZE - 1 - TAG_PREFIX.len();
/// Free devices that are tried, as others may take them first.
const TRIES: u32 = 64;
/// What a disk has had since there are disks. Left to itself the driver takes
/// that of the host's disk, and a volume's partitions would move with the host.
const BLOCK_SIZE: u32 = 512;

/// Whether a disk may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// The kernel refuses every write.
    ReadOnly,
    /// Reads and writes.
    ReadWrite,
}

/// Which file it is, whatever it is called: `st_dev` and `st_ino`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The file system.
    pub device: u64,
    /// The file in it.
    pub inode: u64,
}

impl From<&fs::Metadata> for Identity {
    fn from(meta: &fs::Metadata) -> Self {
        Self { device: meta.dev(), inode: meta.ino() }
    }
}

/// A loop device that serves a file. Dropping it changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoopDevice {
    /// Such as `/dev/loop3`.
    pub node: BlockNode,
    /// The file.
    pub backing: Identity,
    /// The kernel refuses writes.
    pub access: Access,
    /// Past the host's page cache.
    pub direct_io: bool,
    /// What it was attached as; none where we did not attach it.
    pub tag: Option<String>,
}

/// What became of a device that was detached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detached {
    /// It is free.
    Free,
    /// It served that file no longer.
    Already,
    /// Somebody has it open; it is free when they close it.
    WhenClosed,
}

/// Attaches the regular file `path` to a free loop device as `tag`, direct to
/// the disk where the file allows that.
///
/// The caller sees to it that nobody else writes the file: ask [`find`] first.
///
/// # Errors
/// Any [`LoopError`]; nothing stays attached then.
pub fn attach(path: &Path, access: Access, tag: &str) -> Result<LoopDevice, LoopError> {
    attach_by(Method::Configure, path, access, tag)
}

/// Every loop device that serves the file `path`, by whomever attached.
///
/// # Errors
/// [`LoopError::Backing`] where there is no such file, and those of [`list`].
pub fn find(path: &Path) -> Result<Vec<LoopDevice>, LoopError> {
    let meta = fs::metadata(path)
        .map_err(|source| LoopError::Backing { path: path.to_owned(), source })?;
    let identity = Identity::from(&meta);
    Ok(list()?.into_iter().filter(|device| device.backing == identity).collect())
}

/// Every loop device that serves a file; ours have a tag.
///
/// # Errors
/// [`LoopError::List`], [`LoopError::Node`], [`LoopError::Status`]. A device
/// that cannot be asked is an error: it might be the one that matters.
pub fn list() -> Result<Vec<LoopDevice>, LoopError> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(SYS_BLOCK).map_err(LoopError::List)? {
        let entry = entry.map_err(LoopError::List)?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("loop")?.parse::<u32>().ok());
        numbers.extend(number.filter(|number| in_use(*number)));
    }
    numbers.sort_unstable();
    let mut found = Vec::new();
    for number in numbers {
        let node = node_path(number);
        let device = match open_node(&node, Access::ReadOnly) {
            Ok(device) => device,
            // Let go of and removed since it was listed.
            Err(_) if !in_use(number) => continue,
            Err(error) => return Err(error),
        };
        match raw::status(&device) {
            Ok(info) => found.push(describe(&node, &info)?),
            Err(Errno::ENXIO) => {}
            Err(source) => return Err(LoopError::Status { node, source }),
        }
    }
    Ok(found)
}

/// The driver shows this folder while the device serves a file.
fn in_use(number: u32) -> bool {
    Path::new(SYS_BLOCK).join(format!("loop{number}/loop")).exists()
}

/// Lets go of the file, if `device` still serves the one that it did.
///
/// # Errors
/// [`LoopError::Node`], [`LoopError::Status`], [`LoopError::Detach`].
pub fn detach(device: &LoopDevice) -> Result<Detached, LoopError> {
    let path = &device.node.path;
    match serves(device)? {
        None => return Ok(Detached::Already),
        Some(open) => match raw::clr_fd(&open) {
            Ok(()) => {}
            Err(Errno::ENXIO) => return Ok(Detached::Already),
            Err(source) => return Err(LoopError::Detach { node: path.clone(), source }),
        },
    }
    // Whoever looks at each new device (udev) does so for a moment only.
    for _ in 0..20 {
        if serves(device)?.is_none() {
            return Ok(Detached::Free);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(Detached::WhenClosed)
}

/// The open device, if it serves the file that `device` says.
fn serves(device: &LoopDevice) -> Result<Option<File>, LoopError> {
    let node = &device.node.path;
    let open = match open_node(node, Access::ReadOnly) {
        Ok(open) => open,
        Err(LoopError::Node { source, .. }) if is_gone(&source) => return Ok(None),
        Err(error) => return Err(error),
    };
    match raw::status(&open) {
        Ok(info) => Ok((identity(&info) == device.backing).then_some(open)),
        Err(Errno::ENXIO) => Ok(None),
        Err(source) => Err(LoopError::Status { node: node.clone(), source }),
    }
}

/// How a file is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    /// LOOP_CONFIGURE, in one step.
    Configure,
    /// LOOP_SET_FD and LOOP_SET_STATUS64, for Linux before 5.8.
    SetFd,
}

fn attach_by(
    mut method: Method,
    path: &Path,
    access: Access,
    tag: &str,
) -> Result<LoopDevice, LoopError> {
    let name = file_name(tag)?;
    let backing = open_backing(path, access)?;
    let control =
        OpenOptions::new().read(true).write(true).open(CONTROL).map_err(LoopError::Control)?;
    for _ in 0..TRIES {
        let number = raw::get_free(&control).map_err(LoopError::NoneFree)?;
        let node = node_path(number);
        let device = open_node(&node, access)?;
        let attached = match method {
            Method::Configure => configure(&device, &backing, access, name),
            Method::SetFd => set_fd(&device, &backing, name),
        };
        match attached {
            Ok(()) => return verify(&device, &node, &backing, path, access),
            // Somebody else took it, or looks at it this moment.
            Err(Errno::EBUSY) => std::thread::sleep(Duration::from_millis(2)),
            Err(Errno::ENOTTY | Errno::EINVAL) if method == Method::Configure => {
                method = Method::SetFd;
            }
            Err(source) => return Err(LoopError::Attach { path: path.to_owned(), node, source }),
        }
    }
    Err(LoopError::Contended { tries: TRIES })
}

fn configure(
    device: &File,
    backing: &File,
    access: Access,
    file_name: [u8; raw::LO_NAME_SIZE],
) -> Result<(), Errno> {
    let read_only = match access {
        Access::ReadOnly => raw::LO_FLAGS_READ_ONLY,
        Access::ReadWrite => 0,
    };
    // The driver drops direct I/O by itself where the file cannot do it.
    let info =
        LoopInfo64 { flags: read_only | raw::LO_FLAGS_DIRECT_IO, file_name, ..LoopInfo64::new() };
    let fd = u32::try_from(backing.as_raw_fd()).map_err(|_| Errno::EBADF)?;
    raw::configure(device, &LoopConfig { fd, block_size: BLOCK_SIZE, info, reserved: [0; 8] })
}

fn set_fd(device: &File, backing: &File, file_name: [u8; raw::LO_NAME_SIZE]) -> Result<(), Errno> {
    raw::set_fd(device, backing)?;
    let info = LoopInfo64 { file_name, ..LoopInfo64::new() };
    let named = (0..TRIES).find_map(|_| match raw::set_status(device, &info) {
        // The driver wants its page cache empty first.
        Err(Errno::EAGAIN) => {
            std::thread::sleep(Duration::from_millis(2));
            None
        }
        other => Some(other),
    });
    if let Err(errno) = named.unwrap_or(Err(Errno::EAGAIN)) {
        let _ = raw::clr_fd(device);
        return Err(errno);
    }
    // Where it cannot, it goes through the page cache.
    let _ = raw::set_direct_io(device);
    Ok(())
}

/// Looks up what the kernel made of it, and undoes it where that is something else.
fn verify(
    device: &File,
    node: &Path,
    backing: &File,
    path: &Path,
    access: Access,
) -> Result<LoopDevice, LoopError> {
    let checked = checked(device, node, backing, path, access);
    if checked.is_err() {
        let _ = raw::clr_fd(device);
    }
    checked
}

fn checked(
    device: &File,
    node: &Path,
    backing: &File,
    path: &Path,
    access: Access,
) -> Result<LoopDevice, LoopError> {
    let wrong = |wrong| LoopError::Verify { path: path.into(), node: node.into(), wrong };
    let unclear = |source| LoopError::Status { node: node.into(), source };
    let found = describe(node, &raw::status(device).map_err(unclear)?)?;
    let meta =
        backing.metadata().map_err(|source| LoopError::Backing { path: path.into(), source })?;
    if found.backing != Identity::from(&meta) {
        return Err(wrong("the device serves another file"));
    }
    let refuses = block::is_read_only(device).map_err(unclear)?;
    match access {
        Access::ReadOnly if found.access != Access::ReadOnly || !refuses => {
            return Err(wrong("the device could be written"));
        }
        Access::ReadWrite if found.access != Access::ReadWrite || refuses => {
            return Err(wrong("the device cannot be written"));
        }
        _ => {}
    }
    Ok(found)
}

fn describe(node: &Path, info: &LoopInfo64) -> Result<LoopDevice, LoopError> {
    let name = info.file_name.split(|byte| *byte == 0).next().unwrap_or_default();
    let tag = std::str::from_utf8(name).ok().and_then(|name| name.strip_prefix(TAG_PREFIX));
    Ok(LoopDevice {
        node: BlockNode::of(node)
            .map_err(|source| LoopError::Node { node: node.to_owned(), source })?,
        backing: identity(info),
        access: match info.flags & raw::LO_FLAGS_READ_ONLY {
            0 => Access::ReadWrite,
            _ => Access::ReadOnly,
        },
        direct_io: info.flags & raw::LO_FLAGS_DIRECT_IO != 0,
        tag: tag.map(str::to_owned),
    })
}

fn identity(info: &LoopInfo64) -> Identity {
    Identity { device: info.device, inode: info.inode }
}

fn file_name(tag: &str) -> Result<[u8; raw::LO_NAME_SIZE], LoopError> {
    if tag.is_empty() || tag.len() > MAX_TAG || !tag.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(LoopError::BadTag { tag: tag.chars().take(80).collect() });
    }
    let mut name = [0; raw::LO_NAME_SIZE];
    let bytes = TAG_PREFIX.bytes().chain(tag.bytes());
    name.iter_mut().zip(bytes).for_each(|(place, byte)| *place = byte);
    Ok(name)
}

/// Read-only, the file itself is opened so: the driver could not write it even
/// if it wanted to.
fn open_backing(path: &Path, access: Access) -> Result<File, LoopError> {
    let mut options = OpenOptions::new();
    options.read(true).write(access == Access::ReadWrite);
    options.custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits());
    let wrong = |source| LoopError::Backing { path: path.to_owned(), source };
    let file = options.open(path).map_err(wrong)?;
    match file.metadata().map_err(wrong)?.is_file() {
        true => Ok(file),
        false => Err(LoopError::NotAFile { path: path.to_owned() }),
    }
}

fn open_node(node: &Path, access: Access) -> Result<File, LoopError> {
    let mut options = OpenOptions::new();
    options.read(true).write(access == Access::ReadWrite);
    options.open(node).map_err(|source| LoopError::Node { node: node.to_owned(), source })
}

fn is_gone(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|code| code == Errno::ENXIO as i32)
        || error.kind() == io::ErrorKind::NotFound
}

fn node_path(number: u32) -> PathBuf {
    PathBuf::from(format!("/dev/loop{number}"))
}

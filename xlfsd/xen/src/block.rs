//! Block devices of Dom0, as far as guests' disks need them: which node it is,
//! how large, whether it may be written, and zeroing a part of it.
//!
//! `loopdev` makes such devices out of files; logical volumes are some already.
//! Source: Linux include/uapi/linux/fs.h.
#![allow(unsafe_code)]

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::libc::c_int;
use nix::sys::stat::{major, minor};

/// The device's ioctls; the macro makes them public, so they get a room of their own.
mod ioctl {
    #![allow(missing_docs)]
    use super::c_int;

    // BLKROGET and BLKZEROOUT have no size in their numbers; BLKGETSIZE64 has
    // that of a size_t, and yields 64 bits on every machine.
    nix::ioctl_read_bad!(read_only, nix::request_code_none!(0x12, 94), c_int);
    nix::ioctl_read_bad!(size, nix::request_code_read!(0x12, 114, size_of::<usize>()), u64);
    nix::ioctl_none_bad!(flush, nix::request_code_none!(0x12, 97));
    nix::ioctl_write_ptr_bad!(zero_out, nix::request_code_none!(0x12, 127), [u64; 2]);
}

/// A block device's node: what Dom0 calls it, and what the kernel does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BlockNode {
    /// Such as `/dev/loop3`.
    pub path: PathBuf,
    /// The driver's number.
    pub major: u64,
    /// The device's number with that driver.
    pub minor: u64,
}

impl BlockNode {
    /// Looks at the node `path`; a symbolic link to one will do.
    ///
    /// # Errors
    /// Those of `stat`; [`io::ErrorKind::InvalidInput`] where `path` is no
    /// block device.
    pub fn of(path: &Path) -> io::Result<Self> {
        let meta = std::fs::metadata(path)?;
        if !meta.file_type().is_block_device() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no block device"));
        }
        let number = meta.rdev();
        Ok(Self { path: path.to_owned(), major: major(number), minor: minor(number) })
    }

    /// The value of xenstore's `physical-device`: both numbers in hexadecimal,
    /// as xen-blkback parses them (drivers/block/xen-blkback/xenbus.c).
    pub fn physical_device(&self) -> String {
        format!("{:x}:{:x}", self.major, self.minor)
    }
}

/// The path.
impl fmt::Display for BlockNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(f)
    }
}

/// The size of an open block device in bytes (BLKGETSIZE64).
///
/// # Errors
/// ENOTTY where `device` is no block device.
pub fn size(device: &File) -> Result<u64, Errno> {
    let mut bytes = 0;
    // SAFETY: the ioctl writes 64 bits, which is what it is given.
    unsafe { ioctl::size(device.as_raw_fd(), &raw mut bytes) }?;
    Ok(bytes)
}

/// Whether the kernel refuses every write to an open block device (BLKROGET).
///
/// # Errors
/// ENOTTY where `device` is no block device.
pub fn is_read_only(device: &File) -> Result<bool, Errno> {
    let mut answer = 0;
    // SAFETY: the ioctl writes an int, which is what it is given.
    unsafe { ioctl::read_only(device.as_raw_fd(), &raw mut answer) }?;
    Ok(answer != 0)
}

/// Writes what Dom0's page cache holds of an open block device, and drops it
/// (BLKFLSBUF): what is read then comes from the disk. A back end does not go
/// through that cache, so pages that were read before it wrote are stale.
///
/// # Errors
/// ENOTTY where `device` is no block device, EACCES for others than root.
pub fn drop_cache(device: &File) -> Result<(), Errno> {
    // SAFETY: the ioctl takes no argument.
    unsafe { ioctl::flush(device.as_raw_fd()) }?;
    Ok(())
}

/// Makes `len` bytes from `start` on read as zeros (BLKZEROOUT): by a command
/// of the disk where there is one, else by writing. Both are multiples of the
/// device's logical block. Waits for the disk.
///
/// # Errors
/// ENOTTY where `device` is no block device, EBADF where it is not open for
/// writing, EINVAL for a part that is not within it or not aligned.
pub fn zero_out(device: &File, start: u64, len: u64) -> Result<(), Errno> {
    let range = [start, len];
    // SAFETY: the ioctl reads two 64-bit numbers, which live until it returns.
    unsafe { ioctl::zero_out(device.as_raw_fd(), &raw const range) }?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn physical_device_is_hexadecimal_on_both_sides() {
        let node = BlockNode { path: "/dev/x".into(), major: 253, minor: 260 };
        assert_eq!(node.physical_device(), "fd:104");
    }

    #[test]
    fn what_is_no_block_device_is_refused() {
        for path in ["/dev/null", "/"] {
            let error = BlockNode::of(Path::new(path)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{path}");
        }
        let null = File::open("/dev/null").unwrap();
        assert_eq!(size(&null), Err(Errno::ENOTTY));
        assert_eq!(is_read_only(&null), Err(Errno::ENOTTY));
        assert_eq!(drop_cache(&null), Err(Errno::ENOTTY));
        assert_eq!(zero_out(&null, 0, 4096), Err(Errno::ENOTTY));
    }
}

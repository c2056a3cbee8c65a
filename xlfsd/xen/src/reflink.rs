//! Files that share their blocks until one of them is written (FICLONE): a copy
//! of any size in one step, on file systems that can (XFS, btrfs, bcachefs, NFS 4.2).
//!
//! Source: Linux include/uapi/linux/fs.h, ioctl_ficlone(2).
#![allow(unsafe_code)]

use std::fs::File;
use std::os::fd::AsRawFd;

use nix::errno::Errno;

/// The ioctl; the macro makes it public, so it gets a room of its own.
mod ioctl {
    #![allow(missing_docs)]
    use nix::libc::c_int;

    nix::ioctl_write_int_bad!(clone, nix::request_code_write!(0x94, 9, size_of::<c_int>()));
}

/// Makes `to`, open for writing, a copy of `from`. `to` becomes as long as
/// `from`; what it held is gone.
///
/// # Errors
/// EOPNOTSUPP, ENOTTY or EINVAL where the file system cannot, EXDEV between
/// two file systems: copy the bytes then. ENOSPC and EIO are the disk's.
pub fn reflink(from: &File, to: &File) -> Result<(), Errno> {
    // SAFETY: the argument is a number, a descriptor that is open meanwhile.
    unsafe { ioctl::clone(to.as_raw_fd(), from.as_raw_fd()) }?;
    Ok(())
}

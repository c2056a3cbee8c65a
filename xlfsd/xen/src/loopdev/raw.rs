//! The raw interface of loop devices: layouts, numbers and ioctls as in Linux
//! include/uapi/linux/loop.h. What they mean is the parent's matter.
#![allow(unsafe_code)]

use std::fs::File;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::libc::c_int;

pub(super) const LO_FLAGS_READ_ONLY: u32 = 1;
pub(super) const LO_FLAGS_DIRECT_IO: u32 = 16;

/// Bytes of a name, with the zero at its end.
pub(super) const LO_NAME_SIZE: usize = 64;

/// `struct loop_info64`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct LoopInfo64 {
    /// The file system of the backing file, as `st_dev`.
    pub(super) device: u64,
    pub(super) inode: u64,
    /// The number of the backing file where that is itself a block device.
    pub(super) rdevice: u64,
    pub(super) offset: u64,
    pub(super) size_limit: u64,
    pub(super) number: u32,
    pub(super) encrypt_type: u32,
    pub(super) encrypt_key_size: u32,
    pub(super) flags: u32,
    pub(super) file_name: [u8; LO_NAME_SIZE],
    pub(super) crypt_name: [u8; LO_NAME_SIZE],
    pub(super) encrypt_key: [u8; 32],
    pub(super) init: [u64; 2],
}

impl LoopInfo64 {
    pub(super) const fn new() -> Self {
        Self {
            device: 0,
            inode: 0,
            rdevice: 0,
            offset: 0,
            size_limit: 0,
            number: 0,
            encrypt_type: 0,
            encrypt_key_size: 0,
            flags: 0,
            file_name: [0; LO_NAME_SIZE],
            crypt_name: [0; LO_NAME_SIZE],
            encrypt_key: [0; 32],
            init: [0; 2],
        }
    }
}

/// `struct loop_config`.
#[repr(C)]
#[derive(Debug)]
pub(super) struct LoopConfig {
    pub(super) fd: u32,
    pub(super) block_size: u32,
    pub(super) info: LoopInfo64,
    pub(super) reserved: [u64; 8],
}

const _: () = assert!(size_of::<LoopInfo64>() == 232 && size_of::<LoopConfig>() == 304);

/// The macro makes them public, so they get a room of their own.
mod ioctl {
    #![allow(missing_docs)]
    use super::{LoopConfig, LoopInfo64};

    nix::ioctl_write_int_bad!(set_fd, 0x4C00);
    nix::ioctl_none_bad!(clr_fd, 0x4C01);
    nix::ioctl_write_ptr_bad!(set_status64, 0x4C04, LoopInfo64);
    nix::ioctl_read_bad!(get_status64, 0x4C05, LoopInfo64);
    nix::ioctl_write_int_bad!(set_direct_io, 0x4C08);
    nix::ioctl_write_ptr_bad!(configure, 0x4C0A, LoopConfig);
    nix::ioctl_none_bad!(get_free, 0x4C82);
}

/// LOOP_CTL_GET_FREE: the number of a device that nobody uses, made if need be.
pub(super) fn get_free(control: &File) -> Result<u32, Errno> {
    // SAFETY: the ioctl takes no argument.
    unsafe { ioctl::get_free(control.as_raw_fd()) }.map(c_int::unsigned_abs)
}

/// LOOP_CONFIGURE (Linux 5.8): all in one step. ENOTTY or EINVAL before that.
pub(super) fn configure(device: &File, config: &LoopConfig) -> Result<(), Errno> {
    // SAFETY: the ioctl reads the struct, which lives until it returns.
    unsafe { ioctl::configure(device.as_raw_fd(), config) }?;
    Ok(())
}

/// LOOP_SET_FD: read-only where `backing` or `device` is open read-only.
pub(super) fn set_fd(device: &File, backing: &File) -> Result<(), Errno> {
    // SAFETY: the argument is a number, a descriptor that is open meanwhile.
    unsafe { ioctl::set_fd(device.as_raw_fd(), backing.as_raw_fd()) }?;
    Ok(())
}

/// LOOP_SET_STATUS64.
pub(super) fn set_status(device: &File, info: &LoopInfo64) -> Result<(), Errno> {
    // SAFETY: the ioctl reads the struct, which lives until it returns.
    unsafe { ioctl::set_status64(device.as_raw_fd(), info) }?;
    Ok(())
}

/// LOOP_SET_DIRECT_IO (Linux 4.10).
pub(super) fn set_direct_io(device: &File) -> Result<(), Errno> {
    // SAFETY: the argument is a number.
    unsafe { ioctl::set_direct_io(device.as_raw_fd(), 1) }?;
    Ok(())
}

/// LOOP_GET_STATUS64. ENXIO: the device serves no file.
pub(super) fn status(device: &File) -> Result<LoopInfo64, Errno> {
    let mut info = LoopInfo64::new();
    // SAFETY: the ioctl writes such a struct.
    unsafe { ioctl::get_status64(device.as_raw_fd(), &raw mut info) }?;
    Ok(info)
}

/// LOOP_CLR_FD. Where others have the device open, it is let go of when the
/// last of them closes it. ENXIO: it serves no file.
pub(super) fn clr_fd(device: &File) -> Result<(), Errno> {
    // SAFETY: the ioctl takes no argument.
    unsafe { ioctl::clr_fd(device.as_raw_fd()) }?;
    Ok(())
}

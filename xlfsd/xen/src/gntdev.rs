//! Pages that guests granted to Dom0: `/dev/xen/gntdev`.
//!
//! Source: Linux include/uapi/xen/gntdev.h.
#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags, mmap};

use crate::abi::numbers::PAGE_SIZE;
use crate::hypercall::DomainId;
use crate::privcmd::SharedPage;

/// Where the device is.
pub const PATH: &str = "/dev/xen/gntdev";

/// Why a grant could not be mapped.
#[derive(Debug, thiserror::Error)]
pub enum GntdevError {
    /// The device is missing or refuses.
    #[error("cannot open {PATH}")]
    Open(#[source] io::Error),
    /// The guest does not grant that page to us, or not any more.
    #[error("cannot map grant {reference} of domain {domid}: {errno}")]
    Map {
        /// The granting domain.
        domid: DomainId,
        /// Its grant reference.
        reference: u32,
        /// Why.
        errno: Errno,
    },
}

#[repr(C)]
struct MapGrantRef {
    count: u32,
    pad: u32,
    index: u64,
    domid: u32,
    reference: u32,
}

#[repr(C)]
struct UnmapGrantRef {
    index: u64,
    count: u32,
    pad: u32,
}

const fn request(number: u8, size: usize) -> u64 {
    ((size as u64) << 16) | ((b'G' as u64) << 8) | number as u64
}

/// The device's ioctls; the macro makes them public, so they get a room of their own.
mod ioctl {
    #![allow(missing_docs)]
    use super::*;

    nix::ioctl_readwrite_bad!(map, request(0, size_of::<MapGrantRef>()), MapGrantRef);
    nix::ioctl_readwrite_bad!(unmap, request(1, size_of::<UnmapGrantRef>()), UnmapGrantRef);
}

/// The open device.
#[derive(Debug)]
pub struct Gntdev {
    device: File,
}

impl Gntdev {
    /// Opens the device.
    ///
    /// # Errors
    /// [`GntdevError::Open`].
    pub fn open() -> Result<Self, GntdevError> {
        let device =
            OpenOptions::new().read(true).write(true).open(PATH).map_err(GntdevError::Open)?;
        Ok(Self { device })
    }

    /// Maps one granted page, readable and writable. The page may be written
    /// to by the guest at any time.
    ///
    /// # Errors
    /// [`GntdevError::Map`].
    pub fn map(&self, domid: DomainId, reference: u32) -> Result<SharedPage, GntdevError> {
        let fail = |errno| GntdevError::Map { domid, reference, errno };
        let fd = self.device.as_raw_fd();
        let mut grant =
            MapGrantRef { count: 1, pad: 0, index: 0, domid: u32::from(domid.0), reference };
        // SAFETY: the ioctl reads and writes the struct, which has one entry
        // as its count says and lives until it returns.
        unsafe { ioctl::map(fd, &raw mut grant) }.map_err(fail)?;
        let len = NonZeroUsize::new(PAGE_SIZE).ok_or(fail(Errno::EINVAL))?;
        let prot = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let offset = i64::try_from(grant.index).map_err(|_| fail(Errno::EOVERFLOW))?;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let mapped = unsafe { mmap(None, len, prot, MapFlags::MAP_SHARED, &self.device, offset) };
        // The kernel drops the slot with the last of slot and mapping: given
        // back now, the mapping alone keeps the grant.
        let mut unmap = UnmapGrantRef { index: grant.index, count: 1, pad: 0 };
        // SAFETY: the ioctl reads the struct, which lives until it returns.
        let _ = unsafe { ioctl::unmap(fd, &raw mut unmap) };
        // SAFETY: a page just mapped, whose only owner this becomes.
        Ok(unsafe { SharedPage::from_raw(mapped.map_err(fail)?.cast()) })
    }
}

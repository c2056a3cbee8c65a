//! The door to the hypervisor: `/dev/xen/privcmd`.
//!
//! A hypercall from user space is an ioctl with a number and five arguments;
//! pointers among them must point into memory that stays resident
//! ([`HypercallBuffer`]). The same device maps frames of other domains
//! ([`ForeignMapping`]). Source: Linux include/uapi/xen/privcmd.h.
#![allow(unsafe_code)]

mod buffer;
mod mapping;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;

pub use buffer::HypercallBuffer;
use buffer::Pool;
pub use mapping::{ForeignMapping, MapError, SharedPage};

/// Where the device is, newest place first. Linux before 3.3 has only the last.
pub const PATHS: [&str; 2] = ["/dev/xen/privcmd", "/proc/xen/privcmd"];

/// Why the device could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// This machine does not run on Xen, or the driver is missing.
    #[error(
        "this host does not run on Xen: none of {} exists",
        PATHS.join(", ")
    )]
    NotXen,
    /// The device is there, and refuses.
    #[error("cannot open {}", path.display())]
    Refused {
        /// The device.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// An open privcmd device. All of it may be used from many threads.
#[derive(Debug)]
pub struct Privcmd {
    file: File,
    pool: Pool,
    calls: AtomicU64,
}

#[repr(C)]
struct RawHypercall {
    op: u64,
    arg: [u64; 5],
}

/// The device's ioctls; the macro makes them public, so they get a room of their own.
mod ioctl {
    #![allow(missing_docs)]
    use super::*;

    nix::ioctl_readwrite_bad!(
        hypercall,
        // _IOC(_IOC_NONE, 'P', 0, sizeof(struct privcmd_hypercall))
        nix::request_code_none!(b'P', 0) | ((size_of::<RawHypercall>() as u64) << 16),
        RawHypercall
    );
}

impl Privcmd {
    /// Opens the first device that exists.
    ///
    /// # Errors
    /// [`OpenError::NotXen`] when there is none, [`OpenError::Refused`] when it
    /// cannot be opened (it is root's).
    pub fn open() -> Result<Self, OpenError> {
        let path = PATHS.iter().map(Path::new).find(|p| p.exists()).ok_or(OpenError::NotXen)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map_err(|source| OpenError::Refused { path: path.to_owned(), source })?;
        Ok(Self { file, pool: Pool::open(), calls: AtomicU64::new(0) })
    }

    /// Memory for a hypercall's arguments: zeroed, page-aligned and resident.
    ///
    /// # Errors
    /// What mmap or mlock said, such as ENOMEM.
    pub fn buffer(&self, len: usize) -> Result<HypercallBuffer<'_>, Errno> {
        self.pool.take(len)
    }

    /// Hypercalls made through this handle.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Makes a hypercall and returns what it returned when that was not an error.
    ///
    /// # Errors
    /// The hypervisor's, or the driver's, errno.
    ///
    /// # Safety
    /// Each address among `args`, and each handle inside the structs that they
    /// point to, must lie in memory that is live for the whole call and at
    /// least as large as the hypervisor reads or writes there.
    pub(crate) unsafe fn hypercall(&self, op: u64, args: [u64; 5]) -> Result<u64, Errno> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let mut raw = RawHypercall { op, arg: args };
        // SAFETY: the ioctl reads `raw`, which lives until it returns; what the
        // arguments point to is the caller's promise.
        let result = unsafe { ioctl::hypercall(self.file.as_raw_fd(), &raw mut raw) }?;
        Ok(u64::from(result.unsigned_abs()))
    }
}

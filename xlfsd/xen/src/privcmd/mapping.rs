//! Frames of another domain in our address space.
//!
//! A mapping is an owning type: it is gone when dropped, on every path, so
//! that failed builds leave nothing behind (XSA-160).

use std::num::NonZeroUsize;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use nix::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use super::Privcmd;
use crate::abi::numbers::PAGE_SIZE;

/// Why frames could not be mapped.
#[derive(Debug, thiserror::Error)]
pub enum MapError {
    /// The driver or the hypervisor refused the whole request.
    #[error("cannot map {frames} frames of domain {domid}: {errno}")]
    Refused {
        /// The domain that owns them.
        domid: u16,
        /// How many.
        frames: usize,
        /// Why.
        errno: Errno,
    },
    /// One frame could not be mapped.
    #[error("cannot map frame {frame:#x} of domain {domid}: {errno}")]
    Frame {
        /// The domain that should own it.
        domid: u16,
        /// The first machine frame that failed.
        frame: u64,
        /// Why.
        errno: Errno,
    },
}

#[repr(C)]
struct MmapBatchV2 {
    num: u32,
    dom: u16,
    addr: u64,
    arr: *const u64,
    err: *mut i32,
}

#[repr(C)]
struct MmapBatch {
    num: i32,
    dom: u16,
    addr: u64,
    arr: *mut u64,
}

/// The device's ioctls; the macro makes them public, so they get a room of their own.
mod ioctl {
    #![allow(missing_docs)]
    use super::*;

    nix::ioctl_readwrite_bad!(
        mmapbatch,
        nix::request_code_none!(b'P', 3) | ((size_of::<MmapBatch>() as u64) << 16),
        MmapBatch
    );
    nix::ioctl_readwrite_bad!(
        mmapbatch_v2,
        nix::request_code_none!(b'P', 4) | ((size_of::<MmapBatchV2>() as u64) << 16),
        MmapBatchV2
    );
}

/// The top bits of a frame number that `MMAPBATCH` (version 1) sets on failure.
const BATCH_ERROR: u64 = 0xf000_0000;

#[derive(Debug)]
struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: a mapping is memory; the types around it say who may touch it how.
unsafe impl Send for Mapping {}
// SAFETY: as above; `SharedPage` only reads and writes it by atomics.
unsafe impl Sync for Mapping {}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: made by mmap with this start and length; no reference
        // outlives the owner.
        let _ = unsafe { munmap(self.start.cast(), self.len) };
    }
}

impl Privcmd {
    fn map_frames(&self, domid: u16, frames: &[u64]) -> Result<Mapping, MapError> {
        let refused = |errno| MapError::Refused { domid, frames: frames.len(), errno };
        let len = NonZeroUsize::new(frames.len() * PAGE_SIZE).ok_or(refused(Errno::EINVAL))?;
        let prot = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let start = unsafe { mmap(None, len, prot, MapFlags::MAP_SHARED, &self.file, 0) }
            .map_err(refused)?
            .cast();
        let mapping = Mapping { start, len: len.get() };
        let mut errors = vec![0i32; frames.len()];
        let mut batch = MmapBatchV2 {
            num: frames.len() as u32,
            dom: domid,
            addr: start.as_ptr() as u64,
            arr: frames.as_ptr(),
            err: errors.as_mut_ptr(),
        };
        let fd = self.file.as_raw_fd();
        // SAFETY: `addr` is the mapping above, of `num` pages; both arrays have
        // `num` entries and live until the call returns.
        match unsafe { ioctl::mmapbatch_v2(fd, &raw mut batch) } {
            // ENOENT: some frame is paged out; the array says which.
            Ok(_) | Err(Errno::ENOENT) => {}
            Err(Errno::ENOTTY | Errno::EINVAL) => {
                self.map_batch_v1(domid, frames, start, &mut errors).map_err(refused)?;
            }
            Err(errno) => return Err(refused(errno)),
        }
        match errors.iter().position(|e| *e != 0) {
            None => Ok(mapping),
            Some(i) => Err(MapError::Frame {
                domid,
                frame: frames[i],
                errno: Errno::from_raw(errors[i].saturating_neg()),
            }),
        }
    }

    /// For Linux before 3.8, which marks failures in the array itself.
    fn map_batch_v1(
        &self,
        domid: u16,
        frames: &[u64],
        start: NonNull<u8>,
        errors: &mut [i32],
    ) -> Result<(), Errno> {
        let mut copy = frames.to_vec();
        let mut batch = MmapBatch {
            num: i32::try_from(frames.len()).map_err(|_| Errno::E2BIG)?,
            dom: domid,
            addr: start.as_ptr() as u64,
            arr: copy.as_mut_ptr(),
        };
        // SAFETY: as for version 2.
        unsafe { ioctl::mmapbatch(self.file.as_raw_fd(), &raw mut batch) }?;
        for ((error, before), after) in errors.iter_mut().zip(frames).zip(&copy) {
            if before != after && after & BATCH_ERROR != 0 {
                *error = -(Errno::EFAULT as i32);
            }
        }
        Ok(())
    }

    /// Maps frames of a domain that has never run, to fill them.
    ///
    /// # Errors
    /// [`MapError`], with the first frame that could not be mapped.
    pub fn map_for_build(&self, domid: u16, frames: &[u64]) -> Result<ForeignMapping, MapError> {
        Ok(ForeignMapping(self.map_frames(domid, frames)?))
    }

    /// Maps one frame of a domain that may run and write to it at any time.
    ///
    /// # Errors
    /// [`MapError`].
    pub fn map_shared(&self, domid: u16, frame: u64) -> Result<SharedPage, MapError> {
        Ok(SharedPage(self.map_frames(domid, &[frame])?))
    }
}

/// Frames of a domain that has never been unpaused, so that nobody else
/// touches them: they are an ordinary slice.
#[derive(Debug)]
pub struct ForeignMapping(Mapping);

impl ForeignMapping {
    /// The frames' bytes, in the order of the frames.
    #[must_use]
    pub fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the mapping is readable and writable, its owner is borrowed
        // exclusively, and the domain does not run (the caller of
        // `map_for_build` builds it).
        unsafe { std::slice::from_raw_parts_mut(self.0.start.as_ptr(), self.0.len) }
    }
}

/// One page that a running domain may write to at any time: every access is an
/// atomic one, so each value is read exactly once.
#[derive(Debug)]
pub struct SharedPage(Mapping);

impl SharedPage {
    /// Wraps a page that was mapped some other way (by grant).
    ///
    /// # Safety
    /// `start` must be a page made by mmap that nothing else will unmap.
    pub(crate) unsafe fn from_raw(start: NonNull<u8>) -> Self {
        Self(Mapping { start, len: PAGE_SIZE })
    }

    /// The 32-bit value at `offset`, which must be a multiple of 4 inside the page.
    #[must_use]
    pub fn load_u32(&self, offset: usize, order: Ordering) -> u32 {
        self.word(offset).map_or(0, |w| w.load(order))
    }

    /// Sets the 32-bit value at `offset`, a multiple of 4 inside the page.
    pub fn store_u32(&self, offset: usize, value: u32, order: Ordering) {
        if let Some(word) = self.word(offset) {
            word.store(value, order);
        }
    }

    fn word(&self, offset: usize) -> Option<&AtomicU32> {
        if !offset.is_multiple_of(4) || offset + 4 > self.0.len {
            return None;
        }
        // SAFETY: inside the mapping and aligned; the other side is another
        // domain, for which atomics are the only sound access.
        Some(unsafe { &*self.0.start.as_ptr().add(offset).cast::<AtomicU32>() })
    }

    fn byte(&self, offset: usize) -> Option<&AtomicU8> {
        if offset >= self.0.len {
            return None;
        }
        // SAFETY: inside the mapping; see `word`.
        Some(unsafe { &*self.0.start.as_ptr().add(offset).cast::<AtomicU8>() })
    }

    /// Copies bytes out, each read once; what lies outside the page reads as 0.
    pub fn read(&self, offset: usize, into: &mut [u8]) {
        for (i, byte) in into.iter_mut().enumerate() {
            *byte = self.byte(offset + i).map_or(0, |b| b.load(Ordering::Relaxed));
        }
    }

    /// Copies bytes in; what lies outside the page is dropped.
    pub fn write(&self, offset: usize, from: &[u8]) {
        for (i, byte) in from.iter().enumerate() {
            if let Some(place) = self.byte(offset + i) {
                place.store(*byte, Ordering::Relaxed);
            }
        }
    }

    /// A page of our own, for tests of ring protocols.
    #[cfg(test)]
    pub(crate) fn anonymous() -> Self {
        let len = NonZeroUsize::new(PAGE_SIZE).unwrap();
        let prot = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let start =
            unsafe { nix::sys::mman::mmap_anonymous(None, len, prot, MapFlags::MAP_PRIVATE) }
                .unwrap();
        Self(Mapping { start: start.cast(), len: PAGE_SIZE })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_page_stays_inside_itself() {
        let page = SharedPage::anonymous();
        page.write(4090, b"0123456789");
        let mut out = [1; 10];
        page.read(4090, &mut out);
        assert_eq!(&out, b"012345\0\0\0\0");
        page.store_u32(4094, 7, Ordering::Relaxed);
        page.store_u32(4096, 7, Ordering::Relaxed);
        assert_eq!(page.load_u32(4096, Ordering::Relaxed), 0);
        page.store_u32(4092, 9, Ordering::Relaxed);
        assert_eq!(page.load_u32(4092, Ordering::Relaxed), 9);
    }
}

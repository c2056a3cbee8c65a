//! Memory for the arguments of hypercalls.
//!
//! The hypervisor reads and writes arguments by address, without faulting
//! pages in: they must be resident, and must not move. `/dev/xen/hypercall`
//! (Linux 4.18) hands out such memory; before it, locked anonymous memory has
//! to do. Buffers are reused, since each new one costs two system calls.

use std::fs::{File, OpenOptions};
use std::num::NonZeroUsize;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Mutex;

use nix::errno::Errno;
use nix::sys::mman::{
    MapFlags, MmapAdvise, ProtFlags, madvise, mlock, mmap, mmap_anonymous, munmap,
};

use crate::abi::numbers::PAGE_SIZE;

const DEVICE: &str = "/dev/xen/hypercall";

/// Most pages that are kept for reuse; more are given back.
const KEPT_PAGES: usize = 64;

/// A run of resident pages.
#[derive(Debug)]
struct Region {
    start: NonNull<u8>,
    pages: usize,
}

// SAFETY: a region is plain memory that only its owner touches.
unsafe impl Send for Region {}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the region was made by mmap with this start and length, and
        // nobody else knows it.
        let _ = unsafe { munmap(self.start.cast(), self.pages * PAGE_SIZE) };
    }
}

/// Where buffers come from and go back to.
#[derive(Debug)]
pub(super) struct Pool {
    device: Option<File>,
    free: Mutex<Vec<Region>>,
}

impl Pool {
    pub(super) fn open() -> Self {
        let device = OpenOptions::new().read(true).write(true).open(DEVICE).ok();
        Self { device, free: Mutex::default() }
    }

    pub(super) fn take(&self, len: usize) -> Result<HypercallBuffer<'_>, Errno> {
        let pages = len.div_ceil(PAGE_SIZE).max(1);
        let mut free = self.free.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let kept = free.iter().position(|r| r.pages == pages).map(|i| free.swap_remove(i));
        drop(free);
        let region = match kept {
            Some(region) => region,
            None => self.map(pages)?,
        };
        let mut buffer = HypercallBuffer { region: Some(region), len, pool: self };
        buffer.fill(0);
        Ok(buffer)
    }

    fn map(&self, pages: usize) -> Result<Region, Errno> {
        let bytes = NonZeroUsize::new(pages * PAGE_SIZE).ok_or(Errno::EINVAL)?;
        let prot = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        if let Some(device) = &self.device {
            // SAFETY: a new mapping at an address of the kernel's choice.
            let start = unsafe { mmap(None, bytes, prot, MapFlags::MAP_SHARED, device, 0) }?;
            return Ok(Region { start: start.cast(), pages });
        }
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_LOCKED | MapFlags::MAP_POPULATE;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let start = unsafe { mmap_anonymous(None, bytes, prot, flags) }?;
        let region = Region { start: start.cast(), pages };
        // SAFETY: the range was mapped just now. MAP_LOCKED alone may fail in silence.
        unsafe { mlock(start, bytes.get()) }?;
        // A fork would make the pages copy-on-write, and the hypervisor would
        // then write to the wrong copy.
        // SAFETY: as above.
        unsafe { madvise(start, bytes.get(), MmapAdvise::MADV_DONTFORK) }?;
        Ok(region)
    }
}

/// Resident memory for one hypercall; goes back to its pool when dropped.
#[derive(Debug)]
pub struct HypercallBuffer<'a> {
    region: Option<Region>,
    len: usize,
    pool: &'a Pool,
}

impl HypercallBuffer<'_> {
    /// Its address, as hypercalls take it.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.region.as_ref().map_or(0, |r| r.start.as_ptr() as u64)
    }
}

impl Deref for HypercallBuffer<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.region {
            // SAFETY: the region has at least `len` initialised bytes (mapped
            // memory is zeroed) and is this buffer's alone.
            Some(region) => unsafe { std::slice::from_raw_parts(region.start.as_ptr(), self.len) },
            None => &[],
        }
    }
}

impl DerefMut for HypercallBuffer<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.region {
            // SAFETY: as in `deref`, and `self` is borrowed exclusively.
            Some(region) => unsafe {
                std::slice::from_raw_parts_mut(region.start.as_ptr(), self.len)
            },
            None => &mut [],
        }
    }
}

impl Drop for HypercallBuffer<'_> {
    fn drop(&mut self) {
        let Some(region) = self.region.take() else { return };
        let mut free = self.pool.free.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if region.pages + free.iter().map(|r| r.pages).sum::<usize>() <= KEPT_PAGES {
            free.push(region);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reused_buffer_is_zeroed_and_the_pool_stays_small() {
        let pool = Pool { device: None, free: Mutex::default() };
        let mut buffer = pool.take(100).unwrap();
        assert_eq!(buffer.len(), 100);
        assert_eq!(buffer.address() % PAGE_SIZE as u64, 0);
        buffer.fill(7);
        let address = buffer.address();
        drop(buffer);
        let again = pool.take(200).unwrap();
        assert_eq!(again.address(), address);
        assert!(again.iter().all(|b| *b == 0));
        let big = pool.take((KEPT_PAGES + 1) * PAGE_SIZE).unwrap();
        drop(big);
        drop(again);
        assert_eq!(pool.free.lock().unwrap().iter().map(|r| r.pages).sum::<usize>(), 1);
    }
}

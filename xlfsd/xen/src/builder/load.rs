//! Fills a new guest's memory.
//!
//! Every page that is mapped here is written whole (zeros where there is
//! nothing to say): what an earlier domain left in it reaches nobody (XSA-464).

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::layout::{Layout, Region};
use super::populate::P2m;
use super::{BuildError, Built, page_tables, start_info};
use crate::abi::numbers::PAGE_SIZE;
use crate::hypercall::{DomainId, Xen};
use crate::kernel::KernelPlan;
use crate::privcmd::ForeignMapping;

/// Frames that are mapped at once: 16 MiB, so that cancelling is prompt.
const WINDOW: u64 = 4096;

/// What goes into the guest.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// The kernel's plan, the same that the layout was made from.
    pub plan: &'a KernelPlan,
    /// The uncompressed ELF file to which the plan's offsets belong.
    pub payload: &'a File,
    /// The ramdisk and its length in bytes.
    pub ramdisk: Option<(&'a File, u64)>,
    /// At most 1023 bytes.
    pub command_line: &'a str,
}

pub(super) fn load(
    xen: &Xen,
    domid: DomainId,
    layout: &Layout,
    p2m: &P2m,
    sources: &Sources<'_>,
    cancelled: &dyn Fn() -> bool,
) -> Result<Built, BuildError> {
    let guest = Guest { xen, domid, p2m };
    let layouts = &xen.abi().layouts;
    guest.load_kernel(layout, sources, cancelled)?;
    if let (Some((region, _)), Some((file, len))) = (layout.ramdisk, sources.ramdisk) {
        guest.load_ramdisk(region, file, len, cancelled)?;
    }
    let mut frames = vec![0; p2m.frames().len() * 8];
    for (bytes, mfn) in frames.as_chunks_mut().0.iter_mut().zip(p2m.frames()) {
        *bytes = mfn.to_le_bytes();
    }
    guest.write(layout.p2m, &frames)?;

    let dom0 = DomainId(0);
    let built = Built {
        store_mfn: p2m.mfn(layout.xenstore),
        store_port: xen.alloc_unbound_port(domid, dom0)?,
        console_mfn: p2m.mfn(layout.console),
        console_port: xen.alloc_unbound_port(domid, dom0)?,
    };
    let info = xen.domain_info(domid)?.ok_or(BuildError::Gone(domid))?;
    let ramdisk_len = sources.ramdisk.map_or(0, |(_, len)| len);
    let page = start_info::start_info(
        layouts,
        layout,
        &built,
        info.shared_info_frame,
        ramdisk_len,
        sources.command_line,
    );
    // start_info, xenstore and console are neighbours.
    guest.write(Region { first: layout.start_info, pages: 3 }, &page)?;
    guest.write(Region { first: layout.stack, pages: 1 }, &[])?;
    let tables = page_tables::build(layout, p2m);
    guest.write(layout.page_tables, &tables.initial)?;
    if let Some(high) = &layout.high_p2m {
        guest.write(high.tables, &tables.high)?;
    }
    if let Some(pfn) = layout.hypercall_page {
        xen.init_hypercall_page(domid, p2m.mfn(pfn))?;
    }

    let mut shared = xen.privcmd().map_for_build(domid.0, &[info.shared_info_frame])?;
    let bytes = shared.bytes();
    bytes.fill(0);
    start_info::shared_info(layouts, bytes);
    let grants = xen.grant_table_frame(domid)?;
    let mut grants = xen.privcmd().map_for_build(domid.0, &[grants])?;
    start_info::grants(layouts, grants.bytes(), &built);
    Ok(built)
}

/// The pages that have content, in order and apart from each other.
fn content(plan: &KernelPlan, layout: &Layout) -> Vec<Region> {
    let mut regions: Vec<Region> = Vec::new();
    for segment in plan.segments.iter().filter(|segment| segment.file_size > 0) {
        let from = segment.vaddr - layout.virt_base;
        let first = from / PAGE_SIZE as u64;
        let end = (from + segment.file_size).div_ceil(PAGE_SIZE as u64);
        match regions.last_mut() {
            // Two segments may share a page.
            Some(last) if first <= last.end() => last.pages = end.max(last.end()) - last.first,
            _ => regions.push(Region { first, pages: end - first }),
        }
    }
    regions
}

/// Fills mapped memory, which begins at `start` relative to frame 0, with what
/// the segments have for it.
fn fill(
    sources: &Sources<'_>,
    virt_base: u64,
    start: u64,
    target: &mut [u8],
) -> Result<(), BuildError> {
    let end = start + target.len() as u64;
    let mut filled = start;
    for segment in &sources.plan.segments {
        let from = segment.vaddr - virt_base;
        let to = (from + segment.file_size).min(end);
        let begin = from.max(start);
        if begin >= to {
            continue;
        }
        target[(filled - start) as usize..(begin - start) as usize].fill(0);
        let into = &mut target[(begin - start) as usize..(to - start) as usize];
        let offset = segment.file_offset + (begin - from);
        let read = |source| BuildError::Read { what: "kernel", source };
        sources.payload.read_exact_at(into, offset).map_err(read)?;
        filled = to;
    }
    target[(filled - start) as usize..].fill(0);
    Ok(())
}

struct Guest<'a> {
    xen: &'a Xen,
    domid: DomainId,
    p2m: &'a P2m,
}

impl Guest<'_> {
    fn map(&self, region: Region) -> Result<ForeignMapping, BuildError> {
        let range = region.first as usize..region.end() as usize;
        let frames = self.p2m.frames().get(range).unwrap_or_default();
        Ok(self.xen.privcmd().map_for_build(self.domid.0, frames)?)
    }

    /// Writes `bytes` from the start of a region on and zeroes the rest of it.
    fn write(&self, region: Region, bytes: &[u8]) -> Result<(), BuildError> {
        let mut mapping = self.map(region)?;
        let target = mapping.bytes();
        let len = bytes.len().min(target.len());
        target[..len].copy_from_slice(&bytes[..len]);
        target[len..].fill(0);
        Ok(())
    }

    /// The content of the segments, and zeros where there is none.
    fn load_kernel(
        &self,
        layout: &Layout,
        sources: &Sources<'_>,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<(), BuildError> {
        let mut next = layout.kernel.first;
        for region in content(sources.plan, layout) {
            self.clear(Region { first: next, pages: region.first - next }, cancelled)?;
            self.windows(region, cancelled, |start, target| {
                fill(sources, layout.virt_base, start, target)
            })?;
            next = region.end();
        }
        self.clear(Region { first: next, pages: layout.kernel.end() - next }, cancelled)
    }

    /// Zeros, by the hypervisor; by our own hand where it does not do that for
    /// another domain (4.2).
    fn clear(&self, region: Region, cancelled: &dyn Fn() -> bool) -> Result<(), BuildError> {
        let range = region.first as usize..region.end() as usize;
        let frames = self.p2m.frames().get(range).unwrap_or_default();
        if frames.len() as u64 == region.pages && self.xen.clear_pages(self.domid, frames).is_ok() {
            return Ok(());
        }
        self.windows(region, cancelled, |_, target| {
            target.fill(0);
            Ok(())
        })
    }

    fn load_ramdisk(
        &self,
        region: Region,
        file: &File,
        len: u64,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<(), BuildError> {
        let read = |source| BuildError::Read { what: "ramdisk", source };
        let base = region.first * PAGE_SIZE as u64;
        self.windows(region, cancelled, |start, target| {
            let offset = start - base;
            let count = (len.saturating_sub(offset)).min(target.len() as u64) as usize;
            file.read_exact_at(&mut target[..count], offset).map_err(read)?;
            target[count..].fill(0);
            Ok(())
        })
    }

    /// Maps a region piece by piece and has each piece filled; `fill` gets the
    /// address of the piece relative to frame 0.
    fn windows(
        &self,
        region: Region,
        cancelled: &dyn Fn() -> bool,
        mut fill: impl FnMut(u64, &mut [u8]) -> Result<(), BuildError>,
    ) -> Result<(), BuildError> {
        let mut first = region.first;
        while first < region.end() {
            if cancelled() {
                return Err(BuildError::Cancelled);
            }
            let piece = Region { first, pages: WINDOW.min(region.end() - first) };
            let mut mapping = self.map(piece)?;
            fill(first * PAGE_SIZE as u64, mapping.bytes())?;
            first = piece.end();
        }
        Ok(())
    }
}

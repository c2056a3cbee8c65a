//! The initial page tables, four levels, as bytes to be copied into a guest.
//!
//! Entries hold machine frames. The tables themselves are mapped read-only:
//! Xen accepts no table that its guest could write to. Source: public/xen.h,
//! Intel SDM volume 3, 4.5.

use super::layout::{Layout, Region};
use super::populate::P2m;
use crate::abi::numbers::{PAGE_SHIFT, PAGE_SIZE};

const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const ACCESSED: u64 = 1 << 5;
const DIRTY: u64 = 1 << 6;

const LEAF: u64 = PRESENT | WRITABLE | ACCESSED;
const LEAF_READ_ONLY: u64 = PRESENT | ACCESSED;
const TABLE: u64 = PRESENT | WRITABLE | USER | ACCESSED | DIRTY;

const ENTRIES: usize = 512;

/// Addresses `virt..` that see the frames `frames`.
#[derive(Debug, Clone, Copy)]
struct Window {
    virt: u64,
    frames: Region,
}

impl Window {
    fn end(&self) -> u64 {
        self.virt + self.frames.pages * PAGE_SIZE as u64
    }
}

/// The bytes of every table: those of the initial mapping in the order of
/// their frames, then those of a p2m at an address of its own.
#[derive(Debug)]
pub(super) struct Tables {
    pub initial: Vec<u8>,
    pub high: Vec<u8>,
}

pub(super) fn build(layout: &Layout, p2m: &P2m) -> Tables {
    let main = Window { virt: layout.virt_base, frames: Region { first: 0, pages: layout.mapped } };
    let read_only = |pfn: u64| {
        let inside = |r: &Region| (r.first..r.end()).contains(&pfn);
        inside(&layout.page_tables) || layout.high_p2m.is_some_and(|high| inside(&high.tables))
    };
    let mut root = vec![0; ENTRIES];
    let below = level3(&main, layout.page_tables.first + 1, p2m, &read_only, &mut root);
    let mut high = Vec::new();
    if let Some(place) = &layout.high_p2m {
        let window = Window { virt: place.virt, frames: layout.p2m };
        high = level3(&window, place.tables.first, p2m, &read_only, &mut root);
    }
    let mut initial = to_bytes(&root);
    initial.extend(below);
    initial.resize(layout.page_tables.pages as usize * PAGE_SIZE, 0);
    Tables { initial, high }
}

/// The tables of levels 3, 2 and 1 for a window, in that order, which stand in
/// the guest from frame `first` on; enters the level-3 tables into `root`.
fn level3(
    window: &Window,
    first: u64,
    p2m: &P2m,
    read_only: &dyn Fn(u64) -> bool,
    root: &mut [u64],
) -> Vec<u8> {
    let last = window.end() - 1;
    let count = |shift: u32| ((last >> shift) - (window.virt >> shift) + 1) as usize;
    let (l3s, l2s, l1s) = (count(39), count(30), count(21));
    let mut tables = vec![0u64; (l3s + l2s + l1s) * ENTRIES];
    let (upper, l1) = tables.split_at_mut((l3s + l2s) * ENTRIES);
    let (l3, l2) = upper.split_at_mut(l3s * ENTRIES);

    let l2_frame = first + l3s as u64;
    let l1_frame = l2_frame + l2s as u64;
    link(root, window.virt, 39, l3s, first, p2m);
    link(l3, window.virt, 30, l2s, l2_frame, p2m);
    link(l2, window.virt, 21, l1s, l1_frame, p2m);

    let offset = (window.virt >> PAGE_SHIFT) as usize % ENTRIES;
    for (entry, pfn) in l1[offset..].iter_mut().zip(window.frames.first..window.frames.end()) {
        let flags = if read_only(pfn) { LEAF_READ_ONLY } else { LEAF };
        *entry = p2m.mfn(pfn) << PAGE_SHIFT | flags;
    }
    to_bytes(&tables)
}

/// Enters `count` tables, from frame `first` on, into the tables above them.
fn link(above: &mut [u64], virt: u64, shift: u32, count: usize, first: u64, p2m: &P2m) {
    let offset = (virt >> shift) as usize % ENTRIES;
    for (entry, pfn) in above[offset..].iter_mut().zip(first..).take(count) {
        *entry = p2m.mfn(pfn) << PAGE_SHIFT | TABLE;
    }
}

fn to_bytes(entries: &[u64]) -> Vec<u8> {
    entries.iter().flat_map(|e| e.to_le_bytes()).collect()
}

//! The layout and the tables, for many kernels and sizes, walked as the CPU
//! would walk them.

use super::layout::{Layout, LayoutError, LayoutRequest, Region};
use super::page_tables;
use super::populate::P2m;
use crate::kernel::{FeatureSet, Format, KernelPlan, PaeMode, Segment};

const LINUX_BASE: u64 = 0xffff_ffff_8000_0000;
const KSTART: u64 = LINUX_BASE + (16 << 20);
const INIT_P2M: u64 = 0x80_0000_0000;
/// Machine frames stand this far above guest frames in these tests.
const SHIFT: u64 = 0x5_0000;

fn plan(base: u64, start: u64, size: u64) -> KernelPlan {
    KernelPlan {
        format: Format::Elf,
        compression: None,
        payload_size: size,
        segments: vec![Segment { vaddr: start, file_offset: 0, file_size: size, mem_size: size }],
        virt_base: base,
        virt_entry: start,
        virt_kstart: start,
        virt_kend: start + size,
        hypercall_page: Some(start),
        init_p2m: None,
        mod_start_pfn: false,
        features_supported: FeatureSet::default(),
        features_required: FeatureSet::default(),
        guest_os: String::new(),
        guest_version: String::new(),
        loader: String::new(),
        xen_version: String::new(),
        pae_mode: PaeMode::No,
        bsd_symtab: false,
        suspend_cancel: false,
        hv_start_low: None,
        phys32_entry: false,
    }
}

/// Every combination that a guest may come in.
fn layouts() -> Vec<Layout> {
    let mut all = Vec::new();
    for (base, start) in [(LINUX_BASE, KSTART), (LINUX_BASE, LINUX_BASE), (0x10_0000, 0x10_0000)] {
        for size in [4096, 5000, 20 << 20, 47 << 20] {
            for init_p2m in [None, Some(INIT_P2M)] {
                for mod_start_pfn in [false, true] {
                    for ramdisk in [0, 1, 9 << 20] {
                        for mib in [128, 512, 3000] {
                            let plan =
                                KernelPlan { init_p2m, mod_start_pfn, ..plan(base, start, size) };
                            let pages = mib << 8;
                            let request = LayoutRequest { plan: &plan, ramdisk, pages };
                            all.push(Layout::compute(&request).unwrap());
                        }
                    }
                }
            }
        }
    }
    all
}

fn regions(layout: &Layout) -> Vec<Region> {
    let one = |first| Region { first, pages: 1 };
    let mut all = vec![
        layout.kernel,
        layout.p2m,
        one(layout.start_info),
        one(layout.xenstore),
        one(layout.console),
        layout.page_tables,
        one(layout.stack),
    ];
    all.extend(layout.ramdisk.map(|(region, _)| region));
    all.extend(layout.high_p2m.map(|high| high.tables));
    all.sort_by_key(|r| r.first);
    all
}

#[test]
fn nothing_overlaps_and_nothing_is_outside() {
    for layout in layouts() {
        let all = regions(&layout);
        for pair in all.windows(2) {
            assert!(pair[0].end() <= pair[1].first, "{pair:?} in {layout:#?}");
        }
        assert!(all.iter().all(|r| r.end() <= layout.pages));
        assert!(layout.mapped <= layout.pages);
        assert!((layout.virt(layout.mapped)).is_multiple_of(4 << 20));
        assert!(layout.mapped - layout.stack > 128, "512 KiB of padding");
        assert_eq!(layout.kernel.first, layout.hypercall_page.unwrap());
    }
}

/// Walks the tables from the root as the CPU does; frame and writability.
fn walk(memory: &dyn Fn(u64, usize) -> u64, root: u64, virt: u64) -> Option<(u64, bool)> {
    let mut table = root;
    for shift in [39, 30, 21, 12] {
        let entry = memory(table, ((virt >> shift) & 511) as usize);
        if entry & 1 == 0 {
            return None;
        }
        table = (entry >> 12) - SHIFT;
        if shift == 12 {
            return Some((table, entry & 2 != 0));
        }
        assert!(entry & 4 != 0, "a table must be user-accessible for a PV kernel");
    }
    None
}

#[test]
fn the_tables_map_each_frame_where_the_kernel_expects_it() {
    for layout in layouts() {
        let p2m = P2m::shifted(layout.pages, SHIFT);
        let tables = page_tables::build(&layout, &p2m);
        assert_eq!(tables.initial.len() as u64, layout.page_tables.pages * 4096);
        let high = layout.high_p2m.map(|h| h.tables);
        assert_eq!(tables.high.len() as u64, high.map_or(0, |h| h.pages * 4096));
        let memory = |frame: u64, index: usize| {
            let (bytes, region) = match high {
                Some(high) if frame >= high.first => (&tables.high, high),
                _ => (&tables.initial, layout.page_tables),
            };
            assert!((region.first..region.end()).contains(&frame), "{frame} is no table");
            let at = (frame - region.first) as usize * 4096 + index * 8;
            u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
        };
        let root = layout.page_tables.first;
        let is_table = |pfn: u64| {
            (root..layout.page_tables.end()).contains(&pfn)
                || high.is_some_and(|h| (h.first..h.end()).contains(&pfn))
        };
        for pfn in (0..layout.mapped).step_by(7).chain(root..layout.stack + 2) {
            let found = walk(&memory, root, layout.virt(pfn));
            assert_eq!(found, Some((pfn, !is_table(pfn))), "frame {pfn}");
        }
        if layout.virt(layout.mapped) != 0 {
            assert_eq!(walk(&memory, root, layout.virt(layout.mapped)), None);
        }
        for (i, pfn) in (layout.p2m.first..layout.p2m.end()).enumerate() {
            let found = walk(&memory, root, layout.p2m_virt() + i as u64 * 4096);
            assert_eq!(found, Some((pfn, true)));
        }
    }
}

#[test]
fn a_guest_that_is_too_small_is_told_what_would_do() {
    let plan = plan(LINUX_BASE, KSTART, 20 << 20);
    let request = |pages| LayoutRequest { plan: &plan, ramdisk: 5 << 20, pages };
    let error = Layout::compute(&request(16 << 8)).unwrap_err();
    let LayoutError::TooSmall { needed_mib, have_mib: 16 } = error else { panic!("{error:?}") };
    assert!(Layout::compute(&request(needed_mib << 8)).is_ok());
    assert!(Layout::compute(&request((needed_mib - 1) << 8)).is_err());
}

#[test]
fn addresses_that_no_guest_may_have_are_refused() {
    let bad = [
        plan(0xffff_8000_0000_0000, 0xffff_8000_0000_0000, 4096),
        plan(0x0000_8000_0000_0000, 0x0000_8000_0000_0000, 4096),
        plan(LINUX_BASE + 1, LINUX_BASE + 1, 4096),
        plan(LINUX_BASE, LINUX_BASE - 4096, 4096),
        plan(0x1000, LINUX_BASE, 4096),
        KernelPlan { virt_kend: KSTART - 1, ..plan(LINUX_BASE, KSTART, 4096) },
        KernelPlan { virt_kend: u64::MAX, ..plan(LINUX_BASE, KSTART, 4096) },
    ];
    for plan in bad {
        let request = LayoutRequest { plan: &plan, ramdisk: 0, pages: 1 << 18 };
        let error = Layout::compute(&request).unwrap_err();
        assert!(matches!(error, LayoutError::BadAddress { .. }), "{error:?}");
    }
}

#[test]
fn a_p2m_address_that_clashes_is_not_used() {
    for address in [LINUX_BASE + (1 << 30), 0xffff_8000_0000_0000, INIT_P2M + 1, u64::MAX - 4095] {
        let plan = KernelPlan { init_p2m: Some(address), ..plan(LINUX_BASE, KSTART, 4096) };
        let request = LayoutRequest { plan: &plan, ramdisk: 0, pages: 1 << 16 };
        let layout = Layout::compute(&request).unwrap();
        assert_eq!(layout.high_p2m, None, "{address:#x}");
        assert_eq!(layout.p2m_virt(), layout.virt(layout.p2m.first));
    }
}

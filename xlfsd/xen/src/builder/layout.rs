//! Where everything goes in a new guest's memory. Pure arithmetic, checked:
//! the kernel's numbers are a stranger's.
//!
//! Frames are given out upwards from 0, in the order that every PV kernel
//! since Linux 2.6 relies on; everything up to `end` is mapped at
//! `virt_base + frame * 4096`:
//!
//! ```text
//! 0 … kernel │ ramdisk │ p2m │ start_info │ xenstore │ console │ tables │ stack │ ≥512 KiB │ end (4 MiB)
//! ```
//!
//! A kernel that says so takes its ramdisk unmapped and its p2m at an address
//! of its choice; both then stand behind `end`.

use crate::abi::numbers::PAGE_SIZE;
use crate::kernel::KernelPlan;

const PAGE: u64 = PAGE_SIZE as u64;
/// The initial mapping ends at a multiple of this.
const MAP_ALIGN: u64 = 4 << 20;
/// Mapped pages behind the stack that a kernel may use at once.
const PADDING: u64 = 128;
/// Where a PV guest's addresses may not be: Xen's own range.
const XEN_START: u64 = 0xffff_8000_0000_0000;
const XEN_END: u64 = 0xffff_8800_0000_0000;

/// A run of guest frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// The first frame.
    pub first: u64,
    /// How many.
    pub pages: u64,
}

impl Region {
    /// The frame behind the last.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.first + self.pages
    }
}

/// What is to be laid out.
#[derive(Debug, Clone, Copy)]
pub struct LayoutRequest<'a> {
    /// The kernel.
    pub plan: &'a KernelPlan,
    /// Bytes of the ramdisk; 0 for none.
    pub ramdisk: u64,
    /// Pages of the guest.
    pub pages: u64,
}

/// Why it does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// More memory would do.
    #[error(
        "kernel and ramdisk need at least {needed_mib} MiB, the guest has {have_mib} MiB: \
         give it more memory or a smaller ramdisk"
    )]
    TooSmall {
        /// MiB that would be enough.
        needed_mib: u64,
        /// MiB that there are.
        have_mib: u64,
    },
    /// The kernel wants to be where no guest may be.
    #[error("the kernel asks for {what} at {address:#x}, where no PV guest may have it")]
    BadAddress {
        /// Such as "its base".
        what: &'static str,
        /// Where.
        address: u64,
    },
}

/// The p2m at an address of the kernel's choice, with tables of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HighP2m {
    /// Where the guest sees it.
    pub virt: u64,
    /// Its frames and then those of its tables.
    pub tables: Region,
}

/// Where everything goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Frame 0 is seen here.
    pub virt_base: u64,
    /// Where vCPU 0 begins.
    pub entry: u64,
    /// The frame that Xen fills with its hypercall page.
    pub hypercall_page: Option<u64>,
    /// All of the kernel's segments.
    pub kernel: Region,
    /// The ramdisk, and whether the guest sees it mapped.
    pub ramdisk: Option<(Region, bool)>,
    /// The p2m's frames.
    pub p2m: Region,
    /// Set when the p2m stands at an address of the kernel's choice.
    pub high_p2m: Option<HighP2m>,
    /// The start_info page.
    pub start_info: u64,
    /// The xenstore ring.
    pub xenstore: u64,
    /// The console ring.
    pub console: u64,
    /// Page tables of the initial mapping, the root first.
    pub page_tables: Region,
    /// The first stack, one page.
    pub stack: u64,
    /// Frames 0 to here are mapped.
    pub mapped: u64,
    /// Pages of the guest.
    pub pages: u64,
}

impl Layout {
    /// Lays a guest out.
    ///
    /// # Errors
    /// [`LayoutError`].
    pub fn compute(request: &LayoutRequest<'_>) -> Result<Self, LayoutError> {
        let plan = request.plan;
        let base = plan.virt_base;
        check_range("its base", base, base)?;
        let kernel = kernel_region(plan)?;
        let entry = plan.virt_entry;
        check_range("its entry", entry, base)?;
        let hypercall_page = plan
            .hypercall_page
            .map(|va| check_range("its hypercall page", va, base).map(|()| (va - base) / PAGE))
            .transpose()?;

        let mut next = kernel.end();
        let mut take = |pages: u64| {
            let region = Region { first: next, pages };
            next += pages;
            region
        };
        let ramdisk_pages = request.ramdisk.div_ceil(PAGE);
        let has_ramdisk = request.ramdisk > 0;
        let mapped_ramdisk = (has_ramdisk && !plan.mod_start_pfn).then(|| take(ramdisk_pages));
        let p2m_pages = (request.pages * 8).div_ceil(PAGE);
        let high = plan.init_p2m.filter(|va| high_p2m_possible(*va, base, p2m_pages));
        let low_p2m = high.is_none().then(|| take(p2m_pages));
        let start_info = take(1).first;
        let xenstore = take(1).first;
        let console = take(1).first;
        let (tables, mapped) = initial_tables(base, next)?;
        let page_tables = Region { first: next, pages: tables };
        let stack = page_tables.end();

        let mut behind = mapped;
        let mut take_behind = |pages: u64| {
            let region = Region { first: behind, pages };
            behind += pages;
            region
        };
        let ramdisk = match mapped_ramdisk {
            Some(region) => Some((region, true)),
            None => has_ramdisk.then(|| (take_behind(ramdisk_pages), false)),
        };
        let (p2m, high_p2m) = match (low_p2m, high) {
            (Some(region), _) => (region, None),
            (None, virt) => {
                let virt = virt.unwrap_or_default();
                let region = take_behind(p2m_pages);
                let end = virt + p2m_pages * PAGE;
                // Without the root, which is that of the initial mapping.
                let tables = take_behind(tables_for(virt, end) - 1);
                (region, Some(HighP2m { virt, tables }))
            }
        };
        if behind > request.pages {
            return Err(LayoutError::TooSmall {
                needed_mib: (behind * PAGE).div_ceil(1 << 20),
                have_mib: (request.pages * PAGE) >> 20,
            });
        }
        Ok(Self {
            virt_base: base,
            entry,
            hypercall_page,
            kernel,
            ramdisk,
            p2m,
            high_p2m,
            start_info,
            xenstore,
            console,
            page_tables,
            stack,
            mapped,
            pages: request.pages,
        })
    }

    /// Where the guest sees a frame of the initial mapping.
    #[must_use]
    pub fn virt(&self, pfn: u64) -> u64 {
        self.virt_base + pfn * PAGE
    }

    /// Where the guest sees its p2m.
    #[must_use]
    pub fn p2m_virt(&self) -> u64 {
        self.high_p2m.map_or_else(|| self.virt(self.p2m.first), |high| high.virt)
    }
}

fn check_range(what: &'static str, address: u64, base: u64) -> Result<(), LayoutError> {
    let canonical = !(1 << 47..XEN_START).contains(&address);
    let xens = (XEN_START..XEN_END).contains(&address);
    let aligned = what != "its base" || address.is_multiple_of(PAGE);
    if canonical && !xens && aligned && address >= base {
        Ok(())
    } else {
        Err(LayoutError::BadAddress { what, address })
    }
}

fn kernel_region(plan: &KernelPlan) -> Result<Region, LayoutError> {
    let (start, end) = (plan.virt_kstart, plan.virt_kend);
    let bad = || LayoutError::BadAddress { what: "its image", address: start };
    let offset = start.checked_sub(plan.virt_base).ok_or_else(bad)?;
    let size = end.checked_sub(start).ok_or_else(bad)?;
    // No x86_64 kernel maps its own image over more than 2 GiB.
    if offset.max(size) > 2 << 30 {
        return Err(bad());
    }
    let first = offset / PAGE;
    Ok(Region { first, pages: (offset + size).div_ceil(PAGE) - first })
}

/// Whether the p2m can stand where the kernel wants it: below the kernel, in
/// a slot of the root of its own, so that no table is shared but the root.
fn high_p2m_possible(virt: u64, base: u64, pages: u64) -> bool {
    let slot = |va: u64| (va >> 39) & 511;
    let Some(last) = virt.checked_add(pages * PAGE - 1) else { return false };
    let clear = |va| va < 1 << 47 || (XEN_END..base).contains(&va);
    virt.is_multiple_of(PAGE)
        && clear(virt)
        && clear(last)
        && (virt < 1 << 47) == (last < 1 << 47)
        && slot(last) != slot(base)
        && slot(virt) != slot(base)
}

/// Tables of all four levels for the addresses `start..end`.
pub(super) fn tables_for(start: u64, end: u64) -> u64 {
    let last = end - 1;
    [21, 30, 39].iter().map(|shift| (last >> shift) - (start >> shift) + 1).sum::<u64>() + 1
}

/// How many tables the initial mapping needs, and how many frames it maps,
/// when `used` frames are taken before the tables. The tables are inside the
/// mapping, so that their number depends on itself.
fn initial_tables(base: u64, used: u64) -> Result<(u64, u64), LayoutError> {
    let bad = || LayoutError::BadAddress { what: "its image", address: base };
    let mut tables = 1;
    for _ in 0..16 {
        let wanted = base.checked_add((used + tables + 1 + PADDING) * PAGE).ok_or_else(bad)?;
        // The end of the address space itself is a legal end.
        let end = wanted.checked_next_multiple_of(MAP_ALIGN).unwrap_or(wanted);
        let needed = tables_for(base, end);
        if needed <= tables {
            return Ok((tables, (end - base) / PAGE));
        }
        tables = needed;
    }
    Err(bad())
}

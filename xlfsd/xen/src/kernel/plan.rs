//! What a PV kernel asks of its builder, and the rules such a plan keeps.
//!
//! [`KernelPlan::validate`] is the one place that knows the rules. It runs at
//! the end of parsing, again in the daemon on what the parsing process sent,
//! and again on what a cache held: a plan that passed it never places a byte
//! outside the kernel's own range, never reads outside the payload, and no
//! address calculation on it can wrap.

use serde::{Deserialize, Serialize};

use super::compression::Compression;
use super::error::{AddressName, Error};
use super::features::{Feature, FeatureSet};
use super::limits::Limits;
use super::text::is_clean;

/// Size of a page, in bytes.
pub(super) const PAGE: u64 = 4096;
/// First and last address of the hole between the two canonical halves.
const HOLE: (u64, u64) = (0x0000_8000_0000_0000, 0xffff_7fff_ffff_ffff);
/// First and last address that Xen keeps for itself in a 64-bit PV guest
/// (HYPERVISOR_VIRT_START to _END in public/arch-x86/xen-x86_64.h).
const XEN: (u64, u64) = (0xffff_8000_0000_0000, 0xffff_87ff_ffff_ffff);

/// What kind of file the kernel came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// An ELF file (vmlinux), perhaps compressed as a whole.
    Elf,
    /// A Linux bzImage (vmlinuz) with the ELF file inside.
    BzImage,
}

/// What the kernel says about PAE page tables; of no consequence on x86-64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaeMode {
    /// Nothing, or "no".
    #[default]
    No,
    /// "yes".
    Yes,
    /// "yes", with page directories above 4 GiB.
    ExtendedCr3,
    /// Both with and without.
    Bimodal,
}

impl PaeMode {
    /// From the note PAE_MODE.
    pub(super) fn from_note(text: &[u8]) -> Self {
        if text.windows(7).any(|w| w == b"bimodal") {
            Self::Bimodal
        } else if text == b"yes" {
            // Every kernel with notes can do it.
            Self::ExtendedCr3
        } else {
            Self::No
        }
    }

    /// From `PAE=` in `__xen_guest`.
    pub(super) fn from_guest_info(text: &[u8]) -> Self {
        match text {
            b"yes[extended-cr3]" => Self::ExtendedCr3,
            _ if text.starts_with(b"yes") => Self::Yes,
            _ => Self::No,
        }
    }
}

/// A piece of the payload and where the guest sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Virtual address of its first byte in the initial mapping; its place in
    /// the guest's memory is `vaddr - virt_base`.
    pub vaddr: u64,
    /// Where its content begins in the payload.
    pub file_offset: u64,
    /// Bytes of content.
    pub file_size: u64,
    /// Bytes of memory; those after the content are zero.
    pub mem_size: u64,
}

impl Segment {
    /// The first address after it.
    fn end(&self) -> Option<u64> {
        self.vaddr.checked_add(self.mem_size)
    }
}

/// Everything a PV domain builder needs to know about a kernel.
///
/// Addresses are the guest's virtual ones, sizes are bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KernelPlan {
    /// What kind of file it came in.
    pub format: Format,
    /// How the ELF was packed; `None` if it was not, in which case (for
    /// [`Format::Elf`]) the image itself is the payload.
    pub compression: Option<Compression>,
    /// Size of the ELF payload.
    pub payload_size: u64,
    /// What to load, sorted by address, without overlap.
    pub segments: Vec<Segment>,
    /// Where the guest's memory begins in its initial mapping; page aligned.
    pub virt_base: u64,
    /// Where the first vCPU starts.
    pub virt_entry: u64,
    /// First address of the lowest segment.
    pub virt_kstart: u64,
    /// First address after the highest segment.
    pub virt_kend: u64,
    /// The page to fill with hypercall stubs. Kernels of 2025 and later make
    /// hypercalls without it (XSA-466).
    pub hypercall_page: Option<u64>,
    /// Where the kernel wants the p2m table, if not right after itself.
    pub init_p2m: Option<u64>,
    /// Whether the ramdisk may be passed by frame number, without a mapping.
    pub mod_start_pfn: bool,
    /// Features the kernel can use.
    pub features_supported: FeatureSet,
    /// Features the kernel cannot do without.
    pub features_required: FeatureSet,
    /// Note GUEST_OS; printable ASCII, as are the next three.
    pub guest_os: String,
    /// Note GUEST_VERSION.
    pub guest_version: String,
    /// Note LOADER.
    pub loader: String,
    /// Note XEN_VERSION.
    pub xen_version: String,
    /// Note PAE_MODE.
    pub pae_mode: PaeMode,
    /// Whether the kernel would like its symbol table loaded (BSD kernels);
    /// it is not among the segments.
    pub bsd_symtab: bool,
    /// Whether a suspend can be cancelled.
    pub suspend_cancel: bool,
    /// Lowest address at which Xen's own range may begin.
    pub hv_start_low: Option<u64>,
    /// Whether the kernel has a PVH entry too.
    pub phys32_entry: bool,
}

impl KernelPlan {
    /// Whether the payload is the image file itself, so that nothing had to be
    /// written.
    pub fn payload_is_image(&self) -> bool {
        self.format == Format::Elf && self.compression.is_none()
    }

    /// Bytes from `virt_base` to the kernel's end, in whole pages.
    pub fn memory_needed(&self) -> u64 {
        self.virt_kend
            .saturating_sub(self.virt_base)
            .checked_next_multiple_of(PAGE)
            .unwrap_or(u64::MAX)
    }

    /// Checks every rule of a plan. `payload_size` is what the payload file
    /// really holds.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self, payload_size: u64, limits: &Limits) -> Result<(), Error> {
        if self.payload_size != payload_size {
            return Err(invalid(format!(
                "it is for a payload of {} bytes, but there are {payload_size}",
                self.payload_size
            )));
        }
        if payload_size > limits.payload_bytes {
            return Err(Error::PayloadTooLarge { limit: limits.payload_bytes });
        }
        for text in [&self.guest_os, &self.guest_version, &self.loader, &self.xen_version] {
            if !is_clean(text) {
                return Err(invalid("a text is too long or not printable".into()));
            }
        }
        if self.features_required.contains(Feature::Dom0) {
            return Err(Error::Dom0Only);
        }
        self.validate_segments(limits)?;
        self.validate_addresses()
    }

    fn validate_segments(&self, limits: &Limits) -> Result<(), Error> {
        if self.segments.len() > usize::from(limits.program_headers) {
            return Err(invalid(format!("it has {} segments", self.segments.len())));
        }
        let mut end = self.virt_base;
        for segment in &self.segments {
            let Segment { vaddr, file_offset, file_size, mem_size } = *segment;
            let file_end = file_offset.checked_add(file_size);
            if file_end.is_none_or(|end| end > self.payload_size) {
                return Err(Error::SegmentOutside {
                    offset: file_offset,
                    size: file_size,
                    payload_size: self.payload_size,
                });
            }
            if file_size > mem_size {
                return Err(Error::SegmentOverfull { address: vaddr, file_size, mem_size });
            }
            if vaddr < end {
                return Err(Error::SegmentsOverlap { end, start: vaddr });
            }
            end = segment.end().filter(|_| mem_size > 0).ok_or_else(|| {
                invalid(format!("the segment at {vaddr:#x} has {mem_size:#x} bytes of memory"))
            })?;
        }
        let (Some(first), Some(last)) = (self.segments.first(), self.segments.last()) else {
            return Err(Error::NoSegments);
        };
        if self.virt_kstart != first.vaddr || Some(self.virt_kend) != last.end() {
            return Err(invalid("virt_kstart and virt_kend are not the segments' ends".into()));
        }
        let size = self.virt_kend.saturating_sub(self.virt_base);
        if size > limits.memory_bytes {
            return Err(Error::KernelTooLarge { size, limit: limits.memory_bytes });
        }
        Ok(())
    }

    fn validate_addresses(&self) -> Result<(), Error> {
        aligned(AddressName::VirtBase, self.virt_base)?;
        if !usable(self.virt_base, self.virt_kend) {
            let (name, address) = if usable(self.virt_base, self.virt_base) {
                (AddressName::KernelEnd, self.virt_kend)
            } else {
                (AddressName::VirtBase, self.virt_base)
            };
            return Err(Error::ForbiddenAddress { name, address });
        }
        let (start, end) = (self.virt_kstart, self.virt_kend);
        let entry = self.virt_entry;
        if !self.segments.iter().any(|s| s.vaddr <= entry && s.end().is_some_and(|e| entry < e)) {
            let (name, address) = (AddressName::Entry, entry);
            return Err(Error::AddressOutside { name, address, start, end });
        }
        if let Some(address) = self.hypercall_page {
            let name = AddressName::HypercallPage;
            aligned(name, address)?;
            if address < start || address.checked_add(PAGE).is_none_or(|e| e > end) {
                return Err(Error::AddressOutside { name, address, start, end });
            }
        }
        if let Some(address) = self.init_p2m {
            aligned(AddressName::InitP2m, address)?;
            if !usable(address, address) {
                return Err(Error::ForbiddenAddress { name: AddressName::InitP2m, address });
            }
            if (self.virt_base..end).contains(&address) {
                let start = self.virt_base;
                return Err(Error::InitP2mOverlaps { address, size: PAGE, start, end });
            }
        }
        Ok(())
    }

    /// Checks that the kernel can be placed in a guest with `memory_bytes` of
    /// memory: that it and its whole p2m table lie in mappable addresses and
    /// apart from each other. The plan must be valid.
    ///
    /// # Errors
    /// [`Error::KernelTooLarge`], or the address that cannot be had.
    pub fn fits(&self, memory_bytes: u64) -> Result<(), Error> {
        let needed = self.memory_needed();
        if needed > memory_bytes {
            return Err(Error::KernelTooLarge { size: needed, limit: memory_bytes });
        }
        if let Some(address) = self.init_p2m {
            // One 8-byte entry for each page.
            let size = (memory_bytes / PAGE).saturating_mul(8).max(PAGE);
            let Some(last) = address.checked_add(size - 1).filter(|last| usable(address, *last))
            else {
                return Err(Error::ForbiddenAddress { name: AddressName::InitP2m, address });
            };
            let (start, end) = (self.virt_base, self.virt_kend);
            if address < end && last >= start {
                return Err(Error::InitP2mOverlaps { address, size, start, end });
            }
        }
        Ok(())
    }
}

fn invalid(reason: String) -> Error {
    Error::InvalidPlan { reason }
}

fn aligned(name: AddressName, address: u64) -> Result<(), Error> {
    if address.is_multiple_of(PAGE) { Ok(()) } else { Err(Error::NotPageAligned { name, address }) }
}

/// Whether a guest may map everything from `first` to `last`.
fn usable(first: u64, last: u64) -> bool {
    let clear = |(from, to): (u64, u64)| last < from || first > to;
    first <= last && clear(HOLE) && clear(XEN)
}

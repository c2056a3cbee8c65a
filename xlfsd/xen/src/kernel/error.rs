//! Everything that can be wrong with a kernel image, one variant each.
//!
//! The texts are for the operator who named the image: they say what was
//! found, what would have been right and, where there is one, the remedy. An
//! error crosses from the parsing process to the daemon as JSON, so it carries
//! no `io::Error`.

use serde::{Deserialize, Serialize};

use super::compression::Compression;

/// The part of an image that an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The image as a whole.
    Image,
    /// The boot protocol's setup header of a bzImage.
    SetupHeader,
    /// The ELF file header.
    ElfHeader,
    /// An ELF program header.
    ProgramHeader,
    /// An ELF section header.
    SectionHeader,
    /// The table of section names.
    SectionNames,
    /// The ELF notes.
    Notes,
    /// The string in the section `__xen_guest`.
    GuestInfo,
    /// The decompressed payload.
    Payload,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Image => "the image",
            Self::SetupHeader => "the bzImage setup header",
            Self::ElfHeader => "the ELF header",
            Self::ProgramHeader => "the ELF program headers",
            Self::SectionHeader => "the ELF section headers",
            Self::SectionNames => "the ELF section names",
            Self::Notes => "the ELF notes",
            Self::GuestInfo => "the __xen_guest section",
            Self::Payload => "the payload",
        })
    }
}

/// Why an image is not a PV kernel that can be built into a domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "error", rename_all = "snake_case")]
pub enum Error {
    /// A part ends before it is complete.
    #[error(
        "{what} at byte {at} needs {need} bytes, but only {have} are there: the file is cut short or damaged"
    )]
    Truncated {
        /// The part that ends too early.
        what: Part,
        /// Its offset in the file.
        at: u64,
        /// Its size in bytes.
        need: u64,
        /// How many of them the file holds.
        have: u64,
    },
    /// The host could not read the image.
    #[error("cannot read {what} at byte {at}: {reason}")]
    Read {
        /// The part that was read.
        what: Part,
        /// Its offset in the file.
        at: u64,
        /// The operating system's reason.
        reason: String,
    },
    /// The host could not store the decompressed payload.
    #[error("cannot store the payload after {at} bytes: {reason}")]
    Store {
        /// How many bytes were stored before.
        at: u64,
        /// The operating system's reason.
        reason: String,
    },
    /// The file is larger than what is read.
    #[error(
        "the image is {size} bytes long, the limit is {limit}; strip its debug information (`strip -g vmlinux`) or raise the limit"
    )]
    ImageTooLarge {
        /// The file's size in bytes.
        size: u64,
        /// [`super::Limits::image_bytes`] or [`super::Limits::payload_bytes`].
        limit: u64,
    },
    /// A file without content.
    #[error("the image is empty")]
    Empty,
    /// Neither ELF nor bzImage nor a compressed ELF.
    #[error(
        "not a kernel: the file begins with {magic} and is neither ELF, bzImage, nor an ELF compressed with gzip, bzip2, xz, lzma, lz4 or zstd"
    )]
    NotAKernel {
        /// The first bytes in hexadecimal.
        magic: String,
    },
    /// A bzImage without the header fields that name its payload.
    #[error("the bzImage speaks boot protocol {major}.{minor}, but its payload can be found only from 2.08 (Linux 2.6.24) on; give the vmlinux instead", major = version >> 8, minor = version & 0xff)]
    BootProtocolTooOld {
        /// The version field of the setup header.
        version: u16,
    },
    /// The bzImage's payload is not inside the file.
    #[error(
        "the bzImage says that its payload has {size} bytes at byte {offset}, but the file has {image_size}"
    )]
    PayloadOutside {
        /// Where the payload would begin.
        offset: u64,
        /// Its size.
        size: u64,
        /// The file's size.
        image_size: u64,
    },
    /// A payload in no known format.
    #[error(
        "unknown compression: the payload begins with {magic}; known are gzip, bzip2, xz, lzma, lz4 and zstd (lzo is not: rebuild with another CONFIG_KERNEL_*)"
    )]
    UnknownCompression {
        /// The first bytes in hexadecimal.
        magic: String,
    },
    /// The decoder gave up.
    #[error("the {compression} data is damaged (after {produced} bytes of output): {reason}")]
    Decompress {
        /// The format.
        compression: Compression,
        /// How many bytes came out before.
        produced: u64,
        /// The decoder's reason.
        reason: String,
    },
    /// The decoder would need too much memory.
    #[error(
        "the {compression} data asks for a dictionary or window above the limit of {limit} bytes"
    )]
    DecoderMemory {
        /// The format.
        compression: Compression,
        /// [`super::Limits::decoder_bytes`].
        limit: u64,
    },
    /// More comes out of the image than is allowed.
    #[error(
        "the payload is larger than {limit} bytes when decompressed; if this is a real kernel, raise the limit or give the guest more memory"
    )]
    PayloadTooLarge {
        /// [`super::Limits::payload_bytes`].
        limit: u64,
    },
    /// What came out of the image is not ELF.
    #[error("the decompressed payload is not ELF: it begins with {magic}")]
    PayloadNotElf {
        /// The first bytes in hexadecimal.
        magic: String,
    },
    /// A 32-bit kernel.
    #[error("a 32-bit kernel: xlfs builds 64-bit PV guests only")]
    Is32Bit,
    /// A big-endian or otherwise strange ELF.
    #[error("ELF data encoding {encoding} is not little-endian (1)")]
    NotLittleEndian {
        /// `e_ident[EI_DATA]`.
        encoding: u8,
    },
    /// A kernel for another processor.
    #[error("a kernel for ELF machine {machine}, not x86-64 (62)")]
    NotX86_64 {
        /// `e_machine`.
        machine: u16,
    },
    /// An object file, a core dump.
    #[error(
        "ELF type {kind} is not an executable (2 or 3): an object file or a core dump cannot be started"
    )]
    NotExecutable {
        /// `e_type`.
        kind: u16,
    },
    /// Table entries of an unexpected size.
    #[error("entries of {what} have {size} bytes, not {expected}")]
    BadEntrySize {
        /// Which table.
        what: Part,
        /// The size in the ELF header.
        size: u16,
        /// The size of the ELF-64 specification.
        expected: u16,
    },
    /// More of something than is looked at.
    #[error("{what}: more than the limit of {limit}")]
    TooMany {
        /// What there is too much of.
        what: Part,
        /// The limit, a count or bytes.
        limit: u64,
    },
    /// Nothing to load.
    #[error("no loadable segment: this ELF file holds no program")]
    NoSegments,
    /// A segment's bytes are not in the file.
    #[error(
        "a segment has {size} bytes at byte {offset} of the payload, which has only {payload_size}"
    )]
    SegmentOutside {
        /// `p_offset`.
        offset: u64,
        /// `p_filesz`.
        size: u64,
        /// The payload's size.
        payload_size: u64,
    },
    /// More bytes in the file than in memory.
    #[error(
        "the segment at {address:#x} has {file_size} bytes in the file, but only {mem_size} in memory"
    )]
    SegmentOverfull {
        /// `p_paddr`.
        address: u64,
        /// `p_filesz`.
        file_size: u64,
        /// `p_memsz`.
        mem_size: u64,
    },
    /// An address calculation leaves 64 bits or goes below zero.
    #[error(
        "the address {address:#x} with size {size:#x} cannot be mapped with VIRT_BASE {virt_base:#x} and PADDR_OFFSET {paddr_offset:#x}"
    )]
    AddressWraps {
        /// The physical address in the image.
        address: u64,
        /// The size that goes with it.
        size: u64,
        /// The note's value or its default.
        virt_base: u64,
        /// The note's value or its default.
        paddr_offset: u64,
    },
    /// Two segments want the same memory.
    #[error("two segments overlap: one ends at {end:#x}, the next begins at {start:#x}")]
    SegmentsOverlap {
        /// The end of the lower one.
        end: u64,
        /// The start of the upper one.
        start: u64,
    },
    /// The kernel with its `.bss` is too large.
    #[error("the kernel takes {size} bytes of memory, the limit is {limit}")]
    KernelTooLarge {
        /// From `virt_base` to the kernel's end.
        size: u64,
        /// [`super::Limits::memory_bytes`] or the guest's memory.
        limit: u64,
    },
    /// No Xen notes at all.
    #[error(
        "no Xen notes: this kernel was not built to run under Xen; a Linux kernel needs CONFIG_XEN and CONFIG_XEN_PV"
    )]
    NoXenNotes,
    /// Only the PVH entry.
    #[error("the kernel has a PVH entry only; a PV guest needs a Linux kernel with CONFIG_XEN_PV")]
    PvhOnly,
    /// A Xen note with content that makes no sense.
    #[error("the Xen note {name} is malformed: {reason}")]
    BadNote {
        /// The note's name in elfnote.h.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A loader that nobody here knows.
    #[error(
        "the kernel asks for the loader {loader:?} (guest OS {guest_os:?}); only the generic loader, or guest OS linux, is served"
    )]
    UnsupportedLoader {
        /// The LOADER note.
        loader: String,
        /// The GUEST_OS note.
        guest_os: String,
    },
    /// Not the interface that every Xen since 3.0 has.
    #[error("the kernel was built for the interface {xen_version:?}, not xen-3.0")]
    UnsupportedXenVersion {
        /// The XEN_VERSION note.
        xen_version: String,
    },
    /// A feature without which the kernel will not run.
    #[error("the kernel requires the feature {name:?}, which is unknown")]
    UnknownFeature {
        /// Its name, cleaned.
        name: String,
    },
    /// A kernel that runs as Dom0 only.
    #[error("the kernel requires to be Dom0: it cannot run as a guest")]
    Dom0Only,
    /// The notes contradict each other.
    #[error("the kernel gives PADDR_OFFSET {paddr_offset:#x} without VIRT_BASE")]
    NoVirtBase {
        /// The note's value.
        paddr_offset: u64,
    },
    /// An address that x86-64 or Xen does not let the guest have.
    #[error(
        "{name} {address:#x} is not an address a guest may use: it is not canonical, or in Xen's own range"
    )]
    ForbiddenAddress {
        /// What the address is for.
        name: AddressName,
        /// The address.
        address: u64,
    },
    /// An address that must be, and is not, at the start of a page.
    #[error("{name} {address:#x} is not at the start of a page")]
    NotPageAligned {
        /// What the address is for.
        name: AddressName,
        /// The address.
        address: u64,
    },
    /// An address outside the kernel that must be inside.
    #[error("{name} {address:#x} is not inside the kernel, {start:#x} to {end:#x}")]
    AddressOutside {
        /// What the address is for.
        name: AddressName,
        /// The address.
        address: u64,
        /// The first address of the kernel.
        start: u64,
        /// The first address after it.
        end: u64,
    },
    /// The p2m table would lie over the guest's initial mapping.
    #[error(
        "INIT_P2M {address:#x} with {size} bytes lies over the initial mapping, {start:#x} to {end:#x}"
    )]
    InitP2mOverlaps {
        /// The note's value.
        address: u64,
        /// The table's size.
        size: u64,
        /// The first address of the mapping.
        start: u64,
        /// The first address after it.
        end: u64,
    },
    /// A plan that this code would not have made.
    #[error("the kernel plan is invalid: {reason}")]
    InvalidPlan {
        /// Which rule it breaks.
        reason: String,
    },
}

/// What an address in an error is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddressName {
    /// The base of the initial mapping.
    VirtBase,
    /// Where the first vCPU starts.
    Entry,
    /// The page that Xen fills with hypercall stubs.
    HypercallPage,
    /// Where the p2m table is mapped.
    InitP2m,
    /// The end of the kernel.
    KernelEnd,
}

impl std::fmt::Display for AddressName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::VirtBase => "VIRT_BASE",
            Self::Entry => "the entry point",
            Self::HypercallPage => "HYPERCALL_PAGE",
            Self::InitP2m => "INIT_P2M",
            Self::KernelEnd => "the kernel's end",
        })
    }
}

//! How much of an untrusted image is looked at, and how much it may ask for.
//!
//! XSA-25 was a toolstack that had no such numbers. Every loop and every
//! allocation in [`super`] is bounded by one of these.

use serde::{Deserialize, Serialize};

const MIB: u64 = 1 << 20;

/// The caps that [`super::inspect`] enforces. All sizes are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Largest image file that is read at all.
    pub image_bytes: u64,
    /// Largest ELF payload, after decompression. Decompression stops here,
    /// whatever the image says about its own size.
    pub payload_bytes: u64,
    /// Largest span from `virt_base` to the kernel's end, `.bss` included.
    pub memory_bytes: u64,
    /// Largest dictionary or window a decoder may be asked for. Linux packs
    /// with up to 128 MiB; the decoders allocate it only as output arrives.
    pub decoder_bytes: u64,
    /// Most program headers.
    pub program_headers: u16,
    /// Most section headers, which are read only for images without PT_NOTE.
    pub section_headers: u16,
    /// Most bytes of ELF notes, over all segments or sections.
    pub note_bytes: u64,
    /// Most ELF notes, over all segments or sections.
    pub notes: u32,
}

impl Limits {
    /// The default cap of a kernel, packed or unpacked.
    pub const KERNEL_BYTES: u64 = 128 * MIB;

    /// The default caps, lowered to what a guest with `memory_bytes` of memory
    /// could hold at all.
    pub fn for_guest(memory_bytes: u64) -> Self {
        let defaults = Self::default();
        Self {
            payload_bytes: defaults.payload_bytes.min(memory_bytes),
            memory_bytes: defaults.memory_bytes.min(memory_bytes),
            ..defaults
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            image_bytes: Self::KERNEL_BYTES,
            payload_bytes: Self::KERNEL_BYTES,
            memory_bytes: 1024 * MIB,
            decoder_bytes: 160 * MIB,
            program_headers: 64,
            section_headers: 4096,
            note_bytes: MIB,
            notes: 4096,
        }
    }
}

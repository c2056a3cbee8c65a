//! The untrusted kernel: from an image that somebody else made to a plan that
//! the domain builder can follow without looking at the image again.
//!
//! A guest's kernel is the first thing a guest's owner hands to Dom0, and
//! toolstacks have been broken by it: XSA-25 (an image that unpacks without
//! end), XSA-55 (ELF headers that make libelf read, write and loop where it
//! should not). So:
//!
//! ```text
//!  image file ──> [ bzimage ] ──> [ compression ] ──> payload file (ELF)
//!                                                        │
//!                      [ elf ] + [ notes | guest_info ] <┘
//!                                    │
//!                          [ layout ], [ zeros ] ──> KernelPlan ──> [ plan ] validate
//! ```
//!
//! - Everything runs on `get()`, checked arithmetic and bounded loops, with
//!   the caps of [`Limits`]; there is no unsafe code here.
//! - [`KernelPlan::validate`] knows all the rules of a good plan, and runs
//!   again wherever a plan comes from somewhere less trusted.
//! - [`worker`] runs [`inspect`] in a process without privileges.
//! - [`cache`] does that once for each image, and is what the daemon calls.
//!
//! Facts about the format are from Xen's public/elfnote.h, features.h and
//! arch-x86/xen-x86_64.h, the ELF specification, and Linux's boot protocol.

mod bzimage;
pub mod cache;
mod compression;
mod digest;
mod elf;
mod entry;
mod error;
mod features;
mod guest_info;
mod image;
mod layout;
mod limits;
mod lz4;
mod notes;
mod plan;
mod text;
pub mod worker;
mod zeros;

pub use compression::Compression;
pub use digest::{Digest, InvalidDigest};
pub use error::{AddressName, Error, Part};
pub use features::{Feature, FeatureSet};
pub use image::{Payload, ReadAt};
pub use limits::Limits;
pub use plan::{Format, KernelPlan, PaeMode, Segment};

use image::{read_exact, read_vec};

/// Reads a kernel image and returns its plan.
///
/// A compressed ELF is written to `payload`, which must be empty; of an image
/// that is ELF already nothing is written, and the image is the payload (see
/// [`KernelPlan::payload_is_image`]). On an error, what `payload` holds is to
/// be thrown away.
///
/// This runs a decompressor and a parser on hostile input: call it in a
/// process that has nothing to lose.
///
/// # Errors
/// One variant of [`Error`] for each thing that can be wrong.
pub fn inspect(
    image: &(impl ReadAt + ?Sized),
    limits: &Limits,
    payload: &mut impl Payload,
) -> Result<KernelPlan, Error> {
    let size = image.size().map_err(|e| Error::Read {
        what: Part::Image,
        at: 0,
        reason: e.to_string(),
    })?;
    if size > limits.image_bytes {
        return Err(Error::ImageTooLarge { size, limit: limits.image_bytes });
    }
    if size == 0 {
        return Err(Error::Empty);
    }
    let head = head(image, 0, size)?;
    if head.starts_with(elf::MAGIC) {
        if size > limits.payload_bytes {
            return Err(Error::ImageTooLarge { size, limit: limits.payload_bytes });
        }
        return layout::plan(image, size, (Format::Elf, None), limits);
    }
    if bzimage::detect(image) {
        let (from, to) = bzimage::payload(image, size)?;
        let magic = self::head(image, from, to)?;
        let compression = Compression::detect(&magic)
            .ok_or_else(|| Error::UnknownCompression { magic: text::hex(&magic) })?;
        let to = to.saturating_sub(compression.appended_size_bytes()).max(from);
        return unpack(image, (from, to), (Format::BzImage, compression), limits, payload);
    }
    match Compression::detect(&head) {
        Some(compression) => unpack(image, (0, size), (Format::Elf, compression), limits, payload),
        None => Err(Error::NotAKernel { magic: text::hex(&head) }),
    }
}

fn unpack(
    image: &(impl ReadAt + ?Sized),
    range: (u64, u64),
    (format, compression): (Format, Compression),
    limits: &Limits,
    payload: &mut impl Payload,
) -> Result<KernelPlan, Error> {
    let size = compression::decompress(compression, image, range, limits, payload)?;
    let mut magic = [0; 4];
    read_exact(&*payload, Part::Payload, 0, &mut magic)?;
    if magic != elf::MAGIC {
        return Err(Error::PayloadNotElf { magic: text::hex(&magic) });
    }
    layout::plan(&*payload, size, (format, Some(compression)), limits)
}

/// The first bytes of a part, to tell its format by.
fn head(image: &(impl ReadAt + ?Sized), from: u64, to: u64) -> Result<Vec<u8>, Error> {
    let len = usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX).min(16);
    read_vec(image, Part::Image, from, len)
}

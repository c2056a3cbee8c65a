//! The setup header of a Linux bzImage (Documentation/arch/x86/boot.rst).
//!
//! Only where the payload lies matters here: a PV guest never runs the
//! real-mode and protected-mode code that precedes it.

use super::error::{Error, Part};
use super::image::{Fields, ReadAt, read_exact};

/// `setup_sects`, the first field of the header.
const HEADER_AT: u64 = 0x1f1;
/// From `setup_sects` to the end of `payload_length`.
const HEADER_BYTES: usize = 0x250 - 0x1f1;
/// The offset of the magic `HdrS`.
const MAGIC_AT: u64 = 0x202;
const SECTOR: u64 = 512;
/// The protocol version from which on the payload is named: 2.08.
const VERSION_WITH_PAYLOAD: u16 = 0x0208;

/// Whether the file has a setup header.
pub(super) fn detect(image: &(impl ReadAt + ?Sized)) -> bool {
    let mut magic = [0; 4];
    read_exact(image, Part::SetupHeader, MAGIC_AT, &mut magic).is_ok() && &magic == b"HdrS"
}

/// Where the payload begins and ends in the file of `image_size` bytes.
pub(super) fn payload(
    image: &(impl ReadAt + ?Sized),
    image_size: u64,
) -> Result<(u64, u64), Error> {
    let mut header = [0; HEADER_BYTES];
    // The version is checked first: an older header is shorter.
    let mut version = [0; 2];
    read_exact(image, Part::SetupHeader, MAGIC_AT + 4, &mut version)?;
    let version = u16::from_le_bytes(version);
    if version < VERSION_WITH_PAYLOAD {
        return Err(Error::BootProtocolTooOld { version });
    }
    read_exact(image, Part::SetupHeader, HEADER_AT, &mut header)?;
    let [setup_sectors, ..] = header;
    let mut tail = Fields(&header);
    let named = tail
        .take(HEADER_BYTES - 8)
        .and_then(|_| Some((u64::from(tail.u32()?), u64::from(tail.u32()?))));
    let (offset, size) = named.unwrap_or((0, 0));
    // 0 means 4, for the sake of very old boot loaders.
    let sectors = if setup_sectors == 0 { 4 } else { u64::from(setup_sectors) };
    // Both sums are of values below 2^33.
    let start = (sectors + 1) * SECTOR + offset;
    let end = start + size;
    if size == 0 || end > image_size {
        return Err(Error::PayloadOutside { offset: start, size, image_size });
    }
    Ok((start, end))
}

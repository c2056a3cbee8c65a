//! The container of an x86 Linux kernel: boot sector, setup code, and the
//! protected-mode part with the compressed ELF in it.
//!
//! Fields: the kernel's Documentation/arch/x86/boot.rst.

use thiserror::Error;

use super::Compression;

const SETUP_SECTORS: usize = 0x1f1;
/// Length of the protected-mode part in 16-byte units.
const SYSTEM_SIZE: usize = 0x1f4;
const MAGIC: usize = 0x202;
const VERSION: usize = 0x206;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;
/// The first boot protocol with the payload fields.
const FIRST_WITH_PAYLOAD: u16 = 0x208;

/// Why an image is not understood.
#[derive(Debug, Error)]
pub enum BzImageError {
    /// Not the format.
    #[error("no bzImage of boot protocol 2.08 or later")]
    Format,
    /// Its fields point outside.
    #[error("the payload ({length} bytes at {offset}) is not inside the image")]
    Payload {
        /// From the start of the protected-mode part.
        offset: u32,
        /// In bytes.
        length: u32,
    },
    /// The payload starts with no magic number that we know.
    #[error("unknown compression of the payload")]
    Unknown,
    /// The payload does not hold what it claims.
    #[error("the payload is damaged: {what}")]
    Damaged {
        /// What does not fit.
        what: String,
    },
    /// A compressor or decompressor gave up.
    #[error("{compression} failed")]
    Codec {
        /// Which.
        compression: Compression,
        /// Its reason.
        #[source]
        source: std::io::Error,
    },
    /// Lengths in the header have 32 bits.
    #[error("too large for a bzImage")]
    TooLarge,
}

/// A bzImage, taken apart.
#[derive(Debug, Clone, Copy)]
pub struct BzImage<'a> {
    image: &'a [u8],
    /// Where the protected-mode part starts.
    protected: usize,
    payload_at: usize,
    payload: &'a [u8],
}

impl<'a> BzImage<'a> {
    /// Finds the parts.
    pub fn parse(image: &'a [u8]) -> Result<Self, BzImageError> {
        let field = |at: usize| image.get(at..).and_then(|rest| rest.first_chunk::<4>());
        let long =
            |at| field(at).map(|bytes| u32::from_le_bytes(*bytes)).ok_or(BzImageError::Format);
        let version = long(VERSION)? as u16;
        if field(MAGIC) != Some(b"HdrS") || version < FIRST_WITH_PAYLOAD {
            return Err(BzImageError::Format);
        }
        // 0 stands for 4, says the protocol; the boot sector comes on top.
        let sectors = match long(SETUP_SECTORS)? as u8 {
            0 => 4,
            sectors => usize::from(sectors),
        };
        let protected = (sectors + 1) * 512;
        let (offset, length) = (long(PAYLOAD_OFFSET)?, long(PAYLOAD_LENGTH)?);
        let payload_at = protected + offset as usize;
        let payload = image
            .get(payload_at..)
            .and_then(|rest| rest.get(..length as usize))
            .ok_or(BzImageError::Payload { offset, length })?;
        Ok(Self { image, protected, payload_at, payload })
    }

    /// How the payload is compressed.
    pub fn compression(&self) -> Result<Compression, BzImageError> {
        Compression::detect(self.payload).ok_or(BzImageError::Unknown)
    }

    /// The ELF (and the relocations that follow it in kernels with KASLR).
    pub fn unpack(&self) -> Result<Vec<u8>, BzImageError> {
        let compression = self.compression()?;
        let elf = compression
            .decompress(self.payload)
            .map_err(|source| BzImageError::Codec { compression, source })?;
        let size = self.payload.last_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes));
        if size.map(|size| size as usize) != Some(elf.len()) {
            let what = format!("{} bytes inside, {size:?} announced", elf.len());
            return Err(BzImageError::Damaged { what });
        }
        if !elf.starts_with(b"\x7fELF") {
            return Err(BzImageError::Damaged { what: "no ELF inside".to_owned() });
        }
        Ok(elf)
    }

    /// The same kernel with its payload compressed otherwise.
    pub fn repack(&self, compression: Compression) -> Result<Vec<u8>, BzImageError> {
        let elf = self.unpack()?;
        let mut payload = compression
            .compress(&elf)
            .map_err(|source| BzImageError::Codec { compression, source })?;
        if compression.size_follows() {
            let size = u32::try_from(elf.len()).map_err(|_| BzImageError::TooLarge)?;
            payload.extend_from_slice(&size.to_le_bytes());
        }
        let behind = self.payload_at + self.payload.len();
        let mut image = self.image.get(..self.payload_at).unwrap_or_default().to_vec();
        image.extend_from_slice(&payload);
        image.extend_from_slice(self.image.get(behind..).unwrap_or_default());
        let protected = image.len() - self.protected;
        set(&mut image, PAYLOAD_LENGTH, payload.len())?;
        set(&mut image, SYSTEM_SIZE, protected.div_ceil(16))?;
        Ok(image)
    }
}

fn set(image: &mut [u8], at: usize, value: usize) -> Result<(), BzImageError> {
    let value = u32::try_from(value).map_err(|_| BzImageError::TooLarge)?;
    match image.get_mut(at..at + 4) {
        Some(field) => field.copy_from_slice(&value.to_le_bytes()),
        None => return Err(BzImageError::Format),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &[u8] = b"startup code....";
    const BEHIND: &[u8] = b"decompressor";

    fn elf() -> Vec<u8> {
        let mut elf = b"\x7fELF".to_vec();
        elf.extend((0..300_000u32).map(|n| (n / 100) as u8));
        elf
    }

    fn image(payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 3 * 512];
        image[SETUP_SECTORS] = 2;
        image[MAGIC..MAGIC + 4].copy_from_slice(b"HdrS");
        image[VERSION..VERSION + 2].copy_from_slice(&0x20f_u16.to_le_bytes());
        set(&mut image, PAYLOAD_OFFSET, BEFORE.len()).unwrap();
        set(&mut image, PAYLOAD_LENGTH, payload.len()).unwrap();
        [image.as_slice(), BEFORE, payload, BEHIND].concat()
    }

    #[test]
    fn every_compression_is_put_in_and_taken_out_again() {
        let original = image(&Compression::Gzip.compress(&elf()).unwrap());
        for compression in Compression::ALL {
            let repacked = BzImage::parse(&original).unwrap().repack(compression).unwrap();
            let parsed = BzImage::parse(&repacked).unwrap();
            assert_eq!(parsed.compression().unwrap(), compression);
            assert!(parsed.unpack().unwrap() == elf(), "{compression}");
            assert!(repacked.ends_with(BEHIND));
            let units = u32::from_le_bytes(repacked[SYSTEM_SIZE..][..4].try_into().unwrap());
            assert_eq!(units as usize, (repacked.len() - 3 * 512).div_ceil(16));
        }
    }

    #[test]
    fn damage_is_told() {
        assert!(matches!(BzImage::parse(b"MZ"), Err(BzImageError::Format)));
        let mut outside = image(b"");
        set(&mut outside, PAYLOAD_LENGTH, 1 << 20).unwrap();
        assert!(matches!(BzImage::parse(&outside), Err(BzImageError::Payload { .. })));
        let mut wrong_size = Compression::Lz4.compress(&elf()).unwrap();
        wrong_size.extend_from_slice(&7u32.to_le_bytes());
        let wrong_size = image(&wrong_size);
        let error = BzImage::parse(&wrong_size).unwrap().unpack().unwrap_err();
        assert!(matches!(error, BzImageError::Damaged { .. }), "{error}");
        let unknown = image(b"????????");
        let error = BzImage::parse(&unknown).unwrap().unpack().unwrap_err();
        assert!(matches!(error, BzImageError::Unknown), "{error}");
    }
}

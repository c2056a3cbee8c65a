//! The formats a kernel's payload comes in, and their bounded decompression.
//!
//! Every decoder is pure Rust and runs as a stream: from the image through one
//! buffer into the payload. Three things bound it, and no size in the image is
//! among them: the input is one range of a file with a capped size, the output
//! stops at [`Limits::payload_bytes`], and a dictionary or window larger than
//! [`Limits::decoder_bytes`] is refused before it is allocated.

use std::io::{self, BufReader, Read};

use serde::{Deserialize, Serialize};

use super::error::Error;
use super::image::{Payload, Range, ReadAt};
use super::limits::Limits;
use super::lz4::LegacyLz4;

/// How a payload is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// gzip, RFC 1952; CONFIG_KERNEL_GZIP.
    Gzip,
    /// bzip2; CONFIG_KERNEL_BZIP2.
    Bzip2,
    /// LZMA alone, the format before xz; CONFIG_KERNEL_LZMA.
    Lzma,
    /// xz, with the filter for x86 code; CONFIG_KERNEL_XZ.
    Xz,
    /// The legacy frame of LZ4 (`lz4 -l`); CONFIG_KERNEL_LZ4.
    Lz4,
    /// Zstandard, RFC 8878; CONFIG_KERNEL_ZSTD.
    Zstd,
}

impl std::fmt::Display for Compression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
            Self::Lzma => "lzma",
            Self::Xz => "xz",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        })
    }
}

impl Compression {
    /// The format that data beginning with `head` is in. Six bytes suffice.
    pub fn detect(head: &[u8]) -> Option<Self> {
        const MAGICS: [(&[u8], Compression); 6] = [
            (b"\x1f\x8b", Compression::Gzip),
            (b"BZh", Compression::Bzip2),
            (b"\xfd7zXZ\0", Compression::Xz),
            (b"\x02\x21\x4c\x18", Compression::Lz4),
            (b"\x28\xb5\x2f\xfd", Compression::Zstd),
            // LZMA alone has no magic: these are the properties lc=3 lp=0 pb=2
            // and a dictionary that is a multiple of 64 KiB, as `lzma` writes.
            (b"\x5d\x00\x00", Compression::Lzma),
        ];
        MAGICS.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, format)| *format)
    }

    /// The 4 bytes with the unpacked size that Linux appends to the payload of
    /// a bzImage; gzip ends with such a field anyway, which belongs to it.
    pub(super) fn appended_size_bytes(self) -> u64 {
        if self == Self::Gzip { 0 } else { 4 }
    }
}

/// Decompresses the bytes `from..to` of `image` into `payload` and returns how
/// many bytes came out. What follows the end of the compressed stream is not
/// looked at.
pub(super) fn decompress(
    compression: Compression,
    image: &(impl ReadAt + ?Sized),
    (from, to): (u64, u64),
    limits: &Limits,
    payload: &mut impl Payload,
) -> Result<u64, Error> {
    let input = BufReader::with_capacity(CHUNK, Range::new(image, from, to));
    let mut output = Output { compression, limits, payload, produced: 0 };
    let decoder_kib = u32::try_from(limits.decoder_bytes / 1024).unwrap_or(u32::MAX);
    match compression {
        Compression::Gzip => output.drain(flate2::bufread::GzDecoder::new(input))?,
        Compression::Bzip2 => output.drain(bzip2::bufread::BzDecoder::new(input))?,
        Compression::Xz => {
            output.drain(lzma_rust2::XzReader::new_mem_limit(input, false, decoder_kib))?;
        }
        Compression::Lzma => {
            let decoder = lzma_rust2::LzmaReader::new_mem_limit(input, decoder_kib, None)
                .map_err(|e| output.failed(&e))?;
            output.drain(decoder)?;
        }
        Compression::Lz4 => output.drain(LegacyLz4::new(input))?,
        Compression::Zstd => {
            let decoder = ruzstd::decoding::StreamingDecoder::new_with_max_window_size(
                input,
                limits.decoder_bytes,
            )
            .map_err(|e| output.zstd_failed(&e))?;
            output.drain(decoder)?;
        }
    }
    Ok(output.produced)
}

/// Size of the buffers between image, decoder and payload.
const CHUNK: usize = 128 * 1024;

struct Output<'a, P> {
    compression: Compression,
    limits: &'a Limits,
    payload: &'a mut P,
    produced: u64,
}

impl<P: Payload> Output<'_, P> {
    /// Moves everything that `decoder` makes into the payload, up to the cap.
    fn drain(&mut self, mut decoder: impl Read) -> Result<(), Error> {
        let mut buffer = vec![0; CHUNK];
        loop {
            let n = match decoder.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(self.failed(&e)),
            };
            let total = self.produced.saturating_add(n as u64);
            if total > self.limits.payload_bytes {
                return Err(Error::PayloadTooLarge { limit: self.limits.payload_bytes });
            }
            let bytes = buffer.get(..n).unwrap_or(&buffer);
            self.payload
                .append(bytes)
                .map_err(|e| Error::Store { at: self.produced, reason: e.to_string() })?;
            self.produced = total;
        }
    }

    fn failed(&self, error: &io::Error) -> Error {
        if error.kind() == io::ErrorKind::OutOfMemory {
            return self.too_hungry();
        }
        Error::Decompress {
            compression: self.compression,
            produced: self.produced,
            reason: error.to_string(),
        }
    }

    fn zstd_failed(&self, error: &ruzstd::decoding::errors::FrameDecoderError) -> Error {
        use ruzstd::decoding::errors::FrameDecoderError as Zstd;
        if matches!(error, Zstd::WindowSizeTooBig { .. }) {
            return self.too_hungry();
        }
        Error::Decompress {
            compression: self.compression,
            produced: self.produced,
            reason: error.to_string(),
        }
    }

    fn too_hungry(&self) -> Error {
        Error::DecoderMemory { compression: self.compression, limit: self.limits.decoder_bytes }
    }
}

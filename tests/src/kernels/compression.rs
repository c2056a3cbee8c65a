//! The compressions of a kernel's payload, each made the way the kernel's build
//! makes it (scripts/Makefile.lib, arch/x86/boot/compressed/Makefile).

use std::fmt;
use std::io::{self, Read, Write};

use liblzma::stream::{Check, Filters, LzmaOptions, Stream, TELL_UNSUPPORTED_CHECK};

/// One of the kernel's CONFIG_KERNEL_* choices (all but the extinct LZO).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// CONFIG_KERNEL_GZIP
    Gzip,
    /// CONFIG_KERNEL_BZIP2
    Bzip2,
    /// CONFIG_KERNEL_LZMA: the old "alone" format, size unknown.
    Lzma,
    /// CONFIG_KERNEL_XZ: with the x86 filter and a CRC32.
    Xz,
    /// CONFIG_KERNEL_LZ4: the old "legacy" framing.
    Lz4,
    /// CONFIG_KERNEL_ZSTD
    Zstd,
}

/// The legacy framing's mark, and how much goes into one of its blocks.
const LZ4_MAGIC: [u8; 4] = 0x184c_2102_u32.to_le_bytes();
const LZ4_BLOCK: usize = 8 << 20;
/// The xz wrapper of the kernel's build asks for this dictionary.
const XZ_DICTIONARY: u32 = 32 << 20;
/// What `zstd -22` uses: 128 MiB.
const ZSTD_WINDOW_LOG: u32 = 27;

impl Compression {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Gzip, Self::Bzip2, Self::Lzma, Self::Xz, Self::Lz4, Self::Zstd];

    /// In file names and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
            Self::Lzma => "lzma",
            Self::Xz => "xz",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// Which one the bytes start with.
    pub fn detect(bytes: &[u8]) -> Option<Self> {
        let starts: [(&[u8], Self); 6] = [
            (&[0x1f, 0x8b], Self::Gzip),
            (b"BZh", Self::Bzip2),
            (&[0x5d, 0, 0], Self::Lzma),
            (&[0xfd, b'7', b'z', b'X', b'Z', 0], Self::Xz),
            (&LZ4_MAGIC, Self::Lz4),
            (&[0x28, 0xb5, 0x2f, 0xfd], Self::Zstd),
        ];
        starts.iter().find(|(magic, _)| bytes.starts_with(magic)).map(|(_, found)| *found)
    }

    /// Whether the kernel's build adds the uncompressed size behind it, as four
    /// little-endian bytes. gzip's own trailer ends with just these.
    pub fn size_follows(self) -> bool {
        self != Self::Gzip
    }

    /// Compresses.
    pub fn compress(self, plain: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip => {
                let level = flate2::Compression::default();
                let mut out = flate2::write::GzEncoder::new(Vec::new(), level);
                out.write_all(plain)?;
                out.finish()
            }
            Self::Bzip2 => {
                let level = bzip2::Compression::best();
                let mut out = bzip2::write::BzEncoder::new(Vec::new(), level);
                out.write_all(plain)?;
                out.finish()
            }
            Self::Lzma => {
                let stream = Stream::new_lzma_encoder(&LzmaOptions::new_preset(3)?)?;
                lzma_stream(plain, stream)
            }
            Self::Xz => {
                let mut options = LzmaOptions::new_preset(3)?;
                options.dict_size(XZ_DICTIONARY);
                let mut filters = Filters::new();
                filters.x86().lzma2(&options);
                lzma_stream(plain, Stream::new_stream_encoder(&filters, Check::Crc32)?)
            }
            Self::Lz4 => {
                let mut out = LZ4_MAGIC.to_vec();
                for block in plain.chunks(LZ4_BLOCK) {
                    let packed = lz4_flex::block::compress(block);
                    let length = u32::try_from(packed.len()).map_err(io::Error::other)?;
                    out.extend_from_slice(&length.to_le_bytes());
                    out.extend_from_slice(&packed);
                }
                Ok(out)
            }
            Self::Zstd => {
                // The level costs minutes; the window is what readers trip over.
                let mut out = zstd::Encoder::new(Vec::new(), 6)?;
                out.window_log(ZSTD_WINDOW_LOG)?;
                out.include_checksum(true)?;
                out.write_all(plain)?;
                out.finish()
            }
        }
    }

    /// Decompresses the one stream that `packed` starts with; the kernel's size
    /// field behind it is no part of it.
    pub fn decompress(self, packed: &[u8]) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        match self {
            Self::Gzip => {
                flate2::bufread::GzDecoder::new(packed).read_to_end(&mut plain)?;
            }
            Self::Bzip2 => {
                bzip2::bufread::BzDecoder::new(packed).read_to_end(&mut plain)?;
            }
            Self::Lzma => {
                let stream = Stream::new_lzma_decoder(u64::MAX)?;
                liblzma::bufread::XzDecoder::new_stream(packed, stream).read_to_end(&mut plain)?;
            }
            Self::Xz => {
                let stream = Stream::new_stream_decoder(u64::MAX, TELL_UNSUPPORTED_CHECK)?;
                liblzma::bufread::XzDecoder::new_stream(packed, stream).read_to_end(&mut plain)?;
            }
            Self::Lz4 => plain = lz4_legacy(packed)?,
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(packed)?.single_frame();
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                decoder.read_to_end(&mut plain)?;
            }
        }
        Ok(plain)
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn lzma_stream(plain: &[u8], stream: Stream) -> io::Result<Vec<u8>> {
    let mut out = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
    out.write_all(plain)?;
    out.finish()
}

/// Blocks of a length and so many bytes; nothing marks the end, so a length that
/// reaches beyond the data is none (it is the kernel's size field).
fn lz4_legacy(packed: &[u8]) -> io::Result<Vec<u8>> {
    let mut rest = packed.strip_prefix(&LZ4_MAGIC).unwrap_or_default();
    let mut plain = Vec::new();
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*length) as usize;
        let Some((block, behind)) = behind.split_at_checked(length) else { break };
        plain.extend(lz4_flex::block::decompress(block, LZ4_BLOCK).map_err(io::Error::other)?);
        rest = behind;
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    /// Compressible, and no multiple of anything.
    fn sample(length: usize) -> Vec<u8> {
        (0..length).map(|n| (n >> 7) as u8 ^ (n as u8 & 3)).collect()
    }

    #[test]
    fn lz4_goes_over_several_blocks() {
        let plain = sample(LZ4_BLOCK + 4711);
        let packed = Compression::Lz4.compress(&plain).unwrap();
        assert!(Compression::Lz4.decompress(&packed).unwrap() == plain);
    }

    #[test]
    fn each_comes_back_also_with_a_size_behind_it() {
        let plain = sample(300_007);
        let size = u32::try_from(plain.len()).unwrap().to_le_bytes();
        for compression in Compression::ALL {
            let mut packed = compression.compress(&plain).unwrap();
            assert!(packed.len() < plain.len(), "{compression}");
            assert_eq!(Compression::detect(&packed), Some(compression));
            if compression.size_follows() {
                packed.extend_from_slice(&size);
            }
            assert!(compression.decompress(&packed).unwrap() == plain, "{compression}");
        }
        assert_eq!(Compression::detect(b"\x7fELF"), None);
    }

    /// The tools that the kernel's build uses read what we write.
    #[test]
    fn the_usual_tools_read_them() {
        let plain = sample(300_007);
        for (compression, command) in [
            (Compression::Gzip, "gzip -dc"),
            (Compression::Bzip2, "bzip2 -dc"),
            (Compression::Lzma, "xz --format=lzma -dc"),
            (Compression::Xz, "xz -dc"),
            (Compression::Lz4, "lz4 -dc"),
            (Compression::Zstd, "zstd -dc --long=27"),
        ] {
            let packed = compression.compress(&plain).unwrap();
            let mut words = command.split(' ');
            let mut child = Command::new(words.next().unwrap())
                .args(words)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap_or_else(|error| panic!("this test needs `{command}`: {error}"));
            let mut stdin = child.stdin.take().unwrap();
            let feeder = std::thread::spawn(move || stdin.write_all(&packed));
            let output = child.wait_with_output().unwrap();
            feeder.join().unwrap().unwrap();
            assert!(output.status.success() && output.stdout == plain, "{command}");
        }
    }
}

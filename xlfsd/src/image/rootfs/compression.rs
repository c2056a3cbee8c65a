//! Whether a file is an archive, by its first bytes, and its plain content.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

/// Memory that a decoder may take.
const MAX_DECODER: u64 = 128 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Xz,
    Zstd,
}

impl Compression {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::None => "tar",
            Self::Gzip => "tar.gz",
            Self::Xz => "tar.xz",
            Self::Zstd => "tar.zst",
        }
    }

    /// None: it is no archive.
    pub(super) fn of_tar(file: &mut File) -> io::Result<Option<Self>> {
        let magic = first(file)?;
        let found = match magic.as_slice() {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ => Self::None,
        };
        let mut head = Vec::new();
        // A file that only looks compressed is none, and stays as it is.
        let read = found.open(file).and_then(|plain| plain.take(512).read_to_end(&mut head));
        file.seek(SeekFrom::Start(0))?;
        Ok((read.is_ok() && head.get(257..262) == Some(b"ustar")).then_some(found))
    }

    /// The content, from the begin.
    pub(super) fn open<'a>(self, file: &'a mut File) -> io::Result<Box<dyn Read + 'a>> {
        file.seek(SeekFrom::Start(0))?;
        let file = BufReader::with_capacity(1 << 16, file);
        Ok(match self {
            Self::None => Box::new(file),
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
            Self::Xz => {
                let kib = (MAX_DECODER >> 10) as u32;
                Box::new(lzma_rust2::XzReader::new_mem_limit(file, true, kib))
            }
            Self::Zstd => Box::new(
                ruzstd::decoding::StreamingDecoder::new_with_max_window_size(file, MAX_DECODER)
                    .map_err(io::Error::other)?,
            ),
        })
    }
}

fn first(file: &mut File) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(0))?;
    let mut bytes = Vec::new();
    file.take(8).read_to_end(&mut bytes)?;
    Ok(bytes)
}

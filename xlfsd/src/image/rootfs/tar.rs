//! Reads a tar as a stream: ustar, GNU's and pax's extensions, GNU's sparse
//! files. Nothing is unpacked, and no size in it is believed: names, extended
//! headers and maps have limits.

use std::collections::BTreeMap;
use std::io::{self, Read};

/// Bytes of a header, and of the pieces that everything is padded to.
const BLOCK: usize = 512;
/// Bytes of an extended header or a long name.
const MAX_EXTENDED: u64 = 1 << 20;
/// Pieces of a sparse file.
const MAX_PIECES: usize = 1 << 16;

/// Why a tar cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum TarError {
    #[error("the archive cannot be read")]
    Read(#[source] io::Error),
    #[error("the archive ends in the middle of {0}")]
    Short(&'static str),
    #[error("{what} at byte {at} of the archive")]
    Header { what: &'static str, at: u64 },
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryKind {
    File,
    HardLink,
    Symlink,
    Character,
    Block,
    Directory,
    Fifo,
}

/// An entry: what stands in its headers.
#[derive(Debug)]
pub(super) struct Entry {
    pub kind: EntryKind,
    pub path: Vec<u8>,
    /// Of links.
    pub link: Vec<u8>,
    /// Permissions only.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: i64,
    pub device: (u32, u32),
    /// Of a file, with its holes.
    pub size: u64,
    /// Where a file's data is, as offset and length, ascending.
    pub pieces: Vec<(u64, u64)>,
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

#[derive(Debug, Default)]
struct Extended {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    numbers: BTreeMap<&'static str, i64>,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// A tar that is read.
pub(super) struct TarReader<R> {
    from: R,
    at: u64,
    /// Data of the present entry that was not read, and its padding.
    data: u64,
    padding: u64,
}

impl<R: Read> TarReader<R> {
    pub(super) fn new(from: R) -> Self {
        Self { from, at: 0, data: 0, padding: 0 }
    }

    /// The next entry; what was not read of the last one is passed over. None only
    /// at the mark that ends an archive.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, TarError> {
        let mut extended = Extended::default();
        loop {
            self.pass_over()?;
            let at = self.at;
            let wrong = |what| TarError::Header { what, at };
            // A copy that was cut between two files would go unnoticed else.
            let Some(header) = self.header()? else { return Err(TarError::Short("its list")) };
            if header.iter().all(|byte| *byte == 0) {
                // What follows is padding; a compressed one has its checksum there.
                io::copy(&mut self.from, &mut io::sink()).map_err(TarError::Read)?;
                return Ok(None);
            }
            if checksum(&header) != number(&header[148..156]) {
                return Err(wrong("a header with a wrong checksum"));
            }
            let size =
                number(&header[124..136]).ok_or_else(|| wrong("a size that is no number"))?;
            let size = u64::try_from(size).map_err(|_| wrong("a size below zero"))?;
            (self.data, self.padding) = (size, padding(size));
            match header[156] {
                b'L' => extended.path = Some(until_nul(&self.whole()?).to_vec()),
                b'K' => extended.link = Some(until_nul(&self.whole()?).to_vec()),
                b'x' => {
                    let text = self.whole()?;
                    read_pax(&text, &mut extended).map_err(wrong)?;
                }
                // A pax header for all, and a volume's label, say nothing of files.
                b'g' | b'V' => {}
                _ => return self.entry(&header, extended, at).map(Some),
            }
        }
    }

    fn entry(
        &mut self,
        header: &[u8; BLOCK],
        extended: Extended,
        at: u64,
    ) -> Result<Entry, TarError> {
        let wrong = |what| TarError::Header { what, at };
        let field = |range: std::ops::Range<usize>, key: &'static str| {
            let value = extended.numbers.get(key).copied().or_else(|| number(&header[range]));
            value.ok_or_else(|| wrong("a field that is no number"))
        };
        let small = |value: i64| u32::try_from(value).map_err(|_| wrong("a number out of range"));
        if let Some(size) = extended.numbers.get("size") {
            let size = u64::try_from(*size).map_err(|_| wrong("a size below zero"))?;
            (self.data, self.padding) = (size, padding(size));
        }
        let path = match extended.path {
            Some(path) => path,
            None => name(header),
        };
        let kind = match header[156] {
            0 | b'0' | b'7' if path.ends_with(b"/") => EntryKind::Directory,
            0 | b'0' | b'7' | b'S' => EntryKind::File,
            b'1' => EntryKind::HardLink,
            b'2' => EntryKind::Symlink,
            b'3' => EntryKind::Character,
            b'4' => EntryKind::Block,
            b'5' | b'D' => EntryKind::Directory,
            b'6' => EntryKind::Fifo,
            _ => return Err(wrong("an entry of a type that is not known")),
        };
        let (mut size, mut pieces) = (self.data, vec![(0, self.data)]);
        if header[156] == b'S' {
            (size, pieces) = self.sparse(header, at)?;
        } else if kind != EntryKind::File {
            // A hard link may have a size without data; only files have data.
            if kind != EntryKind::Directory {
                (self.data, self.padding) = (0, 0);
            }
            (size, pieces) = (0, Vec::new());
        }
        pieces.retain(|(_, length)| *length > 0);
        Ok(Entry {
            kind,
            path,
            link: extended.link.unwrap_or_else(|| until_nul(&header[157..257]).to_vec()),
            mode: small(field(100..108, "mode")?)? & 0o7777,
            uid: small(field(108..116, "uid")?)?,
            gid: small(field(116..124, "gid")?)?,
            mtime: field(136..148, "mtime")?,
            device: match kind {
                EntryKind::Character | EntryKind::Block => (
                    small(field(329..337, "SCHILY.devmajor")?)?,
                    small(field(337..345, "SCHILY.devminor")?)?,
                ),
                _ => (0, 0),
            },
            size,
            pieces,
            xattrs: extended.xattrs,
        })
    }

    /// A sparse file of GNU's old form: its size and where its data is.
    fn sparse(
        &mut self,
        header: &[u8; BLOCK],
        at: u64,
    ) -> Result<(u64, Vec<(u64, u64)>), TarError> {
        let wrong = || TarError::Header { what: "a sparse file that makes no sense", at };
        let positive = |field: &[u8]| number(field).and_then(|n| u64::try_from(n).ok());
        let size = positive(&header[483..495]).ok_or_else(wrong)?;
        let mut pieces: Vec<(u64, u64)> = Vec::new();
        let mut take = |fields: &[u8]| -> Option<()> {
            for field in fields.chunks_exact(24).filter(|field| field[0] != 0) {
                let (offset, length) = (positive(&field[..12])?, positive(&field[12..])?);
                let after = pieces.last().map_or(0, |(offset, length)| offset + length);
                let fits = offset >= after && offset.checked_add(length)? <= size;
                if !fits || pieces.len() >= MAX_PIECES {
                    return None;
                }
                pieces.push((offset, length));
            }
            Some(())
        };
        take(&header[386..482]).ok_or_else(wrong)?;
        let mut more = header[482] != 0;
        let (data, padding) = (self.data, self.padding);
        while more {
            let next = self.header()?.ok_or(TarError::Short("a sparse file"))?;
            take(&next[..504]).ok_or_else(wrong)?;
            more = next[504] != 0;
        }
        (self.data, self.padding) = (data, padding);
        let stored: u64 = pieces.iter().map(|(_, length)| length).sum();
        if stored != data {
            return Err(wrong());
        }
        Ok((size, pieces))
    }

    /// Reads data of the present entry: of a sparse file, piece after piece.
    pub(super) fn read_data(&mut self, into: &mut [u8]) -> Result<(), TarError> {
        let short = TarError::Short("a file");
        let length = into.len() as u64;
        self.data = self.data.checked_sub(length).ok_or(short)?;
        self.fill(into, "a file")
    }

    fn fill(&mut self, into: &mut [u8], what: &'static str) -> Result<(), TarError> {
        self.from.read_exact(into).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => TarError::Short(what),
            _ => TarError::Read(error),
        })?;
        self.at += into.len() as u64;
        Ok(())
    }

    fn pass_over(&mut self) -> Result<(), TarError> {
        let length = self.data.saturating_add(self.padding);
        let passed = io::copy(&mut self.from.by_ref().take(length), &mut io::sink());
        let passed = passed.map_err(TarError::Read)?;
        self.at += passed;
        // The padding of the last file may be missing.
        if passed < self.data {
            return Err(TarError::Short("a file"));
        }
        (self.data, self.padding) = (0, 0);
        Ok(())
    }

    /// A block; None at the end.
    fn header(&mut self) -> Result<Option<[u8; BLOCK]>, TarError> {
        let mut header = [0; BLOCK];
        let first = loop {
            match self.from.read(&mut header) {
                Ok(read) => break read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(TarError::Read(error)),
            }
        };
        if first == 0 {
            return Ok(None);
        }
        self.at += first as u64;
        self.fill(&mut header[first..], "a header")?;
        Ok(Some(header))
    }

    /// The data of an extended header.
    fn whole(&mut self) -> Result<Vec<u8>, TarError> {
        if self.data > MAX_EXTENDED {
            return Err(TarError::Header {
                what: "an extended header without an end",
                at: self.at,
            });
        }
        let mut data = vec![0; self.data as usize];
        self.read_data(&mut data)?;
        Ok(data)
    }
}

fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn name(header: &[u8; BLOCK]) -> Vec<u8> {
    let (prefix, name) = (until_nul(&header[345..500]), until_nul(&header[..100]));
    // GNU's own form has other things where ustar's has a prefix.
    match header[257..263] == *b"ustar\0" && !prefix.is_empty() {
        true => [prefix, b"/", name].concat(),
        false => name.to_vec(),
    }
}

fn checksum(header: &[u8; BLOCK]) -> Option<i64> {
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| i64::from(*byte)).sum::<i64>();
    Some(sum(&header[..148]) + 8 * 32 + sum(&header[156..]))
}

/// Octal digits, or GNU's binary form with the highest bit set.
fn number(field: &[u8]) -> Option<i64> {
    let first = *field.first()?;
    if first & 0x80 != 0 {
        let start = if first == 0xff { -1_i64 } else { i64::from(first & 0x7f) };
        return field
            .iter()
            .skip(1)
            .try_fold(start, |sum, byte| sum.checked_mul(256).map(|sum| sum | i64::from(*byte)));
    }
    let digits = until_nul(field).trim_ascii();
    digits.iter().try_fold(0_i64, |sum, digit| match digit {
        b'0'..=b'7' => sum.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    })
}

/// Records of `LENGTH KEY=VALUE\n` (POSIX, pax Extended Header).
fn read_pax(mut text: &[u8], extended: &mut Extended) -> Result<(), &'static str> {
    let wrong = "an extended header that makes no sense";
    while !until_nul(text).is_empty() {
        let blank = text.iter().position(|byte| *byte == b' ').ok_or(wrong)?;
        let length = std::str::from_utf8(&text[..blank]).ok().and_then(|n| n.parse().ok());
        let length: usize = length.ok_or(wrong)?;
        let record = text.get(blank + 1..length).and_then(|record| record.strip_suffix(b"\n"));
        let record = record.ok_or(wrong)?;
        text = &text[length..];
        let equals = record.iter().position(|byte| *byte == b'=').ok_or(wrong)?;
        let (key, value) = (&record[..equals], &record[equals + 1..]);
        const NUMBERS: [&str; 6] =
            ["uid", "gid", "size", "mtime", "SCHILY.devmajor", "SCHILY.devminor"];
        if let Some(known) = NUMBERS.iter().find(|known| known.as_bytes() == key) {
            // Times have a fraction, which is left out.
            let whole = value.split(|byte| *byte == b'.').next().unwrap_or_default();
            let number = std::str::from_utf8(whole).ok().and_then(|text| text.parse().ok());
            extended.numbers.insert(known, number.ok_or(wrong)?);
        } else if key == b"path" {
            extended.path = Some(value.to_vec());
        } else if key == b"linkpath" {
            extended.link = Some(value.to_vec());
        } else if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
            extended.xattrs.insert(name.to_vec(), value.to_vec());
        } else if key.starts_with(b"GNU.sparse.") {
            return Err(
                "a sparse file in pax's form: make the archive with --format=gnu, or without --sparse,",
            );
        }
    }
    Ok(())
}

//! Where an image is read from and where its payload goes.
//!
//! Both are random access files, or byte slices in tests: a kernel is never
//! held in memory as a whole, so that the process that looks at it stays small
//! even in a Dom0 with little memory. Every access is a bounds-checked copy.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use super::error::{Error, Part};

/// Something that can be read at any offset.
pub trait ReadAt {
    /// Its length in bytes.
    ///
    /// # Errors
    /// Whatever the operating system says about a file.
    fn size(&self) -> io::Result<u64>;

    /// Copies bytes from `offset` on into `buf`; fewer than asked only at the
    /// end, none past it.
    ///
    /// # Errors
    /// Whatever the operating system says about a file.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;
}

/// Where the decompressed ELF is written, in order, and then read back.
pub trait Payload: ReadAt {
    /// Adds `bytes` at the end.
    ///
    /// # Errors
    /// Whatever the operating system says about a file.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
}

impl ReadAt for [u8] {
    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|at| self.get(at..)).unwrap_or(&[]);
        let mut source = rest;
        source.read(buf)
    }
}

impl ReadAt for Vec<u8> {
    fn size(&self) -> io::Result<u64> {
        self.as_slice().size()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.as_slice().read_at(offset, buf)
    }
}

impl Payload for Vec<u8> {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.try_reserve(bytes.len())?;
        self.extend_from_slice(bytes);
        Ok(())
    }
}

impl ReadAt for File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match FileExt::read_at(self, buf, offset) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}

impl Payload for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        io::Write::write_all(self, bytes)
    }
}

/// Fills `buf` from `offset`, or says which part of the image ends too early.
pub(super) fn read_exact(
    source: &(impl ReadAt + ?Sized),
    what: Part,
    offset: u64,
    buf: &mut [u8],
) -> Result<(), Error> {
    let need = buf.len() as u64;
    let mut have = 0usize;
    while let Some(rest) = buf.get_mut(have..).filter(|rest| !rest.is_empty()) {
        let short = Error::Truncated { what, at: offset, need, have: have as u64 };
        let Some(at) = offset.checked_add(have as u64) else { return Err(short) };
        match source.read_at(at, rest) {
            Ok(0) => return Err(short),
            Ok(n) => have += n,
            Err(e) => return Err(Error::Read { what, at, reason: e.to_string() }),
        }
    }
    Ok(())
}

/// Reads `len` bytes at `offset`. The caller has compared `len` with a limit.
pub(super) fn read_vec(
    source: &(impl ReadAt + ?Sized),
    what: Part,
    offset: u64,
    len: usize,
) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; len];
    read_exact(source, what, offset, &mut bytes)?;
    Ok(bytes)
}

/// A sequential reader over one range of an image, for the decoders.
#[derive(Debug)]
pub(super) struct Range<'a, S: ?Sized> {
    source: &'a S,
    at: u64,
    end: u64,
}

impl<'a, S: ReadAt + ?Sized> Range<'a, S> {
    pub(super) fn new(source: &'a S, at: u64, end: u64) -> Self {
        Self { source, at, end }
    }
}

impl<S: ReadAt + ?Sized> Read for Range<'_, S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.end.saturating_sub(self.at);
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        let n = self.source.read_at(self.at, buf.get_mut(..want).unwrap_or(&mut []))?;
        self.at = self.at.saturating_add(n as u64);
        Ok(n)
    }
}

/// Takes little-endian fields off a byte slice; `None` at its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

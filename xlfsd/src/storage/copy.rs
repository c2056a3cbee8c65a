//! Copying an image onto a volume in one pass, without writing its zeros where
//! the volume reads as zeros already.
//!
//! Holes of the source are skipped by asking the file system for them; its data
//! is read, and blocks of zeros are left out, as an image that was streamed in
//! has no holes. `copy_file_range` is not used: where a file system shares
//! blocks, the pool has done that already, and elsewhere it finds no zeros and
//! takes a third longer than reading and writing (ext4, Linux 6.18).

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

use nix::errno::Errno;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::unistd::{Whence, lseek64};
use xlfs_xen::block;

use super::Watch;

/// Bytes that are read at once, and between two looks at the watch.
const CHUNK: usize = 256 << 10;
/// Bytes after which the disk is told to write them.
const FLUSH_CHUNK: u64 = 8 << 20;
/// Bytes that one BLKZEROOUT zeros.
const ZERO_CHUNK: u64 = 64 << 20;
/// Runs of zeros are left out in blocks of this many bytes: what file systems
/// and thin pools allocate at least.
const BLOCK: usize = 4096;

static ZEROS: [u8; CHUNK] = [0; CHUNK];

/// What the volume reads as before it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    /// A new sparse file, or a new thin volume.
    Zeros,
    /// What somebody else left there: every byte must be written, above all
    /// the zeros, as it may be another guest's.
    Anything,
}

/// Why a copy ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum CopyError {
    #[error("it was cancelled")]
    Cancelled,
    #[error("cannot read the image at byte {at}")]
    Read {
        at: u64,
        #[source]
        source: io::Error,
    },
    #[error("the image ends at byte {at}, before its {len} bytes")]
    Short { at: u64, len: u64 },
    #[error("cannot write the volume at byte {at}")]
    Write {
        at: u64,
        #[source]
        source: io::Error,
    },
}

/// Copies the first `len` bytes of `from` to the start of `to`.
pub(super) fn copy(
    from: &File,
    to: &File,
    len: u64,
    before: Before,
    watch: Watch<'_>,
) -> Result<(), CopyError> {
    let mut copy = Copy { from, to, before, watch, flushed: 0, buffer: vec![0; CHUNK] };
    let mut at = 0;
    while let Some((start, end)) = next_data(from, at, len) {
        copy.hole(at, start)?;
        copy.data(start, end)?;
        at = end;
    }
    copy.hole(at, len)?;
    watch.done(len);
    Ok(())
}

/// Makes `to` read as zeros from `start` to `end`.
pub(super) fn zero(to: &File, start: u64, end: u64, watch: Watch<'_>) -> Result<(), CopyError> {
    // The disk's own command wants whole blocks.
    let aligned = start.next_multiple_of(BLOCK as u64).min(end);
    zero_by_hand(to, start, aligned, watch)?;
    let mut at = aligned;
    while at < end {
        if watch.is_cancelled() {
            return Err(CopyError::Cancelled);
        }
        let len = (end - at).min(ZERO_CHUNK);
        match block::zero_out(to, at, len) {
            Ok(()) => at += len,
            // No block device, or a last part that is no whole block.
            Err(Errno::ENOTTY | Errno::EINVAL | Errno::EOPNOTSUPP) => {
                return zero_by_hand(to, at, end, watch);
            }
            Err(errno) => return Err(CopyError::Write { at, source: errno.into() }),
        }
        watch.done(at);
    }
    Ok(())
}

fn zero_by_hand(to: &File, start: u64, end: u64, watch: Watch<'_>) -> Result<(), CopyError> {
    let mut at = start;
    while at < end {
        if watch.is_cancelled() {
            return Err(CopyError::Cancelled);
        }
        let len = (end - at).min(CHUNK as u64);
        write(to, at, &ZEROS[..len as usize])?;
        at += len;
        watch.done(at);
    }
    Ok(())
}

/// What a copy of `from` that leaves out zeros takes, where that is more than
/// `free` bytes. Reads the data only when the space is short.
pub(super) fn needed_beyond(
    free: u64,
    from: &File,
    len: u64,
    watch: Watch<'_>,
) -> Result<Option<u64>, CopyError> {
    if allocated(from, len) <= free {
        return Ok(None);
    }
    Ok(Some(data_bytes(from, len, watch)?).filter(|needed| *needed > free))
}

/// The bytes that a copy of `from` writes where zeros are left out. Reads all
/// of its data.
fn data_bytes(from: &File, len: u64, watch: Watch<'_>) -> Result<u64, CopyError> {
    let mut buffer = vec![0; CHUNK];
    let (mut at, mut bytes) = (0, 0);
    while let Some((start, end)) = next_data(from, at, len) {
        at = start;
        while at < end {
            if watch.is_cancelled() {
                return Err(CopyError::Cancelled);
            }
            let part = read(from, at, end, &mut buffer)?;
            bytes += runs(part).map(|run| run.len() as u64).sum::<u64>();
            at += part.len() as u64;
        }
    }
    Ok(bytes)
}

/// The bytes that the file system keeps for `from`; never fewer than
/// [`data_bytes`], but for file systems that compress.
fn allocated(from: &File, len: u64) -> u64 {
    match from.metadata() {
        Ok(meta) if meta.is_file() => len.min(meta.blocks().saturating_mul(512)),
        _ => len,
    }
}

struct Copy<'a> {
    from: &'a File,
    to: &'a File,
    before: Before,
    watch: Watch<'a>,
    /// Up to here the disk was told to write.
    flushed: u64,
    buffer: Vec<u8>,
}

impl Copy<'_> {
    fn hole(&mut self, start: u64, end: u64) -> Result<(), CopyError> {
        match self.before {
            Before::Zeros => Ok(()),
            Before::Anything => zero(self.to, start, end, self.watch),
        }
    }

    fn data(&mut self, start: u64, end: u64) -> Result<(), CopyError> {
        let mut at = start;
        while at < end {
            if self.watch.is_cancelled() {
                return Err(CopyError::Cancelled);
            }
            let part = read(self.from, at, end, &mut self.buffer)?;
            match self.before {
                Before::Anything => write(self.to, at, part)?,
                Before::Zeros => {
                    for run in runs(part) {
                        write(self.to, at + run.start as u64, &part[run])?;
                    }
                }
            }
            at += part.len() as u64;
            self.flush_behind(at);
            self.watch.done(at);
        }
        Ok(())
    }

    /// Has the disk write what is copied already, while more is read: the flush
    /// at the end has less to wait for. And takes it out of the page cache,
    /// which the guest's direct I/O goes past.
    fn flush_behind(&mut self, at: u64) {
        if at - self.flushed >= FLUSH_CHUNK {
            let (start, len) = (self.flushed as i64, (at - self.flushed) as i64);
            // Only advice: the flush at the end is what counts.
            let advice = PosixFadviseAdvice::POSIX_FADV_DONTNEED;
            let _ = posix_fadvise(self.to, start, len, advice);
            self.flushed = at;
        }
    }
}

/// Reads up to a buffer of what is between `at` and `end`; at least a byte.
fn read<'a>(from: &File, at: u64, end: u64, buffer: &'a mut [u8]) -> Result<&'a [u8], CopyError> {
    let len = (end - at).min(buffer.len() as u64) as usize;
    let mut filled = 0;
    while filled < len {
        match from.read_at(&mut buffer[filled..len], at + filled as u64) {
            Ok(0) if filled == 0 => return Err(CopyError::Short { at, len: end }),
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(CopyError::Read { at, source }),
        }
    }
    Ok(&buffer[..filled])
}

fn write(to: &File, at: u64, bytes: &[u8]) -> Result<(), CopyError> {
    to.write_all_at(bytes, at).map_err(|source| CopyError::Write { at, source })
}

/// The next part with data between `at` and `len`. A file system that does not
/// know has data everywhere.
fn next_data(from: &File, at: u64, len: u64) -> Option<(u64, u64)> {
    if at >= len {
        return None;
    }
    let seek = |at: u64, whence| lseek64(from, at as i64, whence).map(|at| at as u64);
    match seek(at, Whence::SeekData) {
        Ok(start) if start >= len => None,
        Ok(start) => {
            let end = seek(start, Whence::SeekHole).unwrap_or(len).min(len);
            Some((start, if end > start { end } else { len }))
        }
        // No data from there on: what remains of the file is a hole. If the
        // file ends before `len`, reading says so.
        Err(Errno::ENXIO) if super::pool::length(from).is_ok_and(|end| end >= len) => None,
        Err(_) => Some((at, len)),
    }
}

/// The parts of `bytes` that hold anything but zeros, in whole blocks.
fn runs(bytes: &[u8]) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let is_zero = |start: usize| {
            let block = &bytes[start..bytes.len().min(start + BLOCK)];
            block == &ZEROS[..block.len()]
        };
        while at < bytes.len() && is_zero(at) {
            at += BLOCK;
        }
        let start = at;
        while at < bytes.len() && !is_zero(at) {
            at += BLOCK;
        }
        (start < bytes.len()).then(|| start..at.min(bytes.len()))
    })
}

#[cfg(test)]
mod tests;

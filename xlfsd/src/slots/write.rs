//! An image into a slot. Its first mebibyte, where the superblock is, goes first (as
//! zeros) and comes last, so that a slot which was not written to its end is no file
//! system at all: GRUB refuses it, and starts the good one.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::{OFlag, PosixFadviseAdvice, posix_fadvise};

use super::image;
use crate::image::Digest;
use crate::problem::Problem;
use crate::storage::Watch;

const CHUNK: usize = 1 << 20;
/// Flushed so often that progress tells of the disk, not of memory.
const FLUSH: u64 = 32 << 20;

/// Writes the `size` bytes of `image` to `device`, which nobody has mounted.
pub(super) fn write(
    image: &File,
    size: u64,
    device: &Path,
    watch: Watch<'_>,
) -> Result<(), Problem> {
    let failed = |error: io::Error| {
        Problem::internal(format!("{} cannot be written", device.display()))
            .cause(&error)
            .hint("The slot that runs is untouched. Is the disk sound? See the kernel's messages.")
    };
    let exclusive = OFlag::O_EXCL.bits();
    let open = OpenOptions::new().write(true).custom_flags(exclusive).open(device);
    let target = open.map_err(|error| match error.raw_os_error() {
        Some(busy) if busy == nix::libc::EBUSY => Problem::failed_precondition(
            "SLOT_IN_USE",
            format!("{} is in use: somebody has mounted it", device.display()),
        )
        .hint("Unmount it, then try again."),
        _ => failed(error),
    })?;
    let mut buffer = vec![0; CHUNK];
    let first = size.min(CHUNK as u64);
    target.write_all_at(&buffer[..length(first)], 0).map_err(failed)?;
    target.sync_all().map_err(failed)?;
    let mut at = first;
    let mut flushed = at;
    while at < size {
        if watch.is_cancelled() {
            return Err(Problem::cancelled("the slot was not written to its end"));
        }
        let part = length((size - at).min(CHUNK as u64));
        image.read_exact_at(&mut buffer[..part], at).map_err(failed)?;
        target.write_all_at(&buffer[..part], at).map_err(failed)?;
        at += part as u64;
        if at - flushed >= FLUSH {
            target.sync_data().map_err(failed)?;
            flushed = at;
            watch.done(at);
        }
    }
    target.sync_all().map_err(failed)?;
    image.read_exact_at(&mut buffer[..length(first)], 0).map_err(failed)?;
    target.write_all_at(&buffer[..length(first)], 0).map_err(failed)?;
    target.sync_all().map_err(failed)
}

/// Reads the `size` bytes back from the disk and compares them with what they
/// should be.
pub(super) fn verify(
    device: &Path,
    size: u64,
    expected: &Digest,
    watch: Watch<'_>,
) -> Result<(), Problem> {
    let failed = |error: io::Error| {
        Problem::internal(format!("{} cannot be read back", device.display())).cause(&error)
    };
    let mut file = File::open(device).map_err(failed)?;
    // What the kernel still has in memory says nothing about the disk.
    let dropped = posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
    dropped.map_err(|errno| failed(errno.into()))?;
    let found = image::hash(&mut file, size, |done| {
        watch.done(done);
        !watch.is_cancelled()
    });
    match found.map_err(failed)? {
        None => Err(Problem::cancelled("the slot was not read back to its end")),
        Some(found) if found == *expected => Ok(()),
        Some(found) => Err(Problem::internal(format!(
            "{} reads back as {}, and {} was written",
            device.display(),
            found.short(),
            expected.short()
        ))
        .hint("The disk does not keep what it is given: replace it. The slot that runs goes on.")),
    }
}

fn length(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(CHUNK).min(CHUNK)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> (File, Digest, u64) {
        let bytes: Vec<u8> = (0..3_500_000_u32).map(|n| (n % 251) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, &bytes).unwrap();
        let size = bytes.len() as u64;
        let digest = image::hash(&mut file, size, |_| true).unwrap().unwrap();
        (file, digest, size)
    }

    fn slot() -> tempfile::NamedTempFile {
        let slot = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(slot.path(), vec![0xff; 4 << 20]).unwrap();
        slot
    }

    #[test]
    fn a_slot_reads_back_as_the_image() {
        let (image, digest, size) = content();
        let slot = slot();
        write(&image, size, slot.path(), Watch::new(&|| false, &|_| {})).unwrap();
        verify(slot.path(), size, &digest, Watch::new(&|| false, &|_| {})).unwrap();
        assert_eq!(slot.path().metadata().unwrap().len(), 4 << 20);
        slot.as_file().write_all_at(b"x", size - 1).unwrap();
        let wrong = verify(slot.path(), size, &digest, Watch::new(&|| false, &|_| {}));
        assert!(wrong.unwrap_err().message.contains("reads back as"));
    }

    #[test]
    fn a_slot_that_was_not_finished_has_no_beginning() {
        let (image, _, size) = content();
        let slot = slot();
        let problem = write(&image, size, slot.path(), Watch::new(&|| true, &|_| {})).unwrap_err();
        assert!(problem.is_cancelled());
        let mut beginning = vec![1; CHUNK];
        slot.as_file().read_exact_at(&mut beginning, 0).unwrap();
        assert!(beginning.iter().all(|byte| *byte == 0));
    }
}

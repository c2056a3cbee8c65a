//! Copies that leave out zeros: a disk is mostly empty, and shall not cost what it
//! does not hold.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::unistd::{Whence, lseek};

/// A hole is at least so long, in bytes.
const PIECE: u64 = 64 << 10;

/// Writes all of `from` into `to` from byte `at` on, where `to` must read as zeros;
/// returns how many bytes `from` has. What its file system knows to be a hole is not
/// even read.
pub(super) fn copy(from: &File, to: &File, at: u64) -> io::Result<u64> {
    let size = from.metadata()?.len();
    let mut piece = vec![0; PIECE as usize];
    let mut done = 0;
    while let Some(data) = next_data(from, done)?.filter(|data| *data < size) {
        // Pieces begin at their multiples, so that holes are found where they were.
        let end = (data / PIECE + 1).saturating_mul(PIECE).min(size);
        let length = usize::try_from(end - data).unwrap_or_default();
        let found = piece.get_mut(..length).unwrap_or_default();
        from.read_exact_at(found, data)?;
        if found.iter().any(|byte| *byte != 0) {
            to.write_all_at(found, at + data)?;
        }
        done = end;
    }
    Ok(size)
}

/// Where data begins that is at or after a byte; none: only a hole is left.
fn next_data(file: &File, from: u64) -> io::Result<Option<u64>> {
    let from = i64::try_from(from).map_err(io::Error::other)?;
    match lseek(file, from, Whence::SeekData) {
        Ok(at) => Ok(u64::try_from(at).ok()),
        Err(Errno::ENXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn zeros_take_no_room() {
        let (from, file) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        file.set_len(4 << 20).unwrap();
        let mut content = vec![0; 3 << 20];
        content[1_500_000] = 7;
        content.push(9);
        // Zeros that are written and zeros that never were.
        from.write_all_at(&content[..1 << 20], 0).unwrap();
        from.write_all_at(&content[1_500_000..1_500_001], 1_500_000).unwrap();
        from.write_all_at(&[9], 3 << 20).unwrap();
        let done = copy(&from, &file, 1000).unwrap();
        assert_eq!(done, content.len() as u64);
        let mut back = vec![1; content.len()];
        file.read_exact_at(&mut back, 1000).unwrap();
        assert!(back == content);
        assert!(file.metadata().unwrap().blocks() * 512 <= 4 * PIECE);
    }

    #[test]
    fn an_empty_file_is_one_hole() {
        let (from, to) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        assert_eq!(copy(&from, &to, 0).unwrap(), 0);
        from.set_len(5 << 20).unwrap();
        assert_eq!(copy(&from, &to, 7).unwrap(), 5 << 20);
        assert_eq!(to.metadata().unwrap().len(), 0);
    }
}

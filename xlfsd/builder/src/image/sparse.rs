//! Copies that leave out zeros: a disk is mostly empty, and shall not cost what it
//! does not hold.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

/// A hole is at least so long and aligned, in bytes.
const PIECE: usize = 64 << 10;

/// Writes what `from` still has into `to` from byte `at` on, where `to` must read
/// as zeros; returns how many bytes there were.
pub(super) fn copy(from: &mut impl Read, to: &File, at: u64) -> io::Result<u64> {
    let mut piece = vec![0; PIECE];
    let mut done = 0;
    loop {
        let mut filled = 0;
        while filled < PIECE {
            match from.read(piece.get_mut(filled..).unwrap_or_default()) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let found = piece.get(..filled).unwrap_or_default();
        if found.iter().any(|byte| *byte != 0) {
            to.write_all_at(found, at + done)?;
        }
        done += filled as u64;
        if filled < PIECE {
            return Ok(done);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn zeros_take_no_room() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4 << 20).unwrap();
        let mut content = vec![0; 3 << 20];
        content[1_500_000] = 7;
        content.push(9);
        let done = copy(&mut content.as_slice(), &file, 1000).unwrap();
        assert_eq!(done, content.len() as u64);
        let mut back = vec![1; content.len()];
        file.read_exact_at(&mut back, 1000).unwrap();
        assert!(back == content);
        assert!(file.metadata().unwrap().blocks() * 512 <= 4 * PIECE as u64);
    }
}

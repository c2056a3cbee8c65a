//! Writes a file so that what is zero takes no room.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

/// What file systems give room in.
const BLOCK: usize = 4096;

/// Copies everything to the new and empty `file`; returns its length in bytes.
pub(super) fn copy(mut from: impl Read, file: &mut File) -> io::Result<u64> {
    let mut buffer = vec![0; 256 * BLOCK];
    let mut total = 0;
    loop {
        let length = fill(&mut from, &mut buffer)?;
        for block in buffer.get(..length).unwrap_or_default().chunks(BLOCK) {
            if block.iter().any(|&byte| byte != 0) {
                file.seek(SeekFrom::Start(total))?;
                file.write_all(block)?;
            }
            total += block.len() as u64;
        }
        if length < buffer.len() {
            file.set_len(total)?;
            return Ok(total);
        }
    }
}

/// A pipe gives less than was asked for; only its end is the end.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match from.read(rest) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn the_copy_is_the_same_and_takes_less_room() {
        let mut data = vec![0; 4 << 20];
        data[100] = 1;
        data[3 << 20] = 2;
        data.extend([0; 1000]);
        let mut file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(copy(data.as_slice(), file.as_file_mut()).unwrap(), data.len() as u64);
        assert_eq!(std::fs::read(file.path()).unwrap(), data);
        assert!(file.as_file().metadata().unwrap().blocks() * 512 < 1 << 20);
    }

    #[test]
    fn an_empty_one_is_empty() {
        let mut file = tempfile::tempfile().unwrap();
        assert_eq!(copy(io::empty(), &mut file).unwrap(), 0);
        assert_eq!(file.metadata().unwrap().len(), 0);
    }
}

//! SHA-256 and size: the name of everything in the store, as the Remote
//! Execution API names it.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The name of some bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Digest {
    /// SHA-256 in 64 lower-case hexadecimal digits.
    pub hash: String,
    /// In bytes.
    pub size: u64,
}

impl Digest {
    /// Of bytes at hand.
    pub fn of(bytes: &[u8]) -> Self {
        Self { hash: hex(&Sha256::digest(bytes)), size: bytes.len() as u64 }
    }

    /// Of a file's content.
    pub fn of_file(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 1 << 17];
        let mut size = 0;
        loop {
            let count = file.read(&mut buffer)?;
            if count == 0 {
                return Ok(Self { hash: hex(&hash.finalize()), size });
            }
            size += count as u64;
            hash.update(buffer.get(..count).unwrap_or_default());
        }
    }

    /// The first digits, for people.
    pub fn short(&self) -> &str {
        self.hash.get(..12).unwrap_or(&self.hash)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hash)
    }
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_and_its_bytes_have_one_digest() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, b"abc").unwrap();
        let digest = Digest::of(b"abc");
        assert_eq!(digest, Digest::of_file(&path).unwrap());
        assert_eq!((digest.short(), digest.size), ("ba7816bf8f01", 3));
    }
}

//! SHA-256 digests of images, as names of files.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// The SHA-256 of an image: 64 lower-case hexadecimal digits, and nothing else
/// that could name another file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

/// Text that is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a SHA-256 digest (64 lower-case hexadecimal digits): {text:?}")]
pub struct InvalidDigest {
    /// The first of it.
    pub text: String,
}

impl Digest {
    /// The digest of bytes in memory.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self::finish(<Sha256 as sha2::Digest>::new_with_prefix(bytes))
    }

    /// The digest of everything in a file, wherever its offset stands.
    ///
    /// # Errors
    /// Whatever the operating system says.
    pub fn of(file: &File) -> io::Result<Self> {
        let mut hasher = <Sha256 as sha2::Digest>::new();
        let mut buffer = vec![0; 256 * 1024];
        let mut at = 0;
        loop {
            match file.read_at(&mut buffer, at) {
                Ok(0) => return Ok(Self::finish(hasher)),
                Ok(n) => {
                    sha2::Digest::update(&mut hasher, buffer.get(..n).unwrap_or(&buffer));
                    at = at.saturating_add(n as u64);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    fn finish(hasher: Sha256) -> Self {
        use std::fmt::Write;
        let bytes = sha2::Digest::finalize(hasher);
        Self(bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        }))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Digest {
    type Error = InvalidDigest;

    fn try_from(text: String) -> Result<Self, InvalidDigest> {
        if text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            Ok(Self(text))
        } else {
            Err(InvalidDigest { text: text.chars().take(80).collect() })
        }
    }
}

impl std::str::FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        text.to_owned().try_into()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn known_digest_and_what_is_none() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::of_bytes(b"abc").as_str(), abc);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"abc").unwrap();
        assert_eq!(Digest::of(&file).unwrap().as_str(), abc);
        assert!(abc.parse::<Digest>().is_ok());
        for bad in ["", "../../etc", &abc[1..], &abc.to_uppercase(), &format!("{abc}0")] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }
}

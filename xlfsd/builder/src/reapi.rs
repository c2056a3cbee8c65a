//! The Remote Execution API (bazelbuild/remote-apis, version 2): the messages that
//! name a unit of work, and the clients of its services.
//!
//! They come from the crate bazel-remote-apis. The same bytes (and so the same
//! digests) mean the same to us and to any service of that API. Lists are sorted as
//! the API demands of a canonical encoding.

pub use bazel_remote_apis::build::bazel::remote::execution::v2::*;
pub use bazel_remote_apis::google;

use crate::digest::Digest as Named;

/// Property names and values of the API's lexicon for platforms.
pub fn platform() -> Platform {
    // "x86_64" is Rust's and the kernel's word, "x86-64" the lexicon's.
    let isa = match std::env::consts::ARCH {
        "x86_64" => "x86-64",
        "x86" => "x86-32",
        "aarch64" => "arm-a64",
        other => other,
    };
    let property = |(name, value): (&str, &str)| platform::Property {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let properties = [("ISA", isa), ("OSFamily", std::env::consts::OS)];
    Platform { properties: properties.map(property).into() }
}

impl From<&Named> for Digest {
    fn from(digest: &Named) -> Self {
        let size_bytes = i64::try_from(digest.size).unwrap_or(i64::MAX);
        Self { hash: digest.hash.clone(), size_bytes }
    }
}

/// As the store names it; none if it is no digest.
pub fn named(wire: &Digest) -> Option<Named> {
    let hexadecimal = |it: u8| matches!(it, b'0'..=b'9' | b'a'..=b'f');
    let fine = wire.hash.len() == 64 && wire.hash.bytes().all(hexadecimal);
    let size = u64::try_from(wire.size_bytes).ok()?;
    fine.then(|| Named { hash: wire.hash.clone(), size })
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    /// The bytes are spelled out after the API's field numbers, not taken from the crate.
    #[test]
    fn messages_have_the_apis_bytes() {
        let digest = Digest { hash: "ab".to_owned(), size_bytes: 3 };
        let directory = Directory {
            files: vec![FileNode {
                name: "x".to_owned(),
                digest: Some(digest),
                is_executable: true,
                ..FileNode::default()
            }],
            symlinks: vec![SymlinkNode {
                name: "l".to_owned(),
                target: "x".to_owned(),
                ..SymlinkNode::default()
            }],
            ..Directory::default()
        };
        let expected =
            b"\x0a\x0d\x0a\x01x\x12\x06\x0a\x02ab\x10\x03\x20\x01\x1a\x06\x0a\x01l\x12\x01x";
        assert_eq!(directory.encode_to_vec(), expected);
        // The API's example of an empty folder: no bytes at all.
        assert_eq!(Directory::default().encode_to_vec(), b"");
    }
}

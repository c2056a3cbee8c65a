//! The messages of the Remote Execution API that name a unit of work:
//! build/bazel/remote/execution/v2/remote_execution.proto of bazelbuild/remote-apis.
//!
//! Only what the local executor needs, with the field numbers of the API, so
//! that the same bytes (and so the same digests) mean the same to any service
//! of that API. Lists are sorted as the API demands of a canonical encoding.

use crate::digest::Digest;

/// `Digest`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct WireDigest {
    /// SHA-256, hexadecimal.
    #[prost(string, tag = "1")]
    pub hash: String,
    /// In bytes.
    #[prost(int64, tag = "2")]
    pub size_bytes: i64,
}

/// `NodeProperty`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct NodeProperty {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// `google.protobuf.UInt32Value`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct UInt32Value {
    /// The number.
    #[prost(uint32, tag = "1")]
    pub value: u32,
}

/// `NodeProperties`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct NodeProperties {
    /// Sorted by name.
    #[prost(message, repeated, tag = "1")]
    pub properties: Vec<NodeProperty>,
    /// Permission bits.
    #[prost(message, optional, tag = "3")]
    pub unix_mode: Option<UInt32Value>,
}

/// `FileNode`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct FileNode {
    /// Name in its folder.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its content.
    #[prost(message, optional, tag = "2")]
    pub digest: Option<WireDigest>,
    /// Whether it may be run.
    #[prost(bool, tag = "4")]
    pub is_executable: bool,
    /// Mode and owner, where they are not the usual ones.
    #[prost(message, optional, tag = "6")]
    pub node_properties: Option<NodeProperties>,
}

/// `DirectoryNode`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct DirectoryNode {
    /// Name in its folder.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Of its [`Directory`].
    #[prost(message, optional, tag = "2")]
    pub digest: Option<WireDigest>,
}

/// `SymlinkNode`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SymlinkNode {
    /// Name in its folder.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Where it points to.
    #[prost(string, tag = "2")]
    pub target: String,
}

/// `Directory`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Directory {
    /// Sorted by name.
    #[prost(message, repeated, tag = "1")]
    pub files: Vec<FileNode>,
    /// Sorted by name.
    #[prost(message, repeated, tag = "2")]
    pub directories: Vec<DirectoryNode>,
    /// Sorted by name.
    #[prost(message, repeated, tag = "3")]
    pub symlinks: Vec<SymlinkNode>,
    /// Mode and owner, where they are not the usual ones.
    #[prost(message, optional, tag = "5")]
    pub node_properties: Option<NodeProperties>,
}

/// `Command.EnvironmentVariable`, and `Platform.Property`, which has the same form.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Pair {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// `Platform`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Platform {
    /// Sorted by name.
    #[prost(message, repeated, tag = "1")]
    pub properties: Vec<Pair>,
}

/// `Command`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Command {
    /// The program and its arguments.
    #[prost(string, repeated, tag = "1")]
    pub arguments: Vec<String>,
    /// Sorted by name.
    #[prost(message, repeated, tag = "2")]
    pub environment_variables: Vec<Pair>,
    /// Where it runs, below the input root.
    #[prost(string, tag = "6")]
    pub working_directory: String,
    /// What it leaves, relative to the working folder.
    #[prost(string, repeated, tag = "7")]
    pub output_paths: Vec<String>,
}

/// `Action`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Action {
    /// Of the [`Command`].
    #[prost(message, optional, tag = "1")]
    pub command_digest: Option<WireDigest>,
    /// Of the root [`Directory`].
    #[prost(message, optional, tag = "2")]
    pub input_root_digest: Option<WireDigest>,
    /// What it must run on.
    #[prost(message, optional, tag = "10")]
    pub platform: Option<Platform>,
}

impl From<&Digest> for WireDigest {
    fn from(digest: &Digest) -> Self {
        let size_bytes = i64::try_from(digest.size).unwrap_or(i64::MAX);
        Self { hash: digest.hash.clone(), size_bytes }
    }
}

impl WireDigest {
    /// As the store names it; none if it is no digest.
    pub fn to_digest(&self) -> Option<Digest> {
        let fine = self.hash.len() == 64 && self.hash.bytes().all(|it| it.is_ascii_hexdigit());
        let size = u64::try_from(self.size_bytes).ok()?;
        fine.then(|| Digest { hash: self.hash.clone(), size })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    /// The bytes are spelled out after the API's field numbers, not taken from us.
    #[test]
    fn messages_have_the_apis_bytes() {
        let digest = WireDigest { hash: "ab".to_owned(), size_bytes: 3 };
        let directory = Directory {
            files: vec![FileNode {
                name: "x".to_owned(),
                digest: Some(digest),
                is_executable: true,
                node_properties: None,
            }],
            directories: vec![],
            symlinks: vec![SymlinkNode { name: "l".to_owned(), target: "x".to_owned() }],
            node_properties: None,
        };
        let expected =
            b"\x0a\x0d\x0a\x01x\x12\x06\x0a\x02ab\x10\x03\x20\x01\x1a\x06\x0a\x01l\x12\x01x";
        assert_eq!(directory.encode_to_vec(), expected);
        // The API's example of an empty folder: no bytes at all.
        assert_eq!(Directory::default().encode_to_vec(), b"");
    }
}

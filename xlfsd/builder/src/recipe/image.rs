//! The file of one image, `images/<image>.toml`, as it is written.

use serde::{Deserialize, Serialize};

use super::artifact::Artifact;
use super::package::Permission;

/// What an image is composed of and what is made from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// As the file is called.
    pub name: String,
    /// One line.
    pub summary: String,
    /// `package` (its output `run`) or `package:output`.
    pub packages: Vec<String>,
    /// Patterns of files that stay out.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Patterns of files that must not be there.
    #[serde(default)]
    pub forbid: Vec<String>,
    /// Files of its own.
    #[serde(default)]
    pub file: Vec<OwnFile>,
    /// Empty folders.
    #[serde(default)]
    pub folder: Vec<OwnFolder>,
    /// Symbolic links.
    #[serde(default)]
    pub link: Vec<OwnLink>,
    /// Exceptions from the usual modes and owners.
    #[serde(default)]
    pub permission: Vec<Permission>,
    /// What is made.
    #[serde(default)]
    pub artifact: Vec<Artifact>,
}

/// A file that an image adds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnFile {
    /// Without a leading slash.
    pub path: String,
    /// Its content; or `from`, or `input`.
    pub text: Option<String>,
    /// A file of the image's own folder.
    pub from: Option<String>,
    /// The name of a file that who builds gives to the build.
    pub input: Option<String>,
    /// Of an input: SPDX. None: the bill of materials claims nothing.
    pub licence: Option<String>,
    /// Octal; none: 0644.
    pub mode: Option<String>,
    /// `uid:gid`; none: root's.
    pub owner: Option<String>,
    /// Whether it may stand in for a package's file.
    #[serde(default)]
    pub replace: bool,
}

/// A folder that an image adds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnFolder {
    /// Without a leading slash.
    pub path: String,
    /// Octal; none: 0755.
    pub mode: Option<String>,
    /// `uid:gid`; none: root's.
    pub owner: Option<String>,
}

/// A symbolic link that an image adds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnLink {
    /// Without a leading slash.
    pub path: String,
    /// Where it points to.
    pub target: String,
}

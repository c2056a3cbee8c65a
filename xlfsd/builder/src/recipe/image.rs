//! The file of one image, `images/<image>.toml`, as it is written.

use serde::{Deserialize, Serialize};

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

/// A file that is made out of the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    /// What it is.
    pub kind: ArtifactKind,
    /// Its name.
    pub file: String,
    /// Patterns: only these files of the tree.
    #[serde(default)]
    pub include: Vec<String>,
    /// Patterns: not these.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// More bytes of content are an error; `"8M"`.
    pub max_content: Option<String>,
    /// Of a file system; `"64M"` or `"auto"`.
    pub size: Option<String>,
    /// Of a file system.
    pub label: Option<String>,
    /// Of a copy: the file of the tree.
    pub from: Option<String>,
    /// As what it goes into a host's image catalogue, if somebody wants it there.
    pub import: Option<Import>,
}

/// What an artifact is in xlfsd's image catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Import {
    /// What guests take it for.
    pub kind: ImportKind,
    /// By what name templates find it.
    pub alias: String,
}

/// The kinds of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImportKind {
    /// Of a guest; `copy`.
    Kernel,
    /// An initramfs; `cpio.gz`.
    Ramdisk,
    /// A disk's content, or an archive of which the catalogue makes one.
    Disk,
}

/// The kinds of artifacts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ArtifactKind {
    /// A file system.
    #[serde(rename = "ext4")]
    Ext4,
    /// An initramfs.
    #[serde(rename = "cpio.gz")]
    CpioGz,
    /// A tar archive.
    #[serde(rename = "tar")]
    Tar,
    /// A compressed tar archive.
    #[serde(rename = "tar.gz")]
    TarGz,
    /// One file of the tree.
    #[serde(rename = "copy")]
    Copy,
}

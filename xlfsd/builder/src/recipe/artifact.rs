//! What is made out of an image, `[[artifact]]`, as it is written.

use serde::{Deserialize, Serialize};

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
    /// The folder of the tree that is the top of the artifact; none: the tree's.
    pub root: Option<String>,
    /// Of a disk: its boot loader.
    pub boot: Option<Boot>,
    /// Of a disk: from its beginning to its end.
    #[serde(default)]
    pub partition: Vec<Partition>,
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
    /// A raw disk with a GPT.
    #[serde(rename = "disk")]
    Disk,
    /// The same, compressed.
    #[serde(rename = "disk.gz")]
    DiskGz,
}

impl ArtifactKind {
    /// Whether it is made of other artifacts, not of the tree.
    pub fn is_disk(self) -> bool {
        matches!(self, Self::Disk | Self::DiskGz)
    }
}

/// GRUB's two parts for a PC with a BIOS; files of the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Boot {
    /// `boot.img`: goes into the disk's first sector.
    pub sector: String,
    /// `core.img`: goes into the partition of kind `bios-boot`.
    pub core: String,
}

/// A partition of a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// Its label in the partition table (PARTLABEL).
    pub name: String,
    /// What it is for.
    pub kind: PartitionKind,
    /// `"64M"`, rounded up to whole MiB; none: as large as its content.
    pub size: Option<String>,
    /// Another artifact of the image; none: zeros.
    pub from: Option<String>,
}

/// The kinds of partitions: types of the GPT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartitionKind {
    /// The boot loader's own.
    BiosBoot,
    /// The firmware's: FAT.
    Efi,
    /// A file system of Linux, or room for one.
    Linux,
}

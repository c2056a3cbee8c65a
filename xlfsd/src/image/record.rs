//! What the store knows about an image, and how that stands on disk.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use prost_types::Timestamp;
use serde::{Deserialize, Serialize};
use xlfs_mistakes::alias::wrong_alias;
use xlfs_proto::v1 as pb;

use super::Digest;
use crate::problem::{FieldProblem, Problem};
use crate::toml_file::{self, TomlFileError};

/// Bytes of an image's origin and of its summary that are kept.
pub(super) const MAX_NOTE: usize = 500;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageKind {
    Kernel,
    Ramdisk,
    /// The raw content of a disk.
    Disk,
}

impl ImageKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Ramdisk => "ramdisk",
            Self::Disk => "disk",
        }
    }
}

impl TryFrom<pb::ImageKind> for ImageKind {
    type Error = Problem;

    fn try_from(kind: pb::ImageKind) -> Result<Self, Problem> {
        match kind {
            pb::ImageKind::Kernel => Ok(Self::Kernel),
            pb::ImageKind::Ramdisk => Ok(Self::Ramdisk),
            pb::ImageKind::Disk => Ok(Self::Disk),
            pb::ImageKind::Unspecified => Err(Problem::invalid_field(
                "BAD_IMAGE_KIND",
                "header.kind",
                "say whether the image is a kernel, a ramdisk or a disk",
            )),
        }
    }
}

impl From<ImageKind> for pb::ImageKind {
    fn from(kind: ImageKind) -> Self {
        match kind {
            ImageKind::Kernel => Self::Kernel,
            ImageKind::Ramdisk => Self::Ramdisk,
            ImageKind::Disk => Self::Disk,
        }
    }
}

/// One image. The content's place follows from the digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageRecord {
    /// Of this file; there is only 1 so far.
    pub format: u32,
    pub digest: Digest,
    pub kind: ImageKind,
    /// Bytes of the content; of a disk that was made of an archive, of the disk.
    pub size: u64,
    /// Milliseconds since 1970.
    pub imported_ms: u64,
    /// The name of the file that it came from, as the importer gave it.
    pub origin: String,
    /// For a kernel that was inspected, or a disk made of an archive: one line.
    pub summary: String,
    /// Each alias and when it was given, in milliseconds since 1970. Where two
    /// images claim one alias (the daemon was killed between the two writes),
    /// the later claim holds.
    pub aliases: BTreeMap<String, u64>,
}

impl ImageRecord {
    pub(super) const FORMAT: u32 = 1;

    /// Reads and checks a record; its file must be named by its digest.
    pub(super) fn read(path: &Path) -> Result<Self, TomlFileError> {
        let record: Self = toml_file::read(path)?;
        let wrong = |message: String| TomlFileError::Syntax { path: path.into(), line: 1, message };
        if record.format != Self::FORMAT {
            return Err(wrong(format!("format {} is not known to this xlfsd", record.format)));
        }
        if path.file_stem().is_none_or(|stem| stem != record.digest.to_string().as_str()) {
            return Err(wrong(format!("the record is about another image, {}", record.digest)));
        }
        if let Some(problem) = record.aliases.keys().find_map(|alias| check_alias(alias).err()) {
            return Err(wrong(problem.message.clone()));
        }
        Ok(record)
    }

    pub fn message(&self, used_by: Vec<String>) -> pb::Image {
        let imported = SystemTime::UNIX_EPOCH + Duration::from_millis(self.imported_ms);
        pb::Image {
            digest: self.digest.to_string(),
            kind: pb::ImageKind::from(self.kind).into(),
            aliases: self.aliases.keys().cloned().collect(),
            size: self.size,
            imported: Some(Timestamp::from(imported)),
            origin: self.origin.clone(),
            summary: self.summary.clone(),
            used_by,
        }
    }

    /// What a person calls it: `kernel minimal-kernel (0123456789ab)`.
    pub fn title(&self) -> String {
        let aliases: Vec<_> = self.aliases.keys().map(String::as_str).collect();
        match aliases.as_slice() {
            [] => format!("{} {}", self.kind.as_str(), self.digest.short()),
            _ => format!("{} {} ({})", self.kind.as_str(), aliases.join(", "), self.digest.short()),
        }
    }
}

/// An alias is short, plain, and cannot be taken for a digest or a part of one.
pub(super) fn check_alias(alias: &str) -> Result<(), Problem> {
    let Some(wrong) = wrong_alias(alias) else { return Ok(()) };
    let shown: String = alias.chars().take(80).collect();
    let fields = vec![FieldProblem::new("header.alias", wrong)];
    Err(Problem::invalid("BAD_ALIAS", format!("the alias {shown:?} {wrong}"), fields))
}

/// Cuts what an importer says about an image to one line of sane length.
pub(super) fn note(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    clean[..clean.floor_char_boundary(MAX_NOTE)].trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_one_line() {
        assert_eq!(note(" a\nb\u{1b}[31m "), "a b [31m");
        assert_eq!(note(&"ä".repeat(400)).len(), 500);
    }
}

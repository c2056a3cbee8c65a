//! A guest's disk: its name inside the guest, and the volume behind it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::image::Digest;

/// Linux's major number of paravirtual disks; names up to `xvdp15` are under it.
const XVD: u32 = 202;
/// Marks the numbers of later names (docs/misc/vbd-interface.txt of Xen).
const EXTENDED: u32 = 1 << 28;
/// Disks and partitions that a number has room for.
const MAX_DISK: u32 = (1 << 20) - 1;
const MAX_PART: u32 = 255;

/// The name of a disk, `xvda`, or of something that the guest sees as a
/// partition of one, `xvda1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct DiskName {
    /// 0 for `xvda`.
    disk: u32,
    /// 0 for the whole disk.
    part: u32,
}

impl DiskName {
    /// The configuration disk's place: the last of the short names. Guests find it
    /// by its label.
    pub(in crate::domain) const CONFIGURATION: Self = Self { disk: 25, part: 0 };

    /// A whole disk, 0 for `xvda`.
    pub fn whole(disk: u32) -> Self {
        Self { disk: disk.min(MAX_DISK), part: 0 }
    }

    /// The number by which the two ends of a disk know it.
    pub fn number(self) -> u32 {
        if self.disk < 16 && self.part < 16 {
            XVD << 8 | self.disk << 4 | self.part
        } else {
            EXTENDED | self.disk << 8 | self.part
        }
    }

    /// Whether two names claim the same place: a disk and its partition do.
    pub fn clashes(self, other: Self) -> bool {
        self.disk == other.disk && (self.part == other.part || self.part == 0 || other.part == 0)
    }
}

/// A text that names no disk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name of a disk: xvda, xvdb, … or xvda1 for a partition")]
pub struct NotADiskName(String);

impl FromStr for DiskName {
    type Err = NotADiskName;

    fn from_str(text: &str) -> Result<Self, NotADiskName> {
        let wrong = || NotADiskName(text.chars().take(40).collect());
        let rest = text.strip_prefix("xvd").ok_or_else(wrong)?;
        let letters = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_lowercase()).len();
        let (letters, digits) = rest.split_at(letters);
        if letters.is_empty() || letters.len() > 4 || digits.starts_with('0') {
            return Err(wrong());
        }
        // As columns of a table are counted: a … z, aa, ab …
        let disk =
            letters.bytes().fold(0u32, |sum, letter| sum * 26 + u32::from(letter - b'a') + 1) - 1;
        let part = match digits {
            "" => 0,
            digits => digits.parse().map_err(|_| wrong())?,
        };
        if disk > MAX_DISK || part > MAX_PART {
            return Err(wrong());
        }
        Ok(Self { disk, part })
    }
}

impl TryFrom<String> for DiskName {
    type Error = NotADiskName;

    fn try_from(text: String) -> Result<Self, NotADiskName> {
        text.parse()
    }
}

impl From<DiskName> for String {
    fn from(name: DiskName) -> Self {
        name.to_string()
    }
}

impl fmt::Display for DiskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut letters = Vec::new();
        let mut left = self.disk + 1;
        while left > 0 {
            letters.push(char::from(b'a' + ((left - 1) % 26) as u8));
            left = (left - 1) / 26;
        }
        let letters: String = letters.into_iter().rev().collect();
        write!(f, "xvd{letters}")?;
        if self.part > 0 { write!(f, "{}", self.part) } else { Ok(()) }
    }
}

/// A disk of a guest, as its record has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskRecord {
    pub name: DiskName,
    /// The volume behind it, and how that is made with the guest.
    pub volume: VolumeRecipe,
    #[serde(default)]
    pub read_only: bool,
    /// The volume stays when the guest is deleted.
    #[serde(default)]
    pub keep: bool,
    /// The volume was there before the guest, and stays after it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopted: bool,
}

impl DiskRecord {
    /// Its volume goes when the guest does.
    pub fn goes_with_guest(&self) -> bool {
        !self.keep && !self.adopted
    }

    /// The guest writes something to it that is worth to be kept.
    pub fn has_data(&self) -> bool {
        !self.read_only && !self.volume.swap
    }
}

/// A volume to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolumeRecipe {
    pub uuid: Uuid,
    /// Unique among volumes, such as `web-xvda`.
    pub name: String,
    pub pool: String,
    /// Bytes; the image may be smaller.
    pub size: u64,
    /// What it begins with; nothing but zeros without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Digest>,
    /// Labelled as swap.
    #[serde(default)]
    pub swap: bool,
    /// The volume that it begins as, instead of the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy_of: Option<Uuid>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers as Xen's docs/misc/vbd-interface.txt has them.
    #[test]
    fn names_have_the_numbers_of_the_interface() {
        for (name, number) in [
            ("xvda", 51712),
            ("xvda1", 51713),
            ("xvdb", 51728),
            ("xvdp15", 51967),
            ("xvdq", 1 << 28 | 16 << 8),
            ("xvda16", 1 << 28 | 16),
            ("xvdaa3", 1 << 28 | 26 << 8 | 3),
        ] {
            let parsed: DiskName = name.parse().unwrap();
            assert_eq!(parsed.number(), number, "{name}");
            assert_eq!(parsed.to_string(), name);
        }
    }

    #[test]
    fn what_is_no_disk_is_refused() {
        for bad in ["", "xvd", "sda", "xvda0", "xvda01", "xvdA", "xvda256", "xvdaaaaa", "xvda1x"] {
            assert!(bad.parse::<DiskName>().is_err(), "{bad}");
        }
        let unbounded = "xvda".to_owned() + &"9".repeat(5000);
        assert!(unbounded.parse::<DiskName>().unwrap_err().to_string().len() < 200);
    }

    #[test]
    fn a_disk_clashes_with_its_partitions() {
        let name = |text: &str| text.parse::<DiskName>().unwrap();
        assert!(name("xvda").clashes(name("xvda1")));
        assert!(name("xvda1").clashes(name("xvda1")));
        assert!(!name("xvda1").clashes(name("xvda2")));
        assert!(!name("xvda").clashes(name("xvdb")));
    }
}

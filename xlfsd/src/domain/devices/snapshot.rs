//! What a guest's disks held at an instant, as its record has it.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{DiskName, VolumeRecipe};
use crate::problem::Problem;

/// Most characters of a snapshot's name: volumes are named by it.
const MAX_NAME: usize = 32;

/// A snapshot. Its volumes are the guest's, and go with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotRecord {
    pub name: String,
    /// Milliseconds since 1970.
    pub created_ms: u64,
    /// The guest was paused, not stopped.
    pub paused: bool,
    /// It is being made or removed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unfinished: bool,
    pub disks: Vec<SnapshotDisk>,
}

/// What one disk held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotDisk {
    pub name: DiskName,
    /// The volume that holds it now.
    pub volume: VolumeRecipe,
}

/// A disk that a snapshot's content comes back to, while that lasts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestoredDisk {
    pub name: DiskName,
    /// The copy of the snapshot's volume that becomes the disk's.
    pub volume: VolumeRecipe,
    /// The volume that the disk has until then.
    pub replaces: Uuid,
}

/// Whether a snapshot can have this name.
pub(in crate::domain) fn check_name(name: &str) -> Result<(), Problem> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
    let end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fits = (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(plain)
        && name.starts_with(end)
        && name.ends_with(end);
    if fits {
        return Ok(());
    }
    let text = format!("must have 1 to {MAX_NAME} of a-z, 0-9 and inner '-' and '.'");
    Err(Problem::invalid_field("BAD_NAME", "snapshot", &text).hint("Example: before-upgrade"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parts_of_volumes_names() {
        for good in ["a", "before-upgrade", "1.2", &"a".repeat(32)] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a.", "A", "a@b", "a/b", &"a".repeat(33)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}

//! What was written into each slot, and how its trial went: one file a slot, below
//! the state folder, which both slots see.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Slot;
use crate::durable;
use crate::image::Digest;
use crate::problem::Problem;
use crate::toml_file;

/// What is in a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// Writing it was begun and not finished.
    Incomplete,
    /// Whole, and not started yet.
    Untried,
    /// Started, and it passed its checks.
    Good,
    /// Started, and it did not.
    Failed,
}

/// A slot's record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlotRecord {
    /// Of this file; there is only 1 so far.
    pub format: u32,
    pub content: Content,
    /// SHA-256 of the image.
    pub digest: Digest,
    /// Bytes of the image.
    pub size: u64,
    /// What it was called; empty for what came with the disk.
    pub name: String,
    /// Milliseconds since 1970; 0: it came with the disk.
    pub written_ms: u64,
    /// When its trial ended; 0: it had none.
    pub judged_ms: u64,
    /// Why the trial failed; empty if it did not.
    pub reason: String,
}

impl SlotRecord {
    pub const FORMAT: u32 = 1;
}

/// The folder of the records.
#[derive(Debug)]
pub struct SlotRecords {
    folder: PathBuf,
}

impl SlotRecords {
    pub fn open(folder: PathBuf) -> Result<Self, Problem> {
        durable::make_private_dir(&folder).map_err(|error| {
            Problem::internal("the records of the slots cannot be kept").cause(&error)
        })?;
        Ok(Self { folder })
    }

    /// None also where the record cannot be read: then nothing is known of the slot.
    pub fn read(&self, slot: Slot) -> Option<SlotRecord> {
        match toml_file::read::<SlotRecord>(&self.path(slot)) {
            Ok(record) if record.format == SlotRecord::FORMAT => Some(record),
            Ok(record) => {
                tracing::warn!(%slot, format = record.format, "a later xlfsd wrote this record");
                None
            }
            Err(error) if error.is_not_found() => None,
            Err(error) => {
                tracing::warn!(%slot, %error, "the slot's record is ignored");
                None
            }
        }
    }

    pub fn write(&self, slot: Slot, record: &SlotRecord) -> Result<(), Problem> {
        let failed = |error: &(dyn std::error::Error + 'static)| {
            Problem::internal(format!("the record of slot {slot} cannot be written")).cause(error)
        };
        let text = toml::to_string(record).map_err(|error| failed(&error))?;
        durable::write_whole(&self.path(slot), text.as_bytes()).map_err(|error| failed(&error))
    }

    /// The guests that are to run again after a restart, once.
    pub fn take_guests(&self) -> Vec<String> {
        let path = self.guests();
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        if let Err(error) = durable::remove(&path) {
            tracing::warn!("{error}: {:?}", std::error::Error::source(&error));
        }
        text.lines().map(str::to_owned).collect()
    }

    pub fn keep_guests(&self, names: &[String]) -> Result<(), Problem> {
        let path = self.guests();
        let kept = match names {
            [] => durable::remove(&path),
            _ => durable::write_whole(&path, (names.join("\n") + "\n").as_bytes()),
        };
        kept.map_err(|error| Problem::internal("the guests that run cannot be noted").cause(&error))
    }

    fn guests(&self) -> PathBuf {
        self.folder.join("guests")
    }

    fn path(&self, slot: Slot) -> PathBuf {
        self.folder.join(Path::new(slot.letter()).with_extension("toml"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_outlive_the_daemon_and_bad_ones_are_no_obstacle() {
        let dir = tempfile::tempdir().unwrap();
        let records = SlotRecords::open(dir.path().join("slots")).unwrap();
        assert_eq!(records.read(Slot::A), None);
        let record = SlotRecord {
            format: 1,
            content: Content::Failed,
            digest: Digest::new([7; 32]),
            size: 1 << 28,
            name: "dom0-2".into(),
            written_ms: 1,
            judged_ms: 2,
            reason: "sshd \"does not\" answer".into(),
        };
        records.write(Slot::A, &record).unwrap();
        assert_eq!(records.read(Slot::A), Some(record));
        assert_eq!(records.read(Slot::B), None);
        std::fs::write(dir.path().join("slots/a.toml"), "format = 1\n").unwrap();
        assert_eq!(records.read(Slot::A), None);
    }

    #[test]
    fn guests_are_taken_once() {
        let dir = tempfile::tempdir().unwrap();
        let records = SlotRecords::open(dir.path().join("slots")).unwrap();
        records.keep_guests(&["web".into(), "dns".into()]).unwrap();
        assert_eq!(records.take_guests(), ["web", "dns"]);
        assert!(records.take_guests().is_empty());
    }
}

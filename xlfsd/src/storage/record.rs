//! What is known about a volume: one file each, whole or not at all.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::durable::{self, FileError, UNFINISHED};
use crate::event::EventBus;
use crate::image::Digest;
use crate::problem::Problem;
use crate::quarantine::quarantine;
use crate::toml_file::{self, TomlFileError};

/// Most characters of a name: a guest's, what the volume is in it, and the
/// snapshot that it is of.
const MAX_NAME: usize = 160;
/// Stands in the names of volumes that xlfsd makes of others, such as
/// `web-xvda@before`: users cannot choose such names, so theirs are never taken.
pub const SNAPSHOT_MARK: char = '@';

/// Where a volume's first content came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum VolumeOrigin {
    /// Zeros.
    Empty,
    Image {
        digest: Digest,
    },
    /// Another volume, which may be gone by now.
    Volume {
        uuid: Uuid,
    },
}

/// What a volume is in the middle of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VolumeWork {
    Create,
    Grow,
    Remove,
}

/// A volume as its user sees it. Its content's place follows from the UUID.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolumeRecord {
    /// Of this file; there is only 1 so far.
    pub format: u32,
    pub uuid: Uuid,
    /// One of its kind, such as `web-root`.
    pub name: String,
    pub pool: String,
    /// Bytes that a guest sees.
    pub size: u64,
    /// Milliseconds since 1970.
    pub created_ms: u64,
    /// The guest that it was made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Uuid>,
    /// It stays when its owner is deleted.
    pub kept: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<VolumeWork>,
    pub origin: VolumeOrigin,
}

impl VolumeRecord {
    pub const FORMAT: u32 = 1;

    /// `volume web-root`, for errors and steps.
    pub fn title(&self) -> String {
        format!("volume {}", self.name)
    }

    fn read(path: &Path) -> Result<Self, TomlFileError> {
        let record: Self = toml_file::read(path)?;
        let wrong = |message: String| TomlFileError::Syntax { path: path.into(), line: 1, message };
        if record.format != Self::FORMAT {
            return Err(wrong(format!("format {} is not known to this xlfsd", record.format)));
        }
        if path.file_stem().is_none_or(|stem| stem != record.uuid.to_string().as_str()) {
            return Err(wrong(format!("the record is about another volume, {}", record.uuid)));
        }
        if let Err(problem) = check_name(&record.name) {
            return Err(wrong(problem.message.clone()));
        }
        Ok(record)
    }
}

/// A name is plain, and never one of the UUIDs that volumes also go by.
pub(super) fn check_name(name: &str) -> Result<(), Problem> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.@".contains(&b);
    let end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let wrong = if name.len() > MAX_NAME {
        "must have at most 160 characters"
    } else if !name.bytes().all(plain) || !name.starts_with(end) || !name.ends_with(end) {
        "must consist of a-z, 0-9 and inner '-' and '.'"
    } else if name.parse::<Uuid>().is_ok() {
        "could be taken for a UUID"
    } else {
        return Ok(());
    };
    Err(Problem::invalid_field("BAD_NAME", "name", wrong).hint("Examples: web-root, db-1.swap"))
}

/// The records' folder.
#[derive(Debug)]
pub(super) struct VolumeRecords {
    dir: PathBuf,
}

impl VolumeRecords {
    /// Opens the folder and reads every record. One that cannot be read, or has
    /// the name of another, is put into quarantine and reported: it never keeps
    /// the daemon from starting.
    pub(super) fn open(
        dir: PathBuf,
        quarantine_dir: &Path,
        events: &EventBus,
    ) -> Result<(Self, Vec<VolumeRecord>), FileError> {
        durable::make_private_dir(&dir)?;
        let mut paths = Vec::new();
        for entry in fs::read_dir(&dir).map_err(FileError::at("read the folder", &dir))? {
            paths.push(entry.map_err(FileError::at("read the folder", &dir))?.path());
        }
        // Of two with one name it is the same one at every start.
        paths.sort();
        let mut found: Vec<VolumeRecord> = Vec::new();
        for path in paths {
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if file.starts_with(UNFINISHED) {
                durable::remove(&path)?;
                continue;
            }
            let wrong = match VolumeRecord::read(&path) {
                Ok(record) if found.iter().any(|other| other.name == record.name) => {
                    format!("{}: there is another volume {}", path.display(), record.name)
                }
                Ok(record) => {
                    found.push(record);
                    continue;
                }
                Err(error) => error.to_string(),
            };
            let text = match quarantine(&path, quarantine_dir) {
                Ok(place) => format!("{wrong}; moved to {}", place.display()),
                Err(left) => format!("{wrong}; it stays in its place, for {left}"),
            };
            events.warn(file, "BAD_VOLUME_RECORD", text);
        }
        Ok((Self { dir }, found))
    }

    pub(super) fn save(&self, record: &VolumeRecord) -> Result<(), FileError> {
        let path = self.path(record.uuid);
        let text = toml::to_string(record)
            .map_err(|error| FileError::at("encode", &path)(std::io::Error::other(error)))?;
        durable::write_whole(&path, text.as_bytes())
    }

    pub(super) fn remove(&self, uuid: Uuid) -> Result<(), FileError> {
        durable::remove(&self.path(uuid))
    }

    fn path(&self, uuid: Uuid) -> PathBuf {
        self.dir.join(format!("{uuid}.toml"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventLimits, Numbering};

    fn sample(name: &str, origin: VolumeOrigin) -> VolumeRecord {
        VolumeRecord {
            format: VolumeRecord::FORMAT,
            uuid: Uuid::new_v4(),
            name: name.into(),
            pool: "default".into(),
            size: 1 << 30,
            created_ms: 1_700_000_000_000,
            owner: Some(Uuid::new_v4()),
            kept: false,
            work: None,
            origin,
        }
    }

    #[test]
    fn records_come_back_and_bad_ones_are_put_away() {
        let dir = tempfile::tempdir().unwrap();
        let (volumes, bad) = (dir.path().join("volumes"), dir.path().join("quarantine"));
        let events = EventBus::new(Numbering::starting_at(0), EventLimits::default());
        let (records, found) = VolumeRecords::open(volumes.clone(), &bad, &events).unwrap();
        assert!(found.is_empty());
        let mut all = vec![
            sample("web-root", VolumeOrigin::Image { digest: Digest::new([1; 32]) }),
            sample("web-swap", VolumeOrigin::Empty),
            VolumeRecord {
                owner: None,
                kept: true,
                work: Some(VolumeWork::Remove),
                ..sample("copy", VolumeOrigin::Volume { uuid: Uuid::new_v4() })
            },
        ];
        for record in &all {
            records.save(record).unwrap();
        }
        let first = fs::read(records.path(all[0].uuid)).unwrap();
        fs::write(volumes.join(format!("{}.toml", Uuid::new_v4())), first).unwrap();
        fs::write(volumes.join("broken.toml"), "name = ").unwrap();
        let twin = VolumeRecord { uuid: Uuid::max(), ..all[1].clone() };
        records.save(&twin).unwrap();
        let late = VolumeRecord { format: 2, ..sample("late", VolumeOrigin::Empty) };
        records.save(&late).unwrap();
        fs::write(volumes.join(format!("{UNFINISHED}x")), "").unwrap();

        let (records, mut found) = VolumeRecords::open(volumes.clone(), &bad, &events).unwrap();
        all.sort_by_key(|record| record.uuid);
        found.sort_by_key(|record| record.uuid);
        assert_eq!(found, all);
        assert_eq!(fs::read_dir(&bad).unwrap().count(), 4);
        assert_eq!(events.latest(), 4, "one warning each");
        records.remove(all[0].uuid).unwrap();
        assert_eq!(fs::read_dir(&volumes).unwrap().count(), 2);
    }

    #[test]
    fn names_are_plain_and_no_uuids() {
        for good in ["web-root", "a", "www.example.org-root", "1", "web-xvda@before"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        let uuid = Uuid::new_v4().to_string();
        let long = "a".repeat(161);
        for bad in ["", ".", "-a", "a-", "a.", "../x", "a b", "Web", "ä", &uuid, &long] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}

//! Records: what came out of an action, for keys, reasons, times and provenance.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Store, StoreError};
use crate::build::History;
use crate::digest::Digest;
use crate::durable::{FileError, make_folder, sync_file_system, write_whole};
use crate::recipe::Import;
use crate::toolchain::Imported;

/// A package as it was built.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The package.
    pub package: String,
    /// Upstream's version.
    pub version: String,
    /// Of its sources and so of its files; SPDX.
    pub licence: String,
    /// For the bill of materials.
    pub homepage: Option<String>,
    /// Digest of the action: the key.
    pub action: Digest,
    /// What it was built from, by a label that people understand.
    pub inputs: BTreeMap<String, String>,
    /// Roots of its outputs.
    pub outputs: BTreeMap<String, Digest>,
    /// Its sources.
    pub sources: Vec<SourceRecord>,
    /// Whether the outputs differ from those of the result before.
    pub changed: bool,
    /// What all of it printed.
    pub log: Digest,
    /// Seconds since 1970.
    pub started: u64,
    /// How long it took.
    pub seconds: f64,
    /// Each step.
    pub steps: Vec<StepTime>,
    /// Where and how.
    pub provenance: Provenance,
}

/// One source file of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRecord {
    /// Its name in the lock.
    pub file: String,
    /// What it is.
    pub digest: Digest,
    /// Which place served it.
    pub from: String,
}

/// How long one step took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepTime {
    /// The step.
    pub step: String,
    /// How long.
    pub seconds: f64,
}

/// Where and how something was built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The builder and its version.
    pub builder: String,
    /// The release set.
    pub set: String,
    /// The toolchain.
    pub toolchain: String,
    /// Whether files of the building machine took part, and which packages of it.
    pub host_packages: Vec<String>,
    /// Whether the package's own tests ran.
    pub checked: bool,
    /// The remote executor that built it, or whose cache had it; none: this machine.
    #[serde(default)]
    pub by: Option<String>,
}

/// A build that failed; its log is kept as long as the package is not built.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// The package.
    pub package: String,
    /// In which step.
    pub step: String,
    /// What went wrong.
    pub reason: String,
    /// What it printed.
    pub log: Digest,
    /// Seconds since 1970.
    pub started: u64,
    /// Until it failed.
    pub seconds: f64,
    /// What was built.
    #[serde(default)]
    pub action: Option<Digest>,
    /// Its work folder's name, if that was kept: see [`Store::kept_work`].
    #[serde(default)]
    pub work: Option<String>,
}

/// An image as it was composed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// The image.
    pub image: String,
    /// Digest of everything that is in it and of how it is made.
    pub key: Digest,
    /// Actions of the packages in it.
    pub packages: BTreeMap<String, Digest>,
    /// Files that were given with the build, by the inputs' names.
    #[serde(default)]
    pub inputs: BTreeMap<String, Digest>,
    /// What was made: name and content.
    pub artifacts: BTreeMap<String, Digest>,
    /// Which of them go into a host's image catalogue, and as what.
    #[serde(default)]
    pub imports: BTreeMap<String, Import>,
}

impl Store {
    /// The result of an action, if there is one and it is whole.
    pub fn result(&self, action: &Digest) -> Result<Option<Record>, StoreError> {
        let record: Option<Record> = read(&self.result_path(action))?;
        Ok(record.filter(|record| record.outputs.values().all(|root| self.has_blob(root))))
    }

    /// The newest result of a package with a toolchain.
    pub fn latest(&self, set: &str, of: &str) -> Result<Option<Record>, StoreError> {
        match read::<Digest>(&self.latest_path(set, of))? {
            Some(action) => self.result(&action),
            None => Ok(None),
        }
    }

    /// Publishes a result. Its blobs must be in the store.
    pub fn publish(&self, record: &Record) -> Result<(), StoreError> {
        sync_file_system(self.folder())?;
        write(&self.result_path(&record.action), record)?;
        let of = format!("{}@{}", record.package, record.provenance.toolchain);
        self.point(&record.provenance.set, &of, &record.action)?;
        let failed = self.failed_path(&record.provenance.set, &record.package);
        match fs::remove_file(&failed) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(FileError::at("remove", &failed)(error).into());
            }
            _ => {}
        }
        self.drop_works(&record.provenance.set, &record.package)
    }

    /// Says that this is the newest result of a package.
    pub fn point(&self, set: &str, of: &str, action: &Digest) -> Result<(), StoreError> {
        write(&self.latest_path(set, of), action)
    }

    /// Keeps what is known of a failure.
    pub fn publish_failure(&self, set: &str, failure: &Failure) -> Result<(), StoreError> {
        write(&self.failed_path(set, &failure.package), failure)
    }

    /// The last failure of a package that was not built since.
    pub fn failure(&self, set: &str, package: &str) -> Result<Option<Failure>, StoreError> {
        read(&self.failed_path(set, package))
    }

    /// Publishes an image's record.
    pub fn publish_image(&self, set: &str, record: &ImageRecord) -> Result<(), StoreError> {
        sync_file_system(self.folder())?;
        write(&self.image_path(set, &record.image), record)
    }

    /// Keeps what happened in the last build of a set.
    pub fn publish_history(&self, set: &str, history: &History) -> Result<(), StoreError> {
        write(&self.folder().join("history").join(format!("{set}.json")), history)
    }

    /// What happened in the last build of a set that came to its end.
    pub fn history(&self, set: &str) -> Result<Option<History>, StoreError> {
        read(&self.folder().join("history").join(format!("{set}.json")))
    }

    /// The image as it was composed last.
    pub fn image(&self, set: &str, image: &str) -> Result<Option<ImageRecord>, StoreError> {
        let record: Option<ImageRecord> = read(&self.image_path(set, image))?;
        Ok(record.filter(|record| record.artifacts.values().all(|blob| self.has_blob(blob))))
    }

    /// A toolchain's part that was copied from the machine earlier.
    pub fn imported(&self, key: &Digest) -> Result<Option<Imported>, StoreError> {
        let path = self.imported_path(key);
        let imported: Option<Imported> = read(&path)?;
        if imported.is_some() {
            // For gc, which takes what was not used for long; a failure costs a copy later.
            let now = SystemTime::now();
            let _ = fs::File::open(&path).and_then(|file| file.set_modified(now));
        }
        Ok(imported.filter(|imported| self.has_blob(&imported.root)))
    }

    /// Publishes such a part.
    pub fn publish_imported(&self, key: &Digest, imported: &Imported) -> Result<(), StoreError> {
        sync_file_system(self.folder())?;
        write(&self.imported_path(key), imported)
    }

    fn imported_path(&self, key: &Digest) -> PathBuf {
        self.folder().join("toolchains").join(format!("{}.json", key.hash))
    }

    fn result_path(&self, action: &Digest) -> PathBuf {
        self.folder().join("results").join(format!("{}.json", action.hash))
    }

    fn latest_path(&self, set: &str, of: &str) -> PathBuf {
        self.folder().join("latest").join(set).join(format!("{of}.json"))
    }

    fn failed_path(&self, set: &str, package: &str) -> PathBuf {
        self.folder().join("failed").join(set).join(format!("{package}.json"))
    }

    fn image_path(&self, set: &str, image: &str) -> PathBuf {
        self.folder().join("images").join(set).join(format!("{image}.json"))
    }
}

/// Reads a record; none if there is none.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StoreError> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|source| StoreError::Record { path: path.to_owned(), source }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FileError::at("read", path)(error).into()),
    }
}

/// Writes a record.
pub(super) fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), StoreError> {
    if let Some(folder) = path.parent() {
        make_folder(folder)?;
    }
    let bytes = serde_json::to_vec_pretty(value)
        .map_err(|source| StoreError::Record { path: path.to_owned(), source })?;
    Ok(write_whole(path, &bytes)?)
}

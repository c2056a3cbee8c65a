//! Source files: any place may serve one, the hash of the lock decides.
//!
//! The order is: the store, local folders, mirrors, then the lock's places. What
//! comes with another hash is kept aside, and the next place is asked.

mod debian;

use std::fs;
use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::recipe::lock::{LockedSource, Place};
use crate::store::{Store, StoreError};

pub use debian::{Debian, DebianError};

/// Why a source file is not there.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// No place has it.
    #[error("no place has {file} (sha256 {sha256}): {}", tried.join("; "))]
    Nowhere {
        /// The file.
        file: String,
        /// What it must be.
        sha256: String,
        /// Each place and what it said.
        tried: Vec<String>,
    },
    /// The store fails.
    #[error("cannot keep {file}")]
    Store {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: StoreError,
    },
}

/// Where to look beside the lock's places.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// Folders of this machine.
    pub folders: Vec<PathBuf>,
    /// Addresses below which files stand by their names.
    pub mirrors: Vec<String>,
}

/// Gets files into the store.
#[derive(Debug)]
pub struct Fetcher {
    store: Store,
    places: Places,
    debian: Debian,
}

impl Fetcher {
    /// For a store; `suite` is where Debian source packages are looked up.
    pub fn new(store: Store, places: Places, suite: Option<String>) -> Self {
        let debian = Debian::new(store.folder().join("apt"), suite);
        Self { store, places, debian }
    }

    /// Whether the store has the file.
    pub fn has(&self, source: &LockedSource) -> bool {
        self.store.has_blob(&digest(source))
    }

    /// Gets a file; returns the place that served it. `note` hears of places
    /// that did not. Waits for the network: not for a worker of a runtime.
    pub fn fetch(
        &self,
        source: &LockedSource,
        note: &dyn Fn(String),
    ) -> Result<String, SourceError> {
        if self.has(source) {
            return Ok("the store".to_owned());
        }
        let mut tried = Vec::new();
        let mut pass = |place: String, reason: String| {
            let text = format!("{place}: {reason}");
            note(format!("{}: {text}", source.file));
            tried.push(text);
        };
        for folder in &self.places.folders {
            let path = folder.join(&source.file);
            let place = folder.display().to_string();
            match self.look_in(source, &path)? {
                Ok(()) => return Ok(place),
                Err(reason) => pass(place, reason),
            }
        }
        let mirror =
            |mirror: &String| format!("{}/{}", mirror.trim_end_matches('/'), encoded(&source.file));
        let urls = self.places.mirrors.iter().map(mirror).map(Ok);
        for place in urls.chain(source.places.iter().map(Err)) {
            let (name, fetched) = match &place {
                Ok(url) => (url.clone(), self.download(|file| self.debian.url(url, file))?),
                Err(place @ Place::Url(url)) => {
                    (place.to_string(), self.download(|file| self.debian.url(&url.url, file))?)
                }
                Err(place @ Place::Debian(package)) => {
                    let wanted = package.file.as_deref().unwrap_or(&source.file);
                    let get = |file: &Path| self.debian.source(package, wanted, file);
                    (place.to_string(), self.download(get)?)
                }
            };
            match fetched {
                Ok(file) => match self.keep(source, file.path(), true)? {
                    Ok(()) => return Ok(name),
                    Err(reason) => pass(name, reason),
                },
                Err(error) => pass(name, with_cause(&error)),
            }
        }
        if tried.is_empty() {
            tried.push("the lock names no place, and no folder or mirror was given".to_owned());
        }
        let (file, sha256) = (source.file.clone(), source.sha256.clone());
        Err(SourceError::Nowhere { file, sha256, tried })
    }

    fn look_in(
        &self,
        source: &LockedSource,
        path: &Path,
    ) -> Result<Result<(), String>, SourceError> {
        if !path.is_file() {
            return Ok(Err("has no such file".to_owned()));
        }
        self.keep(source, path, false)
    }

    /// Takes a file into the store if it is the right one.
    fn keep(
        &self,
        source: &LockedSource,
        path: &Path,
        ours: bool,
    ) -> Result<Result<(), String>, SourceError> {
        let of_store = |error| SourceError::Store { file: source.file.clone(), source: error };
        let found = match Digest::of_file(path) {
            Ok(found) => found,
            Err(error) => return Ok(Err(error.to_string())),
        };
        if found == digest(source) {
            self.store.copy_file(path, false).map_err(of_store)?;
            return Ok(Ok(()));
        }
        // What stands in somebody's folder stays there; what we fetched is kept.
        let aside = if ours {
            let name = format!("{}.{}", source.file, found.short());
            self.store.put_aside(path, &name).map_err(of_store)?
        } else {
            path.to_owned()
        };
        Ok(Err(format!(
            "has another file: sha256 {} ({} bytes) instead of {} ({} bytes), see {}",
            found.hash,
            found.size,
            source.sha256,
            source.size,
            aside.display()
        )))
    }

    #[allow(clippy::type_complexity)]
    fn download(
        &self,
        get: impl FnOnce(&Path) -> Result<(), DebianError>,
    ) -> Result<Result<Download, DebianError>, SourceError> {
        let of_store = |error| SourceError::Store { file: "a download".to_owned(), source: error };
        let folder = self.store.work_folder("fetch").map_err(of_store)?;
        let file = folder.path().join("file");
        Ok(get(&file).map(|()| Download { file, _folder: folder }))
    }
}

/// A file that goes away with its folder.
#[derive(Debug)]
struct Download {
    file: PathBuf,
    _folder: tempfile::TempDir,
}

impl Download {
    fn path(&self) -> &Path {
        &self.file
    }
}

fn digest(source: &LockedSource) -> Digest {
    Digest { hash: source.sha256.clone(), size: source.size }
}

/// File names of Debian hold "+" and "~", which addresses may spell otherwise.
fn encoded(name: &str) -> String {
    name.replace('%', "%25").replace('+', "%2b").replace('~', "%7e")
}

fn with_cause(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// What a folder has, as entries for a lock: for people who add sources.
pub fn describe(path: &Path) -> std::io::Result<LockedSource> {
    let digest = Digest::of_file(path)?;
    let name = path.file_name().and_then(|it| it.to_str()).unwrap_or_default().to_owned();
    let size = fs::metadata(path)?.len();
    Ok(LockedSource { file: name, size, sha256: digest.hash, places: Vec::new() })
}

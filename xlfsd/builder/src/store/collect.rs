//! Garbage collection: what no newest result, image or wanted source leads to, goes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use prost::Message;

use super::record::{Failure, ImageRecord, Record, read};
use super::{Store, StoreError};
use crate::digest::Digest;
use crate::durable::{FileError, make_folder, remove_tree};
use crate::reapi::{self, Directory};
use crate::toolchain::Imported;

/// A toolchain that was not used for so long is copied anew when it is needed.
const TOOLCHAIN_AGE: Duration = Duration::from_secs(30 * 86_400);

/// What a collection did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Results that went.
    pub results: u64,
    /// Blobs that went.
    pub blobs: u64,
    /// Bytes that became free.
    pub bytes: u64,
    /// Blobs that stay.
    pub kept: u64,
}

impl Store {
    /// Removes what nothing leads to, and kept work folders. Roots are the newest result of each package,
    /// images, logs of failures, and the given sources. Nothing else may use
    /// the store meanwhile. The pointers `forgotten` go, too. With `dry`, all stays
    /// and the answer says what would have gone.
    pub fn collect(
        &self,
        sources: &[Digest],
        forgotten: &BTreeSet<PathBuf>,
        dry: bool,
    ) -> Result<Collected, StoreError> {
        let _alone = self.exclusive()?;
        let remove = |path: &Path| if dry { Ok(()) } else { remove(path) };
        let roots = |part: &str| -> Result<Vec<PathBuf>, StoreError> {
            let kept = |path: &PathBuf| !forgotten.contains(path);
            Ok(self.records(part)?.into_iter().filter(kept).collect())
        };
        for path in forgotten {
            remove(path)?;
        }
        let mut live: BTreeSet<String> = sources.iter().map(|it| it.hash.clone()).collect();
        let mut results: BTreeSet<String> = BTreeSet::new();
        for path in roots("latest")? {
            results.extend(read::<Digest>(&path)?.map(|action| action.hash));
        }
        for path in roots("images")? {
            if let Some(image) = read::<ImageRecord>(&path)? {
                live.extend(image.artifacts.into_values().map(|it| it.hash));
                live.extend(image.inputs.into_values().map(|it| it.hash));
                results.extend(image.packages.into_values().map(|it| it.hash));
            }
        }
        for path in roots("failed")? {
            live.extend(read::<Failure>(&path)?.map(|failure| failure.log.hash));
        }
        for path in self.records("toolchains")? {
            let used = fs::metadata(&path).and_then(|meta| meta.modified());
            let age = used.ok().and_then(|used| used.elapsed().ok()).unwrap_or_default();
            // What is missed is copied again, and is the same if the machine is the same.
            if age > TOOLCHAIN_AGE {
                remove(&path)?;
                continue;
            }
            if let Some(imported) = read::<Imported>(&path)? {
                self.mark(&imported.root, &mut live)?;
            }
        }
        // Work folders are large, and what is in them can be had again.
        let kept = self.folder().join("kept");
        let mut done = Collected { bytes: size(&kept), ..Collected::default() };
        if !dry {
            remove_tree(&kept)?;
            make_folder(&kept)?;
        }
        for path in self.records("results")? {
            let stem = path.file_stem().and_then(|it| it.to_str()).unwrap_or_default();
            if !results.contains(stem) {
                remove(&path)?;
                done.results += 1;
            } else if let Some(record) = read::<Record>(&path)? {
                live.insert(record.log.hash);
                live.extend(record.sources.into_iter().map(|it| it.digest.hash));
                for root in record.outputs.values() {
                    self.mark(root, &mut live)?;
                }
            }
        }
        for path in files(&self.folder().join("blobs"))? {
            let name = path.file_name().and_then(|it| it.to_str()).unwrap_or_default();
            if live.contains(name.strip_suffix(".x").unwrap_or(name)) {
                done.kept += 1;
            } else {
                done.bytes += fs::symlink_metadata(&path).map_or(0, |meta| meta.len());
                done.blobs += 1;
                remove(&path)?;
            }
        }
        Ok(done)
    }

    /// Reads every blob again: those whose content is not what their name says
    /// are put aside. Returns how many there are, and the bad ones' hashes.
    pub fn verify_blobs(&self) -> Result<(u64, Vec<String>), StoreError> {
        let mut count = 0;
        let mut bad = Vec::new();
        for path in files(&self.folder().join("blobs"))? {
            let name = path.file_name().and_then(|it| it.to_str()).unwrap_or_default().to_owned();
            let found = Digest::of_file(&path).map_err(FileError::at("read", &path))?;
            count += 1;
            if name.strip_suffix(".x").unwrap_or(&name) != found.hash {
                self.put_aside(&path, &format!("blob-{name}"))?;
                bad.push(name);
            }
        }
        Ok((count, bad))
    }

    /// The pointers to results of packages and images that the set does not have any
    /// more, for [`Store::collect`].
    pub fn forgotten(
        &self,
        set: &str,
        known: impl Fn(&str) -> bool,
    ) -> Result<BTreeSet<PathBuf>, StoreError> {
        let mut found = BTreeSet::new();
        for part in ["latest", "images", "failed"] {
            let folder = self.folder().join(part).join(set);
            if !folder.is_dir() {
                continue;
            }
            for path in files(&folder)? {
                let name = path.file_stem().and_then(|it| it.to_str()).unwrap_or_default();
                if !known(name.split('@').next().unwrap_or_default()) {
                    found.insert(path);
                }
            }
        }
        Ok(found)
    }

    fn mark(&self, folder: &Digest, live: &mut BTreeSet<String>) -> Result<(), StoreError> {
        if !live.insert(folder.hash.clone()) {
            return Ok(());
        }
        let lacks = || StoreError::Lacks { hash: folder.hash.clone() };
        let message = Directory::decode(self.read_blob(folder)?.as_slice()).map_err(|_| lacks())?;
        live.extend(message.files.into_iter().filter_map(|it| it.digest).map(|it| it.hash));
        for below in &message.directories {
            let digest = below.digest.as_ref().and_then(reapi::named).ok_or_else(lacks)?;
            self.mark(&digest, live)?;
        }
        Ok(())
    }

    fn records(&self, part: &str) -> Result<Vec<PathBuf>, StoreError> {
        let json = |path: &PathBuf| path.extension().is_some_and(|it| it == "json");
        Ok(files(&self.folder().join(part))?.into_iter().filter(json).collect())
    }
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(FileError::at("read", folder))? {
        let entry = entry.map_err(FileError::at("read", folder))?;
        if entry.file_type().map_err(FileError::at("look at", folder))?.is_dir() {
            found.extend(files(&entry.path())?);
        } else {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Bytes of the files below a folder, as far as they can be seen.
fn size(folder: &Path) -> u64 {
    let below = |entry: fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => size(&entry.path()),
        meta => meta.map_or(0, |meta| meta.len()),
    };
    fs::read_dir(folder).map_or(0, |list| list.flatten().map(below).sum())
}

fn remove(path: &Path) -> Result<(), FileError> {
    fs::remove_file(path).map_err(FileError::at("remove", path))
}

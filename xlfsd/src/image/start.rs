//! What the store does when the daemon starts: reads the records, removes what
//! unfinished imports left, and puts aside what makes no sense. Only a folder
//! that cannot be used at all is an error.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::catalog::Catalog;
use super::record::ImageRecord;
use super::store::{ImageStoreError, index_dir, remove_unfinished, write_record};
use super::{Digest, ImageLimits, ImageStore};
use crate::durable::{self, FileError, UNFINISHED};
use crate::event::EventBus;
use crate::quarantine::quarantine;

impl ImageStore {
    /// Opens the store below the state folder. Bad records and contents go to
    /// `<state>/quarantine` and are told as warnings.
    pub fn open_dir(
        state_dir: &Path,
        limits: ImageLimits,
        events: EventBus,
    ) -> Result<Self, ImageStoreError> {
        let dir = state_dir.join("images");
        let fatal = |source| ImageStoreError { path: dir.clone(), source };
        durable::make_private_dir(&index_dir(&dir)).map_err(fatal)?;
        let mut start =
            Start { dir: &dir, quarantine: state_dir.join("quarantine"), events: &events };
        let catalog = start.read_records().map_err(fatal)?;
        start.sweep_contents(&catalog).map_err(fatal)?;
        Ok(Self::new(dir, limits, events, catalog))
    }
}

struct Start<'a> {
    dir: &'a Path,
    quarantine: PathBuf,
    events: &'a EventBus,
}

impl Start<'_> {
    fn read_records(&mut self) -> Result<Catalog, FileError> {
        let mut catalog = Catalog::default();
        for path in files(&index_dir(self.dir))? {
            if is_unfinished(&path) {
                self.finish_removal(&path);
                continue;
            }
            match ImageRecord::read(&path) {
                Ok(record) => match self.check_content(&record) {
                    Ok(()) => catalog.put(record),
                    Err(why) => {
                        self.put_aside(&path, &why);
                        self.put_aside(&self.dir.join(record.digest.to_string()), &why);
                    }
                },
                Err(error) => self.put_aside(&path, &error.to_string()),
            }
        }
        self.settle_aliases(&mut catalog);
        Ok(catalog)
    }

    /// The size only: hashing all images would delay each start by seconds.
    fn check_content(&self, record: &ImageRecord) -> Result<(), String> {
        let path = self.dir.join(record.digest.to_string());
        match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_file() && meta.len() == record.size => Ok(()),
            Ok(meta) if meta.is_file() => {
                Err(format!("its content has {} bytes instead of {}", meta.len(), record.size))
            }
            Ok(_) => Err("its content is no file".to_owned()),
            Err(error) => Err(format!("its content cannot be read: {error}")),
        }
    }

    /// A daemon that was killed while an alias moved left it at both images.
    fn settle_aliases(&self, catalog: &mut Catalog) {
        let aliases: BTreeSet<String> =
            catalog.iter().flat_map(|record| record.aliases.keys().cloned()).collect();
        for alias in aliases {
            let holder = catalog.by_alias(&alias).map(|record| record.digest);
            let losers: Vec<_> = catalog
                .iter()
                .filter(|record| {
                    record.aliases.contains_key(&alias) && Some(record.digest) != holder
                })
                .cloned()
                .collect();
            for mut loser in losers {
                loser.aliases.remove(&alias);
                if let Err(error) = write_record(self.dir, &loser) {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(alias, error, "the alias stays on record at its former image");
                }
                catalog.put(loser);
            }
        }
    }

    fn sweep_contents(&mut self, catalog: &Catalog) -> Result<(), FileError> {
        let known: HashSet<String> = catalog.iter().map(|r| r.digest.to_string()).collect();
        for path in files(self.dir)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if is_unfinished(&path) {
                self.remove_unfinished(&path);
            } else if !known.contains(&name) {
                self.put_aside(&path, "there is no record of it");
            }
        }
        Ok(())
    }

    /// The image came or went when the daemon was killed: it goes.
    fn finish_removal(&self, path: &Path) {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let digest = name.trim_start_matches(UNFINISHED).parse::<Digest>();
        match digest.map(|digest| remove_unfinished(self.dir, &digest)) {
            Ok(Ok(())) => {
                tracing::info!(image = %name, "an unfinished import or delete was undone")
            }
            Ok(Err(error)) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(path = %path.display(), error, "an unfinished image stays");
            }
            Err(_) => self.remove_unfinished(path),
        }
    }

    fn remove_unfinished(&self, path: &Path) {
        if let Err(error) = durable::remove(path) {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(path = %path.display(), error, "an unfinished import stays");
        }
    }

    fn put_aside(&self, path: &Path, why: &str) {
        if fs::symlink_metadata(path).is_err() {
            return;
        }
        let name = path.display();
        let text = match quarantine(path, &self.quarantine) {
            Ok(place) => format!("{name} was put aside as {}: {why}", place.display()),
            Err(error) => format!("{name} is ignored: {why}; it cannot be put aside: {error}"),
        };
        self.events.warn("image store", "IMAGE_QUARANTINED", text);
    }
}

/// The files (and links) of a folder, sorted; folders in it are left alone.
fn files(dir: &Path) -> Result<Vec<PathBuf>, FileError> {
    let error = FileError::at("read the folder", dir);
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(source) => return Err(error(source)),
    };
    let mut paths: Vec<_> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_dir()))
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    Ok(paths)
}

fn is_unfinished(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(UNFINISHED))
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, StreamExt};
    use sha2::{Digest as _, Sha256};
    use xlfs_proto::v1::event;

    use super::*;
    use crate::event::{EventFilter, EventLimits, Numbering};
    use crate::image::ImageKind;

    fn open(state: &Path) -> (ImageStore, Vec<String>) {
        let events = EventBus::new(Numbering::starting_at(0), EventLimits::default());
        let store = ImageStore::open_dir(state, ImageLimits::default(), events.clone()).unwrap();
        let mut stream = events.subscribe(Some(0), EventFilter::all());
        let warnings = std::iter::from_fn(|| stream.next().now_or_never().flatten())
            .filter(|event| matches!(event.kind, Some(event::Kind::Warning(_))))
            .map(|event| event.text.clone())
            .collect();
        (store, warnings)
    }

    fn place(state: &Path, content: &[u8], aliases: &[(&str, u64)]) -> Digest {
        let digest = Digest::new(Sha256::digest(content).into());
        let dir = state.join("images");
        durable::make_private_dir(&index_dir(&dir)).unwrap();
        fs::write(dir.join(digest.to_string()), content).unwrap();
        let record = ImageRecord {
            format: 1,
            digest,
            kind: ImageKind::Ramdisk,
            size: content.len() as u64,
            imported_ms: 1,
            origin: String::new(),
            summary: String::new(),
            aliases: aliases.iter().map(|(alias, at)| ((*alias).to_owned(), *at)).collect(),
        };
        write_record(&dir, &record).unwrap();
        digest
    }

    fn quarantined(state: &Path) -> usize {
        fs::read_dir(state.join("quarantine")).map_or(0, Iterator::count)
    }

    #[test]
    fn bad_images_are_put_aside_and_the_good_one_is_served() {
        let state = tempfile::tempdir().unwrap();
        let images = state.path().join("images");
        let good = place(state.path(), b"good", &[("good", 1)]);
        let cut = place(state.path(), b"will be cut", &[]);
        fs::write(images.join(cut.to_string()), b"cut").unwrap();
        let gone = place(state.path(), b"will be gone", &[]);
        fs::remove_file(images.join(gone.to_string())).unwrap();
        let garbled = place(state.path(), b"record will be garbled", &[]);
        let garbled_record = index_dir(&images).join(format!("{garbled}.toml"));
        fs::write(&garbled_record, b"format = 1\ndigest = \xff").unwrap();
        let future = place(state.path(), b"of a later format", &[]);
        let future_record = index_dir(&images).join(format!("{future}.toml"));
        let text = fs::read_to_string(&future_record).unwrap();
        fs::write(&future_record, text.replace("format = 1", "format = 2")).unwrap();
        let misnamed = index_dir(&images).join("misnamed.toml");
        fs::copy(index_dir(&images).join(format!("{good}.toml")), &misnamed).unwrap();
        fs::write(images.join("stray"), b"?").unwrap();

        let (store, warnings) = open(state.path());
        assert_eq!(store.list().len(), 1);
        assert_eq!(store.resolve("good").unwrap().digest, good);
        // cut 2, gone 1, garbled 2, future 2, misnamed 1, stray 1.
        assert_eq!((warnings.len(), quarantined(state.path())), (9, 9), "{warnings:#?}");

        let (store, warnings) = open(state.path());
        assert_eq!((store.list().len(), warnings.len()), (1, 0), "the second start is quiet");
    }

    #[test]
    fn unfinished_imports_are_removed() {
        let state = tempfile::tempdir().unwrap();
        let images = state.path().join("images");
        place(state.path(), b"good", &[]);
        fs::write(images.join(format!("{UNFINISHED}77-1")), b"half").unwrap();
        fs::write(index_dir(&images).join(format!("{UNFINISHED}x.toml")), b"half").unwrap();
        let (store, warnings) = open(state.path());
        assert_eq!((store.list().len(), warnings.len()), (1, 0));
        assert_eq!(fs::read_dir(&images).unwrap().count(), 2);
        assert_eq!(fs::read_dir(index_dir(&images)).unwrap().count(), 1);
    }

    #[test]
    fn an_image_that_came_or_went_is_removed_and_an_update_is_not() {
        let state = tempfile::tempdir().unwrap();
        let images = state.path().join("images");
        let index = index_dir(&images);
        let [stays, goes] = [b"stays", b"goes."].map(|content| place(state.path(), content, &[]));
        let record = |digest: &Digest| index.join(format!("{digest}.toml"));
        let unfinished = |digest: &Digest| durable::unfinished(&record(digest)).unwrap();
        fs::copy(record(&stays), unfinished(&stays)).unwrap();
        fs::rename(record(&goes), unfinished(&goes)).unwrap();
        let (store, warnings) = open(state.path());
        assert_eq!((store.list().len(), warnings.len()), (1, 0));
        assert!(store.open(&stays).is_ok());
        assert_eq!(fs::read_dir(&images).unwrap().count(), 2);
        assert_eq!(fs::read_dir(&index).unwrap().count(), 1);
    }

    #[test]
    fn an_alias_on_record_twice_is_settled_for_good() {
        let state = tempfile::tempdir().unwrap();
        place(state.path(), b"old", &[("k", 5), ("other", 1)]);
        let new = place(state.path(), b"new", &[("k", 6)]);
        let (store, _) = open(state.path());
        assert_eq!(store.resolve("k").unwrap().digest, new);
        let old = store.resolve("other").unwrap();
        assert_eq!(old.aliases.len(), 1);
        assert!(!fs::read_to_string(store.record_path(&old.digest)).unwrap().contains("k = 5"));
    }

    #[test]
    fn a_state_folder_that_cannot_be_used_is_an_error() {
        let state = tempfile::tempdir().unwrap();
        fs::write(state.path().join("images"), b"a file").unwrap();
        let events = EventBus::new(Numbering::starting_at(0), EventLimits::default());
        assert!(ImageStore::open_dir(state.path(), ImageLimits::default(), events).is_err());
    }
}

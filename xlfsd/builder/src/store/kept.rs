//! Work folders of packages that failed: kept for `shell`, until the package is
//! built or gc runs.
//!
//! ```text
//! kept/<set>/<package>/<name>   what was /build in the sandbox; its failure names it
//! ```
//!
//! Who looks into one holds a lock on it, so that a build that succeeds meanwhile
//! does not take it away. Nothing refers to a folder that no failure names.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::{Failure, Store, StoreError};
use crate::durable::{FileError, make_folder, remove_tree};

/// A kept folder, which stays while this lives.
#[derive(Debug)]
pub struct Kept {
    /// What was `/build`.
    pub path: PathBuf,
    _lock: File,
}

impl Store {
    /// Moves a failed package's work folder to the kept ones, in place of its older
    /// ones. Returns its name, for [`Failure::work`].
    pub fn keep_work(&self, set: &str, package: &str, folder: &Path) -> Result<String, StoreError> {
        self.drop_works(set, package)?;
        let of = self.kept_folder(set, package);
        make_folder(&of)?;
        let to = tempfile::Builder::new()
            .prefix("")
            .tempdir_in(&of)
            .map_err(FileError::at("make a folder in", &of))?
            .keep();
        // A rename replaces an empty folder.
        fs::rename(folder, &to).map_err(FileError::at("keep", folder))?;
        Ok(to.file_name().unwrap_or_default().to_string_lossy().into_owned())
    }

    /// The work folder of a failure, if it is still there.
    pub fn kept_work(&self, set: &str, failure: &Failure) -> Result<Option<Kept>, StoreError> {
        let Some(name) = &failure.work else { return Ok(None) };
        let path = self.kept_folder(set, &failure.package).join(name);
        match File::open(&path) {
            Ok(lock) => {
                lock.lock_shared().map_err(FileError::at("lock", &path))?;
                Ok(Some(Kept { path, _lock: lock }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(FileError::at("open", &path)(error).into()),
        }
    }

    /// Removes a package's kept folders, but for those that somebody looks into.
    pub(super) fn drop_works(&self, set: &str, package: &str) -> Result<(), StoreError> {
        let of = self.kept_folder(set, package);
        let list = match fs::read_dir(&of) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            list => list.map_err(FileError::at("read", &of))?,
        };
        for entry in list {
            let path = entry.map_err(FileError::at("read", &of))?.path();
            let free = File::open(&path).is_ok_and(|folder| folder.try_lock().is_ok());
            if free {
                remove_tree(&path)?;
            }
        }
        Ok(())
    }

    fn kept_folder(&self, set: &str, package: &str) -> PathBuf {
        self.folder().join("kept").join(set).join(package)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    #[test]
    fn a_folder_that_somebody_looks_into_stays() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let keep = |text: &str| {
            let work = store.work_folder("a").unwrap().keep();
            fs::write(work.join("x"), text).unwrap();
            let work = store.keep_work("t", "a", &work).unwrap();
            Failure {
                package: "a".to_owned(),
                step: "build".to_owned(),
                reason: String::new(),
                log: Digest::of(b""),
                started: 0,
                seconds: 0.0,
                action: None,
                work: Some(work),
            }
        };
        let (first, second) = (keep("1"), keep("2"));
        assert!(store.kept_work("t", &first).unwrap().is_none());
        let kept = store.kept_work("t", &second).unwrap().unwrap();
        let third = keep("3");
        assert_eq!(fs::read(kept.path.join("x")).unwrap(), b"2");
        drop(kept);
        store.drop_works("t", "a").unwrap();
        for failure in [second, third] {
            assert!(store.kept_work("t", &failure).unwrap().is_none());
        }
    }
}

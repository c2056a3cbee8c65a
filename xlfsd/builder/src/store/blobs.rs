//! Blobs: files by their digest. A blob that may be run is another file
//! (`.x`), because hard links share their mode.

use std::fs::{self, File, FileTimes, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{Store, StoreError};
use crate::digest::Digest;
use crate::durable::{FileError, make_folder};

/// All blobs carry one time stamp: 1980-01-01, the first that every archive
/// format can tell.
const TIME: Duration = Duration::from_secs(315_532_800);

impl Store {
    /// Where a blob stands, or would stand.
    pub fn blob_path(&self, digest: &Digest, executable: bool) -> PathBuf {
        let folder = self.folder().join("blobs").join(digest.hash.get(..2).unwrap_or("__"));
        let end = if executable { ".x" } else { "" };
        folder.join(format!("{}{end}", digest.hash))
    }

    /// Whether the blob is there, in either form.
    pub fn has_blob(&self, digest: &Digest) -> bool {
        [false, true].iter().any(|form| whole(&self.blob_path(digest, *form), digest.size))
    }

    /// Keeps bytes.
    pub fn put_bytes(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        let to = self.blob_path(&digest, false);
        if !whole(&to, digest.size) {
            let folder = self.blob_folder(&to)?;
            let file = tempfile::NamedTempFile::new_in(&folder)
                .map_err(FileError::at("write into", &folder))?;
            fs::write(file.path(), bytes).map_err(FileError::at("write", &to))?;
            seal(file.path(), false)?;
            file.persist(&to).map_err(|error| FileError::at("write", &to)(error.error))?;
        }
        Ok(digest)
    }

    /// Keeps a file, moving it: afterwards it is not at `path` any more.
    pub fn take_file(&self, path: &Path, executable: bool) -> Result<Digest, StoreError> {
        let digest = Digest::of_file(path).map_err(FileError::at("read", path))?;
        let to = self.blob_path(&digest, executable);
        if whole(&to, digest.size) {
            fs::remove_file(path).map_err(FileError::at("remove", path))?;
        } else {
            self.blob_folder(&to)?;
            seal(path, executable)?;
            fs::rename(path, &to).map_err(FileError::at("move into the store", path))?;
        }
        Ok(digest)
    }

    /// Keeps a copy of a file.
    pub fn copy_file(&self, path: &Path, executable: bool) -> Result<Digest, StoreError> {
        let work = self.folder().join("work");
        let copy =
            tempfile::NamedTempFile::new_in(&work).map_err(FileError::at("write into", &work))?;
        fs::copy(path, copy.path()).map_err(FileError::at("copy", path))?;
        let (_, path) = copy.keep().map_err(|error| FileError::at("keep", &work)(error.error))?;
        self.take_file(&path, executable)
    }

    /// A blob's file in the wanted form, made from the other form if need be.
    pub fn blob(&self, digest: &Digest, executable: bool) -> Result<PathBuf, StoreError> {
        let path = self.blob_path(digest, executable);
        if whole(&path, digest.size) {
            return Ok(path);
        }
        let other = self.blob_path(digest, !executable);
        if !whole(&other, digest.size) {
            return Err(StoreError::Lacks { hash: digest.hash.clone() });
        }
        let folder = self.blob_folder(&path)?;
        let copy = tempfile::NamedTempFile::new_in(&folder)
            .map_err(FileError::at("write into", &folder))?;
        fs::copy(&other, copy.path()).map_err(FileError::at("copy", &other))?;
        seal(copy.path(), executable)?;
        copy.persist(&path).map_err(|error| FileError::at("write", &path)(error.error))?;
        Ok(path)
    }

    /// A blob's bytes.
    pub fn read_blob(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        let path = [false, true].iter().map(|form| self.blob_path(digest, *form));
        let path = path.into_iter().find(|path| whole(path, digest.size));
        let path = path.ok_or_else(|| StoreError::Lacks { hash: digest.hash.clone() })?;
        Ok(fs::read(&path).map_err(FileError::at("read", &path))?)
    }

    /// Makes a hard link to the blob at `to`.
    pub fn link_blob(
        &self,
        digest: &Digest,
        executable: bool,
        to: &Path,
    ) -> Result<(), StoreError> {
        let from = self.blob(digest, executable)?;
        match fs::hard_link(&from, to) {
            Ok(()) => Ok(()),
            // A file system's limit of links to one file: a copy is as good.
            Err(error) if error.kind() == io::ErrorKind::TooManyLinks => {
                fs::copy(&from, to).map_err(FileError::at("copy to", to))?;
                Ok(seal(to, executable)?)
            }
            Err(error) => Err(FileError::at("link", to)(error).into()),
        }
    }

    fn blob_folder(&self, blob: &Path) -> Result<PathBuf, StoreError> {
        let folder = blob.parent().unwrap_or(self.folder()).to_owned();
        make_folder(&folder)?;
        Ok(folder)
    }
}

/// A power cut can leave a shorter file under a blob's name.
fn whole(path: &Path, size: u64) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() == size)
}

/// Root's (if we are), of one of two modes, and of the one time.
fn seal(path: &Path, executable: bool) -> Result<(), FileError> {
    let time = SystemTime::UNIX_EPOCH + TIME;
    // Writable for the owner, so that what a step copies from its inputs is, too; the
    // inputs themselves are on a read-only mount.
    let mode = if executable { 0o755 } else { 0o644 };
    // Readable first: a step may have left a file that not even we may open.
    fs::set_permissions(path, Permissions::from_mode(0o600))
        .and_then(|()| File::options().write(true).open(path))
        .and_then(|file| file.set_times(FileTimes::new().set_modified(time).set_accessed(time)))
        .and_then(|()| {
            if nix::unistd::geteuid().is_root() {
                std::os::unix::fs::chown(path, Some(0), Some(0))?;
            }
            fs::set_permissions(path, Permissions::from_mode(mode))
        })
        .map_err(FileError::at("seal", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_has_two_forms() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let file = dir.path().join("store/work/x");
        fs::write(&file, b"#!/bin/sh\n").unwrap();
        let digest = store.take_file(&file, true).unwrap();
        assert!(!file.exists() && store.has_blob(&digest));
        assert_eq!(store.put_bytes(b"#!/bin/sh\n").unwrap(), digest);
        let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(store.blob(&digest, true).unwrap()), 0o755);
        assert_eq!(mode(store.blob(&digest, false).unwrap()), 0o644);
        assert!(store.blob(&Digest::of(b"other"), true).is_err());
    }

    #[test]
    fn a_blob_cut_short_is_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let digest = store.put_bytes(b"content").unwrap();
        let path = store.blob_path(&digest, false);
        fs::remove_file(&path).unwrap();
        fs::write(&path, b"cont").unwrap();
        assert!(!store.has_blob(&digest));
        store.put_bytes(b"content").unwrap();
        assert_eq!(store.read_blob(&digest).unwrap(), b"content");
    }
}

//! Files that are there whole or not at all, whatever happens meanwhile:
//! written beside their place, flushed, then renamed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// How the names of unfinished files begin. A store that finds one at its
/// start may remove it: nobody writes it any more.
pub const UNFINISHED: &str = ".unfinished-";

/// An operation on a file or folder failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct FileError {
    /// A verb, such as "write".
    pub action: &'static str,
    pub path: PathBuf,
    #[source]
    pub source: io::Error,
}

impl FileError {
    /// For `map_err`.
    pub fn at<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self { action, path: path.to_owned(), source }
    }
}

/// Makes `path` and what is missing above it; only root may look inside.
pub fn make_private_dir(path: &Path) -> Result<(), FileError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(FileError::at("make the folder", path))
}

/// Puts `bytes` at `path` (mode 0600): after a crash at any point either the
/// old content is there or the new one, never a part.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let file = write_beside(path, bytes)?;
    publish(&file, &unfinished(path)?, path)
}

/// The first half of [`write_whole`]: the bytes are there for good, under the
/// name [`unfinished`]. The second half is [`publish`].
pub fn write_beside(path: &Path, bytes: &[u8]) -> Result<File, FileError> {
    let unfinished = unfinished(path)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&unfinished)
        .map_err(FileError::at("create", &unfinished))?;
    file.write_all(bytes).map_err(FileError::at("write", &unfinished))?;
    file.sync_all().map_err(FileError::at("flush", &unfinished))?;
    Ok(file)
}

/// The name of `path` while it is written.
pub fn unfinished(path: &Path) -> Result<PathBuf, FileError> {
    let (dir, name) = split(path)?;
    Ok(dir.join(format!("{UNFINISHED}{name}")))
}

/// Flushes the finished file `from` (open as `file`) and gives it its name `to`.
pub fn publish(file: &File, from: &Path, to: &Path) -> Result<(), FileError> {
    file.sync_all().map_err(FileError::at("flush", from))?;
    fs::rename(from, to).map_err(FileError::at("rename", from))?;
    sync_dir(split(to)?.0)
}

/// Removes a file for good. One that is not there is fine.
pub fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(FileError::at("remove", path)(error)),
        Ok(()) => sync_dir(split(path)?.0),
    }
}

/// Makes renames and removals in `dir` survive a power cut.
pub fn sync_dir(dir: &Path) -> Result<(), FileError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(FileError::at("flush the folder", dir))
}

fn split(path: &Path) -> Result<(&Path, &str), FileError> {
    match (path.parent(), path.file_name().and_then(|name| name.to_str())) {
        (Some(dir), Some(name)) => Ok((dir, name)),
        _ => Err(FileError::at("use", path)(io::Error::from(io::ErrorKind::InvalidFilename))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_the_whole_file_and_leaves_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record");
        write_whole(&path, b"a long first version").unwrap();
        write_whole(&path, b"short").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"short");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn removing_twice_is_fine() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record");
        write_whole(&path, b"x").unwrap();
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn the_error_names_the_file() {
        let error = write_whole(Path::new("/nonexistent/folder/x"), b"").unwrap_err();
        assert_eq!(error.to_string(), "cannot create /nonexistent/folder/.unfinished-x");
    }
}

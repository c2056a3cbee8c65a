//! Files that are there whole or not at all, whatever happens meanwhile.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// An operation on a file or folder failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}{}", path.display(), hint(source))]
pub struct FileError {
    /// A verb, such as "write".
    pub action: &'static str,
    /// On what.
    pub path: PathBuf,
    /// The system's reason.
    #[source]
    pub source: io::Error,
}

/// A full disk is the operator's to mend; the build goes on from there.
fn hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            " (free some space, or run gc, and start again: what is built is kept)"
        }
        _ => "",
    }
}

impl FileError {
    /// For `map_err`.
    pub fn at<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self { action, path: path.to_owned(), source }
    }
}

/// Makes `path` and what is missing above it.
pub(crate) fn make_folder(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path).map_err(FileError::at("make the folder", path))
}

/// Puts `bytes` at `path`: after a crash at any point either the old content is
/// there or the new one, never a part.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let mut file =
        tempfile::NamedTempFile::new_in(folder).map_err(FileError::at("write into", folder))?;
    file.write_all(bytes).map_err(FileError::at("write", path))?;
    file.as_file().sync_all().map_err(FileError::at("flush", path))?;
    file.persist(path).map_err(|error| FileError::at("write", path)(error.error))?;
    sync_folder(folder)
}

/// Makes renames and removals in `folder` survive a power cut.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), FileError> {
    File::open(folder).and_then(|it| it.sync_all()).map_err(FileError::at("flush", folder))
}

/// Flushes everything of the file system that holds `path`: one call instead of
/// one for each of a package's thousand files.
pub(crate) fn sync_file_system(path: &Path) -> Result<(), FileError> {
    let folder = File::open(path).map_err(FileError::at("open", path))?;
    nix::unistd::syncfs(folder).map_err(|errno| FileError::at("flush", path)(errno.into()))
}

/// Removes a folder and all in it, folders without write permission included.
pub(crate) fn remove_tree(path: &Path) -> Result<(), FileError> {
    match fs::remove_dir_all(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            unlock_folders(path).map_err(FileError::at("remove", path))?;
            fs::remove_dir_all(path).map_err(FileError::at("remove", path))
        }
        Err(error) => Err(FileError::at("remove", path)(error)),
    }
}

fn unlock_folders(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if fs::symlink_metadata(path)?.is_dir() {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                unlock_folders(&entry.path())?;
            }
        }
    }
    Ok(())
}

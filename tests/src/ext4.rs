//! File systems for guests, made without root and without being mounted.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use thiserror::Error;

/// Where e2fsprogs has its programs, which is not on every user's PATH.
const MKE2FS: &str = "/usr/sbin/mke2fs";

/// Why there is no file system.
#[derive(Debug, Error)]
pub enum Ext4Error {
    /// The file cannot be made.
    #[error("cannot make {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// mke2fs failed.
    #[error("mke2fs failed on {path}: {why}")]
    Failed {
        /// On which file.
        path: PathBuf,
        /// What it says.
        why: String,
    },
}

/// Makes an ext4 file system of `size` bytes with what is in `folder`.
pub fn make(path: &Path, size: u64, folder: Option<&Path>) -> Result<(), Ext4Error> {
    let failed = |source| Ext4Error::File { path: path.to_owned(), source };
    File::create(path).and_then(|file| file.set_len(size)).map_err(failed)?;
    let mut command = Command::new(MKE2FS);
    command.args(["-q", "-F", "-t", "ext4"]);
    if let Some(folder) = folder {
        command.arg("-d").arg(folder);
    }
    let output = command.arg(path).output().map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Ext4Error::Failed { path: path.to_owned(), why })
}

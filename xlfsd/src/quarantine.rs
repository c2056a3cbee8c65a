//! Where files of the state folder go that make no sense: out of the way, so
//! that the daemon starts, and not thrown away, so that a person can look.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::durable::{self, FileError};

/// Names tried for one file before giving up.
const TRIES: u32 = 1000;

/// Moves `path` into the folder `quarantine` and answers its new place.
pub fn quarantine(path: &Path, quarantine: &Path) -> Result<PathBuf, FileError> {
    durable::make_private_dir(quarantine)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    for number in 0..TRIES {
        let place = match number {
            0 => quarantine.join(&*name),
            _ => quarantine.join(format!("{name}.{number}")),
        };
        // Never over something that is there: only one daemon works on this folder.
        if fs::symlink_metadata(&place).is_err() {
            fs::rename(path, &place).map_err(FileError::at("move", path))?;
            durable::sync_dir(quarantine)?;
            return Ok(place);
        }
    }
    Err(FileError::at("move", path)(io::Error::other("the quarantine holds too many of that name")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_every_file_it_is_given() {
        let dir = tempfile::tempdir().unwrap();
        let (bad, place) = (dir.path().join("bad.toml"), dir.path().join("quarantine"));
        for (content, name) in [("one", "bad.toml"), ("two", "bad.toml.1")] {
            fs::write(&bad, content).unwrap();
            assert_eq!(quarantine(&bad, &place).unwrap(), place.join(name));
        }
        assert_eq!(fs::read(place.join("bad.toml")).unwrap(), b"one");
        assert_eq!(fs::read(place.join("bad.toml.1")).unwrap(), b"two");
        assert!(!bad.exists());
    }
}

//! One run's log on disk, and the folders in which the runs are.
//!
//! ```text
//! <state>/console/<uuid>/<run>/<offset>
//! ```

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::segments::{Caps, Segment, Segments};
use crate::durable::{self, FileError};

/// The files of one run. The books are here, the I/O in functions that take no
/// lock on them.
#[derive(Debug, Clone)]
pub(super) struct RunLog {
    pub(super) number: u64,
    pub(super) dir: PathBuf,
    pub(super) segments: Segments,
}

impl RunLog {
    /// A run that has printed nothing yet; its folder is made by the first write.
    pub(super) fn new(guest_dir: &Path, number: u64) -> Self {
        let dir = guest_dir.join(format!("{number:010}"));
        Self { number, dir, segments: Segments::default() }
    }

    /// The latest runs on disk (the last first), `keep` of them; older ones go.
    pub(super) fn open_latest(guest_dir: &Path, keep: usize) -> Result<Vec<Self>, FileError> {
        let mut numbers = numbered(guest_dir)?;
        numbers.sort_by(|a, b| b.cmp(a));
        for old in numbers.split_off(numbers.len().min(keep)) {
            remove_run(&Self::new(guest_dir, old).dir);
        }
        numbers.into_iter().map(|number| Self::open(guest_dir, number)).collect()
    }

    fn open(guest_dir: &Path, number: u64) -> Result<Self, FileError> {
        let mut log = Self::new(guest_dir, number);
        let mut found = Vec::new();
        for start in numbered(&log.dir)? {
            let len = fs::symlink_metadata(log.path(start)).map_or(0, |meta| meta.len());
            // A length that reaches beyond all offsets is none of ours.
            if start.checked_add(len).is_some() {
                found.push(Segment { start, len });
            }
        }
        log.segments = Segments::from_files(found);
        Ok(log)
    }

    fn path(&self, start: u64) -> PathBuf {
        segment_path(&self.dir, start)
    }
}

fn segment_path(dir: &Path, start: u64) -> PathBuf {
    // As many digits as any offset may have, so that names sort as numbers.
    dir.join(format!("{start:020}"))
}

/// Reads up to `max` bytes from `offset` on, which is in `segment`. None when
/// the file was removed meanwhile.
pub(super) fn read(
    dir: &Path,
    segment: Segment,
    offset: u64,
    max: usize,
) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(segment_path(dir, segment.start)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let len = (segment.end() - offset).min(max as u64) as usize;
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, offset - segment.start)?;
    Ok(Some(bytes))
}

/// Writes `bytes` (from `offset` on) into the files that `segments`, a copy of
/// the run's books, says. Not flushed to the disk: a kill of the daemon loses
/// none of it, and a power cut is worth no wait here.
pub(super) fn write(
    dir: &Path,
    segments: &mut Segments,
    offset: u64,
    bytes: &[u8],
    caps: Caps,
) -> Result<(), FileError> {
    let mut rest = bytes;
    for write in segments.plan(offset, bytes.len() as u64, caps) {
        let path = segment_path(dir, write.start);
        let file = match open_for_write(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                durable::make_private_dir(dir)?;
                open_for_write(&path)
            }
            other => other,
        };
        let (part, after) = rest.split_at(write.len as usize);
        file.and_then(|file| file.write_all_at(part, write.at))
            .map_err(FileError::at("write", &path))?;
        segments.wrote(write);
        rest = after;
    }
    Ok(())
}

fn open_for_write(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Removes files that were struck from the books.
pub(super) fn remove_segments(dir: &Path, starts: &[u64]) {
    for start in starts {
        let path = segment_path(dir, *start);
        if let Err(error) = fs::remove_file(&path) {
            tracing::warn!(path = %path.display(), %error, "a part of a console log stays");
        }
    }
}

/// Removes a whole run, or a guest's whole folder.
pub(super) fn remove_run(dir: &Path) {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(dir = %dir.display(), %error, "an old console log stays");
        }
        _ => {}
    }
}

/// The entries of `dir` whose names are numbers. Anything else is not ours and
/// is left alone.
fn numbered(dir: &Path) -> Result<Vec<u64>, FileError> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(FileError::at("read the folder", dir))?,
    };
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::super::segments::Place;
    use super::*;

    const CAPS: Caps = Caps { first: 64, recent: 64 };

    #[test]
    fn what_was_written_is_found_after_a_kill() {
        let dir = tempfile::tempdir().unwrap();
        let log = RunLog::new(dir.path(), 3);
        let content: Vec<u8> = (0..=255).collect();
        let mut books = Segments::default();
        for part in content.chunks(10).enumerate() {
            write(&log.dir, &mut books, part.0 as u64 * 10, part.1, CAPS).unwrap();
            remove_segments(&log.dir, &books.evict(CAPS));
        }
        // Nothing but the files is left of it.
        let runs = RunLog::open_latest(dir.path(), 2).unwrap();
        assert_eq!((runs.len(), runs[0].number, runs[0].segments.end()), (1, 3, 256));
        let mut offset = 0;
        let mut seen = 0;
        loop {
            match runs[0].segments.find(offset) {
                Place::In(segment) => {
                    let bytes = read(&runs[0].dir, segment, offset, 7).unwrap().unwrap();
                    assert_eq!(bytes, content[offset as usize..][..bytes.len()]);
                    offset += bytes.len() as u64;
                    seen += bytes.len();
                }
                Place::Before(next) => offset = next,
                Place::After => break,
            }
        }
        assert_eq!(offset, 256);
        assert!((120..=128).contains(&seen), "{seen}");
    }

    #[test]
    fn only_the_latest_runs_are_kept_and_strangers_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        for number in [1, 2, 9, 10] {
            let log = RunLog::new(dir.path(), number);
            write(&log.dir, &mut Segments::default(), 0, b"x", CAPS).unwrap();
        }
        fs::create_dir(dir.path().join("notes")).unwrap();
        let runs = RunLog::open_latest(dir.path(), 2).unwrap();
        assert_eq!(runs.iter().map(|run| run.number).collect::<Vec<_>>(), [10, 9]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    }

    #[test]
    fn a_removed_file_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        let segment = Segment { start: 0, len: 4 };
        assert_eq!(read(dir.path(), segment, 0, 4).unwrap(), None);
        fs::write(segment_path(dir.path(), 0), b"cut").unwrap();
        assert!(read(dir.path(), segment, 0, 4).is_err(), "shorter than the books say");
    }
}

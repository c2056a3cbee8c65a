//! What happens in a build: the builder's events and the daemon's own, numbered,
//! kept in memory while it runs and in a file for good. A reader can come late, come
//! back, or come after a restart of the daemon, and misses nothing.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use futures::{Stream, stream};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use xlfs_builder::build::Event;

use super::record::{Counts, State, now};
use crate::durable::{self, FileError};

/// Something happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Told {
    /// In the builder.
    Builder(Event),
    /// Around it.
    Daemon(Around),
}

/// What only the daemon knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Around {
    /// An image's file went into the image store, or could not.
    Imported {
        image: String,
        file: String,
        alias: String,
        digest: String,
        changed: bool,
        problem: String,
    },
    /// Nothing comes after this.
    Ended { state: State, counts: Counts, seconds: f64 },
}

/// An event in its place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Counted from 0, without gaps.
    pub number: usize,
    /// Milliseconds since 1970.
    pub time: u64,
    #[serde(flatten)]
    pub told: Told,
}

impl Entry {
    fn is_last(&self) -> bool {
        matches!(self.told, Told::Daemon(Around::Ended { .. }))
    }
}

/// The events of a build that runs.
#[derive(Debug)]
pub(super) struct Log {
    inner: Mutex<Inner>,
    count: watch::Sender<usize>,
}

#[derive(Debug)]
struct Inner {
    entries: Vec<Entry>,
    /// None once it could not be written.
    file: Option<File>,
}

impl Log {
    /// An empty one, kept at `path`.
    pub(super) fn create(path: &Path) -> Result<Self, FileError> {
        let mut options = OpenOptions::new();
        options.create(true).append(true).mode(0o600);
        let file = options.open(path).map_err(FileError::at("create", path))?;
        let inner = Inner { entries: Vec::new(), file: Some(file) };
        Ok(Self { inner: Mutex::new(inner), count: watch::Sender::new(0) })
    }

    /// Adds an event. A disk that takes no more only costs what would be read after a
    /// restart; the build goes on.
    pub(super) fn tell(&self, time: u64, told: Told) {
        let mut inner = self.inner.lock();
        let number = inner.entries.len();
        let entry = Entry { number, time, told };
        if let (Some(file), Ok(mut line)) = (&mut inner.file, serde_json::to_vec(&entry)) {
            line.push(b'\n');
            if let Err(error) = file.write_all(&line) {
                tracing::warn!(%error, "the events of the build are no longer kept on disk");
                inner.file = None;
            }
        }
        inner.entries.push(entry);
        self.count.send_replace(number + 1);
    }

    /// So many there are.
    pub(super) fn len(&self) -> usize {
        *self.count.borrow()
    }

    /// From event `from` on, up to the last.
    pub(super) fn follow(self: Arc<Self>, from: usize) -> impl Stream<Item = Entry> + Send {
        let count = self.count.subscribe();
        stream::unfold(Some((self, count, from)), |state| async move {
            let (log, mut count, next) = state?;
            loop {
                count.mark_unchanged();
                match log.get(next) {
                    Next::Entry(entry) => {
                        let state = (!entry.is_last()).then_some((log, count, next + 1));
                        return Some((*entry, state));
                    }
                    Next::Never => return None,
                    // The sender lives as long as the log, which we hold.
                    Next::Later => count.changed().await.ok()?,
                }
            }
        })
    }

    fn get(&self, number: usize) -> Next {
        let entries = &self.inner.lock().entries;
        match entries.get(number) {
            Some(entry) => Next::Entry(Box::new(entry.clone())),
            None if entries.last().is_some_and(Entry::is_last) => Next::Never,
            None => Next::Later,
        }
    }
}

/// What is known of an event's number.
enum Next {
    Entry(Box<Entry>),
    /// It has not happened yet.
    Later,
    /// The build has ended without.
    Never,
}

/// The events of a build that has ended, as far as they can be read.
pub(super) fn read(path: &Path) -> Vec<Entry> {
    let Ok(file) = File::open(path) else { return Vec::new() };
    let lines = BufReader::new(file).lines().map_while(Result::ok);
    // A daemon that was killed may have left half a line.
    let entries = lines.map_while(|line| serde_json::from_str::<Entry>(&line).ok());
    entries.enumerate().map_while(|(at, entry)| (entry.number == at).then_some(entry)).collect()
}

/// What is known of a build that was interrupted.
pub(super) struct Interrupted {
    pub events: usize,
    /// When the last event happened before.
    pub last: u64,
    pub counts: Counts,
}

/// Ends the log of a build that was interrupted.
pub(super) fn end_interrupted(
    path: &Path,
    mut counts: Counts,
    started: u64,
) -> Result<Interrupted, FileError> {
    let mut entries = read(path);
    let last = entries.last().map_or(started, |entry| entry.time);
    for entry in &entries {
        if let Told::Builder(event) = &entry.told {
            counts.hear(event);
        }
    }
    if entries.last().is_none_or(|entry| !entry.is_last()) {
        let seconds = last.saturating_sub(started) as f64 / 1000.0;
        let ended = Around::Ended { state: State::Interrupted, counts, seconds };
        entries.push(Entry { number: entries.len(), time: now(), told: Told::Daemon(ended) });
        let mut bytes = Vec::new();
        for entry in &entries {
            serde_json::to_writer(&mut bytes, entry)
                .map_err(|error| FileError::at("describe", path)(error.into()))?;
            bytes.push(b'\n');
        }
        durable::write_whole(path, &bytes)?;
    }
    Ok(Interrupted { events: entries.len(), last, counts })
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::*;

    fn begun() -> Told {
        Told::Builder(Event::Begun { packages: 3 })
    }

    fn ended() -> Told {
        let counts = Counts::default();
        Told::Daemon(Around::Ended { state: State::Succeeded, counts, seconds: 1.5 })
    }

    #[tokio::test]
    async fn a_late_reader_misses_nothing_and_the_file_holds_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("7.events");
        let log = Arc::new(Log::create(&path).unwrap());
        log.tell(1, begun());
        let early = tokio::spawn(log.clone().follow(0).collect::<Vec<_>>());
        let failed = Event::Failed {
            package: "zlib".to_owned(),
            step: "build".to_owned(),
            reason: "exit code 2".to_owned(),
            tail: vec!["error: \u{1b}[31m".to_owned()],
            cause: xlfs_builder::build::Cause::Silent,
        };
        log.tell(2, Told::Builder(failed));
        log.tell(3, ended());
        let all = early.await.unwrap();
        assert_eq!(all.len(), 3);
        assert_eq!(log.clone().follow(2).collect::<Vec<_>>().await, all[2..]);
        assert_eq!(read(&path), all);
        // One that waits for what never comes does not wait for ever.
        assert!(log.follow(9).collect::<Vec<_>>().await.is_empty());
    }

    #[test]
    fn a_log_that_a_kill_cut_off_is_ended_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("7.events");
        let log = Log::create(&path).unwrap();
        log.tell(4000, begun());
        log.tell(5000, Told::Builder(Event::Cached { package: "a".to_owned() }));
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"numb").unwrap();
        let counts = Counts { packages: 3, ..Counts::default() };
        for _ in 0..2 {
            let ended = end_interrupted(&path, counts, 1000).unwrap();
            assert_eq!((ended.events, ended.counts.cached), (3, 1));
        }
        let entries = read(&path);
        assert_eq!(entries[0].told, begun());
        let counts = Counts { cached: 1, ..counts };
        let ended = Around::Ended { state: State::Interrupted, counts, seconds: 4.0 };
        assert_eq!(entries[2].told, Told::Daemon(ended));
    }
}

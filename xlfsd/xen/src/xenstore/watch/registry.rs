//! Which token belongs to which watch.
//!
//! xenstored hands a watch's token back with each of its events; ours are numbers that are
//! never used twice, so an event that was on its way when its watch went is nobody's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::super::error::ErrorKind;
use super::super::stats::Counters;
use super::super::wire;
use super::queue::{Pushed, Queue};

#[derive(Debug)]
struct Entry {
    path: String,
    queue: Arc<Queue>,
    /// Whether xenstored has confirmed it. Only these are set up again on a new connection;
    /// the request of any other is still on its way.
    stands: bool,
}

#[derive(Debug, Default)]
struct Entries {
    last_token: u64,
    by_token: HashMap<u64, Entry>,
}

#[derive(Debug, Default)]
pub(in super::super) struct Registry {
    entries: Mutex<Entries>,
}

impl Registry {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, path: &str, queue: &Arc<Queue>) -> u64 {
        let mut entries = self.entries();
        entries.last_token += 1;
        let token = entries.last_token;
        queue.add(token);
        let entry = Entry { path: path.to_owned(), queue: Arc::clone(queue), stands: false };
        entries.by_token.insert(token, entry);
        token
    }

    pub(super) fn remove(&self, token: u64) {
        if let Some(entry) = self.entries().by_token.remove(&token) {
            entry.queue.remove(token);
        }
    }

    /// xenstored has confirmed this watch.
    pub(in super::super) fn stands(&self, token: u64) {
        if let Some(entry) = self.entries().by_token.get_mut(&token) {
            entry.stands = true;
        }
    }

    /// The watches to set up on a new connection, oldest first.
    pub(in super::super) fn standing(&self) -> Vec<(u64, String)> {
        let entries = self.entries();
        let standing = entries.by_token.iter().filter(|(_, entry)| entry.stands);
        let mut standing: Vec<_> =
            standing.map(|(token, entry)| (*token, entry.path.clone())).collect();
        standing.sort_unstable();
        standing
    }

    /// The watch stands on a new connection; what happened in between is unknown.
    pub(in super::super) fn resync(&self, token: u64) {
        if let Some(entry) = self.entries().by_token.get(&token) {
            entry.queue.push(token, None);
        }
    }

    /// The watch could not be set up again.
    pub(in super::super) fn fail(&self, token: u64, kind: ErrorKind) {
        if let Some(entry) = self.entries().by_token.get_mut(&token) {
            entry.stands = false;
            entry.queue.fail(token, kind);
        }
    }

    /// Delivers a WATCH_EVENT: path, token, and sometimes more that nobody needs. False when
    /// the payload is no watch event at all.
    #[must_use]
    pub(in super::super) fn deliver(&self, payload: &[u8], counters: &Counters) -> bool {
        let mut strings = wire::strings(payload);
        let (Some(path), Some(token)) = (strings.next(), strings.next()) else { return false };
        counters.watch_events.add(1);
        let path = std::str::from_utf8(path).ok();
        let token = std::str::from_utf8(token).ok().and_then(|token| token.parse::<u64>().ok());
        let entries = self.entries();
        let entry = token.and_then(|token| Some((token, entries.by_token.get(&token)?)));
        match (path, entry) {
            (Some(path), Some((token, entry))) => {
                match entry.queue.push(token, Some(path.into())) {
                    Pushed::Queued => {}
                    Pushed::Coalesced => counters.watch_events_coalesced.add(1),
                    Pushed::Overflowed => counters.watch_overflows.add(1),
                }
            }
            _ => counters.watch_events_ignored.add(1),
        }
        true
    }
}

//! What has happened to some watches and was not read yet.
//!
//! The driver puts events in and never waits; a reader takes them out at its own pace. The same
//! path of the same watch stands in the queue once, however often it fires: the reader looks at
//! the node after it took the event, so it misses nothing. When more than [`EVENTS_MAX`] paths
//! wait, all of them are replaced by one resync for each watch.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::super::error::ErrorKind;

/// Most events waiting in a queue.
pub(super) const EVENTS_MAX: usize = 1024;

/// A path that changed below a watch; `None` for a resync.
pub(super) type Event = (u64, Option<Arc<str>>);

#[derive(Debug, Default)]
struct State {
    tokens: HashSet<u64>,
    events: VecDeque<Event>,
    waiting: HashSet<Event>,
    failed: VecDeque<(u64, ErrorKind)>,
}

#[derive(Debug, Default)]
pub(in super::super) struct Queue {
    state: Mutex<State>,
    news: Notify,
}

/// What became of an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    Queued,
    Coalesced,
    Overflowed,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, token: u64) {
        self.state().tokens.insert(token);
    }

    pub(super) fn remove(&self, token: u64) {
        let mut state = self.state();
        state.tokens.remove(&token);
        state.events.retain(|(of, _)| *of != token);
        state.waiting.retain(|(of, _)| *of != token);
        state.failed.retain(|(of, _)| *of != token);
    }

    pub(super) fn push(&self, token: u64, path: Option<Arc<str>>) -> Pushed {
        let mut state = self.state();
        let event = (token, path);
        if !state.waiting.insert(event.clone()) {
            return Pushed::Coalesced;
        }
        state.events.push_back(event);
        let pushed = if state.events.len() > EVENTS_MAX.max(state.tokens.len()) {
            state.events = state.tokens.iter().map(|token| (*token, None)).collect();
            state.waiting = state.events.iter().cloned().collect();
            Pushed::Overflowed
        } else {
            Pushed::Queued
        };
        drop(state);
        self.news.notify_one();
        pushed
    }

    pub(super) fn fail(&self, token: u64, kind: ErrorKind) {
        self.state().failed.push_back((token, kind));
        self.news.notify_one();
    }

    /// The oldest event or failure, without waiting.
    pub(super) fn pop(&self) -> Option<Result<Event, (u64, ErrorKind)>> {
        let mut state = self.state();
        if let Some(failure) = state.failed.pop_front() {
            return Some(Err(failure));
        }
        let event = state.events.pop_front()?;
        state.waiting.remove(&event);
        Some(Ok(event))
    }

    /// The oldest event or failure; waits until there is one. Cancelling loses nothing.
    pub(super) async fn next(&self) -> Result<Event, (u64, ErrorKind)> {
        loop {
            let news = self.news.notified();
            if let Some(event) = self.pop() {
                return event;
            }
            news.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_path_waits_once() {
        let queue = Queue::default();
        queue.add(1);
        assert_eq!(queue.push(1, Some("/a".into())), Pushed::Queued);
        assert_eq!(queue.push(1, Some("/a".into())), Pushed::Coalesced);
        assert_eq!(queue.push(2, Some("/a".into())), Pushed::Queued, "another watch");
        assert_eq!(queue.pop(), Some(Ok((1, Some("/a".into())))));
        assert_eq!(queue.push(1, Some("/a".into())), Pushed::Queued, "it was read in between");
    }

    #[test]
    fn a_full_queue_becomes_one_resync_for_each_watch() {
        let queue = Queue::default();
        queue.add(1);
        queue.add(2);
        for path in 0..EVENTS_MAX {
            assert_eq!(queue.push(1, Some(format!("/{path}").into())), Pushed::Queued);
        }
        assert_eq!(queue.push(2, Some("/one-more".into())), Pushed::Overflowed);
        let mut tokens: Vec<u64> = std::iter::from_fn(|| queue.pop())
            .map(|event| match event {
                Ok((token, None)) => token,
                other => panic!("{other:?} is no resync"),
            })
            .collect();
        tokens.sort_unstable();
        assert_eq!(tokens, [1, 2]);
        assert_eq!(queue.push(1, Some("/0".into())), Pushed::Queued, "and it goes on");
    }

    #[test]
    fn a_removed_watch_leaves_nothing_behind() {
        let queue = Queue::default();
        queue.add(1);
        queue.push(1, Some("/a".into()));
        queue.fail(1, ErrorKind::Closed);
        queue.remove(1);
        assert_eq!(queue.pop(), None);
    }
}

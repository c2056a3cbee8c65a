//! What travels between the callers and the driver: requests, grouped into calls.
//!
//! A [`Call`] is one or more requests that are sent in order and whose answers come back
//! together: one wait, however many requests. The caller and the driver share it, so that a
//! caller who gives up can tell how far it got.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::error::{Error, ErrorKind, Op};
use super::wire::{self, Kind};

/// The payload of a reply, or why there is none.
pub(super) type Answer = Result<Bytes, ErrorKind>;

/// One request.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) op: Op,
    /// What the error of this request names.
    pub(super) path: String,
    pub(super) kind: Kind,
    pub(super) tx_id: u32,
    pub(super) payload: Vec<u8>,
    /// For WATCH: the watch that stands when this succeeds.
    pub(super) token: Option<u64>,
}

impl Request {
    /// A request about `path` whose payload is these strings, each with a nul.
    pub(super) fn new<S: AsRef<[u8]>>(
        op: Op,
        kind: Kind,
        path: impl Into<String>,
        strings: impl IntoIterator<Item = S>,
    ) -> Request {
        let payload = wire::join(strings);
        Request { op, path: path.into(), kind, tx_id: 0, payload, token: None }
    }

    pub(super) fn error(&self, kind: ErrorKind) -> Error {
        Error { op: self.op, path: self.path.clone(), kind }
    }
}

/// Requests that belong together, and how far they got.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) requests: Vec<Request>,
    sent: AtomicUsize,
    answered: AtomicUsize,
    generation: AtomicU64,
    made: Instant,
    /// When the last answer came, in microseconds after `made`.
    last_answer: AtomicU64,
}

impl Call {
    pub(super) fn new(requests: Vec<Request>) -> Arc<Call> {
        Arc::new(Call {
            requests,
            sent: AtomicUsize::new(0),
            answered: AtomicUsize::new(0),
            generation: AtomicU64::new(0),
            made: Instant::now(),
            last_answer: AtomicU64::new(0),
        })
    }

    /// One more request has left, on this connection.
    pub(super) fn note_sent(&self, generation: u64) {
        self.generation.store(generation, Ordering::Relaxed);
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    /// Only so many have left after all.
    pub(super) fn note_taken_back(&self, sent: usize) {
        self.sent.store(sent, Ordering::Relaxed);
    }

    pub(super) fn note_answered(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
        let after = u64::try_from(self.made.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.last_answer.store(after, Ordering::Relaxed);
    }

    /// When the call was made, or last got an answer: its deadline counts from here.
    pub(super) fn last_progress(&self) -> Instant {
        self.made + Duration::from_micros(self.last_answer.load(Ordering::Relaxed))
    }

    pub(super) fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    /// The connection the last request went to.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// The error of the whole call, at the first request that has no answer. Replies come in
    /// order from every xenstored there is, so that one is found by counting.
    pub(super) fn error(&self, why: impl FnOnce(bool) -> ErrorKind) -> Error {
        let answered = self.answered.load(Ordering::Relaxed);
        let at = answered.min(self.requests.len().saturating_sub(1));
        let kind = why(answered < self.sent());
        match self.requests.get(at) {
            Some(request) => request.error(kind),
            None => Error { op: Op::Connect, path: String::new(), kind },
        }
    }
}

/// A call on its way to the driver.
#[derive(Debug)]
pub(super) struct Submission {
    pub(super) call: Arc<Call>,
    /// The only connection it makes sense on; `None` for any.
    pub(super) generation: Option<u64>,
    /// Where the answers go; `None` when nobody waits for them.
    pub(super) done: Option<oneshot::Sender<Vec<Answer>>>,
}

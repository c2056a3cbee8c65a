//! What is typed: one writer, a bounded queue, and the ring pump that empties it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::hub::ConsoleHub;
use crate::problem::Problem;

/// Bytes that wait for the guest to read them.
pub(super) const MAX_QUEUE: usize = 64 << 10;

/// What a writer is to be told, kept small whatever happens.
#[derive(Debug, Default)]
pub(super) struct Notices {
    inner: Mutex<Pending>,
}

#[derive(Debug, Default)]
struct Pending {
    taken_over: bool,
    refused: u64,
    why_refused: &'static str,
}

impl Notices {
    pub(super) fn taken_over(&self) {
        self.inner.lock().taken_over = true;
    }

    fn refused(&self, bytes: usize, why: &'static str) {
        let mut pending = self.inner.lock();
        pending.refused += bytes as u64;
        pending.why_refused = why;
    }

    pub(super) fn take(&self) -> Option<String> {
        let mut pending = self.inner.lock();
        if pending.refused > 0 {
            let bytes = std::mem::take(&mut pending.refused);
            return Some(format!("{bytes} bytes of input were refused: {}", pending.why_refused));
        }
        std::mem::take(&mut pending.taken_over)
            .then(|| "somebody else took over as the writer; you only read now".to_owned())
    }
}

/// The hub's side: the queue and who may fill it.
#[derive(Debug, Default)]
pub(super) struct Input {
    queue: VecDeque<u8>,
    writer: Option<(u64, Arc<Notices>)>,
    next_writer: u64,
}

impl Input {
    pub(super) fn has_writer(&self) -> bool {
        self.writer.is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Makes a new writer; who it was so far is told.
    pub(super) fn take_over(&mut self) -> (u64, Arc<Notices>) {
        if let Some((_, notices)) = self.writer.take() {
            notices.taken_over();
        }
        self.next_writer += 1;
        let writer = (self.next_writer, Arc::new(Notices::default()));
        self.writer = Some(writer.clone());
        writer
    }

    pub(super) fn is_writer(&self, id: u64) -> bool {
        self.writer.as_ref().is_some_and(|(writer, _)| *writer == id)
    }

    pub(super) fn leave(&mut self, id: u64) {
        if self.is_writer(id) {
            self.writer = None;
        }
    }

    /// Takes as much as there is room for; the writer is told of the rest.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let room = MAX_QUEUE - self.queue.len();
        let (fits, rest) = bytes.split_at(room.min(bytes.len()));
        self.queue.extend(fits);
        if !rest.is_empty() {
            self.refuse(rest.len(), "the guest does not read its console");
        }
    }

    pub(super) fn refuse(&self, bytes: usize, why: &'static str) {
        if let Some((_, notices)) = &self.writer {
            notices.refused(bytes, why);
        }
    }

    pub(super) fn pop(&mut self, max: usize) -> Bytes {
        let count = max.min(self.queue.len());
        let bytes = self.queue.drain(..count).collect();
        if self.queue.is_empty() {
            // A paste must not cost memory for ever.
            self.queue = VecDeque::new();
        }
        bytes
    }

    /// What was typed for a domain that is gone is not for the next one.
    pub(super) fn clear(&mut self) {
        self.queue = VecDeque::new();
    }
}

/// The writer's place at one console; dropping it leaves the place to others.
pub struct InputSender {
    hub: Arc<ConsoleHub>,
    id: u64,
}

impl InputSender {
    pub(super) fn new(hub: Arc<ConsoleHub>, id: u64) -> Self {
        Self { hub, id }
    }

    /// Hands over what was typed; never waits. What the guest has no room for
    /// is refused, with a notice in the writer's output. An error says that
    /// this is the writer no more.
    pub fn send(&self, bytes: &[u8]) -> Result<(), Problem> {
        self.hub.push_input(self.id, bytes)
    }
}

impl Drop for InputSender {
    fn drop(&mut self) {
        self.hub.leave_input(self.id);
    }
}

impl fmt::Debug for InputSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InputSender").field("id", &self.id).finish_non_exhaustive()
    }
}

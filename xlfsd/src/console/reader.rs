//! A reader's place in a guest's output.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, stream};
use tokio::sync::watch;
use xlfs_proto::v1::ConsoleOutput;
use xlfs_proto::v1::console_output::Part;

use super::hub::{ConsoleHub, State};
use super::input::Notices;
use super::run_log;
use super::segments::{Place, Segment};
use super::tail::InMemory;

/// Bytes of one message.
const MAX_PIECE: usize = 16 << 10;

/// Where a reader begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Start {
    pub(super) run: u64,
    pub(super) offset: u64,
    /// Go on with the guest's next run when this one has ended.
    pub(super) follow: bool,
}

/// What is at a place in the stream.
#[derive(Debug)]
pub(super) enum Look {
    Bytes(Bytes),
    OnDisk {
        dir: std::path::PathBuf,
        segment: Segment,
    },
    /// The next byte that is kept has this offset.
    Gap(u64),
    /// Nothing yet; more may come.
    NotYet,
    /// The domain is gone and this was all.
    Ended,
    /// The guest is forgotten, and what it printed with it.
    Closed,
    /// This run is over; the guest has a later one.
    NextRun(u64),
}

impl State {
    pub(super) fn look(&self, run: u64, offset: u64, max: usize) -> Look {
        if self.closed {
            return Look::Closed;
        }
        if run < self.run.number {
            return self.look_back(run, offset);
        }
        if offset >= self.tail.end() {
            return if self.live { Look::NotYet } else { Look::Ended };
        }
        let in_memory_from = match self.tail.read(offset, max) {
            InMemory::Bytes(bytes) => return Look::Bytes(bytes),
            InMemory::From(next) => next,
        };
        match self.run.segments.find(offset) {
            Place::In(segment) => Look::OnDisk { dir: self.run.dir.clone(), segment },
            // What is on disk is older than all that is in memory.
            Place::Before(next) => Look::Gap(next),
            Place::After => Look::Gap(in_memory_from),
        }
    }

    /// As [`look`](Self::look), in an earlier run: all of that is on disk.
    fn look_back(&self, run: u64, offset: u64) -> Look {
        let Some(log) = &self.previous else { return Look::NextRun(self.run.number) };
        if run < log.number {
            return Look::NextRun(log.number);
        }
        match log.segments.find(offset) {
            Place::In(segment) if run == log.number => {
                Look::OnDisk { dir: log.dir.clone(), segment }
            }
            Place::Before(next) if run == log.number => Look::Gap(next),
            _ => Look::NextRun(self.run.number),
        }
    }
}

/// Reads a segment where waiting for the disk holds up nobody. None: it was
/// removed meanwhile, or cannot be read; look again, but after `Err`'s offset.
pub(super) async fn read_segment(
    dir: std::path::PathBuf,
    segment: Segment,
    offset: u64,
) -> Result<Option<Vec<u8>>, u64> {
    let path = dir.clone();
    let read = tokio::task::spawn_blocking(move || run_log::read(&dir, segment, offset, MAX_PIECE));
    match read.await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => {
            tracing::warn!(dir = %path.display(), %error, "a part of a console log cannot be read");
            Err(segment.end())
        }
        Err(_) => Err(segment.end()),
    }
}

/// Output of one guest, from some place on.
pub struct ConsoleReader {
    hub: Arc<ConsoleHub>,
    run: u64,
    offset: u64,
    follow: bool,
    /// Stop at this run and offset.
    until: Option<(u64, u64)>,
    /// For a writer: what it is to be told.
    notices: Option<Arc<Notices>>,
    changes: watch::Receiver<()>,
}

impl ConsoleReader {
    pub(super) fn new(hub: Arc<ConsoleHub>, start: Start, notices: Option<Arc<Notices>>) -> Self {
        let changes = hub.changed.subscribe();
        let Start { run, offset, follow } = start;
        Self { hub, run, offset, follow, until: None, notices, changes }
    }

    pub(super) fn until(mut self, until: Option<(u64, u64)>) -> Self {
        self.until = until;
        self
    }

    /// The next piece; None at the end. Cancelling it loses nothing.
    pub async fn next(&mut self) -> Option<ConsoleOutput> {
        loop {
            // Marked as seen before the look: a change after it wakes us.
            self.changes.borrow_and_update();
            if let Some(notice) = self.notices.as_ref().and_then(|notices| notices.take()) {
                return Some(output(Part::Notice(notice)));
            }
            let max = match self.until {
                Some(until) if (self.run, self.offset) >= until => return None,
                Some((run, end)) if run == self.run => {
                    MAX_PIECE.min(usize::try_from(end - self.offset).unwrap_or(MAX_PIECE))
                }
                _ => MAX_PIECE,
            };
            let look = self.hub.state.lock().look(self.run, self.offset, max);
            match look {
                Look::Bytes(bytes) => return Some(self.data(bytes.into())),
                Look::OnDisk { dir, segment } => {
                    match read_segment(dir, segment, self.offset).await {
                        Ok(Some(mut bytes)) => {
                            bytes.truncate(max);
                            return Some(self.data(bytes));
                        }
                        Ok(None) => {}
                        Err(next) => return Some(self.gap(next)),
                    }
                }
                Look::Gap(next) => return Some(self.gap(next)),
                Look::NextRun(run) if self.follow || self.until.is_some() => {
                    self.run = run;
                    self.offset = 0;
                    return Some(output(Part::Notice("the guest was restarted".to_owned())));
                }
                Look::NextRun(_) | Look::Closed => return None,
                Look::Ended if !self.follow => return None,
                Look::Ended | Look::NotYet => self.changes.changed().await.ok()?,
            }
        }
    }

    /// The same as a stream.
    pub fn into_stream(self) -> impl Stream<Item = ConsoleOutput> + Send {
        stream::unfold(self, |mut reader| async move {
            reader.next().await.map(|output| (output, reader))
        })
    }

    fn data(&mut self, bytes: Vec<u8>) -> ConsoleOutput {
        self.offset += bytes.len() as u64;
        output(Part::Data(bytes))
    }

    fn gap(&mut self, next: u64) -> ConsoleOutput {
        let missing = next.saturating_sub(self.offset);
        self.offset = next;
        output(Part::Gap(missing))
    }
}

fn output(part: Part) -> ConsoleOutput {
    ConsoleOutput { part: Some(part) }
}

impl Drop for ConsoleReader {
    fn drop(&mut self) {
        self.hub.reader_left();
    }
}

impl fmt::Debug for ConsoleReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsoleReader")
            .field("hub", &self.hub)
            .field("run", &self.run)
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

//! One guest's console: where the ring pump, the readers, the writer and the
//! disk meet.
//!
//! One lock guards the state, and nobody waits for a disk or another party
//! while holding it. Writing to the disk has a lock of its own (`disk`), which
//! is taken first.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use uuid::Uuid;
use xlfs_proto::v1 as pb;

use super::contains::Search;
use super::directory::ConsoleLimits;
use super::flusher::Flusher;
use super::input::{Input, InputSender};
use super::reader::{ConsoleReader, Start};
use super::run_log::{self, RunLog};
use super::tail::Tail;
use crate::durable::FileError;
use crate::event::EventBus;
use crate::problem::Problem;

/// Readers of one console at the same time.
const MAX_READERS: u32 = 64;

/// What somebody wants of a console.
#[derive(Debug, Clone, Copy, Default)]
pub struct Attach {
    /// Become the writer.
    pub write: bool,
    /// Take the writer's place from whoever has it.
    pub force: bool,
    /// First what is kept of the present run, then what is new.
    pub replay: bool,
    /// Stay when the domain ends, for the guest's next one.
    pub follow_restarts: bool,
}

/// A place at a console.
#[derive(Debug)]
pub struct Attachment {
    pub output: ConsoleReader,
    /// For the writer.
    pub input: Option<InputSender>,
}

/// One guest's console.
pub struct ConsoleHub {
    pub(super) uuid: Uuid,
    name: String,
    dir: PathBuf,
    limits: ConsoleLimits,
    flusher: Arc<Flusher>,
    events: EventBus,
    me: Weak<Self>,
    pub(super) state: Mutex<State>,
    /// Held while the disk is written.
    disk: Mutex<()>,
    /// Told of new output, of the domain's end and of notices.
    pub(super) changed: watch::Sender<()>,
    input_ready: Notify,
}

pub(super) struct State {
    pub(super) run: RunLog,
    /// The run before, as far as it is kept.
    pub(super) previous: Option<RunLog>,
    /// Whether a domain runs now.
    pub(super) live: bool,
    /// The latest output, of `run`.
    pub(super) tail: Tail,
    pub(super) searches: Vec<Search>,
    pub(super) input: Input,
    readers: u32,
    /// In the flusher's list.
    queued: bool,
    protocol_errors: u64,
    /// The guest was forgotten.
    pub(super) closed: bool,
    /// The last write failed, and that was told.
    disk_failed: bool,
}

impl ConsoleHub {
    pub(super) fn open(
        uuid: Uuid,
        name: &str,
        dir: PathBuf,
        limits: ConsoleLimits,
        flusher: Arc<Flusher>,
        events: EventBus,
    ) -> Result<Arc<Self>, FileError> {
        let mut runs = RunLog::open_latest(&dir, 2)?.into_iter();
        let run = runs.next().unwrap_or_else(|| RunLog::new(&dir, 1));
        let burst = limits.first.0.saturating_add(limits.recent.0);
        let tail = Tail::new(run.segments.end(), limits.disk_rate.0, burst);
        let state = State {
            run,
            previous: runs.next(),
            live: false,
            tail,
            searches: Vec::new(),
            input: Input::default(),
            readers: 0,
            queued: false,
            protocol_errors: 0,
            closed: false,
            disk_failed: false,
        };
        Ok(Arc::new_cyclic(|me| Self {
            uuid,
            name: name.to_owned(),
            dir,
            limits,
            flusher,
            events,
            me: me.clone(),
            state: Mutex::new(state),
            disk: Mutex::new(()),
            changed: watch::Sender::new(()),
            input_ready: Notify::new(),
        }))
    }

    /// A new domain of this guest begins to print. Waits for the disk.
    pub async fn begin_domain(&self) {
        self.on_disk(|hub| {
            hub.flush_all();
            let _disk = hub.disk.lock();
            let mut state = hub.state.lock();
            let next = RunLog::new(&hub.dir, state.run.number + 1);
            let ended = std::mem::replace(&mut state.run, next);
            // A run that printed nothing takes no place in the log.
            let forgotten = match ended.segments.end() {
                0 => None,
                _ => state.previous.replace(ended),
            };
            state.tail.restart();
            state.live = true;
            state.input.clear();
            state.protocol_errors = 0;
            // A text counts from the domain's start: each search begins anew.
            state.searches.clear();
            drop(state);
            if let Some(forgotten) = forgotten {
                run_log::remove_run(&forgotten.dir);
            }
        })
        .await;
        self.changed.send_replace(());
    }

    /// The domain runs on, and the daemon was restarted: its output continues.
    pub fn resume_domain(&self) {
        self.state.lock().live = true;
        self.changed.send_replace(());
    }

    /// The domain is gone, and all that it printed was fed.
    pub async fn end_domain(&self) {
        {
            let mut state = self.state.lock();
            state.live = false;
            state.input.clear();
        }
        self.changed.send_replace(());
        self.on_disk(Self::flush_all).await;
    }

    async fn on_disk(&self, work: impl FnOnce(&Self) + Send + 'static) {
        let Some(hub) = self.me.upgrade() else { return };
        if let Err(error) = tokio::task::spawn_blocking(move || work(&hub)).await {
            tracing::error!(guest = self.name, %error, "the console log came to a halt");
        }
    }

    /// Takes what the guest printed. Never waits, whatever readers and disk do.
    pub fn feed(&self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let mut state = self.state.lock();
        let hurry = state.tail.push(bytes);
        state.searches.retain_mut(|search| !search.feed(bytes));
        let queue = !std::mem::replace(&mut state.queued, true);
        drop(state);
        if queue {
            self.flusher.add(self.me.clone());
        }
        if hurry {
            self.flusher.hurry();
        }
        self.changed.send_replace(());
    }

    /// Writes a batch to the disk, as far as the rate allows. Waits for the disk.
    pub(super) fn flush(&self) {
        self.write_batch(false);
    }

    /// Writes all there is, whatever the rate. Waits for the disk.
    pub(super) fn flush_all(&self) {
        self.write_batch(true);
    }

    /// The guest is forgotten: its readers end and nothing is written any more.
    pub(super) fn close(&self) {
        let _disk = self.disk.lock();
        let mut state = self.state.lock();
        state.closed = true;
        state.live = false;
        state.input.clear();
        state.searches.clear();
        drop(state);
        self.changed.send_replace(());
    }

    fn write_batch(&self, regardless: bool) {
        let _disk = self.disk.lock();
        let (dir, mut segments, batch) = {
            let mut state = self.state.lock();
            state.queued = false;
            if state.closed {
                return;
            }
            let Some(batch) = state.tail.take_batch(regardless) else {
                if state.tail.has_batch() {
                    // Much was written of late: its turn comes again.
                    state.queued = true;
                    self.flusher.add(self.me.clone());
                }
                return;
            };
            (state.run.dir.clone(), state.run.segments.clone(), batch)
        };
        let caps = self.limits.caps();
        let written = run_log::write(&dir, &mut segments, batch.offset, &batch.bytes, caps);
        let removed = segments.evict(caps);
        let mut state = self.state.lock();
        match &written {
            Ok(()) => state.tail.batch_done(),
            // Tried again with the next output.
            Err(_) => state.tail.batch_failed(segments.end()),
        }
        state.run.segments = segments;
        let failed_before = std::mem::replace(&mut state.disk_failed, written.is_err());
        drop(state);
        run_log::remove_segments(&dir, &removed);
        if let Err(error) = written
            && !failed_before
        {
            let problem = Problem::internal("the console log cannot be written").cause(&error);
            self.events.warn(&self.name, "CONSOLE_LOG_FAILED", format!("{problem:#}"));
        }
    }

    /// A place at this console.
    pub fn attach(self: &Arc<Self>, wanted: Attach) -> Result<Attachment, Problem> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(self.forgotten());
        }
        if !state.live && !wanted.follow_restarts && !wanted.replay {
            return Err(self
                .refuse("NOT_RUNNING", "the guest does not run, so its console is silent")
                .hint("Start it, or read its console log."));
        }
        if wanted.write && state.input.has_writer() && !wanted.force {
            return Err(self
                .refuse("WRITER_ATTACHED", "somebody else writes to the console")
                .hint("Attach to read only, or take the writer's place by force."));
        }
        self.count_reader(&mut state)?;
        let (input, notices) = match wanted.write {
            false => (None, None),
            true => {
                let (id, notices) = state.input.take_over();
                (Some(InputSender::new(self.clone(), id)), Some(notices))
            }
        };
        let offset = if wanted.replay { 0 } else { state.tail.end() };
        let start = Start { run: state.run.number, offset, follow: wanted.follow_restarts };
        drop(state);
        self.changed.send_replace(());
        Ok(Attachment { output: ConsoleReader::new(self.clone(), start, notices), input })
    }

    /// What is kept, of the run before too; then what is new, if `follow`.
    /// `tail`: only about so many of the last bytes, 0 for all.
    pub fn read_log(self: &Arc<Self>, follow: bool, tail: u64) -> Result<ConsoleReader, Problem> {
        let mut state = self.state.lock();
        self.count_reader(&mut state)?;
        let mut start = Start { run: state.run.number, offset: 0, follow };
        match &state.previous {
            Some(previous) if tail == 0 => start.run = previous.number,
            Some(previous) if tail > state.tail.end() => {
                start.run = previous.number;
                start.offset = previous.segments.end().saturating_sub(tail - state.tail.end());
            }
            _ if tail > 0 => start.offset = state.tail.end().saturating_sub(tail),
            _ => {}
        }
        let end = (!follow).then(|| (state.run.number, state.tail.end()));
        drop(state);
        Ok(ConsoleReader::new(self.clone(), start, None).until(end))
    }

    fn count_reader(&self, state: &mut State) -> Result<(), Problem> {
        if state.readers >= MAX_READERS {
            let message = format!("{MAX_READERS} readers are attached to the console");
            return Err(Problem::resource_exhausted("CONSOLE_READERS", message)
                .object(format!("domain {}", self.name)));
        }
        state.readers += 1;
        Ok(())
    }

    pub(super) fn reader_left(&self) {
        self.state.lock().readers -= 1;
    }

    pub(super) fn forgotten(&self) -> Problem {
        Problem::not_found("NO_SUCH_DOMAIN", format!("the guest {} was deleted", self.name))
            .object(format!("domain {}", self.name))
    }

    fn refuse(&self, reason: &'static str, message: &str) -> Problem {
        Problem::failed_precondition(reason, message).object(format!("domain {}", self.name))
    }

    /// The guest's.
    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    pub fn stats(&self) -> pb::ConsoleStats {
        let state = self.state.lock();
        let kept = state.tail.held() + state.run.segments.kept();
        pb::ConsoleStats {
            bytes: state.tail.end(),
            // What is neither on disk nor on its way there.
            dropped: state.tail.end().saturating_sub(kept),
            readers: state.readers,
            writer_attached: state.input.has_writer(),
            protocol_errors: state.protocol_errors,
        }
    }

    /// The guest's ring indices made no sense.
    pub fn count_protocol_error(&self) {
        self.state.lock().protocol_errors += 1;
    }

    /// Waits until there is input for the guest.
    pub async fn input_ready(&self) {
        loop {
            // Armed before the look at the queue: nothing typed between is missed.
            let ready = self.input_ready.notified();
            if !self.state.lock().input.is_empty() {
                return;
            }
            ready.await;
        }
    }

    /// Takes up to `max` bytes of input, for which the ring must have room.
    pub fn take_input(&self, max: usize) -> Bytes {
        self.state.lock().input.pop(max)
    }

    pub(super) fn push_input(&self, writer: u64, bytes: &[u8]) -> Result<(), Problem> {
        let mut state = self.state.lock();
        if !state.input.is_writer(writer) {
            return Err(self.refuse("WRITER_REPLACED", "somebody else took over as the writer"));
        }
        if state.live {
            state.input.push(bytes);
        } else {
            state.input.refuse(bytes.len(), "the guest does not run");
        }
        drop(state);
        self.input_ready.notify_waiters();
        // For the notice, if something was refused.
        self.changed.send_replace(());
        Ok(())
    }

    pub(super) fn leave_input(&self, writer: u64) {
        self.state.lock().input.leave(writer);
    }
}

impl fmt::Debug for ConsoleHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsoleHub")
            .field("guest", &self.name)
            .field("uuid", &self.uuid)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

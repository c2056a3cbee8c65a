//! All tasks that run and the most recent that ended.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, stream};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use xlfs_proto::v1::{self as pb, event};

use super::record::Record;
use super::{PlannedStep, TaskHandle};
use crate::event::EventBus;
use crate::problem::Problem;

/// The least time between two snapshots of a running task.
const PACE: Duration = Duration::from_millis(100);

/// How much of the past is kept.
#[derive(Debug, Clone, Copy)]
pub struct TaskLimits {
    /// Tasks that have ended.
    pub ended: usize,
    /// Log lines of one task.
    pub log_lines: usize,
    /// Bytes of one log line.
    pub line_bytes: usize,
}

impl Default for TaskLimits {
    fn default() -> Self {
        Self { ended: 200, log_lines: 1000, line_bytes: 2000 }
    }
}

/// One task. Its record is behind a lock of its own: a task with a chatty log
/// slows nobody else.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) object: String,
    pub(super) cancel: CancellationToken,
    /// Cancelled when the task has ended.
    ended: CancellationToken,
    /// In the order of their beginning; time is no measure, clocks jump.
    number: u64,
    record: Mutex<Record>,
    /// Told of each change. Watchers then take a snapshot, so that a slow one
    /// skips states instead of queueing them.
    changed: watch::Sender<()>,
}

impl Entry {
    pub(super) fn snapshot(&self) -> pb::Task {
        self.record.lock().snapshot()
    }
}

/// The tasks of this daemon. A clone is another handle to the same tasks.
#[derive(Debug, Clone)]
pub struct TaskRegistry {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    limits: TaskLimits,
    events: EventBus,
    tasks: Mutex<Tasks>,
}

#[derive(Debug, Default)]
struct Tasks {
    begun: u64,
    running: Vec<Arc<Entry>>,
    /// Oldest first.
    ended: VecDeque<Arc<Entry>>,
}

impl TaskRegistry {
    pub fn new(events: EventBus, limits: TaskLimits) -> Self {
        Self { shared: Arc::new(Shared { limits, events, tasks: Mutex::default() }) }
    }

    /// Opens a task of `kind` (such as `create`) on `object` (such as a guest's name).
    pub fn begin(
        &self,
        kind: impl Into<String>,
        object: impl Into<String>,
        steps: Vec<PlannedStep>,
    ) -> TaskHandle {
        // Sorted by time, random besides: never the same again, also after a restart.
        let id = Uuid::now_v7().to_string();
        let object = object.into();
        let mut tasks = self.shared.tasks.lock();
        tasks.begun += 1;
        let entry = Arc::new(Entry {
            id: id.clone(),
            object: object.clone(),
            cancel: CancellationToken::new(),
            ended: CancellationToken::new(),
            number: tasks.begun,
            record: Mutex::new(Record::new(id, kind.into(), object, steps)),
            changed: watch::Sender::new(()),
        });
        tasks.running.push(entry.clone());
        drop(tasks);
        self.tell(&entry, &entry.record.lock());
        TaskHandle::new(self.clone(), entry)
    }

    /// The tasks that run and the most recent that ended, newest first, without
    /// their logs, which would not fit into one message. `object` empty: of all
    /// objects.
    pub fn list(&self, object: &str, running_only: bool) -> Vec<pb::Task> {
        let tasks = self.shared.tasks.lock();
        let ended = tasks.ended.iter().filter(|_| !running_only);
        let mut found: Vec<_> = tasks
            .running
            .iter()
            .chain(ended)
            .filter(|entry| object.is_empty() || entry.object == object)
            .cloned()
            .collect();
        drop(tasks);
        found.sort_by_key(|entry| std::cmp::Reverse(entry.number));
        found.iter().map(|entry| entry.record.lock().outline()).collect()
    }

    pub fn get(&self, id: &str) -> Result<pb::Task, Problem> {
        Ok(self.find(id)?.snapshot())
    }

    /// The task now, then after each change, until it has ended.
    pub fn watch(
        &self,
        id: &str,
    ) -> Result<impl Stream<Item = pb::Task> + Send + 'static + use<>, Problem> {
        Ok(snapshots(self.find(id)?))
    }

    /// Asks the task to stop, and answers at once with the task as it is.
    pub fn cancel(&self, id: &str, dry_run: bool) -> Result<pb::Task, Problem> {
        let entry = self.find(id)?;
        let record = entry.record.lock();
        if record.has_ended() {
            let state = record.state.as_str_name().trim_start_matches("TASK_STATE_").to_lowercase();
            return Err(Problem::failed_precondition(
                "TASK_ENDED",
                format!("the task {id} has ended already: {state}"),
            )
            .object(format!("task {id}")));
        }
        let task = record.snapshot();
        drop(record);
        if !dry_run {
            entry.cancel.cancel();
        }
        Ok(task)
    }

    fn find(&self, id: &str) -> Result<Arc<Entry>, Problem> {
        let tasks = self.shared.tasks.lock();
        let found = tasks.running.iter().chain(&tasks.ended).find(|entry| entry.id == id);
        found.cloned().ok_or_else(|| {
            let shown: String = id.chars().take(80).collect();
            Problem::not_found("NO_SUCH_TASK", format!("there is no task {shown:?}"))
                .object(format!("task {shown}"))
                .hint(format!(
                    "The tasks that run and the last {} that ended are kept, and none across a restart of xlfsd: list them.",
                    self.shared.limits.ended
                ))
        })
    }

    /// Applies `change`; where it says that something changed, tells the others.
    pub(super) fn change(&self, entry: &Entry, change: impl FnOnce(&mut Record) -> bool) {
        let mut record = entry.record.lock();
        if change(&mut record) {
            self.tell(entry, &record);
        }
    }

    pub(super) fn log(&self, entry: &Entry, text: &str) {
        let limits = &self.shared.limits;
        entry.record.lock().log(text, limits.log_lines, limits.line_bytes);
        entry.changed.send_replace(());
    }

    pub(super) fn finish(&self, entry: &Entry, result: Result<(), Problem>) {
        self.change(entry, |record| record.finish(result));
        entry.ended.cancel();
        let mut tasks = self.shared.tasks.lock();
        if let Some(at) = tasks.running.iter().position(|running| running.number == entry.number) {
            let entry = tasks.running.remove(at);
            tasks.ended.push_back(entry);
        }
        while tasks.ended.len() > self.shared.limits.ended {
            tasks.ended.pop_front();
        }
    }

    /// The record stays locked meanwhile: events come in the order of the changes.
    fn tell(&self, entry: &Entry, record: &Record) {
        let kind = event::Kind::Task(record.outline());
        self.shared.events.publish(entry.object.as_str(), record.sentence(), kind);
        entry.changed.send_replace(());
    }
}

/// Snapshots of one task: the first at once, then one after changes, but not
/// in each moment: every snapshot wakes a process that shares the host's CPUs
/// with the work. The last, in which the task has ended, comes at once.
fn snapshots(entry: Arc<Entry>) -> impl Stream<Item = pb::Task> + Send + 'static {
    let mut changes = entry.changed.subscribe();
    // The state as it is now is news.
    changes.mark_changed();
    stream::unfold(Some((entry, changes, None::<Instant>)), |watching| async move {
        let (entry, mut changes, told) = watching?;
        // The sender lives as long as the entry, which we hold.
        let _ = changes.changed().await;
        if let Some(told) = told {
            tokio::select! {
                () = sleep_until(told + PACE) => {}
                () = entry.ended.cancelled() => {}
            }
            changes.mark_unchanged();
        }
        let task = entry.snapshot();
        let next = task.ended.is_none().then(|| (entry, changes, Some(Instant::now())));
        Some((task, next))
    })
}

#[cfg(test)]
mod tests;

//! The working end of a task: who holds it does the work and tells about it.

use std::fmt;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use xlfs_proto::v1::StepState;

use super::record::Record;
use super::registry::{Entry, TaskRegistry};
use crate::problem::Problem;

/// Marks the steps of one task and ends it. Steps go by their index in the plan.
pub struct TaskHandle {
    registry: TaskRegistry,
    entry: Arc<Entry>,
    finished: bool,
}

impl TaskHandle {
    pub(super) fn new(registry: TaskRegistry, entry: Arc<Entry>) -> Self {
        Self { registry, entry, finished: false }
    }

    pub fn id(&self) -> &str {
        &self.entry.id
    }

    /// The task as it is now, log included.
    pub fn snapshot(&self) -> xlfs_proto::v1::Task {
        self.entry.snapshot()
    }

    /// Cancelled when a user asks for it. The work looks at it between steps
    /// and in every wait, undoes what it did and ends with a Cancelled problem.
    pub fn cancel_token(&self) -> CancellationToken {
        self.entry.cancel.clone()
    }

    pub fn step_started(&self, index: usize) {
        self.step(index, StepState::Running);
    }

    pub fn step_done(&self, index: usize) {
        self.step(index, StepState::Done);
    }

    pub fn step_already_done(&self, index: usize) {
        self.step(index, StepState::AlreadyDone);
    }

    pub fn step_failed(&self, index: usize) {
        self.step(index, StepState::Failed);
    }

    pub fn step_undone(&self, index: usize) {
        self.step(index, StepState::Undone);
    }

    pub fn step_undo_failed(&self, index: usize) {
        self.step(index, StepState::UndoFailed);
    }

    /// How much of the step that runs is done, in percent.
    pub fn step_progress(&self, percent: u32) {
        self.registry.change(&self.entry, |record| record.progress(percent));
    }

    /// From now on steps are undone.
    pub fn undoing(&self) {
        self.registry.change(&self.entry, Record::undoing);
    }

    /// Appends a line to the task's log. Log lines are seen by those who watch
    /// the task; they are no events.
    pub fn log(&self, text: impl AsRef<str>) {
        self.registry.log(&self.entry, text.as_ref());
    }

    /// Ends the task. A problem of kind Cancelled makes it CANCELLED.
    pub fn finish(mut self, result: Result<(), Problem>) {
        self.end(result);
    }

    fn end(&mut self, result: Result<(), Problem>) {
        self.finished = true;
        self.registry.finish(&self.entry, result);
    }

    fn step(&self, index: usize, state: StepState) {
        self.registry.change(&self.entry, |record| record.step(index, state));
    }
}

impl Drop for TaskHandle {
    fn drop(&mut self) {
        if !self.finished {
            let problem = Problem::internal("the work on this task was given up without a result")
                .object(self.entry.object.clone())
                .hint("This is a defect of xlfsd; its log may say more. Look at the object's state, then try again.");
            self.end(Err(problem));
        }
    }
}

impl fmt::Debug for TaskHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskHandle").field("id", &self.entry.id).finish_non_exhaustive()
    }
}

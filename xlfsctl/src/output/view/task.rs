//! Tasks, with their steps and log.

use serde::Serialize;
use xlfs_proto::v1::{StepState, Task, TaskLogLine, TaskState, TaskStep};

use super::{moment, span};
use crate::errors::{Failure, filled};
use crate::output::failure::FailureView;

/// `task list`.
#[derive(Debug, Serialize)]
pub(crate) struct TasksView {
    pub(crate) tasks: Vec<TaskView>,
}

/// `task show`, and the task of every change.
#[derive(Debug, Serialize)]
pub(crate) struct TaskView {
    id: String,
    kind: String,
    object: Option<String>,
    state: &'static str,
    percent: u32,
    steps: Vec<StepView>,
    started: Option<String>,
    ended: Option<String>,
    error: Option<FailureView>,
    log: Vec<LogLineView>,
}

#[derive(Debug, Serialize)]
pub(crate) struct StepView {
    name: String,
    object: Option<String>,
    state: &'static str,
    took_seconds: Option<f64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct LogLineView {
    time: Option<String>,
    text: String,
}

impl From<&Task> for TaskView {
    fn from(task: &Task) -> TaskView {
        TaskView {
            id: task.id.clone(),
            kind: task.kind.clone(),
            object: filled(&task.object),
            state: task_state_word(task.state()),
            percent: task.percent,
            steps: task.steps.iter().map(StepView::from).collect(),
            started: moment(&task.started),
            ended: moment(&task.ended),
            error: task
                .error
                .as_ref()
                .map(|error| FailureView::from(&Failure::from_task(error, &task.id))),
            log: task.log.iter().map(LogLineView::from).collect(),
        }
    }
}

impl From<&TaskStep> for StepView {
    fn from(step: &TaskStep) -> StepView {
        StepView {
            name: step.name.clone(),
            object: filled(&step.object),
            state: step_state_word(step.state()),
            took_seconds: span(&step.took),
        }
    }
}

impl From<&TaskLogLine> for LogLineView {
    fn from(line: &TaskLogLine) -> LogLineView {
        LogLineView { time: moment(&line.time), text: line.text.clone() }
    }
}

pub(crate) fn task_state_word(state: TaskState) -> &'static str {
    match state {
        TaskState::Unspecified => "unknown",
        TaskState::Running => "running",
        TaskState::Undoing => "undoing",
        TaskState::Succeeded => "succeeded",
        TaskState::Failed => "failed",
        TaskState::Cancelled => "cancelled",
    }
}

pub(crate) fn step_state_word(state: StepState) -> &'static str {
    match state {
        StepState::Unspecified => "unknown",
        StepState::Waiting => "waiting",
        StepState::Running => "running",
        StepState::Done => "done",
        StepState::AlreadyDone => "already_done",
        StepState::Failed => "failed",
        StepState::Undone => "undone",
        StepState::UndoFailed => "undo_failed",
    }
}

//! One task's state: the only place that decides what a change means. The
//! handle writes it, the registry reads it; neither I/O nor waiting here.

use std::collections::VecDeque;
use std::time::{Instant, SystemTime};

use prost_types::{Duration, Timestamp};
use xlfs_proto::v1::{self as pb, StepState, TaskState};

use super::PlannedStep;
use crate::problem::Problem;

/// Where a step stands, and since when.
#[derive(Debug)]
pub struct Step {
    planned: PlannedStep,
    state: StepState,
    began: Option<Instant>,
    took: Option<std::time::Duration>,
}

/// Everything about a task that changes.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) object: String,
    pub(super) state: TaskState,
    percent: u32,
    /// Of the step that runs, in percent.
    within: u32,
    steps: Vec<Step>,
    started: SystemTime,
    ended: Option<SystemTime>,
    error: Option<Problem>,
    log: VecDeque<(SystemTime, String)>,
    /// Lines that the cap pushed out.
    log_dropped: u64,
}

impl Record {
    pub(super) fn new(id: String, kind: String, object: String, steps: Vec<PlannedStep>) -> Self {
        let waiting =
            |planned| Step { planned, state: StepState::Waiting, began: None, took: None };
        Self {
            id,
            kind,
            object,
            state: TaskState::Running,
            percent: 0,
            within: 0,
            steps: steps.into_iter().map(waiting).collect(),
            started: SystemTime::now(),
            ended: None,
            error: None,
            log: VecDeque::new(),
            log_dropped: 0,
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Moves step `index`; false when there is no such step or nothing changed.
    pub(super) fn step(&mut self, index: usize, state: StepState) -> bool {
        let Some(step) = self.steps.get_mut(index) else { return false };
        if self.ended.is_some() || step.state == state {
            return false;
        }
        step.state = state;
        self.within = 0;
        match state {
            StepState::Running => {
                step.began = Some(Instant::now());
                step.took = None;
            }
            StepState::Done | StepState::AlreadyDone | StepState::Failed => {
                step.took = step.began.map(|began| began.elapsed());
            }
            // An undo is not counted to the step's own time.
            StepState::Undone
            | StepState::UndoFailed
            | StepState::Waiting
            | StepState::Unspecified => {}
        }
        self.raise_percent();
        true
    }

    /// Notes how much of the running step is done; false when nobody could tell.
    pub(super) fn progress(&mut self, percent: u32) -> bool {
        let before = self.percent;
        if self.state == TaskState::Running {
            self.within = percent.min(100);
            self.raise_percent();
        }
        self.percent > before
    }

    pub(super) fn undoing(&mut self) -> bool {
        let changes = self.state == TaskState::Running;
        if changes {
            self.state = TaskState::Undoing;
        }
        changes
    }

    /// Ends the task; false when it had ended.
    pub(super) fn finish(&mut self, result: Result<(), Problem>) -> bool {
        if self.has_ended() {
            return false;
        }
        self.ended = Some(SystemTime::now());
        self.state = match &result {
            Ok(()) => TaskState::Succeeded,
            Err(problem) if problem.is_cancelled() => TaskState::Cancelled,
            Err(_) => TaskState::Failed,
        };
        if result.is_ok() {
            self.percent = 100;
        }
        for step in self.steps.iter_mut().filter(|step| step.state == StepState::Running) {
            // Nobody works on it any more: its clock must not run on.
            step.took = step.began.map(|began| began.elapsed());
            step.state = if result.is_ok() { StepState::Done } else { StepState::Failed };
        }
        self.error = result.err();
        true
    }

    /// Appends a line, cut to `max_bytes`; beyond `max_lines` the oldest goes.
    pub(super) fn log(&mut self, text: &str, max_lines: usize, max_bytes: usize) {
        while self.log.len() >= max_lines.max(1) {
            self.log.pop_front();
            self.log_dropped += 1;
        }
        let end = text.floor_char_boundary(max_bytes);
        let mut line = text[..end].replace(['\n', '\r'], " ");
        if end < text.len() {
            line.push('…');
        }
        self.log.push_back((SystemTime::now(), line));
    }

    /// Only success makes it 100: a task whose last step is done still has to end.
    fn raise_percent(&mut self) {
        let done = |step: &&Step| matches!(step.state, StepState::Done | StepState::AlreadyDone);
        let count = self.steps.iter().filter(done).count();
        let percent = (count * 100 + self.within as usize) / self.steps.len().max(1);
        let percent = percent.min(99);
        self.percent = self.percent.max(percent as u32);
    }

    /// The task without its log, for lists and for the event ring.
    pub(super) fn outline(&self) -> pb::Task {
        pb::Task {
            id: self.id.clone(),
            kind: self.kind.clone(),
            object: self.object.clone(),
            state: self.state.into(),
            percent: self.percent,
            steps: self.steps.iter().map(step_message).collect(),
            started: Some(Timestamp::from(self.started)),
            ended: self.ended.map(Timestamp::from),
            error: self.error.as_ref().map(pb::TaskError::from),
            log: Vec::new(),
        }
    }

    pub(super) fn snapshot(&self) -> pb::Task {
        let line = |(time, text): &(SystemTime, String)| pb::TaskLogLine {
            time: Some(Timestamp::from(*time)),
            text: text.clone(),
        };
        let mut log: Vec<_> = self.log.iter().map(line).collect();
        if let Some(first) = log.first().filter(|_| self.log_dropped > 0) {
            let text = format!("({} earlier lines are no longer kept)", self.log_dropped);
            log.insert(0, pb::TaskLogLine { time: first.time, text });
        }
        pb::Task { log, ..self.outline() }
    }

    /// One line for the event stream.
    pub(super) fn sentence(&self) -> String {
        let what = format!("{} {}", self.kind, self.object);
        match self.state {
            TaskState::Succeeded => format!("{what}: done"),
            TaskState::Cancelled => format!("{what}: cancelled"),
            TaskState::Failed => match &self.error {
                Some(error) => format!("{what}: failed: {error}"),
                None => format!("{what}: failed"),
            },
            TaskState::Undoing => format!("{what}: undoing what was done"),
            TaskState::Running | TaskState::Unspecified => {
                let running = self.steps.iter().find(|step| step.state == StepState::Running);
                let step = running.map(|step| format!(", {}", step.planned.name));
                format!("{what}: {} %{}", self.percent, step.unwrap_or_default())
            }
        }
    }
}

fn step_message(step: &Step) -> pb::TaskStep {
    let took = step.took.or_else(|| step.began.map(|began| began.elapsed()));
    pb::TaskStep {
        name: step.planned.name.clone(),
        object: step.planned.object.clone(),
        state: step.state.into(),
        // Only a duration of 292 billion years does not fit.
        took: took.and_then(|took| Duration::try_from(took).ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(steps: usize) -> Record {
        let steps = (0..steps).map(|i| PlannedStep::new(format!("step-{i}"), "it")).collect();
        Record::new("id".into(), "create".into(), "web".into(), steps)
    }

    #[test]
    fn percent_follows_the_steps_and_never_falls() {
        let mut record = record(4);
        assert_eq!(record.snapshot().percent, 0);
        record.step(0, StepState::Done);
        record.step(1, StepState::AlreadyDone);
        assert_eq!(record.snapshot().percent, 50);
        record.step(1, StepState::Undone);
        record.step(0, StepState::Undone);
        assert_eq!(record.snapshot().percent, 50);
    }

    #[test]
    fn a_long_step_tells_how_far_it_is() {
        let mut record = record(2);
        record.step(0, StepState::Running);
        assert!(record.progress(50));
        assert_eq!(record.snapshot().percent, 25);
        assert!(!record.progress(51), "half a percent is no news");
        record.step(0, StepState::Done);
        assert_eq!(record.snapshot().percent, 50);
        record.progress(1000);
        assert_eq!(record.snapshot().percent, 99);
        record.undoing();
        assert!(!record.progress(10));
    }

    #[test]
    fn only_success_is_a_hundred_percent() {
        let mut record = record(1);
        record.step(0, StepState::Done);
        assert_eq!(record.snapshot().percent, 99);
        assert!(record.finish(Ok(())));
        assert_eq!(record.snapshot().percent, 100);
        assert!(!record.finish(Err(Problem::internal("late"))), "an ended task stays as it is");
        assert_eq!(record.state, TaskState::Succeeded);
        assert!(!record.step(0, StepState::Failed));
    }

    #[test]
    fn a_step_out_of_range_changes_nothing() {
        assert!(!record(1).step(1, StepState::Running));
    }

    #[test]
    fn a_running_step_ends_with_its_task() {
        let mut record = record(2);
        record.step(0, StepState::Running);
        record.finish(Err(Problem::internal("lost")));
        let task = record.snapshot();
        assert_eq!(task.steps[0].state(), StepState::Failed);
        assert_eq!(task.steps[1].state(), StepState::Waiting);
        let took = task.steps[0].took;
        assert_eq!(record.snapshot().steps[0].took, took, "its clock stands still");
    }

    #[test]
    fn the_log_is_capped_and_says_so() {
        let mut record = record(0);
        for i in 0..7 {
            record.log(&format!("line {i}"), 5, 100);
        }
        record.log("ä".repeat(60).as_str(), 5, 101);
        let log = record.snapshot().log;
        assert_eq!(log.len(), 6);
        assert_eq!(log[0].text, "(3 earlier lines are no longer kept)");
        assert_eq!(log[1].text, "line 3");
        assert_eq!(log[5].text, format!("{}…", "ä".repeat(50)));
        assert!(record.outline().log.is_empty());
    }
}

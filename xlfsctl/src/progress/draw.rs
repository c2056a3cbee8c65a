//! Draws the lines of [`super::follow`]. What a line says is made by functions
//! without side effects; [`Lines`] moves the cursor.

use std::time::Instant;

use xlfs_proto::v1::{StepState, Task, TaskState};

use super::lines::{Lines, MOST_LINES, Mode};
use crate::output::text::{cut, plain};
use crate::output::time::{between, span};
use crate::output::{Output, stderr_width, to_stderr};

/// Columns of the name of what a task works on.
const NAME: usize = 20;
/// Columns of the bar, between its brackets.
const BAR: usize = 16;

/// All steps are done, and the task's end is about to be told.
const FINISHING: &str = "finishing";

/// A task as far as it is known.
struct Row {
    task: Task,
    begun: Instant,
    ended: bool,
    /// The step that was told last, where each is told once.
    told: String,
}

/// The lines at the bottom of the terminal, or the log in their place.
pub(super) struct Screen {
    rows: Vec<Row>,
    lines: Lines,
}

impl Screen {
    pub(super) fn new(output: &Output, tasks: Vec<Task>) -> Screen {
        let begun = Instant::now();
        let row = |task| Row { task, begun, ended: false, told: String::new() };
        Screen { rows: tasks.into_iter().map(row).collect(), lines: Lines::new(output) }
    }

    /// Takes in a new state of a task.
    pub(super) fn update(&mut self, index: usize, task: &Task) {
        let Some(row) = self.rows.get_mut(index) else { return };
        row.task = task.clone();
        if self.lines.mode() == Mode::Plain {
            let step = step_text(task);
            let news = step != row.told && step != FINISHING;
            if news && !super::has_ended(task) {
                to_stderr(&format!("{}: {}: {step}\n", plain(&task.object), plain(&task.kind)));
                row.told = step;
            }
        }
    }

    /// Takes in that a task has ended, or was lost sight of.
    pub(super) fn end(&mut self, index: usize, known: bool) {
        let Some(row) = self.rows.get_mut(index) else { return };
        row.ended = true;
        if known {
            let line = end_text(&row.task, row.begun);
            self.lines.tell(&line);
            self.draw();
        }
    }

    /// Draws the running tasks anew.
    pub(super) fn draw(&mut self) {
        if self.lines.mode() != Mode::Live {
            return;
        }
        let width = stderr_width().saturating_sub(1);
        let running: Vec<_> = self.rows.iter().filter(|row| !row.ended).collect();
        let mut lines: Vec<_> = running
            .iter()
            .take(MOST_LINES)
            .map(|row| live_line(&row.task, span(row.begun.elapsed()).as_str(), width))
            .collect();
        if running.len() > MOST_LINES {
            lines.push(format!("and {} more", running.len() - MOST_LINES));
        }
        self.lines.draw(&lines);
    }

    /// Prints a line above the drawing; not among documents.
    pub(super) fn say(&mut self, text: &str) {
        self.lines.say(text);
        self.draw();
    }

    /// The ids of the tasks that have not ended.
    pub(super) fn running(&self) -> Vec<String> {
        self.rows.iter().filter(|row| !row.ended).map(|row| row.task.id.clone()).collect()
    }

    /// Takes the drawing away.
    pub(super) fn close(&mut self) {
        self.lines.clear();
    }
}

/// The step that a task is at, such as `3/9 load-kernel`.
fn step_text(task: &Task) -> String {
    let all = task.steps.len();
    let at = |state: StepState| task.steps.iter().position(|step| step.state() == state);
    let text =
        |position: usize| format!("{}/{all} {}", position + 1, plain(&task.steps[position].name));
    let undone = task.steps.iter().position(|step| step.state() == StepState::Undone);
    match (task.state(), at(StepState::Running), at(StepState::Waiting)) {
        (TaskState::Undoing, Some(running), _) => format!("undoing {}", text(running)),
        (TaskState::Undoing, None, _) => match undone {
            Some(done) => format!("undoing, down to {}", text(done)),
            None => "undoing".to_owned(),
        },
        (_, Some(running), _) => text(running),
        (_, None, Some(next)) => text(next),
        (_, None, None) => FINISHING.to_owned(),
    }
}

/// A running task in one line of at most `width` columns.
pub(super) fn live_line(task: &Task, elapsed: &str, width: usize) -> String {
    let name = cut(&plain(&task.object), NAME);
    let percent = task.percent.min(100);
    let end = format!(" {percent:>3}% {elapsed:>6}");
    let filled = BAR * percent as usize / 100;
    let bar = format!(" [{}{}]", "#".repeat(filled), ".".repeat(BAR - filled));
    let fixed = name.len().max(12) + 1 + end.len();
    let bar = if width >= fixed + bar.len() + 24 { bar } else { String::new() };
    let room = width.saturating_sub(fixed + bar.len());
    let step = cut(&step_text(task), room.min(36));
    let pad = room.min(36);
    cut(&format!("{name:<12} {step:<pad$}{bar}{end}"), width)
}

/// How a task ended, in one line.
fn end_text(task: &Task, begun: Instant) -> String {
    let times = task.started.as_ref().zip(task.ended.as_ref());
    let took = times.and_then(|(started, ended)| between(started, ended));
    let took = took.unwrap_or_else(|| begun.elapsed());
    let end = match task.state() {
        TaskState::Succeeded => "done in",
        TaskState::Cancelled => "cancelled after",
        _ => "failed after",
    };
    format!("{}: {} {end} {}", plain(&task.object), plain(&task.kind), span(took))
}

#[cfg(test)]
mod tests {
    use xlfs_proto::v1::TaskStep;

    use super::*;
    use crate::output::text::width;

    fn task(percent: u32) -> Task {
        let step = |name: &str, state: StepState| TaskStep {
            name: name.to_owned(),
            state: state.into(),
            ..TaskStep::default()
        };
        Task {
            id: "7".to_owned(),
            kind: "create".to_owned(),
            object: "web".to_owned(),
            state: TaskState::Running.into(),
            percent,
            steps: vec![
                step("reserve-memory", StepState::Done),
                step("load-kernel", StepState::Running),
                step("unpause", StepState::Waiting),
            ],
            ..Task::default()
        }
    }

    #[test]
    fn a_line_names_step_percent_and_time() {
        let line = live_line(&task(50), "3.2s", 79);
        assert!(line.starts_with("web          2/3 load-kernel"), "{line}");
        assert!(line.ends_with("[########........]  50%   3.2s"), "{line}");
    }

    #[test]
    fn a_line_never_wraps() {
        let mut task = task(100);
        task.object = "a-guest-with-a-very-long-name-indeed.example.org".to_owned();
        task.steps[1].name = "a-step-with-a-name-that-nobody-would-want-to-read".to_owned();
        for columns in [19, 39, 59, 79, 131] {
            assert!(width(&live_line(&task, "12d4h", columns)) <= columns);
        }
        task.percent = 1000;
        assert!(width(&live_line(&task, "12d4h", 79)) <= 79);
    }

    #[test]
    fn undoing_says_so() {
        let mut task = task(50);
        task.state = TaskState::Undoing.into();
        assert_eq!(step_text(&task), "undoing 2/3 load-kernel");
        task.steps[1].state = StepState::Failed.into();
        assert_eq!(step_text(&task), "undoing");
    }
}

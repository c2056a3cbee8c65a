//! `task`: the work that goes on, and the last that ended.

use clap::{Args, Subcommand};
use xlfs_proto::v1::{
    CancelTaskRequest, GetTaskRequest, ListTasksRequest, Task as Work, TaskState,
};

use super::{Session, answer};
use crate::cli::Change;
use crate::complete;
use crate::errors::{Context as _, Failure};
use crate::exit::Exit;
use crate::output::facts::Facts;
use crate::output::table::{Align, Cell, Colour, Table};
use crate::output::text::plain;
use crate::output::view::outcome::{OutcomeView, OutcomesView};
use crate::output::view::task::{TaskView, TasksView, step_state_word, task_state_word};
use crate::output::{Output, failure, time};
use crate::progress;

/// Work that goes on: list, show, cancel.
#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    List(List),
    Show(Show),
    Cancel(Cancel),
}

/// List the tasks that run and the last that ended, newest first.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only tasks that run.
    #[arg(long)]
    running: bool,
    /// Only tasks that work on this guest or image.
    #[arg(long, value_name = "NAME", add = complete::guests())]
    object: Option<String>,
}

/// Show a task, with its steps and its log.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The task.
    #[arg(add = complete::tasks())]
    id: String,
}

/// Cancel tasks; the steps that they took are undone.
#[derive(Debug, Args)]
pub(crate) struct Cancel {
    /// The tasks.
    #[arg(required = true, value_name = "ID", add = complete::running_tasks())]
    ids: Vec<String>,
    #[command(flatten)]
    change: Change,
}

impl Task {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        match self {
            Task::List(args) => list(session, args).await,
            Task::Show(Show { id }) => show(session, id).await,
            Task::Cancel(args) => cancel(session, args).await,
        }
    }
}

async fn list(session: &Session, args: List) -> Result<Exit, Failure> {
    let output = &session.output;
    let mut service = session.daemon().await?.tasks();
    let object = args.object.unwrap_or_default();
    let call = service.list_tasks(ListTasksRequest { object, running_only: args.running });
    let tasks = answer(call).await.context(|| "cannot list the tasks".to_owned())?.tasks;
    if !output.is_table() {
        let tasks = tasks.iter().map(TaskView::from).collect();
        output.document(&TasksView { tasks })?;
    } else if output.quiet {
        let ids: String = tasks.iter().map(|task| plain(&task.id) + "\n").collect();
        output.text(&ids)?;
    } else if tasks.is_empty() {
        output.note(if args.running { "No task runs." } else { "There are no tasks." });
    } else {
        output.text(&table(&tasks, output))?;
    }
    Ok(Exit::Ok)
}

async fn show(session: &Session, id: String) -> Result<Exit, Failure> {
    let tried = format!("cannot show task {id}");
    let mut service = session.daemon().await?.tasks();
    let call = service.get_task(GetTaskRequest { id });
    let task = answer(call).await.context(|| tried)?;
    match session.output.is_table() {
        true => session.output.text(&facts(&task, &session.output))?,
        false => session.output.document(&TaskView::from(&task))?,
    }
    Ok(Exit::Ok)
}

/// Cancels each task, then waits until what they did is undone.
async fn cancel(session: &Session, args: Cancel) -> Result<Exit, Failure> {
    let dry_run = args.change.dry_run;
    let mut service = session.daemon().await?.tasks();
    let mut exit = Exit::Ok;
    let mut fail = |failure: Failure| {
        failure::report(session.output.format, &failure);
        if exit == Exit::Ok {
            exit = failure.exit();
        }
    };
    let mut tasks = Vec::new();
    for id in &args.ids {
        let request = CancelTaskRequest { id: id.clone(), dry_run };
        let reply = service.cancel_task(request).await;
        match reply.context(|| format!("cannot cancel task {id}")) {
            Ok(task) => tasks.push(task.into_inner()),
            Err(failure) => fail(failure),
        }
    }
    if !dry_run && !args.change.no_wait && !tasks.is_empty() {
        let ends =
            progress::follow(session.daemon().await?, &session.output, tasks.clone()).await?;
        for (task, end) in tasks.iter_mut().zip(ends) {
            match end {
                Ok(ended) => {
                    if let Some(failure) = not_cancelled(&ended) {
                        fail(failure);
                    }
                    *task = ended;
                }
                Err(failure) => fail(failure),
            }
        }
    }
    print_cancelled(session, &args.change, &tasks)?;
    Ok(exit)
}

/// The failure of a cancel whose task ended in another way.
fn not_cancelled(task: &Work) -> Option<Failure> {
    let tried = format!("cannot cancel task {}", task.id);
    match task.state() {
        TaskState::Cancelled => None,
        TaskState::Succeeded => {
            Some(Failure::new(Exit::WrongState, "it had succeeded already").context(&tried))
        }
        _ => progress::failure_of(task).map(|failure| failure.context(&tried)),
    }
}

fn print_cancelled(session: &Session, change: &Change, tasks: &[Work]) -> Result<(), Failure> {
    let output = &session.output;
    if !output.is_table() {
        let results = tasks.iter().map(|task| OutcomeView {
            name: task.id.clone(),
            operation: "cancel",
            changed: true,
            dry_run: change.dry_run,
            summary: None,
            plan: Vec::new(),
            task: Some(TaskView::from(task)),
            generated: Default::default(),
        });
        return output.document(&OutcomesView { results: results.collect() });
    }
    for task in tasks {
        let what = plain(&format!("task {}: {} {}", task.id, task.kind, task.object));
        if change.dry_run {
            output.text(&format!("would cancel {what}\n"))?;
        } else if change.no_wait {
            output.note(&format!("cancelling {what}"));
        }
    }
    Ok(())
}

fn table(tasks: &[Work], output: &Output) -> String {
    let mut table = Table::new(&[
        ("ID", Align::Left),
        ("KIND", Align::Left),
        ("OBJECT", Align::Elastic),
        ("STATE", Align::Left),
        ("AGE", Align::Right),
    ]);
    for task in tasks {
        let dash = || "-".to_owned();
        table.row([
            task.id.as_str().into(),
            task.kind.as_str().into(),
            task.object.as_str().into(),
            Cell::coloured(state(task), colour(task.state())),
            task.started.as_ref().and_then(time::age).unwrap_or_else(dash).into(),
        ]);
    }
    table.render(output.width, output.colour)
}

/// The state, with how far it is while it runs.
fn state(task: &Work) -> String {
    let word = task_state_word(task.state());
    match task.state() {
        TaskState::Running | TaskState::Undoing => format!("{word} {}%", task.percent),
        _ => word.to_owned(),
    }
}

fn colour(state: TaskState) -> Option<Colour> {
    match state {
        TaskState::Running | TaskState::Undoing => Some(Colour::Yellow),
        TaskState::Succeeded => Some(Colour::Green),
        TaskState::Failed => Some(Colour::Red),
        TaskState::Cancelled | TaskState::Unspecified => None,
    }
}

/// How long an ended task took, or a running one has so far.
fn took(task: &Work) -> Option<String> {
    match (&task.started, &task.ended) {
        (Some(started), Some(ended)) => time::between(started, ended).map(time::span),
        (Some(started), None) => time::age(started),
        _ => None,
    }
}

fn facts(task: &Work, output: &Output) -> String {
    let state = task_state_word(task.state());
    let heading = format!("Task {}: {} {}, {state}", task.id, task.kind, task.object);
    let mut facts = Facts::new(output, &heading);
    if let Some(failure) = progress::failure_of(task) {
        facts.fact("Error", &failure.message);
        facts.fact("Step", failure.step.as_deref().unwrap_or_default());
        facts.many("Cause", failure.causes.iter().cloned());
        facts.many("Left behind", failure.leftovers.iter().cloned());
        facts.fact("Hint", failure.hint.as_deref().unwrap_or_default());
    }
    facts.fact("Done", format!("{}%", task.percent));
    facts.fact("Started", task.started.as_ref().and_then(time::for_people).unwrap_or_default());
    facts.fact("Took", took(task).unwrap_or_default());
    let mut text = facts.into_text();
    if !task.steps.is_empty() {
        let mut table = Table::new(&[
            ("STEP", Align::Left),
            ("STATE", Align::Left),
            ("TOOK", Align::Right),
            ("OBJECT", Align::Elastic),
        ]);
        for step in &task.steps {
            let took = step.took.as_ref().map(|span| time::span(time::std_span(span)));
            table.row([
                step.name.as_str().into(),
                step_state_word(step.state()).replace('_', " ").into(),
                took.unwrap_or_else(|| "-".to_owned()).into(),
                step.object.as_str().into(),
            ]);
        }
        text.push_str(&table.render(output.width, output.colour));
    }
    for line in &task.log {
        let clock = line.time.as_ref().map(time::clock).unwrap_or_default();
        text.push_str(&format!("{clock} {}\n", plain(&line.text)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Format;

    #[test]
    fn a_list_fits_with_the_longest_of_all() {
        let task = Work {
            id: "01a20207-1d4b-75e8-b65f-fdbb08e6974b".to_owned(),
            kind: "shutdown".to_owned(),
            object: "db-with-a-long-name.internal.example.org".to_owned(),
            state: TaskState::Undoing.into(),
            percent: 100,
            started: Some(prost_types::Timestamp { seconds: 1_000_000_000, nanos: 0 }),
            ..Work::default()
        };
        let output = Output { format: Format::Table, quiet: false, width: Some(80), colour: false };
        let table = table(&[task], &output);
        assert!(table.lines().all(|line| line.len() <= 80), "{table}");
        assert!(table.contains("shutdown  db-wit"), "{table}");
    }
}

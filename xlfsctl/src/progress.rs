//! Waits for tasks and shows how far they are: on a terminal one line for each
//! task, drawn anew as it goes on; elsewhere a line for each step. Ctrl-C asks
//! xlfsd to cancel; a second one leaves the tasks alone and goes. [`build`] shows builds.

pub(crate) mod build;
mod draw;
pub(crate) mod lines;

use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tonic::Status;
use xlfs_proto::v1::{CancelTaskRequest, GetTaskRequest, Task, TaskState};

use crate::client::Daemon;
use crate::errors::Failure;
use crate::exit::Exit;
use crate::output::Output;
use draw::Screen;

/// How often the elapsed time is drawn anew. Slow enough for a serial line.
const REDRAW: Duration = Duration::from_millis(250);
/// How long a task is looked for again after the connection broke: xlfsd may be
/// restarting, and finishes its tasks then.
const PATIENCE: Duration = Duration::from_secs(30);
const RETRY: Duration = Duration::from_millis(500);

/// What a watcher reports about the task of this index.
struct Update {
    index: usize,
    state: Result<Task, Failure>,
    last: bool,
}

/// Waits until all tasks have ended. Answers how each ended, in their order;
/// fails when the user left.
pub(crate) async fn follow(
    daemon: &Daemon,
    output: &Output,
    tasks: Vec<Task>,
) -> Result<Vec<Result<Task, Failure>>, Failure> {
    let (updates, mut inbox) = mpsc::unbounded_channel();
    // Dropping the set ends the watchers.
    let mut watchers = JoinSet::new();
    for (index, task) in tasks.iter().enumerate() {
        watchers.spawn(watch(daemon.clone(), index, task.id.clone(), updates.clone()));
    }
    drop(updates);

    let mut interrupts = signal(SignalKind::interrupt())
        .map_err(|error| Failure::io("cannot catch Ctrl-C", &error))?;
    let mut asked_to_cancel = false;
    let mut ends: Vec<Option<Result<Task, Failure>>> = tasks.iter().map(|_| None).collect();
    let mut screen = Screen::new(output, tasks);
    let mut redraw = tokio::time::interval(REDRAW);
    loop {
        tokio::select! {
            update = inbox.recv() => match update {
                Some(Update { index, state, last }) => {
                    if let Ok(task) = &state {
                        screen.update(index, task);
                    }
                    if last {
                        screen.end(index, state.is_ok());
                        ends[index] = Some(state);
                    }
                }
                None => break,
            },
            _ = redraw.tick() => screen.draw(),
            _ = interrupts.recv() => {
                let running = screen.running();
                if asked_to_cancel {
                    screen.say(&format!(
                        "left; what runs goes on: xlfsctl task show {}", running.join(" ")
                    ));
                    return Err(Failure::told(Exit::Signal(2)));
                }
                asked_to_cancel = true;
                screen.say("cancelling; press Ctrl-C again to leave without waiting");
                for id in running {
                    let request = CancelTaskRequest { id: id.clone(), dry_run: false };
                    let mut tasks = daemon.tasks();
                    // Its refusal is no news: the task has ended, and says so.
                    watchers.spawn(async move { drop(tasks.cancel_task(request).await) });
                }
            }
        }
    }
    screen.close();
    let lost = || Err(Failure::new(Exit::Failed, "nothing was heard of the task any more"));
    Ok(ends.into_iter().map(|end| end.unwrap_or_else(lost)).collect())
}

/// Reports each state of a task until it has ended, over broken connections.
async fn watch(daemon: Daemon, index: usize, id: String, updates: mpsc::UnboundedSender<Update>) {
    let mut lost: Option<Instant> = None;
    loop {
        let status = match stream(&daemon, index, &id, &updates, &mut lost).await {
            Ok(()) => return,
            Err(status) => status,
        };
        let failure = Failure::from(status);
        if lost.is_some() && failure.exit() == Exit::NotFound {
            let message = format!("xlfsd was restarted, and no longer knows task {id}");
            let state = Err(Failure::new(Exit::Unreachable, message)
                .hint("it finishes or undoes what was begun; see: xlfsctl list"));
            let _ = updates.send(Update { index, state, last: true });
            return;
        }
        let since = *lost.get_or_insert_with(Instant::now);
        if failure.exit() != Exit::Unreachable || since.elapsed() > PATIENCE {
            let hint = format!("the task may go on: xlfsctl task show {id}");
            let state = Err(failure.hint(hint).context(&format!("cannot follow task {id}")));
            // Nobody listens when the user has left.
            let _ = updates.send(Update { index, state, last: true });
            return;
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Watches over one connection. `Ok` when the task has ended.
async fn stream(
    daemon: &Daemon,
    index: usize,
    id: &str,
    updates: &mpsc::UnboundedSender<Update>,
    lost: &mut Option<Instant>,
) -> Result<(), Status> {
    let request = GetTaskRequest { id: id.to_owned() };
    let mut states = daemon.tasks().watch_task(request).await?.into_inner();
    while let Some(task) = states.message().await? {
        *lost = None;
        let last = has_ended(&task);
        let _ = updates.send(Update { index, state: Ok(task), last });
        if last {
            return Ok(());
        }
    }
    Err(Status::unavailable("xlfsd ended the stream before the task had ended"))
}

pub(crate) fn has_ended(task: &Task) -> bool {
    matches!(task.state(), TaskState::Succeeded | TaskState::Failed | TaskState::Cancelled)
}

/// The failure of a task that has ended without success.
pub(crate) fn failure_of(task: &Task) -> Option<Failure> {
    let fallback = match task.state() {
        TaskState::Failed => Failure::new(Exit::Failed, "the task failed and did not say why"),
        TaskState::Cancelled => Failure::new(Exit::Cancelled, "the task was cancelled"),
        _ => return None,
    };
    let told = task.error.as_ref().filter(|error| !error.message.is_empty());
    Some(told.map_or(fallback, |error| Failure::from_task(error, &task.id)))
}

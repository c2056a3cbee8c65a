//! Follows a build: on a terminal a line for each package that runs and one for the
//! whole, drawn anew; elsewhere a line for what happens. Ctrl-C leaves, and the build
//! goes on.

mod model;

use std::time::{Duration, Instant, SystemTime};

use tokio::signal::unix::{SignalKind, signal};
use tonic::Status;
use xlfs_proto::v1::build_event::Kind;
use xlfs_proto::v1::{Build, BuildEvent, BuildFinished, GetBuildRequest, WatchBuildRequest};

use super::lines::{Lines, MOST_LINES, Mode};
use crate::client::Daemon;
use crate::errors::Failure;
use crate::exit::Exit;
use crate::output::text::plain;
use crate::output::view::build::BuildEventView;
use crate::output::{Output, stderr_width};
use model::Model;

pub(crate) use model::{about, event_line};

const REDRAW: Duration = Duration::from_millis(500);
/// How long xlfsd is looked for when the connection broke.
const PATIENCE: Duration = Duration::from_secs(30);
const RETRY: Duration = Duration::from_millis(500);

/// How a build ended, as far as it was watched.
pub(crate) struct End {
    pub(crate) finished: BuildFinished,
    /// What failed: package, and the exit that its cause asks for.
    pub(crate) failed: Vec<(String, Exit)>,
}

/// Whether events are printed as documents.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Events {
    /// Each, on standard output.
    Documents,
    /// Only for people.
    Progress,
}

/// Watches from event `from` on until the build has ended.
pub(crate) async fn follow(
    daemon: &Daemon,
    output: &Output,
    build: Build,
    from: u64,
    events: Events,
) -> Result<End, Failure> {
    let id = build.id.clone();
    let mut interrupts = signal(SignalKind::interrupt())
        .map_err(|error| Failure::io("cannot catch Ctrl-C", &error))?;
    let mut screen = Screen { lines: Lines::new(output), model: Model::new(&build) };
    let mut redraw = tokio::time::interval(REDRAW);
    // The lines say how far all of it is, so they need all events; those before `from` are
    // not told.
    let documents = events == Events::Documents && !output.is_table();
    let first = if documents { from } else { 0 };
    let (mut next, mut lost) = (first, None::<Instant>);
    let mut failed = Vec::new();
    loop {
        let request = WatchBuildRequest { id: id.clone(), from: next };
        let mut stream = match daemon.builds().watch_build(request).await {
            Ok(stream) => stream.into_inner(),
            Err(status) => {
                retry(&mut screen, &id, next, status, &mut lost).await?;
                continue;
            }
        };
        let status = loop {
            tokio::select! {
                event = stream.message() => match event {
                    Ok(Some(event)) => {
                        if lost.take().is_some() {
                            screen.lines.say("connected again");
                        }
                        next = event.number + 1;
                        if documents {
                            output.next_document(&BuildEventView::from(&event))?;
                        }
                        if let Some(Kind::Failed(one)) = &event.kind {
                            failed.push((one.package.clone(), model::exit_of(one.cause())));
                        }
                        let finished = screen.hear(&event, event.number < from);
                        if let Some(finished) = finished {
                            screen.lines.clear();
                            return Ok(End { finished, failed });
                        }
                    }
                    Ok(None) if lost.is_none() && next == first => {
                        // It has ended before the first event that was asked for.
                        screen.lines.clear();
                        return ended(daemon, &id).await;
                    }
                    Ok(None) => break Status::unavailable("xlfsd ended the stream"),
                    Err(status) => break status,
                },
                _ = redraw.tick() => screen.draw(),
                _ = interrupts.recv() => {
                    screen.lines.say(&format!(
                        "left; the build goes on: xlfsctl build watch {id} --from {next}, or \
                         xlfsctl build cancel {id}"
                    ));
                    return Err(Failure::told(Exit::Signal(2)));
                }
            }
        };
        retry(&mut screen, &id, next, status, &mut lost).await?;
    }
}

/// How a build ended whose last event is not among those that were asked for.
async fn ended(daemon: &Daemon, id: &str) -> Result<End, Failure> {
    let request = GetBuildRequest { id: id.to_owned() };
    let build = daemon.builds().get_build(request).await?.into_inner();
    let finished = BuildFinished { state: build.state, counts: build.counts, seconds: 0.0 };
    Ok(End { finished, failed: Vec::new() })
}

/// Waits a moment before the next try, or gives up.
async fn retry(
    screen: &mut Screen,
    id: &str,
    next: u64,
    status: Status,
    lost: &mut Option<Instant>,
) -> Result<(), Failure> {
    let failure = Failure::from(status);
    let since = *lost.get_or_insert_with(Instant::now);
    if failure.exit() != Exit::Unreachable || since.elapsed() > PATIENCE {
        screen.lines.clear();
        let hint = format!("go on with: xlfsctl build watch {id} --from {next}");
        return Err(failure.hint(hint).context(&format!("cannot watch build {id}")));
    }
    tokio::time::sleep(RETRY).await;
    Ok(())
}

struct Screen {
    lines: Lines,
    model: Model,
}

impl Screen {
    /// Takes an event in; answers the end when it is that. One that is `old` is not told.
    fn hear(&mut self, event: &BuildEvent, old: bool) -> Option<BuildFinished> {
        self.model.hear(event);
        if let Some(Kind::Finished(finished)) = &event.kind {
            return Some(*finished);
        }
        // What runs has a line of its own on a terminal.
        let drawn = self.lines.mode() == Mode::Live
            && matches!(event.kind, Some(Kind::Started(_) | Kind::Fetching(_) | Kind::Begun(_)));
        if let (false, Some(line)) = (drawn || old, event_line(event)) {
            self.lines.tell(&plain(&line));
            if let Some(Kind::Failed(failed)) = &event.kind {
                for line in &failed.tail {
                    self.lines.tell(&format!("  | {}", plain(line)));
                }
            }
        }
        if !old {
            self.draw();
        }
        None
    }

    fn draw(&mut self) {
        let width = stderr_width().saturating_sub(1);
        let lines = self.model.lines(SystemTime::now(), width, MOST_LINES);
        self.lines.draw(&lines);
    }
}

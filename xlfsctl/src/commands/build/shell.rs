//! `build shell`: the keyboard and the screen, tied to a shell in a package's sandbox.

use std::io::{self, IsTerminal as _};

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use xlfs_proto::v1::build_shell_input::{Open, Part as Input};
use xlfs_proto::v1::build_shell_output::Part as Shown;
use xlfs_proto::v1::{BuildShellInput, BuildShellOutput, TerminalSize};

use super::InSet;
use crate::commands::Session;
use crate::commands::console::stdio::{Keys, Pane};
use crate::commands::console::{Signals, split_at_leave};
use crate::complete;
use crate::errors::{Context as _, Failure};
use crate::exit::Exit;
use crate::terminal::{RawMode, reset_modes};

/// What a terminal sends for the end of the input.
const END: u8 = 4;

/// Open a shell in the sandbox of a package; CTRL-] leaves.
///
/// It shows what the last failure left; if nothing failed, the unpacked and patched sources.
/// With --step, all steps before that one are done anew. The sandbox is the one of the build:
/// the same files and variables, no network, read-only but for /build and /tmp. Nothing that
/// is done in it becomes a result.
#[derive(Debug, Args)]
pub(crate) struct Shell {
    /// The package.
    #[arg(add = complete::packages())]
    package: String,
    /// Do all steps before this one anew: prepare, configure, build, check, install.
    #[arg(long)]
    step: Option<String>,
    /// With the package's own tests among the steps.
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    set: InSet,
}

/// Why the loop ended.
enum End {
    /// The shell has ended with this code.
    Code(i32),
    Left,
    Signal(u8),
    Failed(Failure),
}

impl Shell {
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let tried = || format!("cannot open a shell for {}", self.package);
        let mut signals =
            Signals::catch().map_err(|error| Failure::io("cannot catch signals", &error))?;
        let (to_shell, requests) = mpsc::channel(4);
        let open = Open {
            set: self.set.set.clone().unwrap_or_default(),
            package: self.package.clone(),
            toolchain: self.set.toolchain.clone().unwrap_or_default(),
            step: self.step.clone().unwrap_or_default(),
            check: self.check,
            size: size(),
            term: std::env::var("TERM").unwrap_or_else(|_| "dumb".to_owned()),
        };
        // The channel is empty: this cannot fail.
        let _ = to_shell.try_send(BuildShellInput { part: Some(Input::Open(open)) });
        let mut service = session.daemon().await?.builds();
        let opened = service.open_build_shell(ReceiverStream::new(requests)).await;
        let mut from_shell = opened.context(tried)?.into_inner();

        // Until the shell is there, Ctrl-C is the user's own.
        let first = loop {
            tokio::select! {
                number = signals.next() => return Ok(Exit::Signal(number)),
                output = from_shell.message() => match output.context(tried)?.and_then(|it| it.part) {
                    Some(Shown::Notice(text)) => session.output.note(&text),
                    Some(first) => break first,
                    None => return Err(Failure::new(Exit::Failed, "xlfsd ended the stream").context(&tried())),
                },
            }
        };
        let stdin = io::stdin();
        let typed = stdin.is_terminal();
        if typed {
            session.output.note("CTRL-] leaves.");
        }
        let raw = typed.then(|| RawMode::enter(&stdin)).transpose();
        let raw = raw.map_err(|error| Failure::io("cannot set up the terminal", &error))?;
        let mut pane = Pane::start();
        let end = converse(to_shell, from_shell, first, typed, &mut pane, &mut signals).await;
        if !matches!(end, End::Signal(_)) {
            tokio::select! {
                () = pane.finish() => {}
                _ = signals.next() => {}
            }
        }
        if typed && io::stdout().is_terminal() {
            reset_modes(false);
        }
        drop(raw);
        match end {
            End::Code(0) | End::Left => Ok(Exit::Ok),
            End::Code(code) => {
                session.output.note(&format!("The shell ended with code {code}."));
                Ok(if typed { Exit::Ok } else { Exit::Failed })
            }
            End::Signal(number) => Ok(Exit::Signal(number)),
            End::Failed(failure) => Err(failure.context(&tried())),
        }
    }
}

/// The size of the terminal; none when there is none.
fn size() -> Option<TerminalSize> {
    let (columns, rows) = terminal_size::terminal_size_of(io::stdout())?;
    Some(TerminalSize { columns: u32::from(columns.0), rows: u32::from(rows.0) })
}

/// Carries bytes both ways until one side is done.
async fn converse(
    to_shell: mpsc::Sender<BuildShellInput>,
    mut from_shell: Streaming<BuildShellOutput>,
    first: Shown,
    typed: bool,
    pane: &mut Pane,
    signals: &mut Signals,
) -> End {
    let mut keys = Some(Keys::start());
    let mut resized = signal(SignalKind::window_change()).ok();
    let mut pending: Option<Input> = None;
    let mut shown = Some(first);
    loop {
        match shown.take() {
            Some(Shown::Data(bytes)) => {
                // The reader of a pipe has gone, which is how `| head` ends.
                if !pane.room().await {
                    return End::Left;
                }
                pane.show(bytes);
            }
            Some(Shown::ExitCode(code)) => return End::Code(code),
            Some(Shown::Notice(_)) | None => {}
        }
        tokio::select! {
            biased;
            number = signals.next() => return End::Signal(number),
            () = window_changed(&mut resized) => {
                pending = size().map(Input::Size).or(pending);
            }
            key = next_key(&mut keys), if pending.is_none() && keys.is_some() => match key {
                Some(bytes) => {
                    let (bytes, leaves) = match typed {
                        true => split_at_leave(bytes),
                        false => (bytes, false),
                    };
                    if leaves {
                        return End::Left;
                    }
                    pending = Some(Input::Data(bytes));
                }
                None if typed => return End::Left,
                None => {
                    keys = None;
                    pending = Some(Input::Data(vec![END]));
                }
            },
            room = to_shell.reserve(), if pending.is_some() => match room {
                Ok(room) => room.send(BuildShellInput { part: pending.take() }),
                // xlfsd no longer listens; its stream says why.
                Err(_) => pending = None,
            },
            output = from_shell.message() => match output {
                Ok(Some(output)) => shown = output.part,
                Ok(None) => return End::Left,
                Err(status) => return End::Failed(status.into()),
            },
        }
    }
}

async fn next_key(keys: &mut Option<Keys>) -> Option<Vec<u8>> {
    match keys {
        Some(keys) => keys.next().await,
        None => None,
    }
}

async fn window_changed(resized: &mut Option<tokio::signal::unix::Signal>) {
    match resized {
        Some(resized) => drop(resized.recv().await),
        None => std::future::pending().await,
    }
}

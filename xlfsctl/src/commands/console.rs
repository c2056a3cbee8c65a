//! `console`: the keyboard and the screen, tied to a guest's console.
//!
//! Three things run: a thread that reads standard input, a thread that writes
//! standard output ([`stdio`]), and the loop here between them and xlfsd. None
//! can hold up the loop, so CTRL-] and signals work whatever the guest, the
//! network or the reader of a pipe does.

mod alternate;
pub(super) mod stdio;

use std::collections::VecDeque;
use std::io::{self, IsTerminal as _};
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use xlfs_proto::v1::console_input::{Leave, Open, Part as Input};
use xlfs_proto::v1::console_output::Part as Shown;
use xlfs_proto::v1::{ConsoleInput, ConsoleOutput, Operation};

use super::Session;
use crate::complete;
use crate::errors::{Context as _, Failure};
use crate::exit::Exit;
use crate::output::text::plain;
use crate::output::to_stderr;
use crate::terminal::{RawMode, reset_modes};
use alternate::Alternate;
use stdio::{Keys, Pane};

/// CTRL-], as in telnet, xl and virsh.
const LEAVE: u8 = 0x1d;
/// Keys kept for a guest that does not read; more are dropped.
const MOST_PENDING: usize = 64 * 1024;
/// How long the last keys may take to reach xlfsd when the user leaves.
const FAREWELL: Duration = Duration::from_secs(5);

/// Attach to a guest's console; CTRL-] leaves.
///
/// What the guest has printed comes first. One person writes at a time, any
/// number may read. Where standard input is not a terminal, its bytes go to the
/// guest as they are, and the command ends when the guest's output does.
#[derive(Debug, Args)]
pub(crate) struct Console {
    /// The guest.
    #[arg(add = complete::guests_for(Operation::Console))]
    name: String,
    /// Only look; what is typed goes nowhere.
    #[arg(short, long, conflicts_with = "take")]
    read_only: bool,
    /// Take the keyboard from whoever has it.
    #[arg(long)]
    take: bool,
    /// Start with new output, without what was kept.
    #[arg(long)]
    no_replay: bool,
    /// Stay attached when the guest reboots.
    #[arg(long)]
    follow: bool,
}

/// Why the loop ended.
enum End {
    /// The guest's output is over.
    Output,
    /// CTRL-] was pressed.
    Left,
    Signal(u8),
    Failed(Failure),
}

impl Console {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let tried = || format!("cannot attach to the console of guest \"{}\"", self.name);
        // Caught before the terminal is touched, so that none slips through.
        let mut signals =
            Signals::catch().map_err(|error| Failure::io("cannot catch signals", &error))?;
        let (to_guest, requests) = mpsc::channel(4);
        let open = Input::Open(Open {
            name: self.name.clone(),
            write: !self.read_only,
            force: self.take,
            replay: !self.no_replay,
            follow_restarts: self.follow,
        });
        // The channel is empty: this cannot fail.
        let _ = to_guest.try_send(ConsoleInput { part: Some(open) });
        let attach = session.daemon().await?.consoles().attach(ReceiverStream::new(requests)).await;
        let from_guest = attach.map_err(hint_writer).context(tried)?.into_inner();

        let stdin = io::stdin();
        let typed = stdin.is_terminal();
        let mode = if self.read_only { " to look only" } else { "" };
        if typed {
            session.output.note(&format!("Attached to {}{mode}; CTRL-] leaves.", self.name));
        }
        let raw = typed.then(|| RawMode::enter(&stdin)).transpose();
        let raw = raw.map_err(|error| Failure::io("cannot set up the terminal", &error))?;

        let mut pane = Pane::start();
        let mut alternate = Alternate::default();
        let on_screen = io::stdout().is_terminal();
        let ends = Ends { to_guest, from_guest, typed, on_screen, read_only: self.read_only };
        let end = converse(ends, &mut pane, &mut alternate, &mut signals).await;
        if !matches!(end, End::Signal(_)) {
            // What the guest said last is shown, unless somebody is in a hurry.
            tokio::select! {
                () = pane.finish() => {}
                _ = signals.next() => {}
            }
        }
        if typed && on_screen {
            reset_modes(alternate.is_on());
        }
        drop(raw);
        match end {
            End::Output => {
                session.output.note(&format!("\nThe console of {} is closed.", self.name));
                Ok(Exit::Ok)
            }
            End::Left => {
                session.output.note(&format!("\nLeft the console of {}.", self.name));
                Ok(Exit::Ok)
            }
            End::Signal(number) => Ok(Exit::Signal(number)),
            End::Failed(failure) => Err(failure.context(&tried())),
        }
    }
}

/// What to do when somebody else has the keyboard, in the words of this command.
fn hint_writer(status: tonic::Status) -> Failure {
    let mut failure = Failure::from(status);
    if failure.reason.as_deref() == Some("WRITER_ATTACHED") {
        failure.hint = Some("--read-only looks on, --take takes the keyboard".to_owned());
    }
    failure
}

/// The two directions of the console.
struct Ends {
    to_guest: mpsc::Sender<ConsoleInput>,
    from_guest: Streaming<ConsoleOutput>,
    /// Standard input is a terminal.
    typed: bool,
    /// Standard output is one.
    on_screen: bool,
    read_only: bool,
}

/// Carries bytes both ways until one side is done.
async fn converse(
    mut ends: Ends,
    pane: &mut Pane,
    alternate: &mut Alternate,
    signals: &mut Signals,
) -> End {
    // A reader without a terminal has nothing to say: standard input stays
    // untouched, and may belong to another program.
    let listens = ends.typed || !ends.read_only;
    let mut keys = listens.then(Keys::start);
    // Keys on their way to the guest, and output on its way to the screen.
    let mut pending: VecDeque<Vec<u8>> = VecDeque::new();
    let mut shown: Option<Vec<u8>> = None;
    loop {
        // A pipe waits; keys are always read, because CTRL-] may be among them.
        let reads = ends.typed || pending.is_empty();
        let leaves = tokio::select! {
            biased;
            number = signals.next() => return End::Signal(number),
            key = next_key(&mut keys), if reads && keys.is_some() => match key {
                Some(bytes) => {
                    let (bytes, leaves) = match ends.typed {
                        true => split_at_leave(bytes),
                        false => (bytes, false),
                    };
                    let kept: usize = pending.iter().map(Vec::len).sum();
                    if !ends.read_only && !bytes.is_empty() && kept < MOST_PENDING {
                        pending.push_back(bytes);
                    }
                    leaves
                }
                // A terminal that is at its end is gone; a pipe is just empty.
                None if ends.typed => return End::Left,
                None => {
                    keys = None;
                    false
                }
            },
            room = ends.to_guest.reserve(), if !pending.is_empty() => {
                match room {
                    Ok(room) => {
                        let part = pending.pop_front().map(Input::Data);
                        room.send(ConsoleInput { part });
                    }
                    // xlfsd no longer listens; its stream says why.
                    Err(_) => pending.clear(),
                }
                false
            }
            room = pane.room(), if shown.is_some() => match (room, shown.take()) {
                (true, Some(bytes)) => {
                    alternate.watch(&bytes);
                    pane.show(bytes);
                    false
                }
                (true, None) => false,
                // The reader of a pipe has gone, which is how `| head` ends.
                (false, _) => return End::Left,
            },
            output = ends.from_guest.message(), if shown.is_none() => match output {
                Ok(Some(output)) => {
                    shown = screen(output, ends.on_screen);
                    false
                }
                Ok(None) => return End::Output,
                Err(status) => return End::Failed(status.into()),
            },
        };
        if leaves {
            deliver(ends, pending, signals).await;
            return End::Left;
        }
    }
}

/// Sees to it that xlfsd has what was typed before the user left: it ends its
/// stream when it has. The guest's output meanwhile is not waited for.
async fn deliver(mut ends: Ends, pending: VecDeque<Vec<u8>>, signals: &mut Signals) {
    let typed = pending.into_iter().map(Input::Data);
    let handed_over = async {
        for part in typed.chain([Input::Leave(Leave {})]) {
            if ends.to_guest.send(ConsoleInput { part: Some(part) }).await.is_err() {
                return;
            }
        }
        while let Ok(Some(_)) = ends.from_guest.message().await {}
    };
    tokio::select! {
        () = handed_over => {}
        () = tokio::time::sleep(FAREWELL) => {}
        _ = signals.next() => {}
    }
}

async fn next_key(keys: &mut Option<Keys>) -> Option<Vec<u8>> {
    match keys {
        Some(keys) => keys.next().await,
        None => None,
    }
}

/// What is typed before CTRL-], and whether that was there.
pub(super) fn split_at_leave(mut bytes: Vec<u8>) -> (Vec<u8>, bool) {
    match bytes.iter().position(|byte| *byte == LEAVE) {
        Some(at) => {
            bytes.truncate(at);
            (bytes, true)
        }
        None => (bytes, false),
    }
}

/// The bytes for the screen. Notices stand among them on a terminal, and go to
/// standard error where the output is for a program.
fn screen(output: ConsoleOutput, on_screen: bool) -> Option<Vec<u8>> {
    let notice = match output.part? {
        Shown::Data(bytes) => return Some(bytes),
        Shown::Gap(missing) => format!("{missing} bytes are missing here"),
        Shown::Notice(text) => plain(&text),
    };
    if on_screen {
        return Some(format!("\r\n[xlfsctl: {notice}]\r\n").into_bytes());
    }
    let end = if io::stderr().is_terminal() { "\r\n" } else { "\n" };
    to_stderr(&format!("{end}[xlfsctl: {notice}]{end}"));
    None
}

/// The signals that end the command in order.
pub(super) struct Signals([(u8, Signal); 4]);

impl Signals {
    pub(super) fn catch() -> io::Result<Signals> {
        let on = |kind: SignalKind, number: u8| signal(kind).map(|stream| (number, stream));
        Ok(Signals([
            on(SignalKind::hangup(), 1)?,
            on(SignalKind::interrupt(), 2)?,
            on(SignalKind::quit(), 3)?,
            on(SignalKind::terminate(), 15)?,
        ]))
    }

    pub(super) async fn next(&mut self) -> u8 {
        let [(n1, s1), (n2, s2), (n3, s3), (n4, s4)] = &mut self.0;
        tokio::select! {
            _ = s1.recv() => *n1,
            _ = s2.recv() => *n2,
            _ = s3.recv() => *n3,
            _ = s4.recv() => *n4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_before_the_leaving_key_still_count() {
        assert_eq!(split_at_leave(b"ls\r\x1dx".to_vec()), (b"ls\r".to_vec(), true));
        assert_eq!(split_at_leave(b"ls\r".to_vec()), (b"ls\r".to_vec(), false));
    }
}

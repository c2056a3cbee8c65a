//! `xlfs-build shell`: a package's sandbox on the user's terminal. The shell has a
//! terminal of its own; ours is made raw, and bytes are carried between the two.

use std::error::Error;
use std::io::{self, IsTerminal, Read, Write};

use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use xlfs_builder::build::{Builder, ShellRequest};

/// Opens the shell, and returns when it has ended: whether its exit code was 0.
pub(crate) async fn run(builder: &Builder, request: &ShellRequest) -> Result<bool, Box<dyn Error>> {
    let cancel = CancellationToken::new();
    let prepared = {
        let preparing = builder.shell(request, &cancel, |text| eprintln!("{text}"));
        tokio::pin!(preparing);
        loop {
            tokio::select! {
                shell = &mut preparing => break shell?,
                _ = tokio::signal::ctrl_c() => cancel.cancel(),
            }
        }
    };
    let kind = std::env::var("TERM").unwrap_or_else(|_| "dumb".to_owned());
    let (rows, columns) = size();
    let (mut input, mut output) = prepared.open(&kind, rows, columns)?;
    let _raw = Raw::enter();
    let mut typed = typed();
    let mut resized = signal(SignalKind::window_change())?;
    let mut out = io::stdout();
    loop {
        tokio::select! {
            bytes = output.next() => match bytes? {
                Some(bytes) => {
                    out.write_all(&bytes)?;
                    out.flush()?;
                }
                None => break,
            },
            Some(bytes) = typed.recv() => input.send(&bytes).await?,
            Some(()) = resized.recv() => {
                let (rows, columns) = size();
                input.resize(rows, columns)?;
            }
        }
    }
    Ok(output.ended().await? == 0)
}

/// What is typed. The thread ends with the program: a read of a terminal cannot be
/// called off.
fn typed() -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(4);
    std::thread::spawn(move || {
        let mut stdin = io::stdin();
        let mut buffer = [0; 4096];
        loop {
            let count = stdin.read(&mut buffer).unwrap_or(0);
            // The end of a pipe is to the shell what ^D is on a terminal.
            let bytes = if count == 0 { b"\x04" } else { buffer.get(..count).unwrap_or_default() };
            if sender.blocking_send(bytes.to_vec()).is_err() || count == 0 {
                break;
            }
        }
    });
    receiver
}

/// Rows and columns of the user's terminal.
fn size() -> (u16, u16) {
    match terminal_size::terminal_size() {
        Some((width, height)) if width.0 > 0 && height.0 > 0 => (height.0, width.0),
        _ => (25, 80),
    }
}

/// The terminal is raw while this lives: every byte that is typed is the shell's.
struct Raw(Option<Termios>);

impl Raw {
    fn enter() -> Self {
        if !io::stdin().is_terminal() {
            return Self(None);
        }
        let Ok(found) = tcgetattr(io::stdin()) else { return Self(None) };
        let mut raw = found.clone();
        cfmakeraw(&mut raw);
        // A terminal that refuses is still usable, if awkward.
        let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, &raw);
        Self(Some(found))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(found) = &self.0 {
            let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, found);
        }
    }
}

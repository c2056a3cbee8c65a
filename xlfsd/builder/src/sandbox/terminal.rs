//! A shell in a sandbox, on a terminal of its own.
//!
//! The terminal is a pty that is made here, also where the one who asks sits at a
//! real one: bytes are carried between the two. So no terminal of ours is ever
//! inside, and what a program of the sandbox pushes into its terminal's input
//! (TIOCSTI) only its own shell reads.
//!
//! Job control needs a session with a controlling terminal, and all of its process
//! groups must be visible to the shell. So the session is the sandbox's own
//! (`--new-session`), its leader is the shell (`--as-pid-1`), and the shell takes
//! the terminal by opening it: /dev/console, where bubblewrap puts the terminal
//! that it was started with.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::fchown;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use pty_process::{OwnedReadPty, OwnedWritePty, Size};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Child;

use super::{Place, SandboxError, find};

/// What is typed goes in here.
pub struct ShellInput {
    pty: OwnedWritePty,
}

/// What the shell prints comes out here. Dropping it ends the shell.
pub struct ShellOutput {
    about: Option<String>,
    pty: OwnedReadPty,
    child: Child,
    _foundation: Foundation,
}

/// What a shell stands on, let go when the shell has ended.
pub(crate) type Foundation = Box<dyn std::any::Any + Send + Sync>;

impl std::fmt::Debug for ShellInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShellInput").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ShellOutput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShellOutput").field("child", &self.child).finish_non_exhaustive()
    }
}

/// Starts a shell on a new pty of so many rows and columns. `about` is the first
/// that it prints. Must run on a worker of the runtime (see `run`).
pub(crate) fn open(
    place: &Place<'_>,
    (rows, columns): (u16, u16),
    about: String,
    foundation: Foundation,
) -> Result<(ShellInput, ShellOutput), SandboxError> {
    let failed = |action| move |source| SandboxError::Terminal { action, source };
    let (pty, pts) = pty_process::open().map_err(wrapped("open"))?;
    pty.resize(Size::new(rows, columns)).map_err(wrapped("size"))?;
    if place.user.is_some() {
        // So that it can be opened in there.
        fchown(&pts, place.user, None).map_err(failed("give away"))?;
    }
    let program = find()?;
    let arguments = ["/bin/sh", "-c", "exec /bin/sh -i <>/dev/console >&0 2>&0"];
    let mut command =
        place.command(&program, &["--new-session", "--as-pid-1"], &arguments.map(str::to_owned));
    let end = || pts.as_fd().try_clone_to_owned().map(Stdio::from).map_err(failed("use"));
    command.stdin(end()?).stdout(end()?).stderr(end()?);
    let child = command
        .spawn()
        .map_err(|source| SandboxError::Start { program: program.clone(), source })?;
    let (read, write) = pty.into_split();
    let input = ShellInput { pty: write };
    Ok((input, ShellOutput { about: Some(about), pty: read, child, _foundation: foundation }))
}

fn wrapped(action: &'static str) -> impl Fn(pty_process::Error) -> SandboxError {
    move |error| {
        let source = match error {
            pty_process::Error::Io(source) => source,
            pty_process::Error::Rustix(errno) => errno.into(),
            other => io::Error::other(other.to_string()),
        };
        SandboxError::Terminal { action, source }
    }
}

impl ShellInput {
    /// Types bytes: all that a terminal sends, `^C` and `^D` among them. Waits while
    /// the shell does not read.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), SandboxError> {
        let failed = |source| SandboxError::Terminal { action: "write to", source };
        self.pty.write_all(bytes).await.map_err(failed)
    }

    /// Tells the size of the terminal at which the user sits.
    pub fn resize(&self, rows: u16, columns: u16) -> Result<(), SandboxError> {
        self.pty.resize(Size::new(rows, columns)).map_err(wrapped("size"))
    }
}

impl ShellOutput {
    /// The next bytes; none when the shell has ended and nobody else is left.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, SandboxError> {
        if let Some(about) = self.about.take() {
            return Ok(Some(about.into_bytes()));
        }
        let mut buffer = vec![0; 1 << 14];
        match self.pty.read(&mut buffer).await {
            Ok(0) => Ok(None),
            Ok(count) => {
                buffer.truncate(count);
                Ok(Some(buffer))
            }
            // How Linux says that nobody has the other end open.
            Err(error) if error.raw_os_error() == Some(nix::libc::EIO) => Ok(None),
            Err(source) => Err(SandboxError::Terminal { action: "read from", source }),
        }
    }

    /// Waits for the end: the exit code, or 128 and the signal's number.
    pub async fn ended(&mut self) -> Result<i32, SandboxError> {
        let failed = |source| SandboxError::Terminal { action: "wait for", source };
        let status = self.child.wait().await.map_err(failed)?;
        Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default()))
    }
}

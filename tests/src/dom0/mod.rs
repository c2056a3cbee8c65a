//! A running Dom0, as tests use it: run commands, move files, watch, connect.
//!
//! ```no_run
//! use xlfs_tests::lab::{Config, boot};
//! let dom0 = boot(Config::named("example").product()?)?;
//! let list = dom0.run(["xlfsctl", "list"])?;
//! assert!(list.success(), "{list}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The machine ends with the last clone of its [`Dom0`].

mod command;
mod files;
mod forward;
pub(crate) mod link;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use thiserror::Error;

pub use command::{Command, Output, Process, Stdin, Stream};
pub use forward::Forward;
use link::Link;

use crate::pieces::Pieces;
use crate::qemu::{End, Qemu};

/// Why Dom0 did not do it.
#[derive(Debug, Error)]
pub enum Dom0Error {
    /// The stream to the agent broke: the machine ended, or its Dom0 crashed.
    #[error("the connection to Dom0 is lost; see the console's log")]
    Lost {
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The agent said no.
    #[error("refused in Dom0: {why}")]
    Refused {
        /// Its reason.
        why: String,
    },
    /// The agent says nothing, though the stream stands.
    #[error("the agent in Dom0 does not answer")]
    NoAnswer,
    /// An answer that does not belong there.
    #[error("unexpected answer of the agent: {got}")]
    Unexpected {
        /// The answer.
        got: String,
    },
    /// The command ran too long, and was killed.
    #[error("`{command}` had not ended after {waited:?}; so far: {output}")]
    Deadline {
        /// The command line.
        command: String,
        /// How long it had.
        waited: Duration,
        /// What it had written.
        output: Box<Output>,
    },
    /// The command failed, where it should not.
    #[error("`{command}` failed: {output}")]
    Failed {
        /// The command line.
        command: String,
        /// How it ended.
        output: Box<Output>,
    },
    /// What was waited for did not come.
    #[error("{what} did not happen within {waited:?}")]
    Never {
        /// What was waited for.
        what: String,
        /// For how long.
        waited: Duration,
    },
    /// A file of the host.
    #[error("cannot {doing} {path}")]
    Host {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A port of the host cannot be listened on.
    #[error("cannot listen on 127.0.0.1:{port}")]
    Listen {
        /// The port.
        port: u16,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

#[derive(Debug)]
struct Shared {
    link: Link,
    qemu: Mutex<Qemu>,
    pieces: Pieces,
    log: PathBuf,
    command_deadline: Duration,
    /// Last, so that QEMU is gone before its folder goes.
    folder: TempDir,
}

/// A running Dom0. Clones share the machine.
#[derive(Debug, Clone)]
pub struct Dom0 {
    shared: Arc<Shared>,
}

impl Dom0 {
    pub(crate) fn new(
        link: Link,
        qemu: Qemu,
        folder: TempDir,
        pieces: Pieces,
        log: PathBuf,
        command_deadline: Duration,
    ) -> Self {
        let qemu = Mutex::new(qemu);
        let shared = Shared { link, qemu, pieces, log, command_deadline, folder };
        Self { shared: Arc::new(shared) }
    }

    /// Prepares a command; see [`Command`].
    pub fn command(&self, argv: impl IntoIterator<Item = impl Into<String>>) -> Command {
        let argv = argv.into_iter().map(Into::into).collect();
        Command::new(self.shared.link.clone(), argv, self.shared.command_deadline)
    }

    /// Runs a command to its end. Its failure is not an error of this call.
    pub fn run(
        &self,
        argv: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Output, Dom0Error> {
        self.command(argv).run()
    }

    /// Runs a command that must succeed.
    pub fn ok(
        &self,
        argv: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Output, Dom0Error> {
        self.command(argv).ok()
    }

    /// Runs a line of shell; anything but exit code 0 is an error.
    pub fn sh(&self, line: &str) -> Result<Output, Dom0Error> {
        self.ok(["/bin/sh", "-c", line])
    }

    /// Starts a command and leaves it running.
    pub fn spawn(
        &self,
        argv: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Process, Dom0Error> {
        self.command(argv).spawn()
    }

    /// Asks `probe` until it has something, every 200 ms.
    pub fn wait_until<T>(
        &self,
        what: &str,
        patience: Duration,
        mut probe: impl FnMut() -> Result<Option<T>, Dom0Error>,
    ) -> Result<T, Dom0Error> {
        let until = Instant::now() + patience;
        loop {
            // One more look after the deadline: the probe itself may be slow.
            let over = Instant::now() > until;
            if let Some(found) = probe()? {
                return Ok(found);
            }
            if over {
                return Err(Dom0Error::Never { what: what.to_owned(), waited: patience });
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// What Xen and Dom0 have printed on the machine's serial port so far.
    pub fn console(&self) -> String {
        self.qemu().console()
    }

    /// The file with the console's output; it outlives the machine.
    pub fn log(&self) -> &Path {
        &self.shared.log
    }

    /// The pieces that were booted.
    pub fn pieces(&self) -> &Pieces {
        &self.shared.pieces
    }

    /// Process id of the machine's QEMU.
    pub fn qemu_pid(&self) -> i32 {
        self.qemu().pid()
    }

    /// How the machine ended; none while it runs.
    pub fn ended(&self) -> Option<End> {
        self.qemu().ended()
    }

    /// Ends the machine now, for all clones, and clears its folder.
    pub fn stop(&self) {
        self.qemu().stop();
        // Gone already, if another clone was faster.
        let _ = std::fs::remove_dir_all(self.shared.folder.path());
    }

    fn qemu(&self) -> std::sync::MutexGuard<'_, Qemu> {
        self.shared.qemu.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

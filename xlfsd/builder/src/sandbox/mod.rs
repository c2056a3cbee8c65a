//! The sandbox: bubblewrap, a root made of hard links, no network, not root.
//!
//! The command sees its input root read-only, `/build` and `/tmp` to write into,
//! a fresh `/dev` and `/proc`, and nothing else: no network, no other process,
//! a fixed host name. When the builder runs as root, bubblewrap itself already
//! runs as another user. When the builder dies, all that it started dies.

mod output;
mod terminal;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::durable::FileError;
use crate::store::StepTime;

pub(crate) use output::{last_step, tail};
pub(crate) use terminal::open;
pub use terminal::{ShellInput, ShellOutput};

/// Why a command did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// bubblewrap cannot be started.
    #[error("cannot start bubblewrap ({}), which makes the sandboxes (Debian package bubblewrap)", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// bubblewrap is not there.
    #[error(
        "there is no bubblewrap (bwrap) in /usr/bin, /bin or /usr/local/bin: install it (Debian package bubblewrap)"
    )]
    Missing,
    /// The kernel does not allow it, or something of the sandbox is missing.
    #[error("the sandbox could not be made: {message}")]
    Refused {
        /// bubblewrap's words.
        message: String,
    },
    /// The command failed.
    #[error("step {step} failed ({how})")]
    Failed {
        /// The step.
        step: String,
        /// Exit code or signal.
        how: String,
    },
    /// It hangs.
    #[error("step {step} printed nothing for {seconds} s and was ended (the recipe's deadline)")]
    Silent {
        /// The step.
        step: String,
        /// How long.
        seconds: u64,
    },
    /// Somebody wanted it to end.
    #[error("cancelled in step {step}")]
    Cancelled {
        /// The step.
        step: String,
    },
    /// The log cannot be written.
    #[error("cannot keep the log")]
    Log(#[from] FileError),
    /// A shell's terminal fails.
    #[error("cannot {action} the shell's terminal")]
    Terminal {
        /// A verb, such as "open".
        action: &'static str,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

impl SandboxError {
    /// In which step it happened.
    pub fn step(&self) -> &str {
        match self {
            Self::Failed { step, .. } | Self::Silent { step, .. } | Self::Cancelled { step } => {
                step
            }
            _ => "sandbox",
        }
    }
}

/// What runs where.
#[derive(Debug)]
pub struct Job<'a> {
    /// The input root, laid out.
    pub root: &'a Path,
    /// What becomes `/build`; it must be writable for [`Job::user`].
    pub work: &'a Path,
    /// Program and arguments.
    pub arguments: &'a [String],
    /// All variables.
    pub environment: &'a BTreeMap<String, String>,
    /// All output goes here.
    pub log: &'a Path,
    /// A step may be silent for so long.
    pub deadline: Duration,
    /// Who bubblewrap runs as, if the builder is root.
    pub user: Option<u32>,
    /// The pool of jobs; none: one job.
    pub jobs: Option<(&'a jobserver::Client, usize)>,
}

/// Runs a job to its end. `on_step` hears when a step begins.
pub async fn run(
    job: &Job<'_>,
    cancel: &CancellationToken,
    on_step: impl FnMut(&str) + Send,
) -> Result<Vec<StepTime>, SandboxError> {
    let place =
        Place { root: job.root, work: job.work, environment: job.environment, user: job.user };
    let program = find()?;
    // A session of its own: no terminal of ours is the command's.
    let mut command = place.command(&program, &["--new-session"], job.arguments);
    if let Some((client, count)) = job.jobs {
        client.configure_make(command.as_std_mut());
        command.env("XLFS_JOBS", count.to_string());
    } else {
        command.env("XLFS_JOBS", "1").env("MAKEFLAGS", "-j1");
    }
    let refused = |source| SandboxError::Start { program: program.clone(), source };
    let (reader, writer) = io::pipe().map_err(refused)?;
    command.stdin(Stdio::null()).stdout(writer.try_clone().map_err(refused)?).stderr(writer);
    // bubblewrap dies with the thread that starts it, so this thread must be one of the
    // runtime's workers, which live as long as it does: no spawn_blocking here.
    let child = command.spawn().map_err(refused)?;
    // The command holds our copies of the pipe's writing end.
    drop(command);
    output::follow(child, reader, job, cancel, on_step).await
}

/// What a command sees and may change, and who it is outside.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub root: &'a Path,
    pub work: &'a Path,
    pub environment: &'a BTreeMap<String, String>,
    pub user: Option<u32>,
}

impl Place<'_> {
    fn command(&self, program: &Path, more: &[&str], arguments: &[String]) -> Command {
        let mut command = Command::new(program);
        command.args(["--unshare-all", "--unshare-user", "--die-with-parent"]).args(more);
        command.args(["--hostname", "xlfs", "--uid", "1000", "--gid", "1000", "--cap-drop", "ALL"]);
        command.arg("--ro-bind").arg(self.root).arg("/");
        command.args(["--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp"]);
        command.arg("--bind").arg(self.work).arg("/build").args(["--chdir", "/build", "--"]);
        command.args(arguments);
        command.env_clear().envs(self.environment);
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command.kill_on_drop(true);
        command
    }
}

/// Where bubblewrap is. No PATH look-ups: these are the places.
pub fn find() -> Result<PathBuf, SandboxError> {
    let places = ["/usr/bin/bwrap", "/bin/bwrap", "/usr/local/bin/bwrap"];
    let found = places.iter().map(PathBuf::from).find(|path| path.is_file());
    found.ok_or(SandboxError::Missing)
}

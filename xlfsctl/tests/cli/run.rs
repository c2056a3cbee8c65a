//! Runs xlfsctl and collects what it says.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::fake::Fake;

/// More than any run takes on a busy machine; one that hangs is a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Run {
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Run {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }

    /// The one failure on standard error.
    pub(crate) fn failure(&self) -> Value {
        let document: Value =
            serde_json::from_str(&self.err).unwrap_or_else(|error| panic!("{error}: {}", self.err));
        document["error"].clone()
    }
}

/// xlfsctl with this socket and a bare environment.
pub(crate) fn command(socket: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xlfsctl"));
    command.env_clear().env("TERM", "linux").env("XLFSD_SOCKET", socket).args(args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a command to its end, while the fake daemon answers.
pub(crate) async fn finish(mut command: Command) -> Run {
    let child = command.spawn().expect("xlfsctl starts");
    let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
    let wait = tokio::task::spawn_blocking(move || child.wait_with_output());
    let ended = match tokio::time::timeout(PATIENCE, wait).await {
        Ok(ended) => ended.expect("joined").expect("waited"),
        Err(_) => {
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
            panic!("xlfsctl hangs: {command:?}");
        }
    };
    read(&ended)
}

pub(crate) fn read(ended: &Output) -> Run {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    let code = ended.status.code().unwrap_or(-1);
    Run { code, out: text(&ended.stdout), err: text(&ended.stderr) }
}

/// Runs xlfsctl against a fake daemon.
pub(crate) async fn xlfsctl(fake: &Fake, args: &[&str]) -> Run {
    finish(command(&fake.socket, args)).await
}

/// A socket that nobody listens on, in a folder that lives as long as the first.
pub(crate) fn no_daemon() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("folder");
    let socket = folder.path().join("xlfsd.sock");
    (folder, socket)
}

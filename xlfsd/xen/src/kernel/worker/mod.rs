//! The process in which a kernel is looked at.
//!
//! The daemon runs its own binary again with a hidden argument. The child
//! holds three descriptors and nothing else, gives up every privilege
//! ([`confine()`]), and only then touches the image:
//!
//! ```text
//!            daemon (root)                      child (nobody, seccomp)
//!   image  ── read-only file ──────────> 0  pread
//!   payload ─ empty read-write file ───> 1  write, pread
//!   reply  <─ pipe, at most 64 KiB ──── 2  one JSON object
//!   argv: binary, "kernel-worker", limits as JSON; environment: empty
//! ```
//!
//! A child that an image has taken over can do no more than write garbage to
//! the payload, which holds the guest's own bytes anyway, and send a wrong
//! plan, which [`KernelPlan::validate`] checks again on this side. A child
//! that runs too long, talks too much or dies becomes an [`Error`] of its own.
//!
//! A program that uses this calls [`run_if_asked`] first thing in `main`,
//! before it starts a thread.

mod child;
mod confine;
mod error;

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

pub use child::{run_child, run_if_asked};
pub use confine::{ConfineError, Step, confine};
pub use error::Error;

use super::limits::Limits;
use super::plan::KernelPlan;
use super::text::clean;

/// The first argument of a process that is to be a worker.
pub const ARGUMENT: &str = "kernel-worker";

/// How long a kernel may take by default. Under emulation the packed kernel
/// of a distribution takes most of ten seconds.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Most bytes of a reply that are read.
const REPLY_BYTES: u64 = 64 * 1024;

/// What the parent tells the child, in its second argument.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Order {
    limits: Limits,
    cpu_seconds: u64,
}

/// What the child answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reply {
    Plan(Box<KernelPlan>),
    Refused(super::Error),
    NotConfined(ConfineError),
    Panicked(String),
}

/// Runs [`super::inspect`] in a child: the program `exe` (for a daemon,
/// `/proc/self/exe`), which must call [`run_if_asked`].
///
/// `image` is open for reading only, `payload` is an empty regular file or
/// memory file open for reading and writing. Dropping the future kills the
/// child. After `deadline` the child is killed; it may also use no more
/// processor time than that.
///
/// # Errors
/// [`Error::Refused`] with what is wrong with the image; else what went wrong
/// with the child.
pub async fn inspect_in_child(
    exe: &Path,
    image: File,
    payload: File,
    limits: &Limits,
    deadline: Duration,
) -> Result<KernelPlan, Error> {
    let image_size = regular_file(&image, "the image")?;
    if regular_file(&payload, "the payload file")? != 0 {
        return Err(Error::PayloadNotEmpty);
    }
    let written = payload.try_clone().map_err(|source| Error::Files { source })?;

    let order = Order { limits: *limits, cpu_seconds: deadline.as_secs().saturating_add(1) };
    let order = serde_json::to_string(&order).map_err(|source| Error::Order { source })?;
    let mut child = Command::new(exe)
        .arg(ARGUMENT)
        .arg(order)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(image))
        .stdout(Stdio::from(payload))
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| Error::Spawn { exe: exe.to_owned(), source })?;

    let ended = tokio::time::timeout(deadline, listen(&mut child)).await;
    let Ok(ended) = ended else {
        kill(&mut child).await;
        return Err(Error::Deadline { deadline });
    };
    let (reply, status) = match ended {
        Ok(ended) => ended,
        Err(error) => {
            kill(&mut child).await;
            return Err(error);
        }
    };
    let plan = understand(&reply, status)?;
    let written = regular_file(&written, "the payload file")?;
    check(&plan, image_size, written, limits)?;
    Ok(plan)
}

/// Checks a plan against the files it is about.
fn check(
    plan: &KernelPlan,
    image_size: u64,
    payload_size: u64,
    limits: &Limits,
) -> Result<(), Error> {
    let size = match (plan.payload_is_image(), payload_size) {
        (true, 0) => image_size,
        (true, _) => return Err(Error::StrayPayload { size: payload_size }),
        (false, size) => size,
    };
    plan.validate(size, limits).map_err(|source| Error::Distrusted { source })
}

/// The size of a file that must be a regular one.
fn regular_file(file: &File, what: &'static str) -> Result<u64, Error> {
    let metadata = file.metadata().map_err(|source| Error::Files { source })?;
    if metadata.is_file() { Ok(metadata.len()) } else { Err(Error::NotAFile { what }) }
}

/// Reads the reply to its end and waits for the child's.
async fn listen(child: &mut Child) -> Result<(Vec<u8>, ExitStatus), Error> {
    let mut reply = Vec::new();
    if let Some(pipe) = child.stderr.take() {
        let mut pipe = pipe.take(REPLY_BYTES + 1);
        pipe.read_to_end(&mut reply).await.map_err(|source| Error::Wait { source })?;
    }
    if reply.len() as u64 > REPLY_BYTES {
        return Err(Error::Talkative { limit: REPLY_BYTES });
    }
    let status = child.wait().await.map_err(|source| Error::Wait { source })?;
    Ok((reply, status))
}

/// Ends a child and reaps it. A child that has ended already is no error.
async fn kill(child: &mut Child) {
    if let Err(error) = child.kill().await {
        tracing::debug!(%error, "kernel worker could not be killed; it has probably ended");
    }
}

/// Takes the child's ending and its words for what they are.
fn understand(reply: &[u8], status: ExitStatus) -> Result<KernelPlan, Error> {
    if let Some(signal) = status.signal() {
        return Err(Error::Died { signal, said: clean(reply) });
    }
    match serde_json::from_slice(reply) {
        Ok(Reply::Plan(plan)) if status.success() => Ok(*plan),
        Ok(Reply::Refused(source)) => Err(Error::Refused { source }),
        Ok(Reply::NotConfined(source)) => Err(Error::NotConfined { source }),
        Ok(Reply::Panicked(message)) => Err(Error::Panicked { message: clean(message.as_bytes()) }),
        Ok(Reply::Plan(_)) | Err(_) => {
            Err(Error::Unintelligible { code: status.code(), said: clean(reply) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exited(code: i32) -> ExitStatus {
        ExitStatus::from_raw(code << 8)
    }

    #[test]
    fn garbage_and_signals_are_told_apart() {
        let died = understand(b"memory allocation of 1 bytes failed\n", ExitStatus::from_raw(6));
        assert!(
            matches!(&died, Err(Error::Died { signal: 6, said }) if said.starts_with("memory")),
            "{died:?}"
        );
        let garbage = understand(b"\x1b[31m{", exited(0));
        assert!(
            matches!(&garbage, Err(Error::Unintelligible { code: Some(0), said }) if said == "?[31m{"),
            "{garbage:?}"
        );
        let empty = understand(b"", exited(3));
        assert!(matches!(empty, Err(Error::Unintelligible { code: Some(3), .. })));
        let refused = serde_json::to_vec(&Reply::Refused(super::super::Error::PvhOnly)).unwrap();
        let refused = understand(&refused, exited(1));
        assert!(matches!(refused, Err(Error::Refused { source: super::super::Error::PvhOnly })));
    }
}

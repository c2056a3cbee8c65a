//! What can go wrong with the worker process.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::confine::ConfineError;

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The image is not a kernel that can be built: the ordinary case.
    #[error("the kernel image is refused")]
    Refused {
        /// What is wrong with it.
        #[source]
        source: crate::kernel::Error,
    },
    /// The plan that came back breaks a rule: the image may have taken over
    /// the child.
    #[error("the kernel worker sent a plan that breaks the rules; do not use this image")]
    Distrusted {
        /// The rule.
        #[source]
        source: crate::kernel::Error,
    },
    /// The child wrote a payload and said that there is none.
    #[error(
        "the kernel worker wrote {size} bytes of payload but calls the image itself the payload; do not use this image"
    )]
    StrayPayload {
        /// What it wrote.
        size: u64,
    },
    /// Not a file on disk or in memory.
    #[error("{what} is not a regular file")]
    NotAFile {
        /// Which of the two.
        what: &'static str,
    },
    /// The payload file is in use.
    #[error("the payload file is not empty")]
    PayloadNotEmpty,
    /// The image or the payload file cannot be looked at.
    #[error("cannot look at the kernel's files")]
    Files {
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
    /// The limits cannot be handed over.
    #[error("cannot encode the kernel worker's limits")]
    Order {
        /// The encoder's reason.
        #[source]
        source: serde_json::Error,
    },
    /// The child could not be started.
    #[error("cannot start the kernel worker {exe}", exe = exe.display())]
    Spawn {
        /// The program.
        exe: PathBuf,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
    /// The child cannot be listened to.
    #[error("cannot hear from the kernel worker")]
    Wait {
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
    /// The child refused to work with its privileges.
    #[error("the kernel worker could not give up its privileges, and so did not look at the image")]
    NotConfined {
        /// The step that failed.
        #[source]
        source: ConfineError,
    },
    /// Out of time.
    #[error("the kernel worker was killed after {} s: the image takes too long, or the host is overloaded", deadline.as_secs())]
    Deadline {
        /// The time it had.
        deadline: Duration,
    },
    /// A reply without an end.
    #[error("the kernel worker sent more than {limit} bytes; do not use this image")]
    Talkative {
        /// The limit in bytes.
        limit: u64,
    },
    /// Killed by a signal.
    #[error("the kernel worker died of signal {signal} ({}){}", hint(*signal), quoted(said))]
    Died {
        /// The signal's number.
        signal: i32,
        /// What it had said, cleaned.
        said: String,
    },
    /// A bug that the child survived.
    #[error("the kernel worker hit a bug: {message}; please report it with the image")]
    Panicked {
        /// The panic's message, cleaned.
        message: String,
    },
    /// An ending that makes no sense.
    #[error("the kernel worker ended with {} and without a plan{}", code.map_or("a signal".into(), |c| format!("exit code {c}")), quoted(said))]
    Unintelligible {
        /// The exit code.
        code: Option<i32>,
        /// What it had said, cleaned.
        said: String,
    },
}

/// What a signal means for this child.
fn hint(signal: i32) -> &'static str {
    use nix::sys::signal::Signal;
    match Signal::try_from(signal) {
        Ok(Signal::SIGSYS) => {
            "it tried a system call that its sandbox forbids: do not use this image"
        }
        Ok(Signal::SIGXCPU) => "it used up its processor time",
        Ok(Signal::SIGXFSZ) => "it wrote more than the payload may have",
        Ok(Signal::SIGABRT) => "it ran out of the memory it may use, or hit a bug",
        Ok(Signal::SIGKILL) => "killed from outside, perhaps because the host is out of memory",
        Ok(Signal::SIGSEGV | Signal::SIGBUS | Signal::SIGILL) => {
            "a bug, or an attack that was stopped: do not use this image"
        }
        _ => "not one it should get",
    }
}

fn quoted(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!("; it said {said:?}") }
}

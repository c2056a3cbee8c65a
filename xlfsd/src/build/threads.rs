//! The threads that builds run on, apart from those that serve guests.
//!
//! What a thread starts inherits its niceness, and on schedulers that know
//! priorities of the disk its rank there: so everything that builds gives way to the
//! guests' back ends and to the daemon itself. The daemon's umask keeps its own files
//! private; sandboxes run as another user, who must be able to read theirs, so these
//! threads have a umask of their own.

use std::io;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, umask};
use tokio::runtime::{Builder, Runtime};

/// Carries what sandboxes print; the work is done by their processes.
const WORKERS: usize = 2;
/// Hashing, copying, downloads.
const DISK_THREADS: usize = 16;
/// How long an idle one is kept.
const IDLE: Duration = Duration::from_secs(30);

/// Starts them. The workers live as long as the runtime, which matters: a sandbox
/// dies with the thread that started it.
pub(super) fn start(nice: i32) -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(DISK_THREADS)
        .thread_keep_alive(IDLE)
        .thread_name("xlfsd-build")
        .on_thread_start(move || settle(nice))
        .enable_all()
        .build()
}

fn settle(nice: i32) {
    match unshare(CloneFlags::CLONE_FS) {
        Ok(()) => drop(umask(Mode::from_bits_truncate(0o022))),
        Err(error) => tracing::warn!(%error, "sandboxes may not be able to read their files"),
    }
    // Of this thread: see setpriority(2), "C library/kernel differences".
    if let Err(error) = rustix::process::setpriority_process(None, nice) {
        tracing::warn!(%error, "builds run with the priority of xlfsd");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_builds_is_nice_and_leaves_readable_files() {
        let nice_before = rustix::process::getpriority_process(None).unwrap();
        let before = umask(Mode::from_bits_truncate(0o077));
        let runtime = start(7).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let to = path.clone();
        let nice = runtime.block_on(async move {
            let work = tokio::spawn(async move {
                let script = format!("echo > {}; nice", to.display());
                tokio::process::Command::new("/bin/sh").args(["-c", &script]).output().await
            });
            work.await.unwrap().unwrap().stdout
        });
        assert_eq!(String::from_utf8(nice).unwrap(), "7\n");
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        // The other threads have kept theirs.
        assert_eq!(umask(before).bits(), 0o077);
        assert_eq!(rustix::process::getpriority_process(None).unwrap(), nice_before);
    }
}

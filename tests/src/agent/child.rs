//! Programs that the agent runs for the lab: start, feed, signal, report.
//!
//! A program that leaves a daemon behind must not hold up its own end, so the
//! end is the exit of the program itself: what it wrote until then is still in
//! its pipes, and is sent before the exit is.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::{Answers, ById, lock};
use crate::wire::{CHUNK, Reply};

/// The programs that run now.
pub(super) type Children = ById<Running>;

/// What a running program can be sent.
#[derive(Debug)]
pub(super) struct Running {
    group: Pid,
    stdin: Option<Sender<Vec<u8>>>,
}

/// What to start.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) argv: Vec<String>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) cwd: Option<String>,
    pub(super) terminal: Option<(u16, u16)>,
    pub(super) stdin: bool,
}

/// Starts the program and the threads that look after it.
pub(super) fn start(
    id: u64,
    order: Order,
    answers: &Answers,
    children: &Children,
) -> io::Result<()> {
    let mut parts = order.argv.iter();
    let Some(program) = parts.next() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no program named"));
    };
    let mut command = match order.terminal {
        // setsid makes the terminal the controlling one, which takes an ioctl
        // between fork and exec.
        Some(_) => {
            let mut setsid = Command::new("/bin/busybox");
            setsid.args(["setsid", "-c", program]);
            setsid
        }
        None => Command::new(program),
    };
    command.args(parts).envs(&order.env).current_dir(order.cwd.as_deref().unwrap_or("/"));
    let (mut child, streams, stdin) = match order.terminal {
        Some((columns, rows)) => on_terminal(&mut command, columns, rows)?,
        None => on_pipes(&mut command, order.stdin)?,
    };
    // Both `process_group(0)` and setsid make the child lead a group of its own.
    let group = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
    let feed = stdin.map(|file| {
        let (feed, chunks) = channel::<Vec<u8>>();
        thread::spawn(move || {
            let mut file = file;
            for chunk in chunks {
                if chunk.is_empty() || file.write_all(&chunk).is_err() {
                    break;
                }
            }
        });
        feed
    });
    lock(children).insert(id, Running { group, stdin: feed });
    answers.send(id, Reply::Started { pid: group.as_raw() }, &[]);
    // Nothing is ever written to this pipe: its closing tells of the exit.
    let (ended, running) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    let mut copies = Vec::new();
    for (file, head) in streams {
        copies.push(copy(id, file, head, answers.clone(), ended.try_clone()?));
    }
    let (answers, children) = (answers.clone(), children.clone());
    thread::spawn(move || {
        let status = child.wait();
        drop(running);
        for copy in copies {
            // A copier never panics; and if it did, the exit still has to go out.
            let _ = copy.join();
        }
        lock(&children).remove(&id);
        match status {
            Ok(status) => {
                let end = Reply::Exit { code: status.code(), signal: status.signal() };
                answers.send(id, end, &[]);
            }
            Err(error) => answers.send(id, Reply::Failed { why: error.to_string() }, &[]),
        }
    });
    Ok(())
}

/// The child, what to read from it, and where its stdin is.
type Started = (Child, Vec<(File, Reply)>, Option<File>);

fn on_pipes(command: &mut Command, with_stdin: bool) -> io::Result<Started> {
    command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.stdin(if with_stdin { Stdio::piped() } else { Stdio::null() });
    let mut child = command.spawn()?;
    let mut streams = Vec::new();
    if let Some(pipe) = child.stdout.take() {
        streams.push((File::from(OwnedFd::from(pipe)), Reply::Stdout));
    }
    if let Some(pipe) = child.stderr.take() {
        streams.push((File::from(OwnedFd::from(pipe)), Reply::Stderr));
    }
    let stdin = child.stdin.take().map(|pipe| File::from(OwnedFd::from(pipe)));
    Ok((child, streams, stdin))
}

fn on_terminal(command: &mut Command, columns: u16, rows: u16) -> io::Result<Started> {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let pair = openpty(Some(&size), None)?;
    command
        .stdin(Stdio::from(pair.slave.try_clone()?))
        .stdout(Stdio::from(pair.slave.try_clone()?))
        .stderr(Stdio::from(pair.slave));
    let child = command.spawn()?;
    // Our copies of the slave end must go, or the master never sees its hang-up.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let master = File::from(pair.master);
    Ok((child, vec![(master.try_clone()?, Reply::Stdout)], Some(master)))
}

/// Sends what the program writes, until its end or until it has ended and what
/// it left in the pipe is sent.
fn copy(id: u64, mut file: File, head: Reply, answers: Answers, ended: OwnedFd) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut chunk = vec![0; CHUNK];
        loop {
            let mut fds = [
                PollFd::new(file.as_fd(), PollFlags::POLLIN),
                PollFd::new(ended.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) => {}
                Err(Errno::EINTR) => continue,
                Err(_) => return,
            }
            // Both were looked at in one call, so a program that has ended
            // with nothing to read has left nothing behind.
            let readable = fds[0].any().unwrap_or(true);
            if !readable && fds[1].any().unwrap_or(true) {
                return;
            }
            if !readable {
                continue;
            }
            // A terminal whose last user is gone reads as EIO.
            match file.read(&mut chunk) {
                Ok(0) | Err(_) => return,
                Ok(length) => {
                    answers.send(id, head.clone(), chunk.get(..length).unwrap_or_default());
                }
            }
        }
    })
}

/// Hands bytes to the program's stdin; none means its end.
pub(super) fn feed(id: u64, bytes: Vec<u8>, children: &Children) {
    let mut children = lock(children);
    let Some(child) = children.get_mut(&id) else { return };
    if bytes.is_empty() {
        child.stdin = None;
    } else if let Some(stdin) = &child.stdin {
        // The program may have closed its stdin: then nobody wants the bytes.
        let _ = stdin.send(bytes);
    }
}

/// Signals the program and what it started; one that has ended takes none.
pub(super) fn signal(id: u64, signal: i32, children: &Children) {
    if let (Some(child), Ok(signal)) = (lock(children).get(&id), Signal::try_from(signal)) {
        let _ = killpg(child.group, signal);
    }
}

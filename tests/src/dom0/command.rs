//! Commands in Dom0: run to the end, or left running and watched.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use super::Dom0Error;
use super::link::{Conversation, Link, WayIn};
use crate::wire::{CHUNK, Reply, Request};

/// Signal that ends a program for certain.
const SIGKILL: i32 = 9;

/// A command to be run.
#[derive(Debug)]
#[must_use = "a command does nothing until it is run"]
pub struct Command {
    link: Link,
    argv: Vec<String>,
    env: BTreeMap<String, String>,
    cwd: Option<String>,
    terminal: Option<(u16, u16)>,
    stdin: Option<Vec<u8>>,
    open_stdin: bool,
    deadline: Duration,
}

/// Which of its streams a command wrote to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output (both, when the command has a terminal).
    Stdout,
    /// Standard error.
    Stderr,
}

/// How a command ended and what it wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// Exit code; none when a signal ended it, or when it still runs.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// What it wrote to stdout, with other bytes than UTF-8 replaced.
    pub stdout: String,
    /// What it wrote to stderr, likewise.
    pub stderr: String,
    /// From the request to the answer.
    pub took: Duration,
}

impl Output {
    /// Whether it exited with 0.
    pub fn success(&self) -> bool {
        self.code == Some(0)
    }

    /// What a shell would call its status.
    pub fn shell_status(&self) -> i32 {
        self.code.unwrap_or_else(|| 128 + self.signal.unwrap_or(0))
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => write!(f, "exit code {code}")?,
            (None, Some(signal)) => write!(f, "ended by signal {signal}")?,
            (None, None) => write!(f, "still running")?,
        }
        write!(f, " after {:?}", self.took)?;
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !text.is_empty() {
                write!(f, "\n{name}: {}", text.trim_end())?;
            }
        }
        Ok(())
    }
}

impl Command {
    pub(super) fn new(link: Link, argv: Vec<String>, deadline: Duration) -> Self {
        Self {
            link,
            argv,
            env: BTreeMap::new(),
            cwd: None,
            terminal: None,
            stdin: None,
            open_stdin: false,
            deadline,
        }
    }

    /// Adds an environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Starts in this folder instead of `/`.
    pub fn cwd(mut self, folder: &str) -> Self {
        self.cwd = Some(folder.to_owned());
        self
    }

    /// Feeds these bytes to its stdin, then closes it.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// Keeps its stdin open for [`Process::stdin`].
    pub fn open_stdin(mut self) -> Self {
        self.open_stdin = true;
        self
    }

    /// Gives it a terminal of this size; its stdin is then open.
    pub fn terminal(mut self, columns: u16, rows: u16) -> Self {
        self.terminal = Some((columns, rows));
        self.open_stdin = true;
        self
    }

    /// How long it may run; the lab's default otherwise.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Runs it to its end. Its failure is not an error of this call.
    pub fn run(self) -> Result<Output, Dom0Error> {
        let deadline = self.deadline;
        self.spawn()?.wait(deadline)
    }

    /// Runs it to its end; anything but exit code 0 is an error.
    pub fn ok(self) -> Result<Output, Dom0Error> {
        let command = self.argv.join(" ");
        let output = self.run()?;
        if output.success() {
            return Ok(output);
        }
        Err(Dom0Error::Failed { command, output: Box::new(output) })
    }

    /// Starts it.
    pub fn spawn(self) -> Result<Process, Dom0Error> {
        let start = Instant::now();
        let line = self.argv.join(" ");
        let request = Request::Spawn {
            argv: self.argv,
            env: self.env,
            cwd: self.cwd,
            terminal: self.terminal,
            stdin: self.stdin.is_some() || self.open_stdin,
        };
        let conversation = self.link.ask(request, Vec::new())?;
        let pid = match conversation.next(start + self.deadline)? {
            Some((Reply::Started { pid }, _)) => pid,
            Some((other, _)) => {
                return Err(Dom0Error::Unexpected { got: format!("{other:?}") });
            }
            None => return Err(Dom0Error::NoAnswer),
        };
        let process = Process { conversation, line, pid, start, raw: Raw::default(), ended: None };
        if let Some(bytes) = self.stdin {
            process.stdin().write(&bytes)?;
            process.stdin().close()?;
        }
        Ok(process)
    }
}

/// The stdin of a command that runs in Dom0; what comes after its end is lost.
#[derive(Debug, Clone)]
pub struct Stdin(WayIn);

impl Stdin {
    /// Writes to it.
    pub fn write(&self, bytes: &[u8]) -> Result<(), Dom0Error> {
        bytes.chunks(CHUNK).try_for_each(|chunk| self.0.send(chunk))
    }

    /// Closes it.
    pub fn close(&self) -> Result<(), Dom0Error> {
        self.0.send(&[])
    }
}

#[derive(Debug, Default)]
struct Raw {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// A command that runs (or has ended, unnoticed yet). Dropping it leaves it running.
#[derive(Debug)]
pub struct Process {
    conversation: Conversation,
    line: String,
    pid: i32,
    start: Instant,
    raw: Raw,
    ended: Option<(Option<i32>, Option<i32>, Duration)>,
}

impl Process {
    /// Its process id in Dom0; it leads a process group of the same number.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Its stdin, if it was kept open.
    pub fn stdin(&self) -> Stdin {
        Stdin(self.conversation.way_in())
    }

    /// Signals it and what it started (its process group).
    pub fn signal(&self, signal: i32) -> Result<(), Dom0Error> {
        self.conversation.send(Request::Signal { signal }, Vec::new())
    }

    /// Waits for its end. Past the deadline it is killed, and that is an error.
    pub fn wait(mut self, deadline: Duration) -> Result<Output, Dom0Error> {
        if self.pump(Instant::now() + deadline, |_, _| {}, |process| process.ended.is_some())? {
            return Ok(self.output());
        }
        self.signal(SIGKILL)?;
        let output = Box::new(self.output());
        Err(Dom0Error::Deadline { command: self.line, waited: deadline, output })
    }

    /// Passes on what it writes until its end, without any deadline.
    pub fn stream(mut self, mut each: impl FnMut(Stream, &[u8])) -> Result<Output, Dom0Error> {
        let far = Duration::from_secs(3600);
        while !self.pump(Instant::now() + far, &mut each, |process| process.ended.is_some())? {}
        Ok(self.output())
    }

    /// Waits until its output contains the text; false when it ended without.
    pub fn wait_for(&mut self, text: &str, deadline: Duration) -> Result<bool, Dom0Error> {
        let found = |process: &Self| {
            let output = process.output();
            output.stdout.contains(text) || output.stderr.contains(text)
        };
        let over = |process: &Self| process.ended.is_some() || found(process);
        if self.pump(Instant::now() + deadline, |_, _| {}, over)? {
            return Ok(found(self));
        }
        let output = Box::new(self.output());
        Err(Dom0Error::Deadline { command: self.line.clone(), waited: deadline, output })
    }

    /// Takes in what has arrived; whether it still runs.
    pub fn running(&mut self) -> Result<bool, Dom0Error> {
        self.pump(Instant::now(), |_, _| {}, |process| process.ended.is_some())?;
        Ok(self.ended.is_none())
    }

    /// What it has written so far (as of the last call that waited).
    pub fn output(&self) -> Output {
        let (code, signal, took) = self.ended.unwrap_or((None, None, self.start.elapsed()));
        Output {
            code,
            signal,
            stdout: String::from_utf8_lossy(&self.raw.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&self.raw.stderr).into_owned(),
            took,
        }
    }

    fn pump(
        &mut self,
        until: Instant,
        mut each: impl FnMut(Stream, &[u8]),
        over: impl Fn(&Self) -> bool,
    ) -> Result<bool, Dom0Error> {
        while !over(self) {
            let Some((reply, body)) = self.conversation.next(until)? else { return Ok(false) };
            match reply {
                Reply::Stdout => {
                    each(Stream::Stdout, &body);
                    self.raw.stdout.extend_from_slice(&body);
                }
                Reply::Stderr => {
                    each(Stream::Stderr, &body);
                    self.raw.stderr.extend_from_slice(&body);
                }
                Reply::Exit { code, signal } => {
                    self.ended = Some((code, signal, self.start.elapsed()));
                }
                other => return Err(Dom0Error::Unexpected { got: format!("{other:?}") }),
            }
        }
        Ok(true)
    }
}

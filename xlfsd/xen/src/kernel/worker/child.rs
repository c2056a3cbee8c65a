//! The child's side: confine, look, answer.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use nix::errno::Errno;

use super::confine::{ConfineError, confine};
use super::{ARGUMENT, Order, Reply};
use crate::kernel::image::{Payload, ReadAt};
use crate::kernel::inspect;

/// Does a worker's work and returns its exit code if the process was started
/// as a worker; else returns `None` at once.
pub fn run_if_asked() -> Option<ExitCode> {
    (std::env::args_os().nth(1)? == ARGUMENT).then(run_child)
}

/// What the child does: takes its order from the second argument, confines
/// itself, inspects descriptor 0 into descriptor 1 and answers on descriptor 2.
///
/// The process must have one thread only. It is of no other use afterwards.
pub fn run_child() -> ExitCode {
    // A panic is reported by the reply; the usual message would garble it.
    std::panic::set_hook(Box::new(|_| {}));
    let reply = match work() {
        Ok(reply) => reply,
        Err(error) => Reply::NotConfined(error),
    };
    let good = matches!(reply, Reply::Plan(_));
    let sent = serde_json::to_vec(&reply)
        .map_err(io::Error::from)
        .and_then(|bytes| io::stderr().write_all(&bytes));
    if sent.is_ok() && good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn work() -> Result<Reply, ConfineError> {
    let order = std::env::args().nth(2).unwrap_or_default();
    let order: Order =
        serde_json::from_str(&order).map_err(|e| ConfineError::new(super::Step::Order, &e))?;
    let (stdin, stdout) = (io::stdin(), io::stdout());
    let image = Descriptor::new(stdin.as_fd())?;
    let mut payload = Descriptor::new(stdout.as_fd())?;

    confine(&order.limits, order.cpu_seconds)?;

    let result = catch_unwind(AssertUnwindSafe(|| inspect(&image, &order.limits, &mut payload)));
    Ok(match result {
        Ok(Ok(plan)) => Reply::Plan(Box::new(plan)),
        Ok(Err(error)) => Reply::Refused(error),
        Err(panic) => Reply::Panicked(message(&*panic)),
    })
}

/// An inherited descriptor whose size was asked for while that was allowed.
struct Descriptor<'a> {
    fd: BorrowedFd<'a>,
    size: u64,
}

impl<'a> Descriptor<'a> {
    fn new(fd: BorrowedFd<'a>) -> Result<Self, ConfineError> {
        let stat =
            nix::sys::stat::fstat(fd).map_err(|e| ConfineError::new(super::Step::Files, &e))?;
        Ok(Self { fd, size: u64::try_from(stat.st_size).unwrap_or(0) })
    }
}

impl ReadAt for Descriptor<'_> {
    fn size(&self) -> io::Result<u64> {
        Ok(self.size)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let offset = i64::try_from(offset).map_err(io::Error::other)?;
        loop {
            match nix::sys::uio::pread(self.fd, buf, offset) {
                Err(Errno::EINTR) => {}
                other => return Ok(other?),
            }
        }
    }
}

impl Payload for Descriptor<'_> {
    fn append(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match nix::unistd::write(self.fd, bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => bytes = bytes.get(n..).unwrap_or(&[]),
                Err(Errno::EINTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("").to_owned()
}

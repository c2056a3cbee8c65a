//! How a host ends: init is told, which stops what runs and unmounts. It is the
//! init of the image dom0, busybox's, whose signals these are (init.c of busybox).

use std::fmt::Debug;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, sync};

use crate::problem::Problem;

/// What a host does after its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    Reboot,
    PowerOff,
}

/// Ends the host. Answers at once; the end comes by itself, or it does not.
pub trait Power: Send + Sync + Debug {
    fn end(&self, how: Restart) -> Result<(), Problem>;
}

/// busybox's init.
#[derive(Debug, Clone, Copy)]
pub struct Init;

impl Power for Init {
    fn end(&self, how: Restart) -> Result<(), Problem> {
        let signal = match how {
            Restart::Reboot => Signal::SIGTERM,
            Restart::PowerOff => Signal::SIGUSR2,
        };
        sync();
        kill(Pid::from_raw(1), signal)
            .map_err(|errno| Problem::internal("init cannot be told to end").cause(&errno))
    }
}

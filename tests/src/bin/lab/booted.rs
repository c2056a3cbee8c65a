//! The machine of a command: booted, with its ports, and ended whatever happens.

use std::ops::Deref;
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use xlfs_tests::dom0::{Dom0, Forward};
use xlfs_tests::lab::boot;

use crate::options::Boot;
use crate::{Failure, terminal};

/// A machine that is ended when this goes, whoever else still knows of it,
/// with its forwarded ports.
#[derive(Debug)]
pub(crate) struct Booted {
    dom0: Dom0,
    forwards: Vec<Forward>,
}

impl Deref for Booted {
    type Target = Dom0;

    fn deref(&self) -> &Dom0 {
        &self.dom0
    }
}

impl Drop for Booted {
    fn drop(&mut self) {
        self.dom0.stop();
    }
}

/// A signal ends QEMU first, then this program. (QEMU would die with this
/// program in any case; but its folder would stay.)
fn end_with_signals(dom0: &Dom0) -> Result<(), Failure> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let dom0 = dom0.clone();
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            dom0.stop();
            terminal::restore();
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}

impl Boot {
    /// Boots what the command line asks for.
    pub(crate) fn boot(mut self, name: &str) -> Result<Booted, Failure> {
        let mut wanted = std::mem::take(&mut self.forward_unix);
        wanted.append(&mut self.forward_tcp);
        let dom0 = boot(self.config(name))?;
        end_with_signals(&dom0)?;
        let log = dom0.log().display();
        eprintln!("lab: Dom0 is up (QEMU {}); console log {log}", dom0.qemu_pid());
        // Before anything that may fail: it ends the machine then.
        let mut booted = Booted { dom0, forwards: Vec::new() };
        for (port, target) in wanted {
            let forward = booted.dom0.forward(port, &target)?;
            eprintln!("lab: {} leads to {target}", forward.address());
            booted.forwards.push(forward);
        }
        Ok(booted)
    }
}

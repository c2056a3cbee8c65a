//! Xen's watchdog for Dom0: as long as xlfsd works it calls Xen every ten seconds; a
//! minute without a call, and Xen resets the machine (`xlfs_xen::hypercall`).
//!
//! Who works: the call is made by a task on the thread that serves everything, and only
//! while the supervisor of guests goes round (`pulse`). It does not ask whether a disk,
//! xenstored or a client is slow: resetting a host ends every guest on it.
//!
//! Who holds the timers: /etc/rc arms one through the kernel's /dev/watchdog, before
//! anything can hang. At its start xlfsd arms one of its own, has the kernel give back
//! its one, and takes over what a killed xlfsd left (`take`). So there is no moment in
//! which none is armed, and no timer that nobody pets.
//!
//! When xlfsd is told to stop it gives its timer back: a host is not reset because
//! somebody stopped a daemon. /etc/rc.stop arms the kernel's before it stops xlfsd, so a
//! shutdown that hangs ends all the same. During a trial nothing is given back: there,
//! an xlfsd that does not run is what the watchdog is for.

mod pulse;
mod take;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use xlfs_xen::hypercall::{HypercallError, WatchdogId, Xen};

pub use pulse::Pulse;
pub use take::{Keeper, give_back_all, take};

/// Without a call for so long, Xen resets the machine. In seconds.
pub const TIMEOUT: u32 = 60;
/// How often it is called.
const PACE: Duration = Duration::from_secs(10);
/// How long the supervisor may take for a round: each guest may have to wait for
/// xenstored, whose deadline is 20 s.
const STALL: Duration = Duration::from_secs(120);

/// Dom0's timers in the hypervisor.
pub trait Timers: Send + Sync + std::fmt::Debug {
    /// One that was free; None when there is none.
    fn arm(&self) -> Result<Option<WatchdogId>, HypercallError>;
    /// False when it is not in use.
    fn pet(&self, id: WatchdogId) -> Result<bool, HypercallError>;
    /// False when it was not in use.
    fn disarm(&self, id: WatchdogId) -> Result<bool, HypercallError>;
}

impl Timers for Xen {
    fn arm(&self) -> Result<Option<WatchdogId>, HypercallError> {
        match self.arm_watchdog(TIMEOUT) {
            Ok(id) => Ok(Some(id)),
            Err(error) if error.errno == nix::errno::Errno::EEXIST => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn pet(&self, id: WatchdogId) -> Result<bool, HypercallError> {
        self.pet_watchdog(id, TIMEOUT)
    }

    fn disarm(&self, id: WatchdogId) -> Result<bool, HypercallError> {
        self.disarm_watchdog(id)
    }
}

/// The timer that the daemon has now. A clone is the same.
#[derive(Debug, Clone, Default)]
pub struct Held(Arc<Mutex<Option<WatchdogId>>>);

impl Held {
    fn set(&self, id: WatchdogId) {
        *self.0.lock() = Some(id);
    }

    pub fn get(&self) -> Option<WatchdogId> {
        *self.0.lock()
    }
}

/// Takes the watchdog, and calls Xen for ever, while `pulse` beats.
pub async fn run<K: Keeper + ?Sized>(timers: &dyn Timers, kernel: &K, pulse: Pulse, held: Held) {
    let mut turns = tokio::time::interval(PACE);
    let mut stalled = false;
    loop {
        turns.tick().await;
        if let Some(why) = pulse.missing(STALL) {
            if !stalled {
                tracing::error!("Xen resets this host within {TIMEOUT} s: {why}");
            }
            stalled = true;
            continue;
        }
        if stalled {
            tracing::warn!("the watchdog is petted again");
            stalled = false;
        }
        let ours = held.get();
        let petted = match ours {
            Some(id) => timers.pet(id),
            None => Ok(false),
        };
        match petted {
            Ok(true) => {}
            // The first time; or a second xlfsd, started by hand, gave it back.
            Ok(false) => match take(timers, kernel) {
                Ok(id) => {
                    tracing::info!(timer = id.0, "Xen resets this host {TIMEOUT} s after a hang");
                    held.set(id);
                }
                Err(error) => tracing::error!("nobody watches over this host: {error}"),
            },
            Err(error) => tracing::error!("the watchdog cannot be petted: {error}"),
        }
    }
}

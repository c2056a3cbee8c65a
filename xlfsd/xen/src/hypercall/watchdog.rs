//! `sched_op`'s watchdog: Xen resets a domain that does not call in time, and for
//! Dom0 that is the machine. Source: public/sched.h, SCHEDOP_watchdog.
//!
//! A domain has two such timers, which outlive the process that armed them. The
//! interface is the same since it came (4.1): `struct sched_watchdog` is an id and
//! a timeout, both `uint32_t`. The ABI data of this crate does not hold it.

use nix::errno::Errno;

use super::{HypercallError, Xen};

/// `__HYPERVISOR_sched_op`.
const HYPERVISOR_SCHED_OP: u64 = 29;
/// `SCHEDOP_watchdog`.
const SCHEDOP_WATCHDOG: u64 = 6;
/// `sizeof(struct sched_watchdog)`.
const SIZE: usize = 8;
/// `NR_DOMAIN_WATCHDOG_TIMERS` of Xen's common/schedule.c: the ids are 1 and 2.
pub const TIMERS: u32 = 2;

/// One of this domain's watchdog timers: 1 to [`TIMERS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct WatchdogId(pub u32);

impl Xen {
    /// Arms a timer that nobody uses: from now on this domain is reset when it does
    /// not call [`Xen::pet_watchdog`] within `seconds`.
    ///
    /// # Errors
    /// EEXIST when both timers are in use.
    pub fn arm_watchdog(&self, seconds: u32) -> Result<WatchdogId, HypercallError> {
        let id = self.watchdog("watchdog (arm)", 0, seconds.max(1))?;
        Ok(WatchdogId(id))
    }

    /// Sets a timer that is in use back to `seconds`. False when it is not in use.
    ///
    /// # Errors
    /// What the hypervisor said, but for EINVAL.
    pub fn pet_watchdog(&self, id: WatchdogId, seconds: u32) -> Result<bool, HypercallError> {
        // A timeout of 0 would disarm it.
        self.in_use(self.watchdog("watchdog (pet)", id.0.max(1), seconds.max(1)))
    }

    /// Gives a timer back. False when it was not in use.
    ///
    /// # Errors
    /// What the hypervisor said, but for EINVAL.
    pub fn disarm_watchdog(&self, id: WatchdogId) -> Result<bool, HypercallError> {
        self.in_use(self.watchdog("watchdog (disarm)", id.0.max(1), 0))
    }

    fn in_use(&self, result: Result<u32, HypercallError>) -> Result<bool, HypercallError> {
        match result {
            Ok(_) => Ok(true),
            Err(error) if error.errno == Errno::EINVAL => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn watchdog(&self, what: &'static str, id: u32, seconds: u32) -> Result<u32, HypercallError> {
        let fail = |errno| self.fail("sched_op", what, None, errno);
        let mut op = self.privcmd.buffer(SIZE).map_err(fail)?;
        op[..4].copy_from_slice(&id.to_ne_bytes());
        op[4..SIZE].copy_from_slice(&seconds.to_ne_bytes());
        // SAFETY: the buffer has the size of the operation's struct, which the
        // hypervisor only reads.
        let result = unsafe {
            let args = [SCHEDOP_WATCHDOG, op.address(), 0, 0, 0];
            self.privcmd.hypercall(HYPERVISOR_SCHED_OP, args)
        };
        result.map(|id| u32::try_from(id).unwrap_or(u32::MAX)).map_err(fail)
    }
}

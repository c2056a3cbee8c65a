//! The host's memory, promised but not yet taken.
//!
//! Guests are built side by side, without a lock over the whole of a build.
//! What a build will need is reserved first, so that two builds that would not
//! both fit do not both begin; when a domain has its memory the hypervisor's
//! own count is right again, and the reservation is given back.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use uuid::Uuid;

use super::Hypervisor;
use crate::problem::Problem;

/// Pages that a domain costs beside its own: its structures in the hypervisor,
/// vCPUs, grant and event tables. Generous, since running out later is worse.
const OVERHEAD_PAGES: u64 = 1024;

/// What is reserved, by guest.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    reserved: Arc<Mutex<HashMap<Uuid, u64>>>,
}

/// Memory that nobody else gets; given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    ledger: Ledger,
    guest: Uuid,
}

impl Ledger {
    /// Pages that are reserved now.
    pub fn reserved_pages(&self) -> u64 {
        self.reserved.lock().values().sum()
    }

    /// Looks whether `pages` could be had now.
    pub fn check(&self, hypervisor: &dyn Hypervisor, pages: u64) -> Result<(), Problem> {
        let reserved = self.reserved_pages();
        Self::enough(hypervisor, pages, reserved)
    }

    /// Reserves `pages` and what they cost for a guest.
    pub fn reserve(
        &self,
        hypervisor: &dyn Hypervisor,
        guest: Uuid,
        pages: u64,
    ) -> Result<Reservation, Problem> {
        let mut reserved = self.reserved.lock();
        Self::enough(hypervisor, pages, reserved.values().sum())?;
        reserved.insert(guest, pages + OVERHEAD_PAGES);
        Ok(Reservation { ledger: self.clone(), guest })
    }

    fn enough(hypervisor: &dyn Hypervisor, pages: u64, reserved: u64) -> Result<(), Problem> {
        let physical = hypervisor.phys_info().map_err(|error| {
            Problem::internal("cannot ask the hypervisor for its free memory").cause(&error)
        })?;
        let taken = reserved + physical.claimed_pages;
        let free = physical.free_pages.saturating_sub(taken);
        if pages + OVERHEAD_PAGES <= free {
            return Ok(());
        }
        let mib = |pages: u64| pages >> 8;
        let mut cause = format!("the hypervisor has {} MiB free", mib(physical.free_pages));
        if taken > 0 {
            cause += &format!(", {} MiB of them promised to other guests", mib(taken));
        }
        let most = mib(free.saturating_sub(OVERHEAD_PAGES));
        let mut problem = Problem::resource_exhausted(
            "MEMORY_EXHAUSTED",
            format!("not enough free memory for {} MiB", mib(pages)),
        )
        .hint(format!(
            "At most {most} MiB can be had now: lower --memory, or stop a guest (xlfsctl list)."
        ));
        problem.causes.push(cause);
        Err(problem)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.ledger.reserved.lock().remove(&self.guest);
    }
}

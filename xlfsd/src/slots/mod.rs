//! A host that boots from its own disk has two root file systems, the slots a and b.
//! One runs; an upgrade writes the other, and GRUB starts that once.
//!
//! ```text
//!  upgrade: write the other slot ─> read it back ─> try=b ─> guests down ─> restart
//!                                                                             │
//!  GRUB: try= tried=b, starts b with xlfs.try=1  <────────────────────────────┘
//!    ├─ b's kernel panics, its init or xlfsd hangs: Xen or the kernel resets  ─┐
//!    ├─ xlfsd's checks do not pass in time: it notes why, and restarts        ─┤
//!    └─ they pass: good=b                                                      │
//!  GRUB: starts a (good=a, tried=b); xlfsd tells that b failed  <──────────────┘
//! ```
//!
//! `try` is set last and cleared by GRUB first, so whatever is killed, and wherever,
//! the next boot is one that is known to work. Nothing here ever changes the slot that
//! runs, nor overwrites the one that is good.
//!
//! - `boot`: which slot runs; `disk`: where the slots are;
//! - `environment`, `loader`: GRUB's variables, and the partition they lie on;
//! - `image`, `write`: what may go into a slot, and how;
//! - `record`: what is known of each slot;
//! - `trial`: what xlfsd does at its start, with the `checks` that it makes;
//! - `operations`, `steps`: upgrade, rollback and restart; `power`: how a host ends.
//!
//! `crate::watchdog` sees to it that a hang ends at all.

mod boot;
mod checks;
mod disk;
mod environment;
mod image;
mod loader;
mod operations;
mod power;
mod record;
mod steps;
mod trial;
mod view;
mod write;

use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

pub use boot::{Boot, Slot};
pub use checks::{Checks, HostChecks};
pub use disk::Partition;
pub use loader::{Loader, MOUNTED};
pub use operations::{End, HostOperations};
pub use power::{Init, Power, Restart};
pub use record::{Content, SlotRecord, SlotRecords};

use crate::event::EventBus;
use crate::problem::Problem;
use crate::watchdog::Pulse;

/// Where a slot's partition is.
pub type Find = Box<dyn Fn(Slot) -> Result<Partition, Problem> + Send + Sync>;

/// The slots of this host.
pub struct Slots {
    pub(super) boot: Boot,
    pub(super) loader: Loader,
    pub(super) records: SlotRecords,
    pub(super) events: EventBus,
    pub(super) power: Arc<dyn Power>,
    /// Ended when this host is to be reset, should it not end by itself.
    pub(super) pulse: Pulse,
    find: Find,
}

impl Slots {
    /// None: this host does not start from slots.
    pub fn open(
        state_dir: &Path,
        events: EventBus,
        pulse: Pulse,
    ) -> Result<Option<Arc<Self>>, Problem> {
        let Some(boot) = Boot::read() else { return Ok(None) };
        let find: Find = Box::new(|slot| {
            disk::partition(slot).map_err(|error| {
                Problem::failed_precondition(
                    "NO_SLOT",
                    format!("the partition of slot {slot} cannot be found"),
                )
                .cause(&error)
                .hint("The disk needs partitions named xlfs-root-a and xlfs-root-b: see docs/host.md.")
            })
        });
        let parts = (Loader::new(MOUNTED), Arc::new(Init) as Arc<dyn Power>);
        Self::with(boot, parts, find, state_dir, events, pulse).map(|slots| Some(Arc::new(slots)))
    }

    /// With parts of the caller's.
    pub fn with(
        boot: Boot,
        (loader, power): (Loader, Arc<dyn Power>),
        find: Find,
        state_dir: &Path,
        events: EventBus,
        pulse: Pulse,
    ) -> Result<Self, Problem> {
        let records = SlotRecords::open(state_dir.join("slots"))?;
        Ok(Self { boot, loader, records, events, power, pulse, find })
    }

    /// Whether GRUB starts this slot from now on: its trial is over.
    pub fn passed(slot: Slot) -> bool {
        Loader::new(MOUNTED).intent().is_ok_and(|intent| intent.good == slot)
    }

    pub fn boot(&self) -> Boot {
        self.boot
    }

    pub(super) fn partition(&self, slot: Slot) -> Result<Partition, Problem> {
        (self.find)(slot)
    }
}

impl std::fmt::Debug for Slots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slots").field("boot", &self.boot).finish_non_exhaustive()
    }
}

/// Milliseconds since 1970.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

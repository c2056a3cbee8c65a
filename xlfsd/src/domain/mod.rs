//! Guests: what was asked for, what runs, and the way from one to the other.
//!
//! ```text
//!   operations ──> plan(observed, goal) ──> [Step, Step, …] ──> execute ──> Host
//!    (calls of      pure: no I/O, no         named, with do,      marks the
//!     users)        clock, no branches       undo, already-done   task's steps
//!        ▲          inside a step
//!        │
//!   supervise: a domain ended by itself ──> policy ──> the same plans
//! ```
//!
//! - [`define`] turns a request into a guest, [`work`] is the body of every
//!   operation's task.
//! - [`record`] is what the user asked for, on disk; the hypervisor alone says
//!   what runs. A guest's domain is found by its handle, the guest's UUID.
//! - One operation at a time works on a guest; `destroy` cancels the one that
//!   runs and goes on.
//! - A record says which operation is under way (`work`). A daemon that starts
//!   and finds one undoes or finishes it ([`recover`]).
//! - Domains that others made are listed, never touched.

mod approach;
mod clone;
mod define;
mod devices;
mod execute;
mod guest;
mod health;
mod hotplug;
mod lent;
mod name;
mod nodes;
mod operations;
mod plan;
mod policy;
mod record;
mod recover;
mod request;
mod running;
mod seeding;
mod snapshot;
mod state;
mod steps;
mod supervise;
mod table;
mod view;
mod volumes;
mod work;

pub use devices::{DeviceKey, DiskName, DiskRecord, NicRecord, NotADiskName, VolumeRecipe};
pub use guest::Guest;
pub use hotplug::{DetachRequest, LETS_GO};
pub use operations::{Accepted, Guests, SHUTDOWN, Setup};
pub use record::{GuestRecord, Records};
pub use request::{
    CloneRequest, CreateRequest, DiskRequest, NicRequest, PolicyChange, WaitRequest,
};
pub use running::Running;
pub use view::Listing;
pub(crate) use volumes::{AtRest, Readers};

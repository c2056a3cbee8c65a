//! What happens, as it happens: numbered events that a reader can resume.
//!
//! The bus keeps one ring of the latest events, capped by number and by bytes.
//! A subscription is a place in that ring and nothing more: it holds no queue,
//! so a reader that stands still costs nothing and delays nobody. When the ring
//! has gone on past its place, the reader gets a `lagged` event that says how
//! many it missed and where to go on, then the oldest that are still kept.
//!
//! Numbers rise by one while the daemon runs and are never used again, also not
//! by the next run: see [`Numbering`].

mod bus;
mod numbering;
mod subscription;

pub use bus::{EventBus, EventLimits};
pub use numbering::{Numbering, NumberingError};
pub use subscription::{EventFilter, EventStream};

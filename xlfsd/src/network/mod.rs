//! Guests on the network: bridges in Dom0, and an interface (vif) for each of
//! a guest's connections. No scripts, no `brctl`, no `ip`.
//!
//! `name`, `mac`, `prefix`, `rate` are the words that are used, `macs` who has
//! which address, `nodes` what stands of a vif in xenstore.

mod mac;
mod macs;
mod name;
pub mod nodes;
mod prefix;
mod rate;

pub use mac::{Mac, NotAMac};
pub use macs::{Holder, Macs};
pub use name::{LinkName, NotALinkName};
pub use prefix::{IpPrefix, NotAPrefix};
pub use rate::{NotARate, Rate};

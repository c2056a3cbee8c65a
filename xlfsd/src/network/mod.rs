//! Guests on the network: bridges in Dom0, and an interface (vif) for each of
//! a guest's connections. No scripts, no `brctl`, no `ip`.
//!
//! A vif comes to be in this order. Each step can be repeated, and undone:
//!
//! 1. the guest's addresses are claimed ([`Macs`]), and the network that it
//!    names is looked up ([`Networks`]);
//! 2. where it is asked for, the firewall's rules are put in place
//!    ([`Filters`]). They go by the vif's name, so they hold before the vif
//!    exists, and no frame ever slips by;
//! 3. [`nodes::publish`] is written to xenstore; netback makes `vif<domid>.<index>`;
//! 4. [`Links::wait_for`] it, then [`Links::attach`] it to its bridge;
//! 5. [`nodes::connected`] is written: until then, netback does not tell the
//!    guest that its interface works.
//!
//! The rooms: `name`, `mac`, `prefix`, `rate` are the words that are used,
//! `macs` who has which address, `config` and `networks` what the operator
//! declared, `nodes` what stands in xenstore; `netlink` is the kernel's side,
//! `filter` the firewall's. The latter two stand behind traits, so that a
//! simulated host can take their place.

mod config;
mod filter;
mod mac;
mod macs;
mod name;
mod netlink;
mod networks;
pub mod nodes;
mod prefix;
mod rate;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::problem::Problem;

pub use config::NetworkConfig;
pub use filter::{Filters, Identity, Nft, Ruleset};
pub use mac::{Mac, NotAMac};
pub use macs::{Holder, Macs};
pub use name::{LinkName, NotALinkName};
pub use netlink::Netlink;
pub use networks::{Networks, Readiness};
pub use prefix::{IpPrefix, NotAPrefix};
pub use rate::{NotARate, Rate};

/// The networks of this host, and what connects guests to them.
#[derive(Debug)]
pub struct Net {
    pub networks: Networks,
    pub links: Arc<dyn Links>,
    pub filters: Arc<dyn Filters>,
    pub macs: Macs,
}

impl Net {
    /// The real ones.
    pub fn open(networks: Networks) -> Self {
        let (links, filters) = (Arc::new(Netlink), Arc::new(Nft::find()));
        Self { networks, links, filters, macs: Macs::default() }
    }
}

/// A bridge as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bridge {
    pub name: LinkName,
    /// Dom0's own addresses on it. Others that are there stay.
    pub addresses: Vec<IpPrefix>,
    /// Interfaces that lead out of the host. Other ports that are there stay.
    pub uplinks: Vec<LinkName>,
    /// Bytes; `None` leaves it as it is.
    pub mtu: Option<u32>,
}

/// How a bridge came to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ensured {
    /// It was missing.
    Made,
    /// It was there.
    Adopted,
}

/// How a vif is attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    pub bridge: LinkName,
    /// The guest whose vif it is; written to the vif, so that a leftover is known.
    pub guest: Uuid,
    /// Reaches the uplinks and Dom0, but no other isolated port of the bridge.
    pub isolated: bool,
}

/// A port of a bridge as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    pub name: LinkName,
    pub up: bool,
    /// The guest that [`Links::attach`] wrote to it.
    pub guest: Option<Uuid>,
}

/// What went through a link, as Dom0 counts: what a guest sends is received by its vif.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    pub rx_bytes: u64,
    pub rx_packets: u64,
    pub rx_dropped: u64,
    pub tx_bytes: u64,
    pub tx_packets: u64,
    pub tx_dropped: u64,
}

/// Dom0's network interfaces.
#[async_trait]
pub trait Links: Send + Sync + std::fmt::Debug {
    /// Makes the bridge, or adopts the one that is there, and adds what is
    /// missing. Repeating it changes nothing. An uplink that has addresses of
    /// its own is refused: as a port it would lose them, and with them perhaps
    /// the operator's connection.
    async fn ensure_bridge(&self, wanted: &Bridge) -> Result<Ensured, Problem>;

    /// The MTU of a bridge, in bytes. NO_SUCH_BRIDGE names the bridges there
    /// are; asked before anything is built, it says early what cannot work.
    async fn bridge_mtu(&self, bridge: &LinkName) -> Result<u32, Problem>;

    /// Returns when the link is there.
    async fn wait_for(
        &self,
        link: &LinkName,
        deadline: Duration,
        cancel: &CancellationToken,
    ) -> Result<(), Problem>;

    /// Puts a vif on its bridge and brings it up. Returns when it is so;
    /// repeating it changes nothing. NO_SUCH_BRIDGE names the bridges there are.
    async fn attach(&self, vif: &LinkName, wanted: &Attachment) -> Result<(), Problem>;

    /// Takes a vif down and off its bridge. False: there was nothing to do.
    async fn detach(&self, vif: &LinkName) -> Result<bool, Problem>;

    /// The ports of a bridge, by name.
    async fn ports(&self, bridge: &LinkName) -> Result<Vec<Port>, Problem>;

    /// What went through a link; `None` when there is no such link.
    async fn counters(&self, link: &LinkName) -> Result<Option<Counters>, Problem>;
}

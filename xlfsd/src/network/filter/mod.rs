//! Anti-spoofing: a guest sends only as itself.
//!
//! `rules` says, as a pure function, what a guest may send; `nft` puts that into
//! the kernel and looks whether it is there. The rules of a vif are a table of
//! their own, named after it, that comes and goes whole.

mod nft;
mod rules;

use std::net::IpAddr;

use async_trait::async_trait;

use super::{LinkName, Mac};
use crate::problem::Problem;

pub use nft::Nft;
pub use rules::Ruleset;

/// As whom a guest may send through one vif.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub mac: Mac,
    /// All addresses that the guest may use. None at all: the guest gets its
    /// addresses from the network (DHCP, router advertisements), so only its
    /// MAC address is known and held to. With at least one, nothing else may be
    /// used, in neither family, but for the IPv6 link-local address that is
    /// made of the MAC address. Another link-local one has to be listed.
    pub addresses: Vec<IpAddr>,
}

/// The firewall of Dom0's bridges.
#[async_trait]
pub trait Filters: Send + Sync + std::fmt::Debug {
    /// Holds a vif, which need not exist yet, to an identity. What held before
    /// is replaced in one moment. Returns when it is so.
    async fn guard(&self, vif: &LinkName, identity: &Identity) -> Result<(), Problem>;

    /// Removes what holds a vif; nothing is fine.
    async fn release(&self, vif: &LinkName) -> Result<(), Problem>;

    /// The vifs that are held, by name; some may be leftovers.
    async fn guarded(&self) -> Result<Vec<LinkName>, Problem>;
}

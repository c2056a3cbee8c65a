//! The steps that connect a guest to networks, and take it off again.
//!
//! A vif's firewall rules go by its name and are there before it is; netback
//! makes it when its nodes are; and the guest is told that it works when it is
//! on its bridge.

use std::time::Duration;

use super::Run;
use crate::domain::devices::NicRecord;
use crate::network::nodes::{self, VifSpec};
use crate::network::{Attachment, Identity, LinkName};
use crate::problem::Problem;

/// How long netback may take to make a vif.
const APPEARS: Duration = Duration::from_secs(30);

impl Run {
    pub(super) async fn guard_nics(&mut self) -> Result<(), Problem> {
        let domid = self.domid()?;
        self.vifs.clear();
        for nic in &self.record.nics {
            let network = self.net.networks.get(&nic.network)?;
            let mtu = self.net.links.bridge_mtu(&network.bridge).await?;
            let link = LinkName::vif(domid, nic.index);
            if nic.anti_spoofing {
                self.net.filters.guard(&link, &identity(nic)).await?;
            }
            self.vifs.push(VifSpec { index: nic.index, mac: nic.mac, mtu, rate: nic.rate });
        }
        Ok(())
    }

    pub(super) async fn connect_nics(&mut self) -> Result<(), Problem> {
        let domid = self.domid()?;
        let store = self.host()?.store.clone();
        let mut ops = Vec::new();
        for nic in &self.record.nics {
            let network = self.net.networks.get(&nic.network)?;
            let link = LinkName::vif(domid, nic.index);
            self.net.links.wait_for(&link, APPEARS, &self.cancel).await?;
            let attachment = Attachment {
                bridge: network.bridge.clone(),
                guest: self.record.uuid,
                isolated: network.isolated,
            };
            self.net.links.attach(&link, &attachment).await?;
            ops.push(nodes::connected(domid, nic.index));
        }
        store.apply(ops).await.map_err(|error| {
            Problem::unavailable("XENSTORE_FAILED", "the guest cannot be told of its network")
                .cause(&error)
                .hint("See whether xenstored runs, and its log. Then try again.")
        })
    }

    /// The vifs go with their nodes. The domain is to end whatever xenstored and
    /// the firewall do.
    pub(super) async fn disconnect_nics(&mut self) -> Result<(), Problem> {
        let (Some(host), Some(domid)) = (&self.host, self.guest.last_domid()) else {
            return Ok(());
        };
        if let Err(error) = host.store.apply(vec![nodes::withdraw_all(domid)]).await {
            self.task.log(format!("the interfaces' nodes stay: {error}"));
        }
        for nic in self.record.nics.iter().filter(|nic| nic.anti_spoofing) {
            let link = LinkName::vif(domid, nic.index);
            if let Err(problem) = self.net.filters.release(&link).await {
                self.task.log(format!("the firewall's rules for {link} stay: {problem}"));
            }
        }
        Ok(())
    }
}

fn identity(nic: &NicRecord) -> Identity {
    let addresses = nic.addresses.iter().map(|address| address.address()).collect();
    Identity { mac: nic.mac, addresses }
}

//! The steps that connect a guest to networks, and take it off again.
//!
//! A vif's firewall rules go by its name and are there before it is; netback
//! makes it when its nodes are; and the guest is told that it works when it is
//! on its bridge.

use std::time::Duration;

use xlfs_xen::hypercall::DomainId;

use super::Run;
use crate::domain::devices::NicRecord;
use crate::host::StoreOp;
use crate::network::nodes::{self, VifSpec};
use crate::network::{Attachment, Identity, LinkName};
use crate::problem::Problem;

/// How long netback may take to make a vif.
const APPEARS: Duration = Duration::from_secs(30);

impl Run {
    pub(super) async fn guard_nics(&mut self) -> Result<(), Problem> {
        let domid = self.domid()?;
        let mut vifs = Vec::new();
        for nic in &self.record.nics {
            vifs.push(self.guard_nic(domid, nic).await?);
        }
        self.vifs = vifs;
        Ok(())
    }

    /// One of them; what netback is to be told of it.
    pub(super) async fn guard_nic(
        &self,
        domid: DomainId,
        nic: &NicRecord,
    ) -> Result<VifSpec, Problem> {
        let network = self.net.networks.get(&nic.network)?;
        let mtu = self.net.links.bridge_mtu(&network.bridge).await?;
        if nic.anti_spoofing {
            self.net.filters.guard(&LinkName::vif(domid, nic.index), &identity(nic)).await?;
        }
        Ok(VifSpec { index: nic.index, mac: nic.mac, mtu, rate: nic.rate })
    }

    pub(super) async fn connect_nics(&mut self) -> Result<(), Problem> {
        let domid = self.domid()?;
        let store = self.host()?.store.clone();
        let mut ops = Vec::new();
        for nic in &self.record.nics {
            ops.push(self.connect_one(domid, nic).await?);
        }
        store.apply(ops).await.map_err(|error| {
            Problem::unavailable("XENSTORE_FAILED", "the guest cannot be told of its network")
                .cause(&error)
                .hint("See whether xenstored runs, and its log. Then try again.")
        })
    }

    /// Puts a vif on its bridge; the change that tells of it.
    pub(super) async fn connect_one(
        &self,
        domid: DomainId,
        nic: &NicRecord,
    ) -> Result<StoreOp, Problem> {
        let network = self.net.networks.get(&nic.network)?;
        let link = LinkName::vif(domid, nic.index);
        self.net.links.wait_for(&link, APPEARS, &self.cancel).await?;
        let attachment = Attachment {
            bridge: network.bridge.clone(),
            guest: self.record.uuid,
            isolated: network.isolated,
        };
        self.net.links.attach(&link, &attachment).await?;
        Ok(nodes::connected(domid, nic.index))
    }

    /// Lifts the firewall's hold on an interface that is gone.
    pub(super) async fn release_nic(
        &self,
        domid: DomainId,
        nic: &NicRecord,
    ) -> Result<(), Problem> {
        match nic.anti_spoofing {
            true => self.net.filters.release(&LinkName::vif(domid, nic.index)).await.map(drop),
            false => Ok(()),
        }
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
        for nic in self.record.all_nics() {
            if let Err(problem) = self.release_nic(domid, nic).await {
                let link = LinkName::vif(domid, nic.index);
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

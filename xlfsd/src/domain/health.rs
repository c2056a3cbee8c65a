//! Tells the room `health` which guests run, where they are and what they are
//! to be asked.

use xlfs_proto::v1::{self as pb, DomainState, HealthState};

use super::guest::Guest;
use super::operations::Guests;
use super::record::GuestRecord;
use crate::health::{Subject, Target};

impl Guests {
    /// Begins, goes on or ends to ask a guest, as its state has it.
    pub(super) fn follow_health(&self, guest: &Guest, state: DomainState, domid: Option<u32>) {
        let record = guest.record();
        if record.health.is_empty() {
            return;
        }
        match (state, domid) {
            (DomainState::Running, Some(domid)) => self.shared.health.follow(Subject {
                uuid: record.uuid,
                target: self.target(&record),
                name: record.name,
                domid,
                started: guest.started(),
                checks: record.health,
            }),
            _ => self.shared.health.leave(record.uuid),
        }
    }

    /// A guest's first address that Dom0 knows.
    fn target(&self, record: &GuestRecord) -> Result<Target, String> {
        let Some(nic) = record.nics.iter().find(|nic| !nic.addresses.is_empty()) else {
            return Err(match record.nics.is_empty() {
                true => "it has no network interface".into(),
                false => "it has its address by DHCP, and Dom0 does not know it".into(),
            });
        };
        let network = self.shared.net.networks.get(&nic.network);
        let network = network.map_err(|_| format!("there is no network {} now", nic.network))?;
        let address = nic.addresses.first().map(|address| address.address());
        let address = address.ok_or("it has no address")?;
        Ok(Target { address, bridge: Some(network.bridge.to_string()) })
    }

    /// What clients are shown.
    pub(super) fn health(&self, record: &GuestRecord, state: DomainState) -> Option<pb::Health> {
        if record.health.is_empty() {
            return None;
        }
        let plain = |state: HealthState, reason: &str| pb::Health {
            state: state.into(),
            reason: reason.into(),
            ..pb::Health::default()
        };
        match state {
            DomainState::Running => {
                let known = self.shared.health.of(record.uuid);
                Some(known.unwrap_or_else(|| plain(HealthState::Starting, "it was not asked yet")))
            }
            DomainState::Paused => Some(plain(HealthState::Unknown, "the guest is paused")),
            _ => None,
        }
    }
}

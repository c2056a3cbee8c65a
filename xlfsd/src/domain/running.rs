//! Who runs on this host, for those who want to end it.

use super::Guests;

/// What has a domain now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Running {
    /// Names of guests.
    pub guests: Vec<String>,
    /// Numbers of domains that others made.
    pub foreign: Vec<u16>,
}

impl Guests {
    /// Empty where there is no Xen: nothing runs there.
    pub async fn running(&self) -> Running {
        let mut running = Running::default();
        let Ok(host) = self.shared.reach.reach().await else { return running };
        let Ok(domains) = host.hypervisor.domains() else { return running };
        for domain in domains.into_iter().filter(|domain| domain.domid.0 != 0) {
            let uuid = uuid::Uuid::from_bytes(domain.handle);
            match self.shared.table.by_uuid(uuid) {
                Some(guest) if domain.shutdown.is_none() && !domain.dying => {
                    running.guests.push(guest.name().to_owned());
                }
                Some(_) => {}
                None => running.foreign.push(domain.domid.0),
            }
        }
        running.guests.sort();
        running
    }
}

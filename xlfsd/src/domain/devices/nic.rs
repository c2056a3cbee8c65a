//! A guest's network interface, as its record has it, and how that comes of
//! what a user asks for.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::request::NicRequest;
use crate::network::{Holder, Mac, Macs, Networks, Rate};
use crate::problem::{FieldProblem, Problem};
use crate::value::InterfaceAddress;

/// Interfaces that a guest can have.
pub(in crate::domain) const MOST: u8 = 16;

/// An interface; its index is its place in the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NicRecord {
    /// N of ethN.
    pub index: u8,
    pub network: String,
    pub mac: Mac,
    /// None: by DHCP.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<InterfaceAddress>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    #[serde(default)]
    pub anti_spoofing: bool,
}

/// The interfaces for `wanted`, beside those that the guest `has`; `defaults` names the networks of those that name
/// none. Their MAC addresses are the guest's until they are given back. Fields
/// that are wrong are added to `wrong`; a network that is not there is an error.
pub(in crate::domain) fn nics(
    guest: (Uuid, &str),
    (wanted, has): (&[NicRequest], &[NicRecord]),
    defaults: &[String],
    networks: &Networks,
    macs: &Macs,
    wrong: &mut Vec<FieldProblem>,
) -> Result<Vec<NicRecord>, Problem> {
    let (uuid, name) = guest;
    if wanted.len() + has.len() > usize::from(MOST) {
        wrong.push(FieldProblem::new("nics", format!("at most {MOST} interfaces")));
        return Ok(Vec::new());
    }
    let mut records = Vec::new();
    let free = (0u8..).filter(|index| has.iter().all(|nic| nic.index != *index));
    for (index, nic) in free.zip(wanted) {
        let first = || networks.all().next().map(|network| network.name.clone());
        let named = nic.network.clone().or_else(|| defaults.get(usize::from(index)).cloned());
        let network = named.or_else(first).ok_or_else(|| {
            Problem::failed_precondition("NO_NETWORK", "this host has no network for guests")
                .object(format!("guest {name}"))
                .hint("Declare one in xlfsd's configuration: [[networks]]")
        })?;
        networks.get(&network).map_err(|problem| problem.object(format!("guest {name}")))?;
        let holder = Holder { guest: uuid, name: name.to_owned(), index };
        let mac = match nic.mac {
            Some(mac) => {
                macs.claim(mac, holder)
                    .map_err(|problem| problem.object(format!("guest {name}")))?;
                mac
            }
            None => macs.generate(holder),
        };
        let twice = nic.addresses.iter().enumerate().any(|(at, one)| {
            nic.addresses[..at].iter().any(|other| other.address() == one.address())
        });
        if twice {
            wrong.push(FieldProblem::new("nics", format!("eth{index}: an address is there twice")));
        }
        records.push(NicRecord {
            index,
            network,
            mac,
            addresses: nic.addresses.clone(),
            rate: nic.rate,
            anti_spoofing: nic.anti_spoofing,
        });
    }
    Ok(records)
}

//! Who has which MAC address. Two interfaces with one address on one bridge
//! make both guests unreachable in turns, so an address is claimed before a
//! guest is written down, and given back when it is deleted.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use parking_lot::Mutex;
use uuid::Uuid;

use super::mac::Mac;
use crate::problem::Problem;

/// An interface that has an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub guest: Uuid,
    /// The guest's name, for whoever is refused.
    pub name: String,
    /// The interface: 0 is the guest's first.
    pub index: u8,
}

impl Holder {
    fn is_same_interface(&self, other: &Self) -> bool {
        self.guest == other.guest && self.index == other.index
    }
}

/// All addresses of all guests of this host, running or not.
#[derive(Debug, Default)]
pub struct Macs {
    held: Mutex<HashMap<Mac, Holder>>,
}

impl Macs {
    /// Gives `mac` to `holder`; it may have it already. ALREADY_EXISTS names who has it.
    pub fn claim(&self, mac: Mac, holder: Holder) -> Result<(), Problem> {
        match self.held.lock().entry(mac) {
            Entry::Vacant(free) => {
                free.insert(holder);
                Ok(())
            }
            Entry::Occupied(mut taken) if taken.get().is_same_interface(&holder) => {
                taken.insert(holder);
                Ok(())
            }
            Entry::Occupied(taken) => {
                let Holder { name, index, .. } = taken.get();
                Err(Problem::already_exists(
                    "MAC_IN_USE",
                    format!("the MAC address {mac} is that of interface {index} of {name}"),
                )
                .hint("Leave the address out, and a free one is generated; or take another."))
            }
        }
    }

    /// A free generated address, which then is `holder`'s.
    pub fn generate(&self, holder: Holder) -> Mac {
        let mut held = self.held.lock();
        // Ends: a host with 8 million interfaces has run out of other things.
        loop {
            if let Entry::Vacant(free) = held.entry(Mac::random()) {
                let mac = *free.key();
                free.insert(holder);
                return mac;
            }
        }
    }

    /// Gives back the address of one interface; having none is fine.
    pub fn release(&self, guest: Uuid, index: u8) {
        self.held.lock().retain(|_, holder| (holder.guest, holder.index) != (guest, index));
    }

    /// Gives back all addresses of a guest that is deleted.
    pub fn release_guest(&self, guest: Uuid) {
        self.held.lock().retain(|_, holder| holder.guest != guest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(guest: u128, index: u8) -> Holder {
        Holder { guest: Uuid::from_u128(guest), name: format!("guest{guest}"), index }
    }

    #[test]
    fn an_address_has_one_holder_until_it_is_given_back() {
        let macs = Macs::default();
        let mac = macs.generate(holder(1, 0));
        macs.claim(mac, holder(1, 0)).unwrap();
        for other in [holder(2, 0), holder(1, 1)] {
            let problem = macs.claim(mac, other).unwrap_err();
            assert_eq!(problem.reason, "MAC_IN_USE");
            let wanted = format!("the MAC address {mac} is that of interface 0 of guest1");
            assert_eq!(problem.message, wanted);
        }
        macs.release(Uuid::from_u128(1), 1);
        assert!(macs.claim(mac, holder(2, 0)).is_err());
        macs.release(Uuid::from_u128(1), 0);
        macs.claim(mac, holder(2, 0)).unwrap();
    }

    #[test]
    fn a_deleted_guest_keeps_nothing() {
        let macs = Macs::default();
        let mine = [macs.generate(holder(1, 0)), macs.generate(holder(1, 1))];
        let other = macs.generate(holder(2, 0));
        macs.release_guest(Uuid::from_u128(1));
        for mac in mine {
            macs.claim(mac, holder(3, 0)).unwrap();
        }
        assert!(macs.claim(other, holder(3, 1)).is_err());
    }
}

//! Who has which volume attached: one writer, or any number of readers.
//!
//! Two systems that write one file system destroy it, and one that reads what
//! another writes sees nonsense. Claims are not on disk: a daemon that starts
//! claims again for the domains that it finds.

use std::collections::HashMap;

use uuid::Uuid;
use xlfs_xen::loopdev::Access;

use super::VolumeRecord;
use crate::problem::Problem;

/// A guest that has a volume attached, or is about to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub uuid: Uuid,
    /// For errors about others who want the volume.
    pub name: String,
}

/// One guest's hold of one volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub holder: Holder,
    pub access: Access,
}

#[derive(Debug, Default)]
pub(super) struct Claims {
    by_volume: HashMap<Uuid, Vec<Claim>>,
}

impl Claims {
    /// False: that guest has it so already. VOLUME_IN_USE where another one, or
    /// the guest itself in another way, rules it out.
    pub(super) fn claim(
        &mut self,
        volume: &VolumeRecord,
        holder: &Holder,
        access: Access,
    ) -> Result<bool, Problem> {
        let held = self.by_volume.entry(volume.uuid).or_default();
        if let Some(own) = held.iter().find(|claim| claim.holder.uuid == holder.uuid) {
            return match own.access == access {
                true => Ok(false),
                false => Err(in_use(volume, held)),
            };
        }
        let others_write = held.iter().any(|claim| claim.access == Access::ReadWrite);
        if others_write || (access == Access::ReadWrite && !held.is_empty()) {
            return Err(in_use(volume, held));
        }
        held.push(Claim { holder: holder.clone(), access });
        Ok(true)
    }

    /// Whether the guest had it.
    pub(super) fn release(&mut self, volume: Uuid, guest: Uuid) -> bool {
        let Some(held) = self.by_volume.get_mut(&volume) else { return false };
        let before = held.len();
        held.retain(|claim| claim.holder.uuid != guest);
        let had = held.len() < before;
        if held.is_empty() {
            self.by_volume.remove(&volume);
        }
        had
    }

    /// The volumes that the guest had.
    pub(super) fn release_all(&mut self, guest: Uuid) -> Vec<Uuid> {
        let volumes: Vec<Uuid> = self.by_volume.keys().copied().collect();
        volumes.into_iter().filter(|volume| self.release(*volume, guest)).collect()
    }

    pub(super) fn of(&self, volume: Uuid) -> &[Claim] {
        self.by_volume.get(&volume).map(Vec::as_slice).unwrap_or_default()
    }

    /// VOLUME_IN_USE unless nobody has it.
    pub(super) fn check_free(&self, volume: &VolumeRecord) -> Result<(), Problem> {
        match self.of(volume.uuid) {
            [] => Ok(()),
            held => Err(in_use(volume, held)),
        }
    }
}

fn in_use(volume: &VolumeRecord, held: &[Claim]) -> Problem {
    let how = |claim: &Claim| match claim.access {
        Access::ReadOnly => format!("guest {} (read-only)", claim.holder.name),
        Access::ReadWrite => format!("guest {}", claim.holder.name),
    };
    let users = held.iter().map(how).collect::<Vec<_>>().join(", ");
    let message = format!("the {} is attached to {users}", volume.title());
    Problem::failed_precondition("VOLUME_IN_USE", message)
        .object(volume.title())
        .hint("Detach it there, or stop that guest. Several guests may have it only if all do so read-only.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::VolumeOrigin;

    fn volume() -> VolumeRecord {
        VolumeRecord {
            format: 1,
            uuid: Uuid::new_v4(),
            name: "data".into(),
            pool: "default".into(),
            size: 1,
            created_ms: 1,
            owner: None,
            kept: false,
            work: None,
            origin: VolumeOrigin::Empty,
        }
    }

    fn guest(name: &str) -> Holder {
        Holder { uuid: Uuid::new_v4(), name: name.into() }
    }

    /// Every pair of ways in which two guests, or one guest twice, can want it.
    #[test]
    fn one_writer_or_many_readers() {
        use Access::{ReadOnly, ReadWrite};
        let (one, two) = (guest("one"), guest("two"));
        for (first, second, others, own) in [
            (ReadOnly, ReadOnly, true, Some(false)),
            (ReadOnly, ReadWrite, false, None),
            (ReadWrite, ReadOnly, false, None),
            (ReadWrite, ReadWrite, false, Some(false)),
        ] {
            let (mut claims, volume) = (Claims::default(), volume());
            assert_eq!(claims.claim(&volume, &one, first), Ok(true));
            assert_eq!(claims.claim(&volume, &two, second).is_ok(), others, "{first:?} {second:?}");
            assert_eq!(claims.claim(&volume, &one, second).ok(), own, "{first:?} {second:?}");
            let held = 1 + usize::from(others);
            assert_eq!(claims.of(volume.uuid).len(), held, "a refusal changes nothing");
        }
    }

    #[test]
    fn a_refusal_names_the_users() {
        let (mut claims, volume) = (Claims::default(), volume());
        claims.claim(&volume, &guest("web"), Access::ReadOnly).unwrap();
        claims.claim(&volume, &guest("db"), Access::ReadOnly).unwrap();
        let problem = claims.claim(&volume, &guest("x"), Access::ReadWrite).unwrap_err();
        assert_eq!(problem.reason, "VOLUME_IN_USE");
        let expected = "the volume data is attached to guest web (read-only), guest db (read-only)";
        assert_eq!(problem.message, expected);
        assert_eq!(claims.check_free(&volume).unwrap_err().message, expected);
    }

    #[test]
    fn what_is_released_is_free() {
        let (mut claims, first, second) = (Claims::default(), volume(), volume());
        let (web, db) = (guest("web"), guest("db"));
        for volume in [&first, &second] {
            claims.claim(volume, &web, Access::ReadWrite).unwrap();
        }
        assert!(!claims.release(first.uuid, db.uuid));
        assert!(claims.claim(&first, &db, Access::ReadWrite).is_err());
        assert!(claims.release(first.uuid, web.uuid));
        assert!(!claims.release(first.uuid, web.uuid));
        assert_eq!(claims.claim(&first, &db, Access::ReadWrite), Ok(true));
        assert_eq!(claims.release_all(web.uuid), [second.uuid]);
        claims.check_free(&second).unwrap();
        assert!(claims.check_free(&first).is_err());
    }
}

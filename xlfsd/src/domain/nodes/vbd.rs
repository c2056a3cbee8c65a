//! A disk in xenstore: the back end's folder, which the guest may read, and the
//! front end's, which is the guest's own.
//!
//! Sources: public/io/blkif.h; Documentation/ABI/testing/sysfs-driver-xen-blkback
//! and drivers/block/xen-blkback of Linux for what its back end reads. The state
//! is written last: a back end looks at a device when its state appears.

use xlfs_xen::hypercall::DomainId;
use xlfs_xen::xenstore::Perm;

use super::home;
use crate::domain::devices::DiskName;
use crate::host::{BlockNumber, StoreOp};

/// `XenbusStateInitialising` of public/io/xenbus.h.
const INITIALISING: &str = "1";
/// The rest of them that matter here.
pub(in crate::domain) const CONNECTED: &str = "4";
const CLOSING: &str = "5";
pub(in crate::domain) const CLOSED: &str = "6";

/// A disk as both ends are told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::domain) struct Vbd {
    pub name: DiskName,
    pub block: BlockNumber,
    pub read_only: bool,
}

/// The back end's folder of a disk.
pub(in crate::domain) fn back_end(domid: DomainId, name: DiskName) -> String {
    format!("{}/backend/vbd/{domid}/{}", home(DomainId(0)), name.number())
}

/// The front end's.
pub(in crate::domain) fn front_end(domid: DomainId, name: DiskName) -> String {
    format!("{}/device/vbd/{}", home(domid), name.number())
}

/// All changes that give a domain a disk, where nothing of an earlier one is
/// left ([`withdraw`], [`withdraw_back_ends`]). The guest's own part of xenstore
/// (`/local/domain/<domid>/device`) must be there.
pub(in crate::domain) fn publish(domid: DomainId, vbd: &Vbd) -> Vec<StoreOp> {
    let back = back_end(domid, vbd.name);
    let front = front_end(domid, vbd.name);
    let guest = domid.0;
    let write = |folder: &str, name: &str, value: String| {
        StoreOp::Write(format!("{folder}/{name}"), value.into_bytes())
    };
    vec![
        // This one makes the folder, and no guest needs it; the later ones inherit
        // the folder's permissions. Without it Linux's back end serves nothing: it
        // names its thread by it.
        write(&back, "dev", vbd.name.to_string()),
        StoreOp::Perms(back.clone(), vec![Perm::none(0), Perm::read(guest)]),
        write(&back, "frontend", front.clone()),
        write(&back, "frontend-id", guest.to_string()),
        write(&back, "online", "1".into()),
        write(&back, "mode", if vbd.read_only { "r" } else { "w" }.into()),
        write(&back, "physical-device", vbd.block.to_string()),
        // What is ours of the front end stays Dom0's: no guest moves its back end
        // elsewhere (XSA-175).
        write(&front, "backend", back.clone()),
        write(&front, "backend-id", "0".into()),
        write(&front, "virtual-device", vbd.name.number().to_string()),
        // The guest's from here on.
        StoreOp::Perms(front.clone(), vec![Perm::none(guest), Perm::read(0)]),
        write(&front, "state", INITIALISING.into()),
        write(&back, "state", INITIALISING.into()),
    ]
}

/// Asks both ends of a device, by its back end's folder, to let go. The back end
/// is closed once the guest agreed; a guest need not.
pub(in crate::domain) fn ask_to_close(back: &str) -> Vec<StoreOp> {
    let write = |name, value: &str| StoreOp::Write(format!("{back}/{name}"), value.into());
    vec![write("online", "0"), write("state", CLOSING)]
}

/// Takes that back, where the guest has not reacted.
pub(in crate::domain) fn ask_to_stay(back: &str) -> Vec<StoreOp> {
    let write = |name, value: &str| StoreOp::Write(format!("{back}/{name}"), value.into());
    vec![write("online", "1"), write("state", CONNECTED)]
}

/// Where Dom0's kernel says why a back end gave up, by the back end's folder.
pub(in crate::domain) fn complaint(back: &str) -> String {
    back.replacen("/local/domain/0/", "/local/domain/0/error/", 1)
}

/// All changes that take one disk away, whatever the guest thinks of it.
pub(in crate::domain) fn withdraw(domid: DomainId, name: DiskName) -> Vec<StoreOp> {
    let (back, front) = (back_end(domid, name), front_end(domid, name));
    vec![StoreOp::Remove(complaint(&back)), StoreOp::Remove(front), StoreOp::Remove(back)]
}

/// Takes all back ends of a domain's number away, those of an earlier domain
/// too (XSA-322).
pub(in crate::domain) fn withdraw_back_ends(domid: DomainId) -> StoreOp {
    StoreOp::Remove(format!("{}/backend/vbd/{domid}", home(DomainId(0))))
}

/// All changes that take all disks away again, whatever the guest thinks of it.
pub(in crate::domain) fn withdraw_all(domid: DomainId) -> Vec<StoreOp> {
    vec![withdraw_back_ends(domid), StoreOp::Remove(format!("{}/device/vbd", home(domid)))]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vbd() -> Vbd {
        let name = "xvda1".parse().unwrap();
        Vbd { name, block: BlockNumber { major: 7, minor: 18 }, read_only: true }
    }

    fn value<'a>(ops: &'a [StoreOp], path: &str) -> Option<&'a str> {
        ops.iter().find_map(|op| match op {
            StoreOp::Write(at, value) if at == path => std::str::from_utf8(value).ok(),
            _ => None,
        })
    }

    #[test]
    fn both_ends_find_each_other() {
        let ops = publish(DomainId(5), &vbd());
        let back = "/local/domain/0/backend/vbd/5/51713";
        let front = "/local/domain/5/device/vbd/51713";
        assert_eq!(value(&ops, &format!("{front}/backend")), Some(back));
        assert_eq!(value(&ops, &format!("{back}/frontend")), Some(front));
        assert_eq!(value(&ops, &format!("{back}/physical-device")), Some("7:12"));
        assert_eq!(value(&ops, &format!("{back}/mode")), Some("r"));
        assert_eq!(ops.last(), Some(&StoreOp::Write(format!("{back}/state"), b"1".to_vec())));
    }

    #[test]
    fn the_guest_cannot_write_to_the_back_end() {
        let ops = publish(DomainId(5), &vbd());
        let at = |wanted: &str| {
            ops.iter().position(|op| matches!(op, StoreOp::Write(path, _) if path == wanted))
        };
        let given = |folder: &str| {
            ops.iter().position(|op| matches!(op, StoreOp::Perms(path, _) if path == folder))
        };
        let (back, front) =
            ("/local/domain/0/backend/vbd/5/51713", "/local/domain/5/device/vbd/51713");
        for op in &ops {
            let StoreOp::Perms(path, perms) = op else { continue };
            let owner = if path == back { 0 } else { 5 };
            assert_eq!(perms[0], Perm::none(owner), "{path}");
        }
        // Only its state is the guest's: what is written before the folder is
        // handed over stays Dom0's.
        for name in ["backend", "backend-id", "virtual-device"] {
            assert!(at(&format!("{front}/{name}")) < given(front), "{name}");
        }
        assert!(at(&format!("{front}/state")) > given(front));
        assert!(given(back) < at(&format!("{back}/physical-device")));
        assert!(ops.len() <= 13, "{} operations", ops.len());
    }
}

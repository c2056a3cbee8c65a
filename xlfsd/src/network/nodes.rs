//! What a guest and Dom0 find about a vif in xenstore. Pure: lists of changes.
//!
//! Two folders belong to a vif: the back end's, which Dom0 owns and the guest
//! may read, and the front end's, which the guest owns, because it writes its
//! state, rings and features there (`public/io/netif.h`). What is ours of the
//! front end is written before the folder is handed over, so it stays Dom0's
//! and the guest can only read it: no guest moves its `backend` elsewhere
//! (XSA-175). xlfsd reads nothing of the front end.
//!
//! Nothing is done in a transaction, so the order counts, because a running
//! domain's xenbus looks at a device as soon as it has a `state`:
//!
//! - a back end whose `state` is there must find everything else, and the front
//!   end's `state`, or Linux's netback takes the vif for one that is gone;
//! - a front end whose `state` is there must find the back end's folder.
//!
//! So the back end's `state` comes last, and the front end's just before it.
//!
//! Linux's netback does not make a vif whose back end has no `script`, although
//! it never runs it: it only names it in its uevent. It is empty here. `bridge`,
//! `type` and the front end's `handle`, which xl writes too, are for scripts and
//! for xl; nobody reads them on a host without these, and every node costs.

use xlfs_xen::hypercall::DomainId;
use xlfs_xen::xenstore::Perm;

use super::{Mac, Rate};
use crate::host::StoreOp;

/// Where Dom0's xenbus looks for the back ends of vifs.
const BACKENDS: &str = "/local/domain/0/backend/vif";
/// What a front end takes when there is no `mtu`.
const USUAL_MTU: u32 = 1500;

/// `XenbusStateInitialising` of `public/io/xenbus.h`.
const INITIALISING: &str = "1";

/// One of a guest's interfaces, as its two ends need to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VifSpec {
    /// 0 is the guest's first: its eth0.
    pub index: u8,
    pub mac: Mac,
    /// The bridge's, in bytes.
    pub mtu: u32,
    /// None: as fast as it goes.
    pub rate: Option<Rate>,
}

/// Dom0's end.
pub fn backend(domid: DomainId, index: u8) -> String {
    format!("{BACKENDS}/{domid}/{index}")
}

/// The guest's end.
pub fn frontend(domid: DomainId, index: u8) -> String {
    format!("/local/domain/{domid}/device/vif/{index}")
}

/// All changes that make netback create a vif, where nothing of an earlier one
/// is left ([`withdraw`], [`withdraw_all`]; XSA-322). The guest's own part of
/// xenstore (`/local/domain/<domid>/device`) must be there.
pub fn publish(domid: DomainId, vif: &VifSpec) -> Vec<StoreOp> {
    let back = backend(domid, vif.index);
    let front = frontend(domid, vif.index);
    let write = |folder: &str, key: &str, value: &str| {
        StoreOp::Write(format!("{folder}/{key}"), value.as_bytes().to_vec())
    };
    let (index, mac) = (vif.index.to_string(), vif.mac.to_string());
    let mut ops = vec![
        // This one makes the folder; the later ones inherit its permissions.
        write(&back, "script", ""),
        StoreOp::Perms(back.clone(), vec![Perm::none(0), Perm::read(domid.0)]),
        write(&back, "frontend", &front),
        write(&back, "frontend-id", &domid.to_string()),
        // The vif stays when the guest closes its end, as it does to reboot.
        write(&back, "online", "1"),
        write(&back, "handle", &index),
        write(&back, "mac", &mac),
    ];
    if let Some(rate) = vif.rate {
        ops.push(write(&back, "rate", &rate.node()));
    }
    ops.extend([
        write(&front, "backend", &back),
        write(&front, "backend-id", "0"),
        write(&front, "mac", &mac),
    ]);
    if vif.mtu != USUAL_MTU {
        ops.push(write(&front, "mtu", &vif.mtu.to_string()));
    }
    ops.extend([
        // The guest's from here on.
        StoreOp::Perms(front.clone(), vec![Perm::none(domid.0), Perm::read(0)]),
        write(&front, "state", INITIALISING),
        write(&back, "state", INITIALISING),
    ]);
    ops
}

/// Tells netback that the vif is on its bridge. It tells the guest that the
/// interface works only then.
pub fn connected(domid: DomainId, index: u8) -> StoreOp {
    StoreOp::Write(format!("{}/hotplug-status", backend(domid, index)), b"connected".to_vec())
}

/// Makes a vif unknown. netback takes its interface away, whatever the guest says.
pub fn withdraw(domid: DomainId, index: u8) -> Vec<StoreOp> {
    vec![StoreOp::Remove(frontend(domid, index)), StoreOp::Remove(backend(domid, index))]
}

/// Makes all vifs of a domain that is gone unknown; its front ends go with its home.
pub fn withdraw_all(domid: DomainId) -> StoreOp {
    StoreOp::Remove(format!("{BACKENDS}/{domid}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUEST: DomainId = DomainId(7);

    fn vif(rate: Option<&str>, mtu: u32) -> VifSpec {
        let mac = "00:16:3e:00:00:01".parse().unwrap();
        VifSpec { index: 2, mac, mtu, rate: rate.map(|rate| rate.parse().unwrap()) }
    }

    /// Carries the changes out as xenstored does: what a write creates inherits
    /// from its folder. The third is who owns the node.
    fn carry_out(ops: &[StoreOp]) -> Vec<(String, String, Vec<Perm>)> {
        let mut nodes: Vec<(String, String, Vec<Perm>)> = Vec::new();
        for op in ops {
            match op {
                StoreOp::Write(path, value) => {
                    let value = String::from_utf8(value.clone()).unwrap();
                    let (folder, _) = path.rsplit_once('/').unwrap();
                    if !nodes.iter().any(|(path, ..)| path == folder) {
                        nodes.push((folder.into(), String::new(), vec![Perm::none(0)]));
                    }
                    let perms = nodes.iter().find(|(path, ..)| path == folder).unwrap().2.clone();
                    nodes.push((path.clone(), value, perms));
                }
                StoreOp::Perms(path, perms) => {
                    nodes.iter_mut().find(|(node, ..)| node == path).unwrap().2 = perms.clone();
                }
                other => panic!("{other:?}"),
            }
        }
        nodes
    }

    #[test]
    fn both_ends_find_what_they_look_for() {
        let nodes = carry_out(&publish(GUEST, &vif(Some("1MB/s@20ms"), 9000)));
        let back = "/local/domain/0/backend/vif/7/2";
        let front = "/local/domain/7/device/vif/2";
        let wanted = [
            (back, "script", ""),
            (back, "frontend", front),
            (back, "frontend-id", "7"),
            (back, "online", "1"),
            (back, "handle", "2"),
            (back, "mac", "00:16:3e:00:00:01"),
            (back, "rate", "20000,20000"),
            (front, "backend", back),
            (front, "backend-id", "0"),
            (front, "mac", "00:16:3e:00:00:01"),
            (front, "mtu", "9000"),
            (front, "state", "1"),
            (back, "state", "1"),
        ];
        let values: Vec<(String, &str)> = nodes
            .iter()
            .filter(|(path, ..)| path != back && path != front)
            .map(|(path, value, _)| (path.clone(), value.as_str()))
            .collect();
        let wanted: Vec<(String, &str)> =
            wanted.iter().map(|(folder, key, value)| (format!("{folder}/{key}"), *value)).collect();
        assert_eq!(values, wanted, "in this order");
    }

    #[test]
    fn the_guest_owns_its_state_and_nothing_of_ours() {
        let nodes = carry_out(&publish(GUEST, &vif(Some("1MB/s"), 9000)));
        for (path, _, perms) in &nodes {
            let in_front = path.starts_with("/local/domain/7/");
            let key = path.rsplit('/').next().unwrap();
            if in_front && (key == "state" || key == "2") {
                assert_eq!(perms, &[Perm::none(7), Perm::read(0)], "{path}");
            } else {
                assert_eq!(perms[0], Perm::none(0), "{path}");
            }
            // Everything in the back end but the node that no guest needs.
            if !in_front && key != "script" {
                assert_eq!(perms[1], Perm::read(7), "{path}");
            }
        }
    }

    #[test]
    fn a_usual_vif_takes_at_most_14_operations() {
        let all = publish(GUEST, &vif(None, 1500)).len() + 1;
        assert!(all <= 14, "{all} operations");
        assert_eq!(publish(GUEST, &vif(Some("1MB/s"), 1500)).len() + 1, all + 1);
        assert_eq!(publish(GUEST, &vif(None, 1400)).len() + 1, all + 1);
    }

    #[test]
    fn nothing_of_a_vif_is_left() {
        let mut paths: Vec<String> = carry_out(&publish(GUEST, &vif(None, 1500)))
            .into_iter()
            .map(|(path, ..)| path)
            .collect();
        for op in withdraw(GUEST, 2) {
            let StoreOp::Remove(top) = op else { panic!("{op:?}") };
            let below = format!("{top}/");
            paths.retain(|path| *path != top && !path.starts_with(&below));
        }
        assert!(paths.is_empty(), "{paths:?}");
    }
}

//! What a guest and Dom0 find about a domain in xenstore. Pure: lists of changes.
//!
//! Everything is written before the domain is introduced, in one batch and
//! without a transaction: until then nobody else knows the domain. What an
//! earlier domain with the same number left is wiped first (XSA-322). The
//! guest may read its own part; of it, it may write only the nodes that are
//! its own by protocol. Its console's nodes are not among these (XSA-57).
//! Permissions are set on the top and inherited: a node costs an operation, and
//! its permissions would cost another.
//!
//! The rings' numbers, which libxl writes here, are not: a PV guest has them from
//! its start_info, xenstored from the introduction, and the daemon keeps its own.
//!
//! What the daemon itself relies on stands under `/xlfs/<uuid>`, where only
//! Dom0 writes (XSA-175).

pub(super) mod vbd;

use uuid::Uuid;
use xlfs_xen::builder::Built;
use xlfs_xen::hypercall::DomainId;
use xlfs_xen::xenstore::Perm;

use self::vbd::Vbd;
use super::record::GuestRecord;
use crate::host::{ConsolePlace, StoreOp};
use crate::network;
use crate::network::nodes::VifSpec;

/// Bytes that are read of a value; longer ones are not ours.
const MAX_VALUE: usize = 64;

/// The domain's top node.
pub(super) fn home(domid: DomainId) -> String {
    format!("/local/domain/{domid}")
}

/// Where a guest is told to shut down.
pub(super) fn shutdown_request(domid: DomainId) -> String {
    format!("{}/control/shutdown", home(domid))
}

fn own(uuid: Uuid) -> String {
    format!("/xlfs/{uuid}")
}

/// Where the daemon remembers a domain's console.
pub(super) fn console_place(uuid: Uuid) -> String {
    format!("{}/console", own(uuid))
}

/// All changes that make a built domain known, the introduction last.
pub(super) fn publish(
    record: &GuestRecord,
    domid: DomainId,
    built: &Built,
    (vbds, vifs): (&[Vbd], &[VifSpec]),
) -> Vec<StoreOp> {
    let home = home(domid);
    let guest = domid.0;
    let kib = record.memory_mib << 10;
    let write =
        |path: &str, value: String| StoreOp::Write(format!("{home}/{path}"), value.into_bytes());
    let control = format!("{home}/control");
    let may_read = || vec![Perm::none(0), Perm::read(guest)];
    let mut ops = vec![
        StoreOp::Remove(home.clone()),
        // This one makes the folder, and no guest needs it; the later ones inherit
        // the folder's permissions.
        write("console/type", "xlfsd".into()),
        StoreOp::Perms(home.clone(), may_read()),
        write("name", record.name.clone()),
        write("domid", domid.to_string()),
        write("memory/target", kib.to_string()),
        write("memory/static-max", kib.to_string()),
    ];
    for vcpu in 0..record.vcpus {
        ops.push(write(&format!("cpu/{vcpu}/availability"), "online".into()));
    }
    ops.push(write("control/platform-feature-xs_reset_watches", "1".into()));
    if vbds.is_empty() && vifs.is_empty() {
        ops.push(write("device", String::new()));
    }
    // The guest's own by protocol: it acknowledges in the first, and says in the
    // others what it can do. They inherit that from their folder, which is the
    // guest's for as long as nobody knows the domain.
    ops.push(StoreOp::Perms(control.clone(), vec![Perm::none(guest)]));
    for name in ["shutdown", "feature-poweroff", "feature-reboot", "feature-suspend"] {
        ops.push(StoreOp::Write(format!("{control}/{name}"), Vec::new()));
    }
    ops.push(StoreOp::Perms(control, may_read()));
    if !vbds.is_empty() {
        ops.push(vbd::withdraw_back_ends(domid));
    }
    if !vifs.is_empty() {
        ops.push(network::nodes::withdraw_all(domid));
    }
    ops.extend(vbds.iter().flat_map(|vbd| vbd::publish(domid, vbd)));
    ops.extend(vifs.iter().flat_map(|vif| network::nodes::publish(domid, vif)));
    let place = format!("{domid} {} {}", built.console_mfn, built.console_port);
    ops.push(StoreOp::Write(console_place(record.uuid), place.into_bytes()));
    ops.push(StoreOp::Introduce { domid, mfn: built.store_mfn, port: built.store_port });
    ops
}

/// All changes that make a domain unknown again.
pub(super) fn withdraw(uuid: Uuid, domid: Option<DomainId>) -> Vec<StoreOp> {
    let mut ops = Vec::new();
    if let Some(domid) = domid {
        ops.push(StoreOp::Release(domid));
        ops.push(StoreOp::Remove(home(domid)));
        // Empty folders of devices that went while the guest ran.
        ops.push(vbd::withdraw_back_ends(domid));
        ops.push(network::nodes::withdraw_all(domid));
    }
    ops.push(StoreOp::Remove(own(uuid)));
    ops
}

/// The domain that [`publish`] wrote [`console_place`] for.
pub(super) fn parse_console_domid(value: &[u8]) -> Option<DomainId> {
    let text = std::str::from_utf8(value.get(..value.len().min(MAX_VALUE))?).ok()?;
    text.split(' ').next()?.parse().ok().map(DomainId)
}

/// Reads what [`publish`] wrote at [`console_place`]; `None` when it is about
/// another domain, or makes no sense.
pub(super) fn parse_console_place(value: &[u8], domid: DomainId) -> Option<ConsolePlace> {
    let text = std::str::from_utf8(value.get(..value.len().min(MAX_VALUE))?).ok()?;
    let mut words = text.split(' ');
    let found: u16 = words.next()?.parse().ok()?;
    let mfn = words.next()?.parse().ok()?;
    let port = words.next()?.parse().ok()?;
    (found == domid.0 && words.next().is_none()).then_some(ConsolePlace { domid, mfn, port })
}

#[cfg(test)]
mod tests {
    use super::super::record::sample;
    use super::*;

    const BUILT: Built = Built { store_mfn: 100, store_port: 1, console_mfn: 101, console_port: 2 };

    #[test]
    fn a_guest_without_devices_takes_at_most_20_operations() {
        let ops = publish(&sample("web"), DomainId(7), &BUILT, (&[], &[]));
        assert!(ops.len() <= 20, "{} operations", ops.len());
        assert!(matches!(ops.last(), Some(StoreOp::Introduce { .. })));
        assert_eq!(ops[0], StoreOp::Remove("/local/domain/7".into()));
    }

    /// Who owns each node of the guest's part in the end: what a write creates
    /// inherits from its folder.
    fn owners(ops: &[StoreOp]) -> Vec<(String, Vec<Perm>)> {
        let mut nodes: Vec<(String, Vec<Perm>)> = vec![(String::new(), vec![Perm::none(0)])];
        for op in ops {
            match op {
                StoreOp::Write(path, _) if path.starts_with("/local/domain/7") => {
                    for (at, _) in path.match_indices('/').skip(3).chain([(path.len(), "")]) {
                        let node = &path[..at];
                        if nodes.iter().all(|(path, _)| path != node) {
                            let folder = node.rsplit_once('/').map_or("", |(folder, _)| folder);
                            let of = nodes.iter().find(|(path, _)| path == folder);
                            let perms = of.map_or_else(|| vec![Perm::none(0)], |n| n.1.clone());
                            nodes.push((node.to_owned(), perms));
                        }
                    }
                }
                StoreOp::Perms(path, perms) => {
                    nodes.iter_mut().find(|(node, _)| node == path).unwrap().1 = perms.clone();
                }
                _ => {}
            }
        }
        nodes.retain(|(path, _)| !path.is_empty());
        nodes
    }

    #[test]
    fn the_guest_owns_only_what_is_its_own_by_protocol() {
        let nodes = owners(&publish(&sample("web"), DomainId(7), &BUILT, (&[], &[])));
        let own = ["shutdown", "feature-poweroff", "feature-reboot", "feature-suspend"];
        let own = own.map(|name| format!("/local/domain/7/control/{name}"));
        let found: Vec<_> = nodes.iter().filter(|(_, perms)| perms[0] == Perm::none(7)).collect();
        assert_eq!(found.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>(), own);
        let hidden = |path: &str| path.starts_with("/local/domain/7/console");
        for (path, perms) in nodes.iter().filter(|(p, _)| !own.contains(p) && !hidden(p)) {
            assert_eq!(*perms, [Perm::none(0), Perm::read(7)], "{path}");
        }
    }

    /// The bar for a guest with a disk and an interface, which has a
    /// configuration disk then: 60, and one more tells netback of the bridge.
    #[test]
    fn a_guest_with_a_disk_and_an_interface_takes_at_most_60_operations() {
        let disk = |name: &str| Vbd {
            name: name.parse().unwrap(),
            block: crate::host::BlockNumber { major: 7, minor: 0 },
            read_only: false,
        };
        let mac = "00:16:3e:00:00:01".parse().unwrap();
        let vif = VifSpec { index: 0, mac, mtu: 1500, rate: None };
        let disks = [disk("xvda"), disk("xvdz")];
        let ops = publish(&sample("web"), DomainId(7), &BUILT, (&disks, &[vif]));
        assert!(ops.len() < 60, "{} operations", ops.len());
    }

    #[test]
    fn the_console_place_comes_back_and_garbage_does_not() {
        let record = sample("web");
        let value = publish(&record, DomainId(7), &BUILT, (&[], &[]))
            .into_iter()
            .find_map(|op| match op {
                StoreOp::Write(path, value) if path == console_place(record.uuid) => Some(value),
                _ => None,
            })
            .unwrap();
        let place = ConsolePlace { domid: DomainId(7), mfn: 101, port: 2 };
        assert_eq!(parse_console_place(&value, DomainId(7)), Some(place));
        assert_eq!(parse_console_place(&value, DomainId(8)), None);
        for garbage in [&b""[..], b"7", b"7 1", b"7 1 2 3", b"\xff", b"7 -1 2", &[b'7'; 5000]] {
            assert_eq!(parse_console_place(garbage, DomainId(7)), None);
        }
    }
}

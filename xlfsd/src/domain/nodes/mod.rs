//! What a guest and Dom0 find about a domain in xenstore. Pure: lists of changes.
//!
//! Everything is written before the domain is introduced, in one batch and
//! without a transaction: until then nobody else knows the domain. What an
//! earlier domain with the same number left is wiped first (XSA-322). The
//! guest may read its own part; of it, it may write only the nodes that are
//! its own by protocol. Its console's nodes are not among these (XSA-57).
//! Permissions are set on the top and inherited.
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
    let mut ops = vec![
        StoreOp::Remove(home.clone()),
        StoreOp::Mkdir(home.clone()),
        StoreOp::Perms(home.clone(), vec![Perm::none(0), Perm::read(guest)]),
    ];
    let mut write = |path: &str, value: String| {
        ops.push(StoreOp::Write(format!("{home}/{path}"), value.into_bytes()));
    };
    write("name", record.name.clone());
    write("domid", domid.to_string());
    write("memory/target", kib.to_string());
    write("memory/static-max", kib.to_string());
    write("store/port", built.store_port.to_string());
    write("store/ring-ref", built.store_mfn.to_string());
    write("console/type", "xlfsd".into());
    write("console/port", built.console_port.to_string());
    write("console/ring-ref", built.console_mfn.to_string());
    for vcpu in 0..record.vcpus {
        write(&format!("cpu/{vcpu}/availability"), "online".into());
    }
    write("control/platform-feature-multiprocessor-suspend", "1".into());
    write("control/platform-feature-xs_reset_watches", "1".into());
    write("device", String::new());
    // The guest's own by protocol: it acknowledges in the first two, and says
    // in the others what it can do.
    for path in ["shutdown", "sysrq", "feature-poweroff", "feature-reboot", "feature-suspend"] {
        let path = format!("{home}/control/{path}");
        ops.push(StoreOp::Write(path.clone(), Vec::new()));
        ops.push(StoreOp::Perms(path, vec![Perm::none(guest)]));
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
    fn a_guest_without_devices_takes_at_most_30_operations() {
        let ops = publish(&sample("web"), DomainId(7), &BUILT, (&[], &[]));
        assert!(ops.len() <= 30, "{} operations", ops.len());
        assert!(matches!(ops.last(), Some(StoreOp::Introduce { .. })));
        assert_eq!(ops[0], StoreOp::Remove("/local/domain/7".into()));
    }

    #[test]
    fn the_guest_owns_only_what_is_its_own_by_protocol() {
        for op in publish(&sample("web"), DomainId(7), &BUILT, (&[], &[])) {
            let StoreOp::Perms(path, perms) = op else { continue };
            if perms[0] == Perm::none(7) {
                assert!(path.starts_with("/local/domain/7/control/"), "{path}");
            } else {
                assert_eq!(perms, [Perm::none(0), Perm::read(7)], "{path}");
            }
        }
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

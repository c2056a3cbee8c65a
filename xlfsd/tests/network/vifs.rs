//! vifs are waited for, attached and detached.

use std::time::{Duration, Instant};

use rtnetlink::LinkUnspec;
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use xlfsd::network::{Attachment, Bridge, LinkName, Links, Netlink};

use crate::space::{Space, in_own_network, name, sysctl};
use crate::wire::{Wire, frame};

const GUEST: Uuid = Uuid::from_u128(0x1234_5678);
/// Long enough on any machine.
const LONG: Duration = Duration::from_secs(60);

pub(crate) fn attachment(bridge: &str) -> Attachment {
    Attachment { bridge: name(bridge), guest: GUEST, isolated: false }
}

pub(crate) async fn make_bridge(bridge: &str) {
    let bridge =
        Bridge { name: name(bridge), addresses: Vec::new(), uplinks: Vec::new(), mtu: None };
    Netlink.ensure_bridge(&bridge).await.unwrap();
}

async fn alias(space: &Space, link: &str) -> Option<String> {
    let alias = |attribute: &LinkAttribute| match attribute {
        LinkAttribute::IfAlias(alias) => Some(alias.clone()),
        _ => None,
    };
    space.attribute(link, alias).await
}

#[test]
fn a_vif_is_on_its_bridge_when_attach_returns() {
    in_own_network(|| async {
        let space = Space::open();
        let bridge = Bridge {
            name: name("br0"),
            addresses: Vec::new(),
            uplinks: Vec::new(),
            mtu: Some(1450),
        };
        Netlink.ensure_bridge(&bridge).await.unwrap();
        space.wire("vif7.0", "guest0").await;
        for isolated in [false, true, true, false] {
            let wanted = Attachment { isolated, ..attachment("br0") };
            Netlink.attach(&name("vif7.0"), &wanted).await.unwrap();
        }
        let vif = space.look("vif7.0").await.unwrap();
        assert!(vif.header.flags.contains(LinkFlags::Up));
        assert!(!vif.header.flags.contains(LinkFlags::Multicast));
        assert_eq!(space.mac("vif7.0").await, [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(space.mtu("vif7.0").await, 1450);
        assert_eq!(alias(&space, "vif7.0").await, Some(format!("xlfs:{GUEST}")));
        for (key, value) in [("disable_ipv6", "1"), ("accept_ra", "0"), ("autoconf", "0")] {
            assert_eq!(sysctl("vif7.0", key), value, "{key}");
        }
        assert_eq!(sysctl("guest0", "disable_ipv6"), "0", "or the above says nothing");

        let ports = Netlink.ports(&name("br0")).await.unwrap();
        assert_eq!(ports.len(), 1);
        let port = &ports[0];
        assert_eq!((port.name.as_str(), port.up, port.guest), ("vif7.0", true, Some(GUEST)));
    });
}

#[test]
fn a_vif_that_is_up_already_with_another_address_is_attached() {
    in_own_network(|| async {
        let space = Space::open();
        make_bridge("br0").await;
        make_bridge("br1").await;
        space.wire("vif7.0", "guest0").await;
        let up = LinkUnspec::new_with_index(space.index("vif7.0").await).up().build();
        space.0.link().change(up).execute().await.unwrap();
        for bridge in ["br0", "br1"] {
            Netlink.attach(&name("vif7.0"), &attachment(bridge)).await.unwrap();
            assert_eq!(Netlink.ports(&name(bridge)).await.unwrap().len(), 1);
        }
        assert!(Netlink.ports(&name("br0")).await.unwrap().is_empty());
    });
}

#[test]
fn detach_can_be_repeated() {
    in_own_network(|| async {
        let space = Space::open();
        make_bridge("br0").await;
        space.wire("vif7.0", "guest0").await;
        let vif = name("vif7.0");
        assert!(!Netlink.detach(&vif).await.unwrap());
        Netlink.attach(&vif, &attachment("br0")).await.unwrap();
        assert!(Netlink.detach(&vif).await.unwrap());
        assert!(!Netlink.detach(&vif).await.unwrap());
        assert!(Netlink.ports(&name("br0")).await.unwrap().is_empty());
        assert!(!space.look("vif7.0").await.unwrap().header.flags.contains(LinkFlags::Up));
        space.delete("vif7.0").await;
        assert!(!Netlink.detach(&vif).await.unwrap());
    });
}

#[test]
fn a_missing_bridge_is_told_with_those_there_are() {
    in_own_network(|| async {
        let space = Space::open();
        space.wire("vif7.0", "guest0").await;
        let vif = name("vif7.0");
        let problem = Netlink.attach(&vif, &attachment("br9")).await.unwrap_err();
        assert_eq!(problem.reason, "NO_SUCH_BRIDGE");
        assert_eq!(problem.message, "there is no bridge br9; this host has no bridge");
        make_bridge("lan").await;
        make_bridge("dmz").await;
        let problem = Netlink.attach(&vif, &attachment("br9")).await.unwrap_err();
        assert_eq!(
            problem.message,
            "there is no bridge br9; the bridges of this host are dmz, lan"
        );
        assert!(problem.hint.is_some());
        let problem = Netlink.attach(&name("vif9.0"), &attachment("lan")).await.unwrap_err();
        assert_eq!(problem.reason, "LINK_GONE", "{problem:#}");
    });
}

#[test]
fn a_link_is_waited_for() {
    in_own_network(|| async {
        let space = Space::open();
        let vif = name("vif7.0");
        let cancel = CancellationToken::new();
        let wait = tokio::spawn({
            let (vif, cancel) = (vif.clone(), cancel.clone());
            async move { Netlink.wait_for(&vif, LONG, &cancel).await }
        });
        // It listens by then, or it looks: both must do.
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!wait.is_finished());
        space.wire("vif7.1", "guest1").await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!wait.is_finished(), "another link is not the one");
        space.wire("vif7.0", "guest0").await;
        wait.await.unwrap().unwrap();
        // And when it is there already.
        Netlink.wait_for(&vif, LONG, &cancel).await.unwrap();
    });
}

#[test]
fn a_wait_ends_at_its_deadline_and_when_it_is_cancelled() {
    in_own_network(|| async {
        let vif: LinkName = name("vif7.0");
        let cancel = CancellationToken::new();
        let short = Duration::from_millis(200);
        let began = Instant::now();
        let problem = Netlink.wait_for(&vif, short, &cancel).await.unwrap_err();
        assert!(began.elapsed() >= short);
        assert_eq!(problem.reason, "LINK_MISSING");
        assert_eq!(problem.message, "vif7.0 did not appear within 0.2 s");
        assert!(problem.hint.is_some());

        let wait = tokio::spawn({
            let cancel = cancel.clone();
            async move { Netlink.wait_for(&vif, LONG, &cancel).await }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        cancel.cancel();
        assert!(wait.await.unwrap().unwrap_err().is_cancelled());
    });
}

#[test]
fn what_went_through_is_counted() {
    in_own_network(|| async {
        let space = Space::open();
        make_bridge("br0").await;
        space.wire("vif7.0", "guest0").await;
        let vif = name("vif7.0");
        assert_eq!(Netlink.counters(&name("vif7.9")).await.unwrap(), None);
        Netlink.attach(&vif, &attachment("br0")).await.unwrap();
        let before = Netlink.counters(&vif).await.unwrap().unwrap();
        let mut wire = Wire::on("guest0");
        for _ in 0..10 {
            wire.send(&frame([2; 6], [3; 6], 0x88b5, &[0; 100]));
        }
        let after = Netlink.counters(&vif).await.unwrap().unwrap();
        // The guest end may say something of its own as well (IPv6).
        assert!(after.rx_packets >= before.rx_packets + 10, "{before:?} {after:?}");
        assert!(after.rx_bytes >= before.rx_bytes + 10 * 114, "{before:?} {after:?}");
    });
}

#[test]
fn isolated_vifs_reach_the_others_but_not_each_other() {
    in_own_network(|| async {
        let space = Space::open();
        make_bridge("br0").await;
        for (vif, guest, isolated) in
            [("vif1.0", "guest1", true), ("vif2.0", "guest2", true), ("vif3.0", "guest3", false)]
        {
            space.wire(vif, guest).await;
            let wanted = Attachment { isolated, ..attachment("br0") };
            Netlink.attach(&name(vif), &wanted).await.unwrap();
        }
        let mut wires = ["guest1", "guest2", "guest3"].map(Wire::on);
        let frames = [1, 2, 3].map(|guest| frame([0xff; 6], [2, 0, 0, 0, 0, guest], 0x88b5, b"x"));
        wires[0].send(&frames[0]);
        wires[2].receive_until(&frames[0]);
        wires[2].send(&frames[2]);
        let seen = wires[1].receive_until(&frames[2]);
        assert!(!seen.contains(&frames[0]), "one isolated guest saw the other's frame");
        wires[0].receive_until(&frames[2]);
    });
}

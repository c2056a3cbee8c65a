//! Bridges are made, adopted, and refused.

use rtnetlink::packet_route::link::{
    BridgeStpState, InfoBridge, InfoData, LinkAttribute, LinkFlags, LinkInfo,
};
use rtnetlink::{LinkBridge, LinkMessageBuilder};
use xlfsd::network::{Bridge, Ensured, Links, Netlink};

use crate::space::{Space, in_own_network, name, sysctl};

fn bridge(bridge: &str) -> Bridge {
    Bridge { name: name(bridge), addresses: Vec::new(), uplinks: Vec::new(), mtu: None }
}

#[test]
fn a_missing_bridge_is_made_and_then_left_as_it_is() {
    in_own_network(|| async {
        let space = Space::open();
        let wanted = Bridge {
            addresses: vec!["10.9.0.1/24".parse().unwrap(), "fd00:9::1/64".parse().unwrap()],
            mtu: Some(9000),
            ..bridge("br0")
        };
        assert_eq!(Netlink.ensure_bridge(&wanted).await.unwrap(), Ensured::Made);
        let mac = space.mac("br0").await;
        assert_eq!(Netlink.ensure_bridge(&wanted).await.unwrap(), Ensured::Adopted);

        let found = space.look("br0").await.unwrap();
        assert!(found.header.flags.contains(LinkFlags::Up));
        assert_eq!(space.mtu("br0").await, 9000);
        assert_eq!(space.addresses("br0").await, ["10.9.0.1/24", "fd00:9::1/64"]);
        let data = found.attributes.iter().find_map(|attribute| match attribute {
            LinkAttribute::LinkInfo(infos) => infos.iter().find_map(|info| match info {
                LinkInfo::Data(InfoData::Bridge(data)) => Some(data.clone()),
                _ => None,
            }),
            _ => None,
        });
        let data = data.expect("it is a bridge");
        assert!(data.contains(&InfoBridge::ForwardDelay(0)), "{data:?}");
        assert!(data.contains(&InfoBridge::StpState(BridgeStpState::Disabled)), "{data:?}");

        // Guests are no routers of Dom0's.
        assert_eq!(sysctl("br0", "accept_ra"), "0");
        assert_eq!(Netlink.bridge_mtu(&name("br0")).await.unwrap(), 9000);

        // A port that comes does not change what Dom0's neighbours remember.
        space.wire("vif1.0", "guest1").await;
        let attachment = crate::vifs::attachment("br0");
        Netlink.attach(&name("vif1.0"), &attachment).await.unwrap();
        assert_eq!(space.mac("br0").await, mac);
    });
}

#[test]
fn a_bridge_that_is_there_keeps_what_it_has() {
    in_own_network(|| async {
        let space = Space::open();
        let made = LinkMessageBuilder::<LinkBridge>::new("br0").forward_delay(400).build();
        space.0.link().add(made).execute().await.unwrap();
        let index = space.index("br0").await;
        let ip = "10.8.0.1".parse().unwrap();
        space.0.address().add(index, ip, 24).execute().await.unwrap();

        let wanted = Bridge { addresses: vec!["10.9.0.1/24".parse().unwrap()], ..bridge("br0") };
        assert_eq!(Netlink.ensure_bridge(&wanted).await.unwrap(), Ensured::Adopted);
        assert_eq!(space.addresses("br0").await, ["10.8.0.1/24", "10.9.0.1/24"]);
        assert!(space.look("br0").await.unwrap().header.flags.contains(LinkFlags::Up));
        assert_eq!(space.index("br0").await, index);
    });
}

#[test]
fn an_uplink_becomes_a_port_and_gives_the_bridge_its_address() {
    in_own_network(|| async {
        let space = Space::open();
        space.wire("eth0", "outside").await;
        let wanted = Bridge { uplinks: vec![name("eth0")], mtu: Some(1400), ..bridge("br0") };
        for ensured in [Ensured::Made, Ensured::Adopted] {
            assert_eq!(Netlink.ensure_bridge(&wanted).await.unwrap(), ensured);
        }
        let ports = Netlink.ports(&name("br0")).await.unwrap();
        assert_eq!(ports.len(), 1);
        assert_eq!((ports[0].name.as_str(), ports[0].up, ports[0].guest), ("eth0", true, None));
        assert_eq!(space.mac("br0").await, space.mac("eth0").await);
        assert_eq!((space.mtu("br0").await, space.mtu("eth0").await), (1400, 1400));
        // There may be a router beyond it: what the host does is the operator's choice.
        assert_eq!(sysctl("br0", "accept_ra"), "1");
    });
}

#[test]
fn an_uplink_that_cannot_be_one_is_refused_before_anything_is_changed() {
    in_own_network(|| async {
        let space = Space::open();
        space.wire("eth0", "outside").await;
        let ip = "192.0.2.7".parse().unwrap();
        space.0.address().add(space.index("eth0").await, ip, 24).execute().await.unwrap();
        space.wire("eth1", "outside1").await;
        let other = Bridge { uplinks: vec![name("eth1")], ..bridge("other") };
        Netlink.ensure_bridge(&other).await.unwrap();

        for (uplink, reason) in [
            ("eth0", "UPLINK_HAS_ADDRESSES"),
            ("eth1", "UPLINK_IN_USE"),
            ("eth9", "NO_SUCH_UPLINK"),
            ("other", "NOT_AN_UPLINK"),
        ] {
            let wanted = Bridge { uplinks: vec![name(uplink)], ..bridge("br0") };
            let problem = Netlink.ensure_bridge(&wanted).await.unwrap_err();
            assert_eq!(problem.reason, reason, "{problem:#}");
            assert!(problem.message.contains(uplink), "{problem:#}");
            assert!(problem.hint.is_some());
            assert!(space.look("br0").await.is_none(), "{uplink}");
        }
        assert_eq!(space.addresses("eth0").await, ["192.0.2.7/24"]);
    });
}

#[test]
fn what_is_no_bridge_is_not_used_as_one() {
    in_own_network(|| async {
        let space = Space::open();
        space.wire("br0", "outside").await;
        let problem = Netlink.ensure_bridge(&bridge("br0")).await.unwrap_err();
        assert_eq!(problem.reason, "NOT_A_BRIDGE", "{problem:#}");
        let problem = Netlink.ports(&name("br0")).await.unwrap_err();
        assert_eq!(problem.reason, "NOT_A_BRIDGE", "{problem:#}");
        let problem = Netlink.bridge_mtu(&name("br1")).await.unwrap_err();
        assert_eq!(problem.reason, "NO_SUCH_BRIDGE", "{problem:#}");
    });
}

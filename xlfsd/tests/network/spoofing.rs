//! A guest sends only as itself: real frames, through real rules.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use rtnetlink::LinkBridge;
use xlfsd::network::{Filters, Identity, LinkName, Links, Netlink, Nft};

use crate::frames::{ARP, IPV4, IPV6, Marked, arp, icmp6, ipv6, udp4, udp6};
use crate::space::{Space, in_own_network, name};
use crate::vifs::{attachment, make_bridge};
use crate::wire::Wire;

const MAC: [u8; 6] = [0x00, 0x16, 0x3e, 0, 0, 1];
const OTHER_MAC: [u8; 6] = [0x00, 0x16, 0x3e, 0, 0, 2];
const IP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const OTHER_IP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 3);
const NO_IP: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
const IP6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);
const OTHER_IP6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 3);
const NO_IP6: Ipv6Addr = Ipv6Addr::UNSPECIFIED;
/// Of [`MAC`], and of [`OTHER_MAC`].
const LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0x0216, 0x3eff, 0xfe00, 1);
const OTHER_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0x0216, 0x3eff, 0xfe00, 2);
const ROUTER_ADVERT: u8 = 134;
const SOLICIT: u8 = 135;
const ADVERT: u8 = 136;

fn identity(addresses: &[std::net::IpAddr]) -> Identity {
    Identity { mac: "00:16:3e:00:00:01".parse().unwrap(), addresses: addresses.to_vec() }
}

fn nft() -> Nft {
    Nft::find()
}

/// What the guest sends; whether that passes when its addresses are fixed, and
/// when only its MAC address is known.
fn attempts() -> Vec<(&'static str, Marked, bool, bool)> {
    let mine = |kind, payload| Marked::new(MAC, kind, payload);
    // Hop-by-hop options (nothing but padding), then an advertisement.
    let hidden = [&[58, 0, 1, 4, 0, 0, 0, 0][..], &[ROUTER_ADVERT, 0, 0, 0], &[0; 12]].concat();
    // The first fragment of more, in which only options are.
    let fragment = [&[60, 0, 0, 1, 0, 0, 0, 7][..], &[58, 1, 1, 12], &[0; 12]].concat();
    let vlan = [&[0, 5, 8, 0][..], &udp4(IP, 5000)].concat();
    vec![
        ("IPv4 as itself", mine(IPV4, udp4(IP, 5000)), true, true),
        ("IPv4 as another", mine(IPV4, udp4(OTHER_IP, 5000)), false, true),
        ("another's MAC", Marked::new(OTHER_MAC, IPV4, udp4(IP, 5000)), false, false),
        ("another's MAC, IPv6", Marked::new(OTHER_MAC, IPV6, udp6(IP6, 5000)), false, false),
        ("half an IPv4 header", mine(IPV4, vec![0x45, 0]), false, true),
        ("ARP answer about itself", mine(ARP, arp(2, MAC, IP, OTHER_IP)), true, true),
        ("ARP question of its own", mine(ARP, arp(1, MAC, IP, OTHER_IP)), true, true),
        ("ARP answer about another", mine(ARP, arp(2, MAC, OTHER_IP, IP)), false, true),
        ("ARP with another's MAC", mine(ARP, arp(2, OTHER_MAC, IP, OTHER_IP)), false, false),
        ("ARP probe for its own", mine(ARP, arp(1, MAC, NO_IP, IP)), true, true),
        ("ARP probe for another's", mine(ARP, arp(1, MAC, NO_IP, OTHER_IP)), false, true),
        ("half of ARP", mine(ARP, vec![0, 1, 8, 0, 6, 4, 0, 2]), false, false),
        ("DHCP request", mine(IPV4, udp4(NO_IP, 68)), false, true),
        ("DHCP answer", mine(IPV4, udp4(IP, 67)), false, false),
        ("DHCPv6 answer", mine(IPV6, udp6(LOCAL, 547)), false, false),
        ("IPv6 as itself", mine(IPV6, udp6(IP6, 5000)), true, true),
        ("IPv6 as itself, link-local", mine(IPV6, udp6(LOCAL, 5000)), true, true),
        ("IPv6 as another", mine(IPV6, udp6(OTHER_IP6, 5000)), false, true),
        ("IPv6 as another, link-local", mine(IPV6, udp6(OTHER_LOCAL, 5000)), false, true),
        ("router advertisement", mine(IPV6, icmp6(LOCAL, ROUTER_ADVERT, IP6)), false, false),
        ("one behind options", mine(IPV6, ipv6(LOCAL, 0, &hidden)), false, false),
        ("one in fragments", mine(IPV6, ipv6(LOCAL, 44, &fragment)), false, false),
        ("redirect", mine(IPV6, icmp6(LOCAL, 137, IP6)), false, false),
        ("advertisement of itself", mine(IPV6, icmp6(IP6, ADVERT, IP6)), true, true),
        ("advertisement of another", mine(IPV6, icmp6(IP6, ADVERT, OTHER_IP6)), false, true),
        ("question for another", mine(IPV6, icmp6(IP6, SOLICIT, OTHER_IP6)), true, true),
        ("is its own address free", mine(IPV6, icmp6(NO_IP6, SOLICIT, IP6)), true, true),
        ("is another's address free", mine(IPV6, icmp6(NO_IP6, SOLICIT, OTHER_IP6)), false, true),
        ("router solicitation", mine(IPV6, icmp6(NO_IP6, 133, NO_IP6)), true, true),
        ("IPv6 from nobody", mine(IPV6, udp6(NO_IP6, 5000)), false, true),
        ("a VLAN's", mine(0x8100, vlan), false, false),
        ("an unknown protocol", mine(0x88b5, vec![0; 50]), false, false),
        ("an 802.3 frame", mine(38, vec![0x42, 0x42, 3]), false, false),
    ]
}

/// A bridge with two guests; the first is the one that is held.
async fn two_guests() -> (Wire, Wire) {
    let space = Space::open();
    if space.look("br0").await.is_none() {
        make_bridge("br0").await;
    }
    for (vif, guest) in [("vif7.0", "guest0"), ("vif8.0", "guest1")] {
        space.wire(vif, guest).await;
        Netlink.attach(&name(vif), &attachment("br0")).await.unwrap();
    }
    let (mut one, mut other) = (Wire::on("guest0"), Wire::on("guest1"));
    settle(&mut one, &other, (MAC, IP));
    settle(&mut other, &one, (OTHER_MAC, OTHER_IP));
    (one, other)
}

/// Waits until what one sends reaches the other: a new port forwards once its
/// carrier was noticed, and what is sent before that is lost.
fn settle(from: &mut Wire, to: &Wire, (mac, ip): ([u8; 6], Ipv4Addr)) {
    let hello = Marked::new(mac, IPV4, udp4(ip, 9998));
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        from.send(&hello.bytes);
        if to.hears(&hello.bytes, Duration::from_millis(200)) {
            return;
        }
        assert!(Instant::now() < until, "the bridge does not forward");
    }
}

/// Sends all of it, and says which arrived. An honest frame follows, which must.
fn arrived(from: &mut Wire, to: &Wire, frames: &[&Marked]) -> Vec<bool> {
    let last = Marked::new(MAC, IPV4, udp4(IP, 9999));
    for frame in frames.iter().copied().chain([&last]) {
        from.send(&frame.bytes);
    }
    let seen = to.receive_until(&last.bytes);
    frames.iter().map(|frame| frame.is_in(&seen)).collect()
}

fn check(from: &mut Wire, to: &Wire, wanted: impl Fn(bool, bool) -> bool) {
    let attempts = attempts();
    let frames: Vec<&Marked> = attempts.iter().map(|(_, frame, ..)| frame).collect();
    let found = arrived(from, to, &frames);
    let wrong: Vec<String> = attempts
        .iter()
        .zip(found)
        .filter(|((_, _, fixed, any), found)| wanted(*fixed, *any) != *found)
        .map(|((what, ..), found)| {
            format!("{what}: {}", if found { "passed" } else { "was dropped" })
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_guest_with_fixed_addresses_sends_only_as_itself() {
    in_own_network(|| async {
        let (mut guest, other) = two_guests().await;
        // Without rules everything arrives, or the test would prove nothing.
        check(&mut guest, &other, |_, _| true);
        let identity = identity(&[IP.into(), IP6.into()]);
        nft().guard(&name("vif7.0"), &identity).await.unwrap();
        check(&mut guest, &other, |fixed, _| fixed);
        nft().release(&name("vif7.0")).await.unwrap();
        check(&mut guest, &other, |_, _| true);
    });
}

#[test]
fn a_guest_without_fixed_addresses_is_held_to_its_mac() {
    in_own_network(|| async {
        let (mut guest, other) = two_guests().await;
        nft().guard(&name("vif7.0"), &identity(&[])).await.unwrap();
        check(&mut guest, &other, |_, any| any);
    });
}

#[test]
fn other_guests_are_not_held() {
    in_own_network(|| async {
        let (guest, mut other) = two_guests().await;
        nft().guard(&name("vif7.0"), &identity(&[IP.into()])).await.unwrap();
        check(&mut other, &guest, |_, _| true);
    });
}

#[test]
fn rules_hold_before_the_vif_is_there() {
    in_own_network(|| async {
        nft().guard(&name("vif7.0"), &identity(&[IP.into(), IP6.into()])).await.unwrap();
        let (mut guest, other) = two_guests().await;
        check(&mut guest, &other, |fixed, _| fixed);
    });
}

#[test]
fn rules_are_replaced_listed_and_removed() {
    in_own_network(|| async {
        let (nft, vif) = (nft(), name("vif7.0"));
        nft.release(&vif).await.unwrap();
        assert!(nft.guarded().await.unwrap().is_empty());
        for addresses in [&[][..], &[IP.into()], &[IP.into()], &[IP6.into(), OTHER_IP6.into()]] {
            nft.guard(&vif, &identity(addresses)).await.unwrap();
        }
        nft.guard(&name("vif12.1"), &identity(&[])).await.unwrap();
        let names = |vifs: Vec<LinkName>| vifs.iter().map(LinkName::to_string).collect::<Vec<_>>();
        assert_eq!(names(nft.guarded().await.unwrap()), ["vif12.1", "vif7.0"]);
        for _ in 0..2 {
            nft.release(&vif).await.unwrap();
        }
        assert_eq!(names(nft.guarded().await.unwrap()), ["vif12.1"]);
    });
}

/// A frame to the bridges' own group is not forwarded, but teaches the bridge
/// that its sender is behind that port: the guest gets what is sent to the
/// other. LLDP's even pass the firewall, so the bridge must not learn from them.
#[test]
fn a_guest_cannot_take_anothers_place_on_the_bridge() {
    const LLDP: u8 = 0x0e;
    const AUTHENTICATION: u8 = 0x03;
    for (ours, group, guarded, stolen) in [
        (false, AUTHENTICATION, false, true),
        (false, AUTHENTICATION, true, false),
        (false, LLDP, false, true),
        (true, LLDP, false, false),
        (true, LLDP, true, false),
        (true, AUTHENTICATION, false, false),
    ] {
        in_own_network(move || async move {
            let space = Space::open();
            space.0.link().add(LinkBridge::new("br0").build()).execute().await.unwrap();
            if ours {
                make_bridge("br0").await;
            }
            let (mut thief, mut owner) = two_guests().await;
            space.wire("vif9.0", "guest2").await;
            Netlink.attach(&name("vif9.0"), &attachment("br0")).await.unwrap();
            let mut sender = Wire::on("guest2");
            if guarded {
                nft().guard(&name("vif7.0"), &identity(&[IP.into()])).await.unwrap();
            }
            settle(&mut owner, &sender, (OTHER_MAC, OTHER_IP));
            let bridges = [0x01, 0x80, 0xc2, 0, 0, group];
            thief.send(&Marked::to(bridges, OTHER_MAC, 0x88cc, vec![0; 40]).bytes);
            let secret = Marked::to(OTHER_MAC, [2, 0, 0, 0, 0, 9], IPV4, udp4(OTHER_IP, 2));
            let last = Marked::new([2, 0, 0, 0, 0, 9], IPV4, udp4(OTHER_IP, 3));
            sender.send(&secret.bytes);
            sender.send(&last.bytes);
            let found = secret.is_in(&thief.receive_until(&last.bytes));
            let arrived = secret.is_in(&owner.receive_until(&last.bytes));
            let case = format!("ours {ours}, group {group:#x}, guarded {guarded}");
            assert_eq!((found, arrived), (stolen, !stolen), "{case}");
        });
    }
}

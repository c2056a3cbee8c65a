//! What a guest may send, as rules for nftables. Pure.
//!
//! One table of family `bridge` for each vif. Every frame that the vif brings
//! into Dom0 passes its rules, in two places: before the bridge looks at it
//! (prerouting), and on its way into Dom0 itself (input), because frames to the
//! bridges' own group (01:80:c2:00:00:0x) skip the first, and yet teach the
//! bridge where their sender is. A frame that is dropped in either place has
//! taught it nothing. LLDP's frames (01:80:c2:00:00:0e) pass neither: against
//! these, `netlink::bridge` tells the bridge not to learn from that group.
//!
//! Everything is forbidden that is not allowed, so a frame too short for what
//! it claims to be, a VLAN's or one of an unknown protocol is dropped. Allowed are
//!
//! - ARP about the guest's own addresses: answers, questions, and the probe for
//!   an address that is taken (RFC 5227);
//! - IPv4 and IPv6 from the guest's own addresses;
//! - neighbour discovery about its own addresses, and what a host says before it
//!   has one, from `::` (RFC 4861, 4862);
//!
//! and never: answers of a DHCP server, router advertisements, redirects. A
//! fragment from a link-local address is dropped as well: with it, the first
//! part of an advertisement hides behind other headers (RFC 7113), and no
//! honest neighbour discovery is fragmented (RFC 6980).

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Identity;
use crate::network::{LinkName, Mac};

/// Begins the name of each table that is ours; the vif's name follows.
const PREFIX: &str = "xlfs-";
/// The chain that says what is allowed.
pub(super) const RULES: &str = "from-guest";
/// The chains that send the vif's frames there, and where they are hooked in.
pub(super) const HOOKS: [(&str, &str); 2] = [("bridged", "prerouting"), ("to-dom0", "input")];
/// Before everything else that may be there.
pub(super) const PRIORITY: i64 = -300;

/// The rules of one vif.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruleset {
    pub(super) vif: LinkName,
    pub(super) rules: Vec<String>,
}

/// The table of a vif.
pub(super) fn table(vif: &LinkName) -> String {
    format!("{PREFIX}{vif}")
}

/// The vif of a table; `None` when it is not ours.
pub(super) fn vif_of(table: &str) -> Option<LinkName> {
    table.strip_prefix(PREFIX)?.parse().ok()
}

/// What removes the table of a vif; none is fine. (A table that is declared
/// twice is one; `delete` alone fails when there is none.)
pub(super) fn removal(vif: &LinkName) -> String {
    let table = table(vif);
    format!("add table bridge {table}\ndelete table bridge {table}\n")
}

impl Ruleset {
    /// Holds `vif` to `identity`.
    pub fn new(vif: &LinkName, identity: &Identity) -> Self {
        let mut rules = Vec::new();
        let mac = identity.mac;
        rules.push(format!("ether saddr != {mac} drop"));
        rules.push("ether type != { arp, ip, ip6 } drop".into());
        never(&mut rules);
        if identity.addresses.is_empty() {
            rules.push(format!("{} accept", arp_from(mac)));
            rules.push("ether type arp drop".into());
            rules.push("ether type { ip, ip6 } accept".into());
        } else {
            fixed(&mut rules, mac, &identity.addresses);
        }
        rules.push("drop".into());
        Self { vif: vif.clone(), rules }
    }

    /// What `nft -f -` reads: removes what was there and puts this in its
    /// place, in one transaction.
    pub fn script(&self) -> String {
        let mut script = removal(&self.vif);
        // Writing to a String does not fail.
        let _ = writeln!(script, "table bridge {} {{", table(&self.vif));
        let _ = writeln!(script, "  chain {RULES} {{");
        for rule in &self.rules {
            let _ = writeln!(script, "    {rule}");
        }
        let _ = writeln!(script, "  }}");
        for (chain, hook) in HOOKS {
            let _ = writeln!(
                script,
                "  chain {chain} {{\n    type filter hook {hook} priority {PRIORITY}; policy accept;\n    \
                 iifname \"{}\" jump {RULES}\n  }}",
                self.vif
            );
        }
        script.push_str("}\n");
        script
    }
}

/// What no guest sends, whatever its addresses are.
fn never(rules: &mut Vec<String>) {
    for rule in [
        // A DHCP server's answers.
        "ether type ip udp sport 67 drop",
        "ether type ip6 udp sport 547 drop",
        "icmpv6 type { nd-router-advert, nd-redirect } drop",
        "ip6 saddr fe80::/10 exthdr frag exists drop",
    ] {
        rules.push(rule.into());
    }
}

/// ARP for Ethernet and IPv4, from the guest's own MAC address inside as well.
fn arp_from(mac: Mac) -> String {
    format!("arp htype 1 arp ptype ip arp hlen 6 arp plen 4 arp saddr ether {mac}")
}

/// Only the guest's own addresses.
fn fixed(rules: &mut Vec<String>, mac: Mac, addresses: &[IpAddr]) {
    let mut v4: Vec<Ipv4Addr> = Vec::new();
    let mut v6 = vec![link_local(mac)];
    for address in addresses {
        match address {
            IpAddr::V4(address) => v4.push(*address),
            IpAddr::V6(address) => v6.push(*address),
        }
    }
    v4.sort();
    v4.dedup();
    v6.sort();
    v6.dedup();
    if !v4.is_empty() {
        let own = set(v4.iter());
        let arp = arp_from(mac);
        rules.push(format!("{arp} arp saddr ip {own} accept"));
        let probe = "arp operation request arp saddr ip 0.0.0.0";
        rules.push(format!("{arp} {probe} arp daddr ip {own} accept"));
        rules.push(format!("ip saddr {own} accept"));
    }
    let own = set(v6.iter());
    // What is asked or told about: the address after the first eight bytes.
    let target = set(v6.iter().map(|address| format!("{:#034x}", u128::from(*address))));
    rules
        .push(format!("ip6 saddr {own} icmpv6 type nd-neighbor-advert @th,64,128 {target} accept"));
    rules.push("icmpv6 type nd-neighbor-advert drop".into());
    rules.push(format!("ip6 saddr :: icmpv6 type nd-neighbor-solicit @th,64,128 {target} accept"));
    rules.push(
        "ip6 saddr :: icmpv6 type { nd-router-solicit, mld-listener-report, mld2-listener-report } \
         accept"
            .into(),
    );
    rules.push(format!("ip6 saddr {own} accept"));
}

fn set(members: impl Iterator<Item = impl ToString>) -> String {
    let members: Vec<String> = members.map(|member| member.to_string()).collect();
    format!("{{ {} }}", members.join(", "))
}

/// The link-local address that a host makes of its MAC address (RFC 4291, appendix A).
fn link_local(mac: Mac) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.octets();
    let [ab, cd, ef] = [[a ^ 0x02, b], [0xfe, d], [e, f]].map(u16::from_be_bytes);
    Ipv6Addr::new(0xfe80, 0, 0, 0, ab, u16::from_be_bytes([c, 0xff]), cd, ef)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(addresses: &[&str]) -> Vec<String> {
        let identity = Identity {
            mac: "00:16:3e:0a:0b:0c".parse().unwrap(),
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        };
        Ruleset::new(&"vif7.0".parse().unwrap(), &identity).rules
    }

    #[test]
    fn the_link_local_address_is_that_of_the_rfc() {
        // 34-56-78-9A-BC-DE becomes 36-56-78-FF-FE-9A-BC-DE.
        let address = link_local("34:56:78:9a:bc:de".parse().unwrap());
        assert_eq!(address.to_string(), "fe80::3656:78ff:fe9a:bcde");
    }

    #[test]
    fn every_ruleset_begins_with_the_mac_and_ends_with_no() {
        for addresses in [&[][..], &["10.0.0.2"], &["fd00::2"], &["10.0.0.2", "fd00::2"]] {
            let rules = rules(addresses);
            assert_eq!(rules[0], "ether saddr != 00:16:3e:0a:0b:0c drop");
            assert_eq!(rules.last().unwrap(), "drop");
            let accepts = rules.iter().position(|rule| rule.ends_with("accept")).unwrap();
            for never in ["sport 67", "sport 547", "nd-router-advert", "frag exists"] {
                let at = rules.iter().position(|rule| rule.contains(never)).unwrap();
                assert!(at < accepts, "{never} must be dropped before anything is accepted");
            }
        }
    }

    #[test]
    fn a_family_without_addresses_stays_shut() {
        assert!(!rules(&["fd00::2"]).iter().any(|rule| rule.contains("ip saddr")));
        assert!(!rules(&["fd00::2"]).iter().any(|rule| rule.contains("arp saddr")));
        let only_v4 = rules(&["10.0.0.2", "10.0.0.2"]);
        assert!(only_v4.contains(&"ip saddr { 10.0.0.2 } accept".into()), "{only_v4:?}");
        let link_local = "ip6 saddr { fe80::216:3eff:fe0a:b0c } accept";
        assert!(only_v4.contains(&link_local.into()), "{only_v4:?}");
    }

    #[test]
    fn the_script_replaces_the_table_as_a_whole() {
        let ruleset = Ruleset { vif: "vif7.0".parse().unwrap(), rules: vec!["drop".into()] };
        assert_eq!(
            ruleset.script(),
            "add table bridge xlfs-vif7.0\n\
             delete table bridge xlfs-vif7.0\n\
             table bridge xlfs-vif7.0 {\n\
             \x20 chain from-guest {\n\
             \x20   drop\n\
             \x20 }\n\
             \x20 chain bridged {\n\
             \x20   type filter hook prerouting priority -300; policy accept;\n\
             \x20   iifname \"vif7.0\" jump from-guest\n\
             \x20 }\n\
             \x20 chain to-dom0 {\n\
             \x20   type filter hook input priority -300; policy accept;\n\
             \x20   iifname \"vif7.0\" jump from-guest\n\
             \x20 }\n\
             }\n"
        );
    }

    #[test]
    fn only_our_tables_name_a_vif() {
        assert_eq!(vif_of("xlfs-vif7.0"), Some("vif7.0".parse().unwrap()));
        for other in ["xlfs", "xlfs-", "filter", "xlfs-a b"] {
            assert_eq!(vif_of(other), None);
        }
    }
}

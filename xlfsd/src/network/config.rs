//! The networks that the operator declares: `[[networks]]` in xlfsd's configuration.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{Bridge, IpPrefix, LinkName};
use crate::problem::{FieldProblem, Problem};

/// The longest name of a network.
const MAX_NAME: usize = 32;
/// What IPv4 needs at least (RFC 791), and IPv6 (RFC 8200).
const MIN_MTU: u32 = 68;
const MIN_MTU_IPV6: u32 = 1280;
/// What an IP packet has at most.
const MAX_MTU: u32 = 65535;

/// A network that guests can be connected to.
///
/// ```toml
/// [[networks]]
/// # What guests are created with: --network lan
/// name = "lan"
/// # The bridge in Dom0. It is made when it is missing (without spanning tree),
/// # and taken as it is when it is there.
/// bridge = "br0"
/// # Dom0's own addresses on it, with the lengths of their networks. Without
/// # one, Dom0 cannot talk to the guests. Others that the bridge has stay.
/// addresses = ["10.0.0.1/24", "2001:db8::1/64"]
/// # Interfaces that lead out of the host. They become ports of the bridge, so
/// # they must have no addresses of their own: these belong above.
/// uplinks = ["eth0"]
/// # Bytes in a packet; what the bridge has, when it is left out. Guests are told.
/// mtu = 1500
/// # Whether guests reach only the uplinks and Dom0, but not each other.
/// isolated = false
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    pub name: String,
    pub bridge: LinkName,
    #[serde(default)]
    pub addresses: Vec<IpPrefix>,
    #[serde(default)]
    pub uplinks: Vec<LinkName>,
    #[serde(default)]
    pub mtu: Option<u32>,
    #[serde(default)]
    pub isolated: bool,
}

impl NetworkConfig {
    /// The bridge as it should be.
    pub(super) fn wanted(&self) -> Bridge {
        Bridge {
            name: self.bridge.clone(),
            addresses: self.addresses.clone(),
            uplinks: self.uplinks.clone(),
            mtu: self.mtu,
        }
    }

    /// What is wrong with it alone: the key, and why.
    fn mistakes(&self) -> Vec<(&'static str, String)> {
        let mut mistakes = Vec::new();
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !self.name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase())
            || !self.name.bytes().all(allowed)
            || self.name.len() > MAX_NAME
        {
            let why = format!(
                "{:?} takes 1 to {MAX_NAME} lower case letters, digits or -, and begins with a letter",
                self.name.chars().take(40).collect::<String>()
            );
            mistakes.push(("name", why));
        }
        let has_ipv6 = self.addresses.iter().any(|prefix| prefix.address().is_ipv6());
        let lowest = if has_ipv6 { MIN_MTU_IPV6 } else { MIN_MTU };
        if let Some(mtu) = self.mtu.filter(|mtu| !(lowest..=MAX_MTU).contains(mtu)) {
            mistakes.push(("mtu", format!("{mtu} must be from {lowest} to {MAX_MTU}")));
        }
        if self.uplinks.contains(&self.bridge) {
            mistakes.push(("uplinks", format!("{} is the bridge itself", self.bridge)));
        }
        mistakes
    }
}

/// Checks all of them together and names every mistake by its key, such as
/// `networks[1].mtu`.
pub(super) fn check(networks: &[NetworkConfig]) -> Result<(), Problem> {
    let mut wrong = Vec::new();
    // Who has a network's name, an interface, an address: each has one owner.
    let mut owners: HashMap<(&str, String), usize> = HashMap::new();
    for (at, network) in networks.iter().enumerate() {
        for (key, why) in network.mistakes() {
            wrong.push(FieldProblem::new(format!("networks[{at}].{key}"), why));
        }
        let mut claims = vec![("name", "name", network.name.clone())];
        claims.push(("bridge", "interface", network.bridge.to_string()));
        let uplinks = network.uplinks.iter().filter(|uplink| **uplink != network.bridge);
        claims.extend(uplinks.map(|uplink| ("uplinks", "interface", uplink.to_string())));
        // A link-local address says nothing outside of its own link.
        let addresses = network.addresses.iter().filter(|prefix| !prefix.is_link_local());
        claims
            .extend(addresses.map(|prefix| ("addresses", "address", prefix.address().to_string())));
        for (key, kind, value) in claims {
            if let Some(other) = owners.insert((kind, value.clone()), at) {
                let why = format!("{value} is in networks[{other}] already");
                wrong.push(FieldProblem::new(format!("networks[{at}].{key}"), why));
            }
        }
    }
    match &wrong[..] {
        [] => Ok(()),
        [first, ..] => {
            let message = format!("{}: {}", first.field, first.description);
            Err(Problem::invalid("BAD_CONFIGURATION", message, wrong))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::toml_file;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        networks: Vec<NetworkConfig>,
    }

    fn load(text: &str) -> Vec<NetworkConfig> {
        toml_file::parse::<File>(Path::new("a.toml"), text).unwrap().networks
    }

    fn mistakes(text: &str) -> Vec<String> {
        let problem = check(&load(text)).unwrap_err();
        let fields = problem.fields().iter();
        fields.map(|field| format!("{}: {}", field.field, field.description)).collect()
    }

    #[test]
    fn the_example_of_the_manual_is_right() {
        let source = include_str!("config.rs");
        let example: String = source
            .lines()
            .skip_while(|line| !line.contains("```toml"))
            .skip(1)
            .take_while(|line| !line.contains("```"))
            .map(|line| line.trim_start_matches("///").trim_start().to_owned() + "\n")
            .collect();
        let networks = load(&example);
        check(&networks).unwrap();
        let wanted = networks[0].wanted();
        assert_eq!(wanted.name.as_str(), "br0");
        assert_eq!((wanted.addresses.len(), wanted.uplinks.len(), wanted.mtu), (2, 1, Some(1500)));
    }

    #[test]
    fn a_name_and_a_bridge_are_enough() {
        let networks = load("[[networks]]\nname = 'lan'\nbridge = 'br0'");
        check(&networks).unwrap();
        assert!(!networks[0].isolated);
    }

    #[test]
    fn every_mistake_is_named() {
        assert_eq!(
            mistakes(
                "[[networks]]\nname = 'LAN'\nbridge = 'br0'\nuplinks = ['br0', 'eth0']\nmtu = 67\n\
                 [[networks]]\nname = 'six'\nbridge = 'br1'\naddresses = ['fd00::1/64']\nmtu = 1279"
            ),
            [
                "networks[0].name: \"LAN\" takes 1 to 32 lower case letters, digits or -, \
                 and begins with a letter",
                "networks[0].mtu: 67 must be from 68 to 65535",
                "networks[0].uplinks: br0 is the bridge itself",
                "networks[1].mtu: 1279 must be from 1280 to 65535",
            ]
        );
    }

    #[test]
    fn what_two_networks_share_is_refused() {
        assert_eq!(
            mistakes(
                "[[networks]]\nname = 'lan'\nbridge = 'br0'\nuplinks = ['eth0']\n\
                 addresses = ['10.0.0.1/24', 'fe80::1/64']\n\
                 [[networks]]\nname = 'lan'\nbridge = 'eth0'\nuplinks = ['br0', 'eth1', 'eth1']\n\
                 addresses = ['10.0.0.1/16', 'fe80::1/64']"
            ),
            [
                "networks[1].name: lan is in networks[0] already",
                "networks[1].bridge: eth0 is in networks[0] already",
                "networks[1].uplinks: br0 is in networks[0] already",
                "networks[1].uplinks: eth1 is in networks[1] already",
                "networks[1].addresses: 10.0.0.1 is in networks[0] already",
            ]
        );
    }

    #[test]
    fn values_that_cannot_be_name_their_line() {
        for (line, cause) in [
            ("bridge = 'a b'", "cannot name a network interface"),
            ("bridge = 'br0'\naddresses = ['10.0.0.1']", "no address with a length"),
            ("bridge = 'br0'\nbrigde = 1", "did you mean \"bridge\"?"),
        ] {
            let text = format!("[[networks]]\nname = 'lan'\n{line}");
            let error = toml_file::parse::<File>(Path::new("a.toml"), &text).unwrap_err();
            assert!(error.to_string().contains(cause), "{error}");
        }
    }
}

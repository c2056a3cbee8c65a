//! Whether Dom0 has an address on a bridge, and so can speak to the guests on
//! it. Looked at only when a guest is silent.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use nix::ifaddrs::getifaddrs;
use parking_lot::Mutex;

/// How long what was seen is good for: silent guests can be many.
const FRESH: Duration = Duration::from_secs(10);

/// What was seen lately.
#[derive(Debug, Default)]
pub(super) struct Sources {
    seen: Mutex<Option<Seen>>,
}

#[derive(Debug)]
struct Seen {
    at: Instant,
    /// By interface: IPv4, and IPv6 beyond the link.
    families: HashMap<String, (bool, bool)>,
}

impl Sources {
    /// Why Dom0 cannot have asked `address` through `bridge`, if so.
    pub(super) fn missing(&self, address: IpAddr, bridge: &str) -> Option<String> {
        let mut seen = self.seen.lock();
        if seen.as_ref().is_none_or(|seen| seen.at.elapsed() > FRESH) {
            *seen = look();
        }
        let found = seen.as_ref()?.families.get(bridge).copied().unwrap_or_default();
        let (has, family) = match address {
            IpAddr::V4(_) => (found.0, "IPv4"),
            IpAddr::V6(_) => (found.1, "IPv6"),
        };
        (!has).then(|| format!("Dom0 has no {family} address on {bridge}, so it cannot ask"))
    }
}

fn look() -> Option<Seen> {
    let mut families: HashMap<String, (bool, bool)> = HashMap::new();
    for interface in getifaddrs().ok()? {
        let Some(address) = interface.address else { continue };
        let found = families.entry(interface.interface_name).or_default();
        found.0 |= address.as_sockaddr_in().is_some();
        let v6 = address.as_sockaddr_in6().map(|address| address.ip());
        found.1 |= v6.is_some_and(|address| !address.is_unicast_link_local());
    }
    Some(Seen { at: Instant::now(), families })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_has_an_address_and_nothing_has_none() {
        let sources = Sources::default();
        let address = "10.0.0.2".parse().unwrap();
        assert_eq!(sources.missing(address, "lo"), None);
        let told = sources.missing(address, "br-none").unwrap();
        assert_eq!(told, "Dom0 has no IPv4 address on br-none, so it cannot ask");
    }
}

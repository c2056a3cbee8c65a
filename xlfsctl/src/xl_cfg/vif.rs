//! Network specs, the strings of `vif = [ ... ]`: parameters with commas between
//! (`mac=...,bridge=br0,ip=10.0.0.2`). xl-network-configuration(5) describes
//! them.

use std::net::IpAddr;

use super::definition::Nic;

/// An interface, and what of its spec is not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct VifSpec {
    pub(crate) nic: Nic,
    pub(crate) left: Vec<Left>,
}

/// A parameter that is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) word: String,
    pub(crate) what: What,
    pub(crate) why: &'static str,
    pub(crate) instead: &'static str,
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Unknown,
    Unsupported,
    Ignored,
}

/// Reads a spec; the empty one is an interface that says nothing of itself. The
/// error says what makes no sense.
pub(crate) fn parse(text: &str) -> Result<VifSpec, String> {
    let mut spec = VifSpec::default();
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let value = value.trim();
        let mut leave = |what, why, instead| {
            spec.left.push(Left { word: word.to_owned(), what, why, instead });
        };
        match key.trim() {
            "mac" => spec.nic.mac = mac(value)?,
            "ip" => {
                for address in addresses(value)? {
                    match address.contains('/') {
                        true => spec.nic.addresses.push(address),
                        false => spec.left.push(without_length(&address)),
                    }
                }
            }
            "rate" => spec.nic.rate = rate(value)?,
            "bridge" if is_network(value) || value.is_empty() => {
                spec.nic.network = value.to_owned();
            }
            "bridge" => leave(
                What::Unsupported,
                "no network can have that name: a-z, 0-9 and '-', a letter first",
                "declare a network on this bridge in xlfsd's configuration, and name that",
            ),
            "type" if matches!(value, "vif" | "netfront" | "") => {}
            "type" | "model" => leave(
                What::Ignored,
                "emulated network cards are for HVM guests; this one has Xen's own",
                "",
            ),
            "vifname" => leave(
                What::Unsupported,
                "the interface is named by xlfsd, as vifDOMID.NUMBER",
                "match that name in the host's firewall, or use anti-spoofing",
            ),
            "script" if matches!(value, "vif-bridge" | "/etc/xen/scripts/vif-bridge" | "") => {}
            "script" => leave(
                What::Unsupported,
                "no scripts are run: xlfsd itself attaches interfaces to a bridge",
                "declare the bridge as a network in xlfsd's configuration; routed and NATed \
                 guests are a matter of Dom0's routes on it",
            ),
            "gatewaydev" | "netdev" => leave(
                What::Unsupported,
                "only the script vif-route has a use for it, and no scripts are run",
                "declare a network with this uplink in xlfsd's configuration",
            ),
            "backend" if matches!(value, "" | "0" | "Domain-0" | "dom0") => {}
            "backend" => leave(What::Unsupported, "Dom0 serves all interfaces", ""),
            "mtu" => leave(
                What::Unsupported,
                "an interface has the MTU of its network",
                "set mtu of the network in xlfsd's configuration",
            ),
            "devid" => leave(
                What::Unsupported,
                "interfaces are numbered in the order in which they are given",
                "",
            ),
            "trusted" => {}
            "untrusted" | "accel" => leave(What::Unsupported, "there is no such setting", ""),
            _ => leave(What::Unknown, "xl knows no such parameter of an interface", ""),
        }
    }
    // xl's usual script opens Dom0's firewall for these addresses, and no others.
    // When one of them is not known in full, holding the guest to the rest would
    // cut it off.
    let nameless = spec.left.iter().any(|left| left.word.starts_with("ip="));
    spec.nic.anti_spoofing = !spec.nic.addresses.is_empty() && !nameless;
    Ok(spec)
}

/// An address as xl has it: without the network that it is in.
fn without_length(address: &str) -> Left {
    Left {
        word: format!("ip={address}"),
        what: What::Unsupported,
        why: "an address is left out, and the guest not held to it, without the length of its \
              network",
        instead: "write it in the file, such as ip=10.0.0.2/24",
    }
}

/// Six bytes, in lower case. `random` and nothing mean that one is made.
fn mac(text: &str) -> Result<String, String> {
    if text.is_empty() || text == "random" {
        return Ok(String::new());
    }
    let bytes: Vec<&str> = text.split([':', '-']).collect();
    let byte = |one: &&str| one.len() == 2 && one.bytes().all(|c| c.is_ascii_hexdigit());
    match bytes.len() == 6 && bytes.iter().all(byte) {
        true => Ok(bytes.join(":").to_ascii_lowercase()),
        false => Err(format!("{text:?} is no MAC address: write six bytes as 00:16:3e:12:34:56")),
    }
}

/// Addresses with blanks between, each perhaps with a prefix's length.
fn addresses(text: &str) -> Result<Vec<String>, String> {
    let check = |word: &str| {
        let (address, length) = word.split_once('/').unwrap_or((word, "1"));
        let bits = match address.parse() {
            Ok(IpAddr::V4(_)) => 32,
            Ok(IpAddr::V6(_)) => 128,
            Err(_) => 0,
        };
        match length.parse::<u8>() {
            Ok(length) if (1..=bits).contains(&length) => Ok(word.to_owned()),
            _ => Err(format!("{word:?} is no IP address")),
        }
    };
    text.split_whitespace().map(check).collect()
}

/// `10Mb/s` or `250KB/s@20ms`, as xlfsd takes it too.
fn rate(text: &str) -> Result<String, String> {
    let wrong =
        || format!("{text:?} is no rate: write 10Mb/s (bits), 250KB/s (bytes), or 1MB/s@20ms");
    let (speed, interval) = text.split_once('@').unwrap_or((text, "50ms"));
    let number = |text: &str, units: &[&str]| {
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        number.parse::<u64>().is_ok_and(|number| number > 0) && units.contains(&unit)
    };
    // Xen's manual takes a bare interval for microseconds, xl for seconds.
    let interval = number(interval, &["us", "ms", "s"]);
    let speed = speed.strip_suffix("/s").ok_or_else(wrong)?;
    match interval && number(speed, &["b", "Kb", "Mb", "Gb", "B", "KB", "MB", "GB"]) {
        true => Ok(text.to_owned()),
        false => Err(wrong()),
    }
}

/// A name that a network of xlfsd can have.
fn is_network(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    name.len() <= 32
        && name.bytes().all(plain)
        && name.starts_with(|c: char| c.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_an_interface_can_say() {
        assert_eq!(parse(""), Ok(VifSpec::default()));
        let text = "mac=00:16:3E:AA:bb:01, bridge=br0, ip=10.0.0.3/24 fd00::2/64, \
                    rate=10Mb/s@20ms, type=vif, script=vif-bridge";
        let spec = parse(text).expect("an interface");
        assert_eq!(spec.left, []);
        assert_eq!(spec.nic.mac, "00:16:3e:aa:bb:01");
        assert_eq!(spec.nic.network, "br0");
        assert_eq!(spec.nic.addresses, ["10.0.0.3/24", "fd00::2/64"]);
        assert_eq!(spec.nic.rate, "10Mb/s@20ms");
        assert!(spec.nic.anti_spoofing);
        assert!(!parse("bridge=br0").expect("an interface").nic.anti_spoofing);
        assert_eq!(parse("mac=random").expect("an interface").nic.mac, "");
    }

    #[test]
    fn what_is_left_out_is_remembered() {
        let text =
            "vifname=web0,script=vif-route,model=e1000,mtu=9000,frob=1,bridge=br_lan,devid=3";
        let spec = parse(text).expect("an interface");
        let left: Vec<_> = spec.left.iter().map(|one| (one.word.as_str(), one.what)).collect();
        let expected = [
            ("vifname=web0", What::Unsupported),
            ("script=vif-route", What::Unsupported),
            ("model=e1000", What::Ignored),
            ("mtu=9000", What::Unsupported),
            ("frob=1", What::Unknown),
            ("bridge=br_lan", What::Unsupported),
            ("devid=3", What::Unsupported),
        ];
        assert_eq!(left, expected);
        assert_eq!(spec.nic, Nic::default());
    }

    #[test]
    fn addresses_need_the_length_of_their_network() {
        let spec = parse("ip=10.0.0.2 10.0.0.3/24 fd00::2").expect("an interface");
        let left: Vec<_> = spec.left.iter().map(|one| one.word.as_str()).collect();
        assert_eq!(left, ["ip=10.0.0.2", "ip=fd00::2"]);
        assert_eq!(spec.nic.addresses, ["10.0.0.3/24"]);
        assert!(!spec.nic.anti_spoofing, "the guest needs the others too");
    }

    #[test]
    fn mistakes_say_what_is_wrong() {
        for (text, words) in [
            ("mac=00:16:3e:aa:bb", "MAC address"),
            ("mac=00:16:3e:aa:bb:+1", "MAC address"),
            ("ip=10.0.0", "IP address"),
            ("ip=10.0.0.2/33", "IP address"),
            ("ip=10.0.0.2/0", "IP address"),
            ("rate=10", "no rate"),
            ("rate=10Mb", "no rate"),
            ("rate=Mb/s", "no rate"),
            ("rate=0Mb/s", "no rate"),
            ("rate=10Mb/s@20", "no rate"),
        ] {
            let problem = parse(text).expect_err(text);
            assert!(problem.contains(words), "{text}: {problem}");
        }
    }
}

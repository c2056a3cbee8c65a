//! Addresses: those of a guest's own interfaces, and those of the servers and
//! gateways that it asks.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use super::{BadValue, DomainName, serde_by_text};

/// An address of a guest's interface with the prefix of its network, such as
/// 10.0.0.2/24 or fd00::2/64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceAddress(IpNet);

serde_by_text!(InterfaceAddress);

impl InterfaceAddress {
    /// The address alone.
    pub fn address(&self) -> IpAddr {
        self.0.addr()
    }

    /// Bits of the network's part.
    pub fn prefix(&self) -> u8 {
        self.0.prefix_len()
    }

    /// Whether `address` is in this address's network.
    pub fn reaches(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }
}

impl fmt::Display for InterfaceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for InterfaceAddress {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let net: IpNet = text.parse().map_err(|_| {
            BadValue::must("be an address with its prefix, such as 10.0.0.2/24 or fd00::2/64")
        })?;
        let address = net.addr();
        host_address(address)?;
        if net.prefix_len() == 0 {
            return Err(BadValue::must("have a prefix of at least 1"));
        }
        // /31 (RFC 3021) and /32 have no addresses of their own for that.
        if let IpNet::V4(v4) = net
            && v4.prefix_len() < 31
            && (v4.addr() == v4.network() || v4.addr() == v4.broadcast())
        {
            return Err(BadValue::must(format!(
                "be a host's address, and {address} is the network's own or the broadcast address of {}",
                v4.trunc()
            )));
        }
        Ok(Self(net))
    }
}

/// The address of one other host: a gateway or a name server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerAddress(IpAddr);

serde_by_text!(ServerAddress);

impl ServerAddress {
    /// The address.
    pub fn address(&self) -> IpAddr {
        self.0
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ServerAddress {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let address = text
            .parse()
            .map_err(|_| BadValue::must("be an address without a prefix, such as 10.0.0.1"))?;
        host_address(address)?;
        Ok(Self(address))
    }
}

fn host_address(address: IpAddr) -> Result<(), BadValue> {
    let kind = match address {
        _ if address.is_unspecified() => "an unspecified",
        _ if address.is_multicast() => "a multicast",
        _ if address.is_loopback() => "a loopback",
        IpAddr::V4(v4) if v4.is_broadcast() => "a broadcast",
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => "an IPv4-mapped",
        _ => return Ok(()),
    };
    Err(BadValue::must(format!("be a host's address, and {address} is {kind} address")))
}

/// A time server, by address or by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NtpServer {
    Address(ServerAddress),
    Name(DomainName),
}

serde_by_text!(NtpServer);

impl fmt::Display for NtpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl FromStr for NtpServer {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        if text.parse::<IpAddr>().is_ok() {
            return text.parse().map(Self::Address);
        }
        text.parse().map(Self::Name).map_err(|_| BadValue::must("be a server's name or address"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_has_a_hosts_address() {
        for good in ["10.0.0.2/24", "10.0.0.0/31", "10.0.0.0/32", "fd00::2/64", "fe80::1/128"] {
            assert_eq!(good.parse::<InterfaceAddress>().unwrap().to_string(), good);
        }
        for (bad, wrong) in [
            ("10.0.0.2", "with its prefix"),
            ("10.0.0.2/33", "with its prefix"),
            ("10.0.0.2/-1", "with its prefix"),
            ("fd00::2/129", "with its prefix"),
            ("10.0.0.300/24", "with its prefix"),
            ("10.0.0.2/0", "at least 1"),
            ("10.0.0.0/24", "of 10.0.0.0/24"),
            ("10.0.0.255/24", "of 10.0.0.0/24"),
            ("127.0.0.1/8", "a loopback"),
            ("0.0.0.0/8", "an unspecified"),
            ("224.0.0.1/24", "a multicast"),
            ("ff02::1/64", "a multicast"),
            ("::1/128", "a loopback"),
            ("::ffff:10.0.0.1/120", "IPv4-mapped"),
        ] {
            let error = bad.parse::<InterfaceAddress>().unwrap_err().to_string();
            assert!(error.contains(wrong), "{bad}: {error}");
        }
        let address: InterfaceAddress = "10.0.0.2/30".parse().unwrap();
        assert!(address.reaches("10.0.0.1".parse().unwrap()));
        assert!(!address.reaches("10.0.0.4".parse().unwrap()));
        assert!(!address.reaches("fd00::1".parse().unwrap()));
    }

    #[test]
    fn servers_have_addresses_and_time_servers_may_have_names() {
        assert!("10.0.0.1".parse::<ServerAddress>().is_ok());
        assert!("fe80::1".parse::<ServerAddress>().is_ok());
        for bad in ["10.0.0.1/24", "0.0.0.0", "255.255.255.255", "ns.example.org", "fe80::1%eth0"] {
            assert!(bad.parse::<ServerAddress>().is_err(), "{bad}");
        }
        for good in ["10.0.0.1", "fd00::1", "ntp.example.org"] {
            assert_eq!(good.parse::<NtpServer>().unwrap().to_string(), good);
        }
        assert!("0.0.0.0".parse::<NtpServer>().is_err());
        assert!("10.0.0".parse::<NtpServer>().is_err());
    }
}

//! An address together with the length of its network: `10.0.0.1/24`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An address that an interface can have, and how many of its leading bits
/// name its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IpPrefix {
    address: IpAddr,
    length: u8,
}

/// The text is no address with a length.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAPrefix {
    #[error("{text:?} is no address with a length: write it as 10.0.0.1/24 or 2001:db8::1/64")]
    Syntax { text: String },
    #[error("{text:?}: no interface can have that address")]
    Unusable { text: String },
}

impl IpPrefix {
    pub fn new(address: IpAddr, length: u8) -> Result<Self, NotAPrefix> {
        let prefix = Self { address, length };
        let bits = if address.is_ipv4() { 32 } else { 128 };
        if length == 0 || length > bits {
            return Err(NotAPrefix::Syntax { text: prefix.to_string() });
        }
        let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
        if address.is_unspecified() || address.is_multicast() || address.is_loopback() || broadcast
        {
            return Err(NotAPrefix::Unusable { text: prefix.to_string() });
        }
        Ok(prefix)
    }

    pub fn address(self) -> IpAddr {
        self.address
    }

    /// Whether it means something on its own link only.
    pub fn is_link_local(&self) -> bool {
        match self.address {
            IpAddr::V4(v4) => v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        }
    }

    /// Leading bits that name the network.
    pub fn length(self) -> u8 {
        self.length
    }
}

impl FromStr for IpPrefix {
    type Err = NotAPrefix;

    fn from_str(text: &str) -> Result<Self, NotAPrefix> {
        let wrong = || NotAPrefix::Syntax { text: text.chars().take(60).collect() };
        let (address, length) = text.split_once('/').ok_or_else(wrong)?;
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        if !length.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        Self::new(address, length.parse().map_err(|_| wrong())?)
    }
}

impl TryFrom<String> for IpPrefix {
    type Error = NotAPrefix;

    fn try_from(text: String) -> Result<Self, NotAPrefix> {
        text.parse()
    }
}

impl From<IpPrefix> for String {
    fn from(prefix: IpPrefix) -> Self {
        prefix.to_string()
    }
}

impl fmt::Display for IpPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes() {
        for good in ["10.0.0.1/24", "192.0.2.7/32", "2001:db8::1/64", "fe80::1/10"] {
            assert_eq!(good.parse::<IpPrefix>().unwrap().to_string(), good);
        }
        let malformed = ["", "10.0.0.1", "10.0.0.1/", "10.0.0.1/33", "::1/129", "10.0.0.1/+8"];
        for bad in malformed.into_iter().chain(["10.0.0/24", "10.0.0.1/0", "a/24"]) {
            assert!(matches!(bad.parse::<IpPrefix>(), Err(NotAPrefix::Syntax { .. })), "{bad}");
        }
        for bad in ["0.0.0.0/8", "::/64", "224.0.0.1/4", "ff02::1/8", "127.0.0.1/8", "::1/128"] {
            assert!(matches!(bad.parse::<IpPrefix>(), Err(NotAPrefix::Unusable { .. })), "{bad}");
        }
    }
}

//! Ethernet addresses of guests.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Xen's own block of addresses (OUI 00:16:3e), which every Xen toolstack
/// takes generated ones from.
const XEN: [u8; 3] = [0x00, 0x16, 0x3e];

/// The address of one interface: never multicast, never all zeros.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac([u8; 6]);

/// The text is no address that an interface can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAMac {
    #[error("{text:?} is not a MAC address: write six bytes as in 00:16:3e:12:34:56")]
    Syntax { text: String },
    #[error(
        "{text} is a multicast address, which no interface can have: \
         the first byte must be even, as in 00:16:3e:12:34:56"
    )]
    Multicast { text: String },
    #[error("00:00:00:00:00:00 stands for no address: take one as 00:16:3e:12:34:56")]
    Zero,
}

impl Mac {
    /// A random address in 00:16:3e. The highest of the 24 bits that are left
    /// stays 0, as with Xen's own toolstacks, so 23 are random.
    pub fn random() -> Self {
        // The first six bytes of such a UUID are random without exception.
        let [a, b, c, ..] = *Uuid::new_v4().as_bytes();
        let [x, y, z] = XEN;
        Self([x, y, z, a & 0x7f, b, c])
    }

    pub fn octets(self) -> [u8; 6] {
        self.0
    }

    fn checked(octets: [u8; 6]) -> Result<Self, NotAMac> {
        let mac = Self(octets);
        match octets {
            [0, 0, 0, 0, 0, 0] => Err(NotAMac::Zero),
            [first, ..] if first & 1 == 1 => Err(NotAMac::Multicast { text: mac.to_string() }),
            _ => Ok(mac),
        }
    }
}

impl FromStr for Mac {
    type Err = NotAMac;

    /// Takes `:` or `-` between the bytes, but not both.
    fn from_str(text: &str) -> Result<Self, NotAMac> {
        let wrong = || NotAMac::Syntax { text: text.chars().take(40).collect() };
        let separator = if text.contains('-') { '-' } else { ':' };
        let mut octets = [0; 6];
        let mut words = text.split(separator);
        for octet in &mut octets {
            let word = words.next().ok_or_else(wrong)?;
            // from_str_radix alone would take "+1".
            if word.len() != 2 || !word.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(wrong());
            }
            *octet = u8::from_str_radix(word, 16).map_err(|_| wrong())?;
        }
        if words.next().is_some() {
            return Err(wrong());
        }
        Self::checked(octets)
    }
}

impl TryFrom<String> for Mac {
    type Error = NotAMac;

    fn try_from(text: String) -> Result<Self, NotAMac> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mac({self})")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn what_people_write_becomes_one_form() {
        let mac: Mac = "00:16:3E:0a:Bc:ff".parse().unwrap();
        assert_eq!(mac.to_string(), "00:16:3e:0a:bc:ff");
        assert_eq!("00-16-3e-0a-bc-ff".parse(), Ok(mac));
        assert_eq!(mac.octets(), [0, 0x16, 0x3e, 0x0a, 0xbc, 0xff]);
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let broken = ["", "00:16:3e:00:00", "00:16:3e:00:00:01:02", "00:16:3e:00:00:0g"];
        let signed = ["0:16:3e:0:0:1", "00:16:3e:00:00:+1", "00163e000001", "00-16:3e:00:00:01"];
        for bad in broken.into_iter().chain(signed) {
            assert!(matches!(bad.parse::<Mac>(), Err(NotAMac::Syntax { .. })), "{bad}");
        }
        assert_eq!("00:00:00:00:00:00".parse::<Mac>(), Err(NotAMac::Zero));
        for multicast in ["01:00:5e:00:00:01", "33:33:00:00:00:01", "ff:ff:ff:ff:ff:ff"] {
            assert!(matches!(multicast.parse::<Mac>(), Err(NotAMac::Multicast { .. })));
        }
    }

    #[test]
    fn generated_ones_are_xens_and_use_all_23_bits() {
        let macs: HashSet<Mac> = (0..2000).map(|_| Mac::random()).collect();
        assert!(macs.len() > 1990, "2000 of 8 million: hardly any twice");
        let (mut ones, mut zeros) = (0, 0);
        for mac in &macs {
            let [a, b, c, d, e, f] = mac.octets();
            assert_eq!([a, b, c], XEN);
            let low = u32::from_be_bytes([0, d, e, f]);
            ones |= low;
            zeros |= !low & 0xff_ffff;
            assert_eq!(mac.to_string().parse(), Ok(*mac));
        }
        assert_eq!((ones, zeros), (0x7f_ffff, 0xff_ffff));
    }
}

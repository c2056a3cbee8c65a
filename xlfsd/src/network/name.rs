//! Names of network interfaces in Dom0.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use xlfs_xen::hypercall::DomainId;

/// Bytes of a name without the nul (`IFNAMSIZ` of Linux's `if.h`, less one).
const MAX_LEN: usize = 15;

/// A name that an interface can have. Stricter than the kernel: letters,
/// digits, `-`, `_` and `.`, so that it is also one part of a path, one word of
/// a firewall's rules, and no option.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LinkName(String);

/// The text cannot name an interface.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} cannot name a network interface: it takes 1 to 15 letters, digits, -, _ or ., \
     and begins with a letter or digit"
)]
pub struct NotALinkName {
    text: String,
}

impl LinkName {
    /// The name that the kernel's netback gives to Dom0's end of a guest's interface.
    pub fn vif(domid: DomainId, index: u8) -> Self {
        Self(format!("vif{domid}.{index}"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LinkName {
    type Err = NotALinkName;

    fn from_str(text: &str) -> Result<Self, NotALinkName> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        if begins && text.len() <= MAX_LEN && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotALinkName { text: text.chars().take(40).collect() })
        }
    }
}

impl TryFrom<String> for LinkName {
    type Error = NotALinkName;

    fn try_from(text: String) -> Result<Self, NotALinkName> {
        text.parse()
    }
}

impl From<LinkName> for String {
    fn from(name: LinkName) -> Self {
        name.0
    }
}

impl fmt::Display for LinkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["br0", "vif7.0", "en-x_1", "a23456789012345"] {
            assert_eq!(good.parse::<LinkName>().unwrap().as_str(), good);
        }
        let bad = ["", ".", "..", "-a", "a/b", "a b", "a:1", "a\n", "é", "a234567890123456"];
        for bad in bad {
            assert!(bad.parse::<LinkName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_longest_vif_is_a_name() {
        let vif = LinkName::vif(DomainId(32751), 255);
        assert_eq!(vif.as_str(), "vif32751.255");
        assert_eq!(vif.as_str().parse(), Ok(vif));
    }
}

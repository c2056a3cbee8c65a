//! Names in the DNS: a guest's full name, its search domains, its zones.

use std::str::FromStr;

use super::{BadValue, text_form};

/// A host or domain name in small letters without the dot at its end: labels
/// of letters, digits and inner dashes (RFC 1123), at most 253 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainName(String);

text_form!(DomainName);

impl DomainName {
    /// The first label: of a guest's full name the host name.
    pub fn host(&self) -> &str {
        self.0.split_once('.').map_or(self.as_str(), |(host, _)| host)
    }

    /// What comes after the first label, if there is more than one.
    pub fn domain(&self) -> Option<&str> {
        self.0.split_once('.').map(|(_, domain)| domain)
    }
}

impl FromStr for DomainName {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let name = text.strip_suffix('.').unwrap_or(text);
        // "10.0.0.2" has the form of a name; whoever writes it means an address.
        let number = name.rsplit('.').next().is_some_and(|last| last.parse::<u64>().is_ok());
        if name.len() <= 253 && !number && name.split('.').all(is_label) {
            return Ok(Self(name.to_ascii_lowercase()));
        }
        Err(BadValue::must(
            "be a domain name: letters, digits, inner dashes and dots, at most 253 characters, and no number at the end",
        ))
    }
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_names_and_splits_them() {
        let name: DomainName = "WWW.Example.org.".parse().unwrap();
        assert_eq!(name.as_str(), "www.example.org");
        assert_eq!((name.host(), name.domain()), ("www", Some("example.org")));
        let short: DomainName = "web".parse().unwrap();
        assert_eq!((short.host(), short.domain()), ("web", None));
        let label = "a".repeat(63);
        let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        assert_eq!(longest.len(), 253);
        for good in ["a", "1a", "xn--bcher-kva.example", "2.0.192.in-addr.arpa", &label, &longest] {
            assert_eq!(good.parse::<DomainName>().unwrap().as_str(), good);
        }
        for bad in [".", "a..b", ".a", "a..", "-a", "a-", "a_b", "10.0.0.2", &format!("{label}a")] {
            assert!(bad.parse::<DomainName>().is_err(), "{bad}");
        }
        assert!(format!("{longest}a").parse::<DomainName>().is_err());
    }
}

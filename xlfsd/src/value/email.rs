//! Mail addresses.

use std::str::FromStr;

use super::{BadValue, DomainName, text_form};

/// A mail address in its plain form (RFC 5321 without quoted parts). Its
/// domain is in small letters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Email(String);

text_form!(Email);

impl FromStr for Email {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let wrong = || BadValue::must("be a mail address, such as admin@example.org");
        let (local, domain) = text.rsplit_once('@').ok_or_else(wrong)?;
        let domain: DomainName = domain.parse().map_err(|_| wrong())?;
        // Fewer characters than RFC 5321 has, so that no program a template
        // configures with it sees something special.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._+=-".contains(&byte);
        let fits = (1..=64).contains(&local.len())
            && local.bytes().all(plain)
            && !local.starts_with(['.', '-'])
            && !local.ends_with('.')
            && !local.contains("..");
        let email = format!("{local}@{domain}");
        if !fits || email.len() > 254 {
            return Err(wrong());
        }
        Ok(Self(email))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_plain_addresses() {
        let longest = format!("{}@example.org", "a".repeat(64));
        for good in ["a@b", "first.last+tag@mail.example.org", "root@localhost", &longest] {
            assert_eq!(good.parse::<Email>().unwrap().as_str(), good);
        }
        let too_long = format!("a{longest}");
        for bad in [
            "a",
            "@b",
            "a@",
            "a@@b",
            "a b@c",
            ".a@b",
            "a.@b",
            "a..b@c",
            "-a@b",
            "a@b c",
            "<a@b>",
            "\"a\"@b",
            "a@10.0.0.1",
            "ä@b",
            &too_long,
        ] {
            assert!(bad.parse::<Email>().is_err(), "{bad}");
        }
    }
}

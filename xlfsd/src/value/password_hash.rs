//! Hashes of passwords. A password itself never gets here.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::BadValue;

/// A hash in the form of crypt(5), by a method that is still good: yescrypt
/// (`$y$`, `$gy$`), bcrypt (`$2b$` and kin), SHA-512 (`$6$`) or SHA-256 (`$5$`).
/// It is a secret: `Debug` shows the method only.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// The hash. Not for logs and answers.
    pub fn secret(&self) -> &str {
        &self.0
    }

    fn method(&self) -> &str {
        self.0.split('$').nth(1).unwrap_or_default()
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PasswordHash(${}$…)", self.method())
    }
}

impl FromStr for PasswordHash {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let wrong = || {
            BadValue::must(
                "be a password's hash as crypt(5) writes it ($6$salt$hash, $y$…, $2b$…), never the password; `openssl passwd -6` makes one",
            )
        };
        if text.len() > 256 || !text.bytes().all(|b| is_crypt(b) || b"$=,-".contains(&b)) {
            return Err(wrong());
        }
        let mut parts = text.split('$');
        if parts.next() != Some("") {
            return Err(wrong());
        }
        let parts: Vec<&str> = parts.collect();
        let hash = |part: &str, length| part.len() == length && part.bytes().all(is_crypt);
        let salt = |part: &str, longest| (1..=longest).contains(&part.len());
        let fits = match parts.as_slice() {
            ["5", s, h] => salt(s, 16) && hash(h, 43),
            ["6", s, h] => salt(s, 16) && hash(h, 86),
            ["5", r, s, h] => is_rounds(r) && salt(s, 16) && hash(h, 43),
            ["6", r, s, h] => is_rounds(r) && salt(s, 16) && hash(h, 86),
            ["y" | "gy", cost, s, h] => salt(cost, 32) && salt(s, 86) && hash(h, 43),
            ["2a" | "2b" | "2y", cost, h] => {
                cost.len() == 2 && cost.parse().is_ok_and(|c| (4..=31).contains(&c)) && hash(h, 53)
            }
            _ => false,
        };
        if !fits {
            return Err(wrong());
        }
        Ok(Self(text.to_owned()))
    }
}

// By hand, because the type has no `Display` that could get it into a log.
impl Serialize for PasswordHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for PasswordHash {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        String::deserialize(reader)?.parse().map_err(de::Error::custom)
    }
}

fn is_crypt(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'/'
}

fn is_rounds(part: &str) -> bool {
    part.strip_prefix("rounds=").is_some_and(|rounds| rounds.parse::<u32>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_good_hashes_and_nothing_weaker() {
        let (h43, h53, h86) = ("a".repeat(43), "b".repeat(53), "c".repeat(86));
        for good in [
            format!("$6$salt${h86}"),
            format!("$6$rounds=5000$salt${h86}"),
            format!("$5$0123456789abcdef${h43}"),
            format!("$y$j9T$salt${h43}"),
            format!("$2b$12${h53}"),
        ] {
            let hash: PasswordHash = good.parse().unwrap();
            assert_eq!(hash.secret(), good);
            assert!(!format!("{hash:?}").contains("salt"));
        }
        for bad in [
            "hunter2".to_owned(),
            "*".to_owned(),
            "!".to_owned(),
            "$1$salt$0123456789abcdefghijkl".to_owned(),
            format!("$6$salt${}", "c".repeat(85)),
            format!("$6$salt${}", "c".repeat(87)),
            format!("$6$${h86}"),
            format!("$6$0123456789abcdefg${h86}"),
            format!("$6$rounds=x$salt${h86}"),
            format!("$6$salt${h86}:0:0"),
            format!("x$6$salt${h86}"),
            format!("$2b$99${h53}"),
        ] {
            assert!(bad.parse::<PasswordHash>().is_err(), "{bad}");
        }
    }
}

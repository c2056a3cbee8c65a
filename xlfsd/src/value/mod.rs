//! What users say about a guest, as types that hold nothing but a good value:
//! names, addresses, keys, places.
//!
//! A template's parameters check what is given by these types, and the
//! configuration disk (`seed`) is made of them. Each is read from text
//! (`FromStr`), and shown and stored as that text again; one that is read back
//! from a record is checked anew.

mod address;
mod domain_name;
mod email;
mod password_hash;
mod place;
mod ssh_key;

pub use address::{InterfaceAddress, NtpServer, ServerAddress};
pub use domain_name::DomainName;
pub use email::Email;
pub use password_hash::PasswordHash;
pub use place::{Locale, TimeZone};
#[cfg(test)]
pub(crate) use ssh_key::ED25519;
pub use ssh_key::SshPublicKey;

/// Why a text is no such value: the end of a sentence that begins with its
/// name, such as "must be a time zone, such as Europe/Zurich". It never
/// repeats a text that may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadValue(pub(crate) String);

impl BadValue {
    fn must(rest: impl Into<String>) -> Self {
        Self(format!("must {}", rest.into()))
    }
}

/// The text form of a checked value: `as_str`, `Display` and serde, which
/// checks again what it reads.
macro_rules! text_form {
    ($name:ident) => {
        impl $name {
            /// The value as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        $crate::value::serde_by_text!($name);
    };
}

macro_rules! serde_by_text {
    ($name:ident) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(reader)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

use {serde_by_text, text_form};

/// Texts that no value may take as they are, for the tests of all types.
#[cfg(test)]
pub(crate) const HOSTILE: [&str; 22] = [
    "",
    " ",
    "'",
    "\"",
    "a'b",
    "a\"b",
    "a\\",
    "$(reboot)",
    "`reboot`",
    "${HOME}",
    "a\nb",
    "a\rb",
    "a\0b",
    "a\tb",
    "a;b",
    "a: b",
    "- a",
    "# a",
    "../../etc/passwd",
    "\u{85}\u{2028}",
    "\u{202e}ää\u{1f600}",
    "{a: b}",
];

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use super::*;

    fn refuses_hostile<T: FromStr<Err = BadValue> + std::fmt::Debug>() {
        for text in HOSTILE {
            let error = text.parse::<T>().unwrap_err();
            assert!(error.to_string().starts_with("must "), "{text:?}: {error}");
        }
    }

    #[test]
    fn no_type_takes_what_could_break_out_of_a_file() {
        refuses_hostile::<DomainName>();
        refuses_hostile::<InterfaceAddress>();
        refuses_hostile::<ServerAddress>();
        refuses_hostile::<NtpServer>();
        refuses_hostile::<Email>();
        refuses_hostile::<PasswordHash>();
        refuses_hostile::<TimeZone>();
        refuses_hostile::<Locale>();
        refuses_hostile::<SshPublicKey>();
    }

    #[test]
    fn a_stored_value_is_checked_when_it_is_read() {
        let zone: TimeZone = "Europe/Zurich".parse().unwrap();
        let stored = serde_json::to_string(&zone).unwrap();
        assert_eq!(stored, "\"Europe/Zurich\"");
        assert_eq!(serde_json::from_str::<TimeZone>(&stored).unwrap(), zone);
        let error = serde_json::from_str::<TimeZone>("\"../x\"").unwrap_err().to_string();
        assert!(error.starts_with("must be a time zone"), "{error}");
    }
}

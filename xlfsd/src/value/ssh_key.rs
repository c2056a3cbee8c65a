//! SSH public keys.

use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{BadValue, text_form};

/// Types that sshd takes today; DSA and certificates are not among them.
const TYPES: [&str; 7] = [
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];
/// Bytes of the line; an RSA key of 16384 bits has 2.8 KiB.
const MAX: usize = 4096;

/// A public key as one line of `authorized_keys`, without options: type, key
/// in base64, and a comment that may be missing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SshPublicKey(String);

text_form!(SshPublicKey);

impl FromStr for SshPublicKey {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let wrong = |why: &str| {
            BadValue::must(format!(
                "be an SSH public key in one line, such as \"ssh-ed25519 AAAA… you@host\" ({why})"
            ))
        };
        // A copied line often ends with a line break.
        let text = text.trim_ascii_end();
        if text.len() > MAX {
            return Err(wrong("it is too long"));
        }
        if text.chars().any(char::is_control) {
            return Err(wrong("it has a line break or another control character"));
        }
        let mut parts = text.splitn(3, ' ');
        let (kind, key) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if !TYPES.contains(&kind) {
            return Err(wrong("its type is not one of ed25519, rsa, ecdsa, or their sk- forms"));
        }
        let blob = STANDARD.decode(key).map_err(|_| wrong("its key is not base64"))?;
        if !is_key(kind, &blob) {
            return Err(wrong("its key is cut off or of another type"));
        }
        Ok(Self(text.to_owned()))
    }
}

/// The key as on the wire (RFC 4253, 6.6): fields, each a length of 32 bits
/// and its bytes, the first of them the type, and nothing after the last.
fn is_key(kind: &str, blob: &[u8]) -> bool {
    let (mut rest, mut fields) = (blob, Vec::new());
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        let Some((field, after)) = after.split_at_checked(length) else { return false };
        fields.push(field);
        rest = after;
    }
    let wanted = match kind {
        "ssh-ed25519" => 2,
        "sk-ecdsa-sha2-nistp256@openssh.com" => 4,
        _ => 3,
    };
    rest.is_empty() && fields.len() == wanted && fields.first() == Some(&kind.as_bytes())
}

/// Real keys, of nobody, for tests.
#[cfg(test)]
pub(crate) const ED25519: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g you@host";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_a_whole_key_with_or_without_a_comment() {
        let bare = ED25519.rsplit_once(' ').unwrap().0;
        let comment = format!("{bare} it's \"mine\" $(id) ä");
        for good in [ED25519, bare, &comment] {
            assert_eq!(good.parse::<SshPublicKey>().unwrap().as_str(), good);
        }
        assert_eq!(format!("{bare}\r\n").parse::<SshPublicKey>().unwrap().as_str(), bare);
    }

    #[test]
    fn refuses_what_sshd_would_not_take_or_take_as_something_else() {
        let (kind, key) = ED25519.split_once(' ').unwrap();
        let key = key.split(' ').next().unwrap();
        for (bad, wrong) in [
            (format!("ssh-dss {key}"), "its type"),
            (format!("command=\"x\" {kind} {key}"), "its type"),
            (key.to_owned(), "its type"),
            (kind.to_owned(), "cut off"),
            (format!("ssh-rsa {key}"), "another type"),
            (format!("{kind} {}", &key[..key.len() - 4]), "cut off"),
            (format!("{kind} {key}AAAA"), "cut off"),
            (format!("{kind} {key}!"), "not base64"),
            (format!("{kind} {key} a\nssh-rsa AAAA"), "line break"),
            (format!("{kind} {key} a\0"), "control character"),
            (format!("{kind} {key} {}", "a".repeat(MAX)), "too long"),
        ] {
            let error = bad.parse::<SshPublicKey>().unwrap_err().to_string();
            assert!(error.contains(wrong), "{bad:?}: {error}");
        }
    }
}

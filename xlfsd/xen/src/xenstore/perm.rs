//! Who may do what with a node (`docs/misc/xenstore.txt`, GET_PERMS and SET_PERMS).
//!
//! The first entry of a node's list is special: its domain owns the node (and always may read
//! and write), and its access is what every domain gets that no later entry names.

use std::fmt;

use super::error::ErrorKind;
use super::wire;

/// What a domain may do with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Nothing: `n`.
    None,
    /// Read: `r`.
    Read,
    /// Write: `w`.
    Write,
    /// Read and write: `b`.
    Both,
}

/// One entry of a node's list of permissions, such as `r3`: domain 3 may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Perm {
    /// The domain; in the first entry, the node's owner.
    pub domid: u16,
    /// What it may do; in the first entry, what all others may do.
    pub access: Access,
}

impl Perm {
    /// `n`: no access.
    pub fn none(domid: u16) -> Perm {
        Perm { domid, access: Access::None }
    }

    /// `r`: read.
    pub fn read(domid: u16) -> Perm {
        Perm { domid, access: Access::Read }
    }

    /// `w`: write.
    pub fn write(domid: u16) -> Perm {
        Perm { domid, access: Access::Write }
    }

    /// `b`: read and write.
    pub fn both(domid: u16) -> Perm {
        Perm { domid, access: Access::Both }
    }

    /// Reads `r3` and the like.
    pub(super) fn parse(text: &[u8]) -> Option<Perm> {
        let (letter, digits) = text.split_first()?;
        let access = match letter {
            b'n' => Access::None,
            b'r' => Access::Read,
            b'w' => Access::Write,
            b'b' => Access::Both,
            _ => return None,
        };
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let domid = std::str::from_utf8(digits).ok()?.parse().ok()?;
        Some(Perm { domid, access })
    }

    /// Reads the payload of a GET_PERMS reply.
    pub(super) fn parse_all(payload: &[u8]) -> Result<Vec<Perm>, ErrorKind> {
        wire::strings(payload)
            .map(|text| {
                Perm::parse(text).ok_or_else(|| ErrorKind::BadReply {
                    why: format!("{:?} is no permission", String::from_utf8_lossy(text)),
                })
            })
            .collect()
    }
}

impl fmt::Display for Perm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = match self.access {
            Access::None => 'n',
            Access::Read => 'r',
            Access::Write => 'w',
            Access::Both => 'b',
        };
        write!(f, "{letter}{}", self.domid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_permission_survives_its_text() {
        for perm in [Perm::none(0), Perm::read(3), Perm::write(65535), Perm::both(32767)] {
            assert_eq!(Perm::parse(perm.to_string().as_bytes()), Some(perm));
        }
        assert_eq!(Perm::none(0).to_string(), "n0");
        assert_eq!(Perm::both(7).to_string(), "b7");
    }

    #[test]
    fn what_is_no_permission_is_refused() {
        for bad in ["", "r", "x3", "r-1", "r+1", "r65536", "r 3", "3", "rr3", "R3"] {
            assert_eq!(Perm::parse(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(Perm::parse_all(b"n0\0r3\0"), Ok(vec![Perm::none(0), Perm::read(3)]));
        assert!(Perm::parse_all(b"n0\0\0").is_err());
    }
}

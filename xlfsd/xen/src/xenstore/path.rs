//! What a path may be (`docs/misc/xenstore.txt`, and `valid_chars` in `tools/xenstore`).
//!
//! Paths are checked here before they are sent: a nul in a path would start another field of
//! the payload, and xenstored's own answer to a bad path is a bare EINVAL. Only absolute paths
//! are taken: a relative one means `/local/domain/0/...` on the kernel's device and nothing at
//! all on the socket.

use super::error::ErrorKind;
use super::wire::{ABS_PATH_MAX, REL_PATH_MAX};

/// Whether `path` names a node: starts with `/`, has no empty part, no `/` at its end, only
/// the characters `A-Z a-z 0-9 - _ @ /`, and at most 3072 of them.
pub(super) fn check_node(path: &str) -> Result<(), ErrorKind> {
    let bad = |why| Err(ErrorKind::BadPath { why });
    if !path.starts_with('/') {
        return bad("it has to start with /");
    }
    if path.len() > ABS_PATH_MAX {
        return bad("it has more than 3072 bytes");
    }
    if path.len() > 1 && path.ends_with('/') {
        return bad("it ends with /");
    }
    if path.contains("//") {
        return bad("it has an empty part (//)");
    }
    if !path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-/_@".contains(&byte)) {
        return bad("only letters, digits and - _ @ / are allowed");
    }
    Ok(())
}

/// Whether `path` can be watched: a node, or a special event such as `@releaseDomain`.
pub(super) fn check_watch(path: &str) -> Result<(), ErrorKind> {
    if !path.starts_with('@') {
        return check_node(path);
    }
    if path.len() > REL_PATH_MAX {
        return Err(ErrorKind::BadPath { why: "it has more than 2048 bytes" });
    }
    if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(ErrorKind::BadPath { why: "only visible ASCII characters are allowed" });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes() {
        let longest = format!("/{}", "a".repeat(3071));
        for good in ["/", "/a", "/local/domain/0/device/vif-1_x@y", &longest] {
            assert_eq!(check_node(good), Ok(()), "{good}");
        }
        let long = format!("/{}", "a".repeat(3072));
        for bad in
            ["", "a", "a/b", "/a/", "//", "/a//b", "/a b", "/a\0b", "/é", "@x", "/a:b", &long]
        {
            assert!(matches!(check_node(bad), Err(ErrorKind::BadPath { .. })), "{bad}");
        }
    }

    #[test]
    fn watches() {
        for good in ["/", "/local/domain", "@introduceDomain", "@releaseDomain/3"] {
            assert_eq!(check_watch(good), Ok(()), "{good}");
        }
        let long = format!("@{}", "a".repeat(2048));
        for bad in ["", "x", "@a b", "@a\0b", &long] {
            assert!(matches!(check_watch(bad), Err(ErrorKind::BadPath { .. })), "{bad}");
        }
    }
}

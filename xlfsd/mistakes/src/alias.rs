//! What the name of an image in the daemon's catalogue may be: the daemon holds
//! imports against it, the builder what a recipe wants to be imported as.

/// Why the text is no alias. One is short, plain, and cannot be taken for a digest
/// or a part of one.
pub fn wrong_alias(alias: &str) -> Option<&'static str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if alias.len() > 64 {
        Some("must have at most 64 characters")
    } else if !alias.bytes().all(plain) || !alias.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        Some("must begin with a letter or digit, and have only letters, digits, '-', '_' and '.'")
    } else if alias.len() >= 8 && alias.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Some("could be taken for a part of a digest: use a letter beyond f, or a dash")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_are_plain_and_no_digests() {
        for good in ["minimal-kernel", "a", "v6.1", "DNS_2", "cafe", "deadbee", "0123456g"] {
            assert_eq!(wrong_alias(good), None, "{good}");
        }
        let long = "x".repeat(65);
        for bad in ["", ".", "-a", "../x", "a b", "a/b", "ä", "deadbeef", "0123456789", &long] {
            assert!(wrong_alias(bad).is_some(), "{bad}");
        }
    }
}

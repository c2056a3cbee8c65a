//! Strings out of an image, made fit for logs, terminals and JSON.

/// Longest string kept from an image, in bytes.
pub(super) const TEXT_BYTES: usize = 128;

/// The bytes up to the first NUL, at most [`TEXT_BYTES`] of them, with
/// everything but printable ASCII replaced by `?`.
pub(super) fn clean(bytes: &[u8]) -> String {
    bytes
        .iter()
        .take_while(|b| **b != 0)
        .take(TEXT_BYTES)
        .map(|b| if b.is_ascii_graphic() || *b == b' ' { char::from(*b) } else { '?' })
        .collect()
}

/// Whether `text` could have come out of [`clean`].
pub(super) fn is_clean(text: &str) -> bool {
    text.len() <= TEXT_BYTES && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
}

/// The first bytes of something unknown, in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().take(16).fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_and_length_are_removed() {
        assert_eq!(clean(b"linux\0rest"), "linux");
        assert_eq!(clean(b"\x1b[2Jx\xff"), "?[2Jx?");
        assert_eq!(clean(&[b'a'; 4096]).len(), TEXT_BYTES);
        assert!(is_clean("xen-3.0"));
        assert!(!is_clean("a\nb"));
        assert_eq!(hex(b"\x7fELF"), "7f454c46");
    }
}

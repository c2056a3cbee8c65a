//! Guests' output made harmless for a terminal: text and colours pass, every
//! other control sequence is shown as `^[...` and does nothing. A guest may
//! print what it likes; reading its log must not let it type into the reader's
//! terminal or hide what stands there.

const ESCAPE: u8 = 0x1b;
/// A colour sequence is short; what is longer is none.
const MOST_SEQUENCE: usize = 32;

/// A filter for a stream of bytes, in pieces of any size.
#[derive(Debug, Default)]
pub(crate) struct GuestText {
    /// A sequence that has begun with ESC and may turn out to be a colour.
    begun: Vec<u8>,
    coloured: bool,
    wrote_newline: bool,
}

impl GuestText {
    /// The harmless form of the next bytes.
    pub(crate) fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        for byte in bytes {
            self.take(*byte, &mut out);
        }
        if let Some(last) = out.last() {
            self.wrote_newline = *last == b'\n';
        }
        out
    }

    /// What puts the terminal in order after the last byte.
    pub(crate) fn end(&self) -> Option<&'static str> {
        match (self.coloured, self.wrote_newline) {
            (true, true) => Some("\x1b[0m"),
            (true, false) => Some("\x1b[0m\n"),
            (false, false) => Some("\n"),
            (false, true) => None,
        }
    }

    fn take(&mut self, byte: u8, out: &mut Vec<u8>) {
        if self.begun.is_empty() {
            match byte {
                ESCAPE => self.begun.push(byte),
                _ => show(byte, out),
            }
            return;
        }
        let goes_on = match self.begun.len() {
            1 => byte == b'[',
            _ => matches!(byte, b'0'..=b'9' | b';' | b':' | b'm'),
        };
        if !goes_on || self.begun.len() >= MOST_SEQUENCE {
            for byte in std::mem::take(&mut self.begun) {
                show(byte, out);
            }
            return self.take(byte, out);
        }
        self.begun.push(byte);
        if byte == b'm' {
            self.coloured = true;
            out.append(&mut self.begun);
        }
    }
}

/// A byte as itself when it is text (UTF-8 included), as `^X` when it is not.
fn show(byte: u8, out: &mut Vec<u8>) {
    match byte {
        b'\n' | b'\t' | 0x20..=0x7e | 0x80..=0xff => out.push(byte),
        // Consoles end lines with CR LF; a bare CR would overwrite the line.
        b'\r' => {}
        0x7f => out.extend(b"^?"),
        _ => out.extend([b'^', byte + 0x40]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(text: &[u8]) -> String {
        String::from_utf8(GuestText::default().pass(text)).expect("text")
    }

    #[test]
    fn text_and_colours_pass() {
        assert_eq!(
            pass("[\x1b[0;32m  OK  \x1b[0m] Grüße\r\n".as_bytes()),
            "[\x1b[0;32m  OK  \x1b[0m] Grüße\n"
        );
    }

    #[test]
    fn everything_else_is_shown() {
        assert_eq!(pass(b"\x1b[2J\x1b]0;title\x07\x1bc\x08\x7f"), "^[[2J^[]0;title^G^[c^H^?");
        assert_eq!(pass(b"\x1b\x1b[31mx"), "^[\x1b[31mx");
        assert_eq!(pass(b"\x1b[31\x1b[6n"), "^[[31^[[6n");
        let long = [b"\x1b[".as_slice(), &[b'1'; 100], b"m"].concat();
        assert!(pass(&long).starts_with("^[[111"));
    }

    #[test]
    fn sequences_may_come_in_pieces() {
        let mut filter = GuestText::default();
        let mut out = Vec::new();
        for byte in b"a\x1b[31mb\x1b[Hc\n" {
            out.extend(filter.pass(&[*byte]));
        }
        assert_eq!(out, b"a\x1b[31mb^[[Hc\n");
        assert_eq!(filter.end(), Some("\x1b[0m"));
    }
}

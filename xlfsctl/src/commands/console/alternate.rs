//! Notes whether the guest has switched to the alternate screen, as editors and
//! pagers do. Who leaves the console then wants his own screen back; but to
//! switch back without need would move his cursor.

/// The private modes that switch the screen.
const MODES: [&[u8]; 3] = [b"1049", b"1047", b"47"];
/// The longest sequence, `ESC [ ? 1049 h`.
const LONGEST: usize = 8;

/// Which screen the guest draws on.
#[derive(Debug, Default)]
pub(super) struct Alternate {
    on: bool,
    /// The end of the bytes so far: a sequence may come in pieces.
    tail: Vec<u8>,
}

impl Alternate {
    /// Takes in bytes on their way to the screen.
    pub(super) fn watch(&mut self, bytes: &[u8]) {
        self.tail.extend(bytes);
        for (at, _) in self.tail.iter().enumerate().filter(|(_, byte)| **byte == 0x1b) {
            if let Some(on) = switch(&self.tail[at..]) {
                self.on = on;
            }
        }
        let keep = self.tail.len().min(LONGEST - 1);
        self.tail.drain(..self.tail.len() - keep);
    }

    pub(super) fn is_on(&self) -> bool {
        self.on
    }
}

/// Whether the bytes start with a switch, and to which side.
fn switch(bytes: &[u8]) -> Option<bool> {
    let rest = bytes.strip_prefix(b"\x1b[?")?;
    let after = MODES.iter().find_map(|mode| rest.strip_prefix(*mode))?;
    match after.first()? {
        b'h' => Some(true),
        b'l' => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_switch_counts_also_in_pieces() {
        let mut screen = Alternate::default();
        screen.watch(b"text \x1b[?25h text");
        assert!(!screen.is_on());
        for byte in b"vi \x1b[?1049h file" {
            screen.watch(&[*byte]);
        }
        assert!(screen.is_on());
        screen.watch(b"\x1b[?1049l\x1b[?47h");
        assert!(screen.is_on());
        screen.watch(b"\x1b[?47l");
        assert!(!screen.is_on());
        assert!(screen.tail.len() < LONGEST);
    }
}

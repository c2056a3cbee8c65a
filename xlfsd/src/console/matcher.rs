//! Finds a text in a stream of bytes that comes in pieces (Knuth, Morris and
//! Pratt): each byte is looked at once, however the pieces are cut, and nothing
//! of them is kept. A guest can print what it likes; this takes it in its stride.

/// A search that goes on.
#[derive(Debug, Clone)]
pub(super) struct Matcher {
    text: Box<[u8]>,
    /// For each prefix of the text: how much of its beginning is also its end.
    fallback: Box<[u32]>,
    /// Bytes of the text that have matched so far.
    matched: usize,
}

impl Matcher {
    pub(super) fn new(text: &[u8]) -> Self {
        let mut fallback = vec![0u32; text.len()];
        let mut length = 0;
        for at in 1..text.len() {
            while length > 0 && text[at] != text[length] {
                length = fallback[length - 1] as usize;
            }
            length += usize::from(text[at] == text[length]);
            fallback[at] = length as u32;
        }
        Self { text: text.into(), fallback: fallback.into(), matched: 0 }
    }

    /// Takes the next piece; true once the text was found.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> bool {
        for byte in bytes {
            if self.found() {
                break;
            }
            while self.matched > 0 && self.text[self.matched] != *byte {
                self.matched = self.fallback[self.matched - 1] as usize;
            }
            self.matched += usize::from(self.text[self.matched] == *byte);
        }
        self.found()
    }

    /// Bytes are missing: what comes now does not go on from what came before.
    pub(super) fn gap(&mut self) {
        self.matched = 0;
    }

    fn found(&self) -> bool {
        self.matched == self.text.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_a_plain_search_finds_however_it_is_cut() {
        let streams = ["aaabaaabaaac", "abcabcabd", "login: ", "aab", "", "xaabaabaaab"];
        let texts = ["aaab", "abcabd", "login:", "b", "aabaaab", "zz", "aaaa"];
        for stream in streams {
            for text in texts {
                for piece in 1..=4 {
                    let mut matcher = Matcher::new(text.as_bytes());
                    let found = stream.as_bytes().chunks(piece).any(|part| matcher.feed(part));
                    assert_eq!(found, stream.contains(text), "{text} in {stream} by {piece}");
                }
            }
        }
    }

    #[test]
    fn a_gap_parts_what_does_not_belong_together() {
        let mut matcher = Matcher::new(b"login:");
        assert!(!matcher.feed(b"log"));
        matcher.gap();
        assert!(!matcher.feed(b"in:"));
        assert!(matcher.feed(b"login: more"));
    }
}

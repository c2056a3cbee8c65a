//! Walks over a block of header fields as HPACK (RFC 7541) encodes them, and
//! replaces what must not stand in the value of `:authority`. See `authority`
//! for why.

/// `:authority` in the static table (RFC 7541, appendix A).
const AUTHORITY: usize = 1;

/// The same name where it is written out, as gRPC's C core does, and in Huffman code.
const NAME: [&[u8]; 2] = [b":authority", b"\xb8\x3b\x53\x39\xec\x32\x7d\x7f"];

/// A longer number makes no sense for an index or a length.
const MAX_NUMBER: usize = 1 << 24;

/// Where in a block of fields we are.
#[derive(Debug, Default)]
pub(super) struct FieldScanner {
    at: At,
}

#[derive(Debug, Default, Clone, Copy)]
enum At {
    /// The next byte begins a field.
    #[default]
    Field,
    /// A number goes on.
    Number {
        value: usize,
        shift: u32,
        then: Then,
    },
    /// The next byte begins a string.
    String(Role),
    Text {
        left: usize,
        role: Role,
        huffman: Option<Huffman>,
        name: Name,
    },
    /// The authority is behind us, or this is no HPACK: nothing to do.
    Done,
}

/// What a number means.
#[derive(Debug, Clone, Copy)]
enum Then {
    /// The field is in the tables, or no field at all.
    NextField,
    /// Index of the name; the value, or both, follow.
    Literal,
    Length {
        role: Role,
        huffman: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// A value follows it.
    Name,
    Value,
    Authority,
}

impl FieldScanner {
    pub(super) fn pass(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.step(byte);
        }
    }

    fn step(&mut self, byte: &mut u8) {
        self.at = match self.at {
            At::Field => match *byte {
                b if b & 0x80 != 0 => number(b, 7, Then::NextField),
                b if b & 0x40 != 0 => number(b, 6, Then::Literal),
                b if b & 0x20 != 0 => number(b, 5, Then::NextField),
                b => number(b, 4, Then::Literal),
            },
            At::Number { value, shift, then } => {
                let value = value.saturating_add(usize::from(*byte & 0x7f) << shift);
                if value > MAX_NUMBER || shift > 21 {
                    At::Done
                } else if *byte & 0x80 != 0 {
                    At::Number { value, shift: shift + 7, then }
                } else {
                    follow(value, then)
                }
            }
            At::String(role) => number(*byte, 7, Then::Length { role, huffman: *byte & 0x80 != 0 }),
            At::Text { left, role, mut huffman, mut name } => {
                match (role, &mut huffman) {
                    (Role::Authority, Some(huffman)) => huffman.replace(byte),
                    (Role::Authority, None) => *byte = replace(*byte),
                    (Role::Name, huffman) => name.compare(*byte, huffman.is_some()),
                    (Role::Value, _) => {}
                }
                match left - 1 {
                    0 => after_text(role, name.is_authority(huffman.is_some())),
                    left => At::Text { left, role, huffman, name },
                }
            }
            At::Done => At::Done,
        };
    }
}

/// A number whose first byte has `bits` bits for it (RFC 7541, 5.1).
fn number(byte: u8, bits: u32, then: Then) -> At {
    let full = (1usize << bits) - 1;
    let value = usize::from(byte) & full;
    if value == full { At::Number { value, shift: 0, then } } else { follow(value, then) }
}

fn follow(value: usize, then: Then) -> At {
    match then {
        Then::NextField => At::Field,
        Then::Literal if value == 0 => At::String(Role::Name),
        Then::Literal if value == AUTHORITY => At::String(Role::Authority),
        Then::Literal => At::String(Role::Value),
        Then::Length { role, .. } if value == 0 => after_text(role, false),
        Then::Length { role, huffman } => {
            let huffman = huffman.then(Huffman::default);
            At::Text { left: value, role, huffman, name: Name::default() }
        }
    }
}

fn after_text(role: Role, named_authority: bool) -> At {
    match role {
        Role::Name if named_authority => At::String(Role::Authority),
        Role::Name => At::String(Role::Value),
        Role::Value => At::Field,
        Role::Authority => At::Done,
    }
}

/// A name that is written out, compared as it comes.
#[derive(Debug, Default, Clone, Copy)]
struct Name {
    length: usize,
    differs: bool,
}

impl Name {
    fn compare(&mut self, byte: u8, huffman: bool) {
        self.differs |= NAME[usize::from(huffman)].get(self.length) != Some(&byte);
        self.length += 1;
    }

    fn is_authority(self, huffman: bool) -> bool {
        !self.differs && self.length == NAME[usize::from(huffman)].len()
    }
}

/// The same exchange as [`Huffman`] makes, in plain text.
fn replace(byte: u8) -> u8 {
    match byte {
        b'%' => b'.',
        b'/' => b'3',
        b' ' => b'-',
        other => other,
    }
}

/// How many symbols have a code of 5, 6, ... 30 bits (RFC 7541, appendix B).
/// The codes of one length follow each other, so this tells where each ends.
const CODES: [u32; 26] =
    [10, 26, 32, 6, 0, 5, 3, 2, 6, 2, 3, 0, 0, 0, 3, 8, 13, 26, 29, 12, 4, 15, 19, 29, 0, 4];

/// Reads symbols bit by bit, and sets single bits so that symbols become
/// others: `' '` 010100 and `'%'` 010101 become `'-'` 010110 and `'.'` 010111;
/// `'/'` 011000 becomes `'3'` 011001. The bit that decides is the one that is
/// set, so nothing that has been passed on needs to be changed.
#[derive(Debug, Default, Clone, Copy)]
struct Huffman {
    code: u32,
    bits: u32,
}

impl Huffman {
    fn replace(&mut self, byte: &mut u8) {
        for position in (0..8).rev() {
            let mut bit = u32::from(*byte >> position) & 1;
            let space_or_percent = (self.bits, self.code, bit) == (4, 0b0101, 0);
            let slash = (self.bits, self.code, bit) == (5, 0b01100, 0);
            if space_or_percent || slash {
                *byte |= 1 << position;
                bit = 1;
            }
            self.code = self.code << 1 | bit;
            self.bits += 1;
            if self.is_symbol() {
                *self = Self::default();
            }
        }
    }

    fn is_symbol(&self) -> bool {
        let (mut first, mut bits) = (0, 5);
        for count in CODES {
            if bits == self.bits {
                return self.code >= first && self.code < first + count;
            }
            first = (first + count) << 1;
            bits += 1;
        }
        // Longer than any code: padding, or nonsense that goes no further.
        self.bits >= 30
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(hex: &str) -> String {
        let digits: Vec<u8> =
            hex.bytes().map(|b| char::from(b).to_digit(16).unwrap() as u8).collect();
        let mut bytes: Vec<u8> = digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
        FieldScanner::default().pass(&mut bytes);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_numbers_of_codes_are_complete() {
        assert_eq!(CODES.iter().sum::<u32>(), 257);
        // A full code leaves no bits over (Kraft's sum is one).
        let sum: u32 = CODES.iter().zip(5..).map(|(count, bits)| count << (30 - bits)).sum();
        assert_eq!(sum, 1 << 30);
    }

    #[test]
    fn the_authority_becomes_acceptable_and_nothing_else_changes() {
        // Blocks of :method, :scheme, :authority, :path "/a%2Fb" and te, as the
        // Python package hpack encodes them: with the authority that comes in,
        // and with the one that is to come out, Huffman-coded and plain.
        for (before, after) in [
            (
                "838641974d35aa2c29a6b5ff39bde9abfd3df7daa8b0a1741c9d7f4485606a8b0c7f4082497f864d833505b11f",
                "838641974d35ae2c29a6b5ff39bde9abfd3df7dab8b0a1741c9d7f4485606a8b0c7f4082497f864d833505b11f",
            ),
            (
                "8386411d746d70253246746d702e5859387934446a7a7652253246732e736f636b44062f61253246624002746508747261696c657273",
                "8386411d746d702e3246746d702e5859387934446a7a76522e3246732e736f636b44062f61253246624002746508747261696c657273",
            ),
            (
                "8386419163b8ec62cb6a629f4a79a25448ba0e4ebf4485606a8b0c7f4082497f864d833505b11f",
                "8386419167b8ec66cb6a669f4b79a25448ba0e4ebf4485606a8b0c7f4082497f864d833505b11f",
            ),
            (
                "838641162f7661722f72756e2f6d7920786c6673642e736f636b44062f61253246624002746508747261696c657273",
                "83864116337661723372756e336d792d786c6673642e736f636b44062f61253246624002746508747261696c657273",
            ),
            (
                "8386418aa0e41d139d09b8f01e074485606a8b0c7f4082497f864d833505b11f",
                "8386418aa0e41d139d09b8f01e074485606a8b0c7f4082497f864d833505b11f",
            ),
            (
                "8386410e6c6f63616c686f73743a3830383044062f61253246624002746508747261696c657273",
                "8386410e6c6f63616c686f73743a3830383044062f61253246624002746508747261696c657273",
            ),
            (
                "8386418ffffe3fffeefffefff7fe7ff7ffc5584485606a8b0c7f4082497f864d833505b11f",
                "8386418ffffe3fffeefffefff7fe7ff7ffc5d94485606a8b0c7f4082497f864d833505b11f",
            ),
            (
                "83864109c3a97b7d7c7e5e252f44062f61253246624002746508747261696c657273",
                "83864109c3a97b7d7c7e5e2e3344062f61253246624002746508747261696c657273",
            ),
            (
                "838641ff175555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555555554485606a8b0c7f4082497f864d833505b11f",
                "838641ff175d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d74485606a8b0c7f4082497f864d833505b11f",
            ),
            (
                "8386417f49252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252525252544062f61253246624002746508747261696c657273",
                "8386417f492e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e44062f61253246624002746508747261696c657273",
            ),
        ] {
            assert_eq!(pass(before), after);
        }
    }

    #[test]
    fn a_name_that_is_written_out_is_known_too() {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let field = |name: &[u8], value: &str| {
            let name = [&[(name.len() as u8) | (name[0] & 0x80)], name].concat();
            hex(&[&[0x40][..], &name, &[value.len() as u8], value.as_bytes()].concat())
        };
        // Before it, as the C core has it, a path.
        let path = field(b":path", "/a%b");
        for name in NAME {
            let before = path.clone() + &field(name, "tmp%2Fs");
            assert_eq!(pass(&before), path.clone() + &field(name, "tmp.2Fs"));
        }
        for name in [&b":authorit"[..], b":authority2", b"xauthority"] {
            let other = field(name, "tmp%2Fs");
            assert_eq!(pass(&other), other);
        }
    }
}

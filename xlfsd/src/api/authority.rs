//! Makes the `:authority` of requests over a Unix socket acceptable.
//!
//! gRPC clients that are not written in Rust put the socket's path there: the
//! C core (Python, C++, Ruby) percent-encoded since 1.57, Java plain. The HTTP
//! library below tonic takes neither and resets the stream, so without this no
//! Python client would get an answer unless it knows to set
//! `grpc.default_authority`. Nobody looks at the authority of a Unix socket,
//! so its offending characters are replaced on their way in.
//!
//! That is done in place: a character becomes another of the same length, also
//! within HPACK's Huffman code (RFC 7541), so frames, lengths and the tables of
//! both sides stay right. Only as much of HTTP/2 (RFC 9113) is understood here
//! as is needed to find the field. Where something is not as expected, bytes
//! pass unchanged and the library behind says what it thinks of them.

use super::hpack::FieldScanner;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const FRAME_HEADERS: u8 = 0x1;
const FRAME_CONTINUATION: u8 = 0x9;
const FLAG_PADDED: u8 = 0x8;
const FLAG_PRIORITY: u8 = 0x20;

/// What a client sends on one connection, as far as it was seen.
#[derive(Debug)]
pub(super) struct AuthorityFilter {
    at: At,
    /// A block of fields may go on in further frames.
    fields: FieldScanner,
}

#[derive(Debug)]
enum At {
    /// So many bytes of the preface were seen.
    Preface(usize),
    /// So many bytes of a frame's header.
    FrameHeader([u8; 9], usize),
    /// The length of the padding comes first; `left` bytes of the frame with it.
    PadLength { left: usize, priority: bool },
    /// `skip` bytes, then `fields` bytes of fields, then `padding` bytes.
    Payload { skip: usize, fields: usize, padding: usize },
    /// Not HTTP/2 as we know it.
    GivenUp,
}

impl Default for AuthorityFilter {
    fn default() -> Self {
        Self { at: At::Preface(0), fields: FieldScanner::default() }
    }
}

impl AuthorityFilter {
    /// Looks at the next bytes of the connection, however they are cut.
    pub(super) fn pass(&mut self, mut bytes: &mut [u8]) {
        while !bytes.is_empty() {
            let used = self.step(bytes);
            bytes = &mut bytes[used..];
        }
    }

    /// Takes at least one byte and answers how many.
    fn step(&mut self, bytes: &mut [u8]) -> usize {
        match &mut self.at {
            At::Preface(seen) => {
                *seen += 1;
                if bytes[0] != PREFACE[*seen - 1] {
                    self.at = At::GivenUp;
                } else if *seen == PREFACE.len() {
                    self.at = At::FrameHeader([0; 9], 0);
                }
                1
            }
            At::FrameHeader(header, seen) => {
                header[*seen] = bytes[0];
                *seen += 1;
                if *seen == header.len() {
                    let header = *header;
                    self.begin_frame(header);
                }
                1
            }
            At::PadLength { left, priority } => {
                let (left, priority) = (*left - 1, *priority);
                self.begin_fields(left, usize::from(bytes[0]), priority);
                1
            }
            At::Payload { skip, fields, padding } => {
                let part = if *skip > 0 {
                    &mut *skip
                } else if *fields > 0 {
                    let used = (*fields).min(bytes.len());
                    self.fields.pass(&mut bytes[..used]);
                    &mut *fields
                } else {
                    &mut *padding
                };
                let used = (*part).min(bytes.len());
                *part -= used;
                if *skip + *fields + *padding == 0 {
                    self.at = At::FrameHeader([0; 9], 0);
                }
                used
            }
            At::GivenUp => bytes.len(),
        }
    }

    fn begin_frame(&mut self, header: [u8; 9]) {
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
        let (kind, flags) = (header[3], header[4]);
        let (padded, priority) = (flags & FLAG_PADDED != 0, flags & FLAG_PRIORITY != 0);
        if length == 0 {
            self.at = At::FrameHeader([0; 9], 0);
        } else if kind == FRAME_HEADERS && padded {
            self.fields = FieldScanner::default();
            self.at = At::PadLength { left: length, priority };
        } else if kind == FRAME_HEADERS {
            self.fields = FieldScanner::default();
            self.begin_fields(length, 0, priority);
        } else if kind == FRAME_CONTINUATION {
            self.begin_fields(length, 0, false);
        } else {
            self.at = At::Payload { skip: length, fields: 0, padding: 0 };
        }
    }

    /// `left` bytes of a frame are to come: perhaps a priority, then fields,
    /// then padding.
    fn begin_fields(&mut self, left: usize, padding: usize, priority: bool) {
        let skip = if priority { 5 } else { 0 };
        self.at = match left.checked_sub(skip + padding) {
            Some(0) if left == 0 => At::FrameHeader([0; 9], 0),
            Some(fields) => At::Payload { skip, fields, padding },
            None => At::GivenUp,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAG_END_HEADERS: u8 = 0x4;

    /// A frame on stream 1.
    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = (payload.len() as u32).to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
    }

    /// `:method: POST`, then `:authority: <value>` in plain text, then a field.
    fn block(authority: &str) -> Vec<u8> {
        let value = [&[authority.len() as u8], authority.as_bytes()].concat();
        [&[0x83, 0x41][..], &value, b"\x40\x01%\x01/"].concat()
    }

    fn connection(authority: &str) -> Vec<u8> {
        let block = block(authority);
        let padded = [&[3][..], &[0; 5], &block, b"%%%"].concat();
        let (first, second) = block.split_at(6);
        [
            PREFACE.to_vec(),
            frame(0x4, 0, &[]),
            frame(0x0, 0, b"A% data /"),
            frame(FRAME_HEADERS, FLAG_END_HEADERS, &block),
            frame(FRAME_HEADERS, FLAG_PADDED | FLAG_PRIORITY | FLAG_END_HEADERS, &padded),
            frame(FRAME_HEADERS, 0, first),
            frame(FRAME_CONTINUATION, FLAG_END_HEADERS, second),
            frame(0x0, 0x1, b"\x41\x01%"),
        ]
        .concat()
    }

    #[test]
    fn only_the_authority_is_changed_however_the_bytes_are_cut() {
        let before = connection("tmp%2Fs /x");
        for cut in 1..before.len() {
            let mut bytes = before.clone();
            let mut filter = AuthorityFilter::default();
            bytes.chunks_mut(cut).for_each(|part| filter.pass(part));
            assert!(bytes == connection("tmp.2Fs-3x"), "cut by {cut}");
        }
    }

    #[test]
    fn what_is_good_or_unknown_passes_unchanged() {
        let nonsense: Vec<u8> =
            (0..4000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let no_http2 = b"GET /%2F HTTP/1.1\r\n\r\n".to_vec();
        for before in [connection("localhost:80"), no_http2, nonsense.clone()] {
            let mut bytes = before.clone();
            AuthorityFilter::default().pass(&mut bytes);
            assert!(bytes == before);
        }
        // After a good preface, nonsense must at least do no harm to us.
        for start in 0..500 {
            let mut bytes = [PREFACE, &nonsense[start..]].concat();
            AuthorityFilter::default().pass(&mut bytes);
            assert_eq!(bytes.len(), PREFACE.len() + nonsense.len() - start);
        }
    }
}

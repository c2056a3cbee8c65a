//! Properties of the wire: what is encoded is decoded, in pieces of any size, and no input
//! makes the decoder panic, hang or hold more than a message.

use super::*;

/// A small generator (xorshift64*), so that every run tests the same cases.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

fn frames(random: &mut Random, count: usize) -> (Vec<Frame>, Vec<u8>) {
    let mut stream = Vec::new();
    let frames = (0..count)
        .map(|_| {
            let kind = Kind::ALL[random.below(Kind::ALL.len())];
            let len = match random.below(4) {
                0 => 0,
                1 => PAYLOAD_MAX,
                _ => random.below(PAYLOAD_MAX + 1),
            };
            let payload = random.bytes(len);
            let (req_id, tx_id) = (random.next() as u32, random.next() as u32);
            assert_eq!(encode(&mut stream, kind, req_id, tx_id, &payload), Some(16 + len));
            Frame { kind, req_id, tx_id, payload: payload.into() }
        })
        .collect();
    (frames, stream)
}

#[test]
fn the_layout_is_that_of_the_header_file() {
    let mut out = Vec::new();
    assert_eq!(encode(&mut out, Kind::Write, 0x0102_0304, 7, b"/a\0b"), Some(20));
    assert_eq!(
        out,
        [11, 0, 0, 0, 4, 3, 2, 1, 7, 0, 0, 0, 4, 0, 0, 0, b'/', b'a', 0, b'b'],
        "type, req_id, tx_id, len, payload"
    );
}

#[test]
fn kinds_are_numbered_as_in_the_header_file() {
    for (raw, kind) in Kind::ALL.iter().enumerate() {
        assert_eq!(*kind as usize, raw);
        assert_eq!(Kind::from_raw(raw as u32), Some(*kind));
    }
    assert_eq!(Kind::from_raw(Kind::ALL.len() as u32), None);
    assert_eq!(Kind::from_raw(0xffff), None, "XS_INVALID");
}

#[test]
fn whatever_is_encoded_is_decoded_in_pieces_of_any_size() {
    let mut random = Random(0x5eed);
    for _ in 0..200 {
        let (wanted, stream) = frames(&mut random, 5);
        let mut decoder = Decoder::default();
        let mut found = Vec::new();
        let mut rest = stream.as_slice();
        while !rest.is_empty() {
            let (piece, later) = rest.split_at(1 + random.below(rest.len().min(3000)));
            decoder.buffer().extend_from_slice(piece);
            rest = later;
            while let Some(frame) = decoder.next_frame().unwrap() {
                found.push(frame);
            }
        }
        assert_eq!(found, wanted);
        assert!(decoder.buffer().is_empty());
    }
}

#[test]
fn a_header_survives_its_own_round_trip() {
    let mut random = Random(77);
    for _ in 0..10_000 {
        let raw: [u8; HEADER_LEN] = random.bytes(HEADER_LEN).try_into().unwrap();
        assert_eq!(Header::decode(&raw).encode(), raw);
    }
}

#[test]
fn garbage_is_an_error_or_a_frame_and_never_a_panic() {
    let mut random = Random(1);
    for _ in 0..5_000 {
        let mut decoder = Decoder::default();
        let len = random.below(200);
        let mut bytes = random.bytes(len);
        // Half of the time the header looks right, to get behind its checks.
        if random.below(2) == 0 && bytes.len() >= HEADER_LEN {
            bytes[1..4].fill(0);
            bytes[14..16].fill(0);
        }
        decoder.buffer().extend_from_slice(&bytes);
        for _ in 0..=bytes.len() {
            match decoder.next_frame() {
                Ok(Some(frame)) => assert!(frame.payload.len() <= bytes.len()),
                Ok(None) | Err(_) => break,
            }
        }
    }
}

#[test]
fn one_byte_too_many_is_refused_on_both_sides() {
    let mut out = Vec::new();
    assert_eq!(encode(&mut out, Kind::Write, 1, 0, &[0; PAYLOAD_MAX + 1]), None);
    assert!(out.is_empty());
    let header = Header { kind: 2, req_id: 1, tx_id: 0, len: REPLY_MAX as u32 + 1 };
    let mut decoder = Decoder::default();
    decoder.buffer().extend_from_slice(&header.encode());
    assert_eq!(decoder.next_frame(), Err(FrameError::TooLong { len: 4_194_305 }));
}

#[test]
fn a_bad_length_is_seen_before_its_payload_arrives() {
    let header = Header { kind: 99, req_id: 1, tx_id: 0, len: 8 };
    let mut decoder = Decoder::default();
    decoder.buffer().extend_from_slice(&header.encode());
    assert_eq!(decoder.next_frame(), Err(FrameError::UnknownKind { raw: 99 }));
}

#[test]
fn strings_end_with_nuls() {
    let split = |payload: &[u8]| {
        strings(payload).map(|s| String::from_utf8_lossy(s).into_owned()).collect::<Vec<_>>()
    };
    assert_eq!(split(b""), Vec::<String>::new());
    assert_eq!(split(b"\0"), [""]);
    assert_eq!(split(b"a\0"), ["a"]);
    assert_eq!(split(b"a"), ["a"], "without a nul at the end");
    assert_eq!(split(b"a\0b\0"), ["a", "b"]);
    assert_eq!(split(b"a\0\0b\0"), ["a", "", "b"]);
    assert_eq!(split(&join(["x", "yy", "z"])), ["x", "yy", "z"]);
}

//! The legacy LZ4 frame, which Linux packs its kernels with (`lz4 -l`).
//!
//! The frame is a magic number and then blocks: a 4-byte little-endian size
//! and so many compressed bytes, each block unpacking on its own to at most
//! 8 MiB. There is no end mark; the frame ends with its input. (Format: the
//! LZ4 project's frame description, section "Legacy frame".)

use std::io::{self, Read};

/// `0x184C2102`, little-endian.
const MAGIC: u32 = 0x184c_2102;
/// Most bytes that one block unpacks to.
const BLOCK_BYTES: usize = 8 << 20;
/// Most bytes that an incompressible block packs to.
const PACKED_BYTES: usize = BLOCK_BYTES + BLOCK_BYTES / 255 + 16;

/// A reader of what a legacy frame holds.
#[derive(Debug)]
pub(super) struct LegacyLz4<R> {
    input: R,
    packed: Vec<u8>,
    block: Vec<u8>,
    given: usize,
    len: usize,
}

impl<R: Read> LegacyLz4<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, packed: Vec::new(), block: Vec::new(), given: 0, len: 0 }
    }

    /// The next four bytes; `None` at the end of the input. One to three stray
    /// bytes are what a cut file ends with.
    fn word(&mut self) -> io::Result<Option<u32>> {
        let mut bytes = Vec::with_capacity(4);
        self.input.by_ref().take(4).read_to_end(&mut bytes)?;
        match <[u8; 4]>::try_from(bytes) {
            Ok(word) => Ok(Some(u32::from_le_bytes(word))),
            Err(bytes) if bytes.is_empty() => Ok(None),
            Err(_) => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
        }
    }

    /// Unpacks the next block; false at the end.
    fn next_block(&mut self) -> io::Result<bool> {
        let size = loop {
            match self.word()? {
                // Frames may follow each other.
                Some(MAGIC) => {}
                Some(size) => break usize::try_from(size).unwrap_or(usize::MAX),
                None => return Ok(false),
            }
        };
        if size > PACKED_BYTES {
            return Err(bad(format!("a block of {size} bytes, more than {PACKED_BYTES}")));
        }
        self.packed.resize(size, 0);
        self.input.read_exact(&mut self.packed)?;
        self.block.resize(BLOCK_BYTES, 0);
        self.given = 0;
        self.len = lz4_flex::block::decompress_into(&self.packed, &mut self.block)
            .map_err(|e| bad(e.to_string()))?;
        Ok(true)
    }
}

fn bad(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

impl<R: Read> Read for LegacyLz4<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.given == self.len {
            if !self.next_block()? {
                return Ok(0);
            }
        }
        let mut rest = self.block.get(self.given..self.len).unwrap_or(&[]);
        let n = rest.read(buf)?;
        self.given += n;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(blocks: &[&[u8]]) -> Vec<u8> {
        let mut out = MAGIC.to_le_bytes().to_vec();
        for block in blocks {
            let packed = lz4_flex::block::compress(block);
            out.extend((packed.len() as u32).to_le_bytes());
            out.extend(packed);
        }
        out
    }

    fn unpack(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        LegacyLz4::new(bytes).read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn blocks_and_frames_are_joined() {
        let mut two = frame(&[b"hello ", &[7; 100_000]]);
        two.extend(frame(&[b"world"]));
        let mut want = b"hello ".to_vec();
        want.extend([7; 100_000]);
        want.extend(b"world");
        assert_eq!(unpack(&two).unwrap(), want);
        assert_eq!(unpack(&frame(&[])).unwrap(), b"");
    }

    #[test]
    fn damage_is_an_error() {
        let good = frame(&[b"hello hello hello hello hello"]);
        for cut in 5..good.len() {
            assert!(unpack(&good[..cut]).is_err(), "cut at {cut}");
        }
        let mut huge = MAGIC.to_le_bytes().to_vec();
        huge.extend(u32::MAX.to_le_bytes());
        assert!(unpack(&huge).unwrap_err().to_string().contains("4294967295"));
    }
}

//! A guest's console: the protocol of its shared ring.
//!
//! Two byte rings in one page, each with a producer and a consumer index that
//! only ever rise and wrap at 2^32. The guest owns two of the four indices and
//! all of the page; whatever it writes there is a stranger's word. Each index
//! is read once, the difference is taken with wrapping and compared with the
//! ring's size, and the local copy alone is used (rules of XSA-155 and kin).
//! Source: public/io/console.h.

use std::sync::atomic::Ordering;

use crate::abi::Layouts;
use crate::abi::layouts::ConsoleRing;
use crate::privcmd::SharedPage;

/// The guest's indices made no sense: more bytes than the ring holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the guest's console ring says {claimed} bytes, and holds {size}")]
pub struct RingError {
    /// What the indices say.
    pub claimed: u32,
    /// What fits.
    pub size: u32,
}

/// A guest's console ring, as Dom0 sees it.
#[derive(Debug)]
pub struct Console {
    page: SharedPage,
    layout: ConsoleRing,
}

impl Console {
    /// Takes over a mapped ring, wherever its indices are.
    #[must_use]
    pub fn new(page: SharedPage, layouts: &Layouts) -> Self {
        Self { page, layout: layouts.console_ring.clone() }
    }

    /// Takes everything that the guest has written and appends it to `into`;
    /// returns the number of bytes. The guest has to be notified when that is
    /// not 0.
    ///
    /// # Errors
    /// [`RingError`]; the ring is then emptied by force, so that a guest that
    /// repairs its indices goes on.
    pub fn read(&self, into: &mut Vec<u8>) -> Result<usize, RingError> {
        let ring = &self.layout;
        let size = ring.output.size as u32;
        let prod = self.page.load_u32(ring.out_prod.offset, Ordering::Acquire);
        // Ours, and yet in a page that the guest can write to.
        let cons = self.page.load_u32(ring.out_cons.offset, Ordering::Relaxed);
        let claimed = prod.wrapping_sub(cons);
        if claimed > size {
            self.page.store_u32(ring.out_cons.offset, prod, Ordering::Release);
            return Err(RingError { claimed, size });
        }
        for (offset, len) in spans(cons, claimed, size) {
            let start = into.len();
            into.resize(start + len, 0);
            self.page.read(ring.output.offset + offset, &mut into[start..]);
        }
        // What was read is the guest's again from here on.
        self.page.store_u32(ring.out_cons.offset, prod, Ordering::Release);
        Ok(claimed as usize)
    }

    /// Gives the guest as many of `bytes` as its ring takes now; returns their
    /// number. The guest has to be notified when that is not 0.
    ///
    /// # Errors
    /// [`RingError`]; nothing is written then.
    pub fn write(&self, bytes: &[u8]) -> Result<usize, RingError> {
        let ring = &self.layout;
        let size = ring.input.size as u32;
        let cons = self.page.load_u32(ring.in_cons.offset, Ordering::Acquire);
        let prod = self.page.load_u32(ring.in_prod.offset, Ordering::Relaxed);
        let claimed = prod.wrapping_sub(cons);
        if claimed > size {
            return Err(RingError { claimed, size });
        }
        let room = (size - claimed) as usize;
        let count = bytes.len().min(room);
        let mut rest = &bytes[..count];
        for (offset, len) in spans(prod, count as u32, size) {
            let (now, later) = rest.split_at(len);
            self.page.write(ring.input.offset + offset, now);
            rest = later;
        }
        self.page.store_u32(
            ring.in_prod.offset,
            prod.wrapping_add(count as u32),
            Ordering::Release,
        );
        Ok(count)
    }
}

/// The one or two pieces of a ring of `size` bytes (a power of two) that hold
/// `count` bytes from index `from` on, as offset and length.
fn spans(from: u32, count: u32, size: u32) -> impl Iterator<Item = (usize, usize)> {
    let start = from & (size - 1);
    let first = count.min(size - start);
    [(start, first), (0, count - first)]
        .into_iter()
        .map(|(offset, len)| (offset as usize, len as usize))
        .filter(|(_, len)| *len > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::Abi;

    fn console() -> Console {
        Console::new(SharedPage::anonymous(), &Abi::for_release(4, 17).unwrap().layouts)
    }

    /// What a guest does to print.
    fn guest_prints(console: &Console, text: &[u8]) {
        let ring = &console.layout;
        let prod = console.page.load_u32(ring.out_prod.offset, Ordering::Relaxed);
        for (i, byte) in text.iter().enumerate() {
            let at = prod.wrapping_add(i as u32) & (ring.output.size as u32 - 1);
            console.page.write(ring.output.offset + at as usize, &[*byte]);
        }
        let end = prod.wrapping_add(text.len() as u32);
        console.page.store_u32(ring.out_prod.offset, end, Ordering::Release);
    }

    #[test]
    fn output_comes_whole_across_the_end_and_the_wrap() {
        let console = console();
        // Indices close to 2^32, so that they wrap.
        for field in [console.layout.out_prod, console.layout.out_cons] {
            console.page.store_u32(field.offset, u32::MAX - 3000, Ordering::Relaxed);
        }
        let mut sent = Vec::new();
        let mut got = Vec::new();
        for round in 0..40u32 {
            let text: Vec<u8> = (0..1777).map(|i| (i * 7 + round) as u8).collect();
            guest_prints(&console, &text);
            assert_eq!(console.read(&mut got), Ok(text.len()));
            sent.extend(text);
        }
        assert_eq!(got, sent);
        assert_eq!(console.read(&mut got), Ok(0));
    }

    #[test]
    fn a_lying_producer_is_refused_once_and_then_forgiven() {
        let console = console();
        console.page.store_u32(console.layout.out_prod.offset, 2049, Ordering::Relaxed);
        let mut got = Vec::new();
        assert_eq!(console.read(&mut got), Err(RingError { claimed: 2049, size: 2048 }));
        assert!(got.is_empty());
        guest_prints(&console, b"sorry");
        assert_eq!(console.read(&mut got), Ok(5));
        assert_eq!(got, b"sorry");
    }

    #[test]
    fn input_fills_the_ring_and_no_more() {
        let console = console();
        assert_eq!(console.write(&[b'x'; 3000]), Ok(1024));
        assert_eq!(console.write(b"more"), Ok(0));
        console.page.store_u32(console.layout.in_cons.offset, 1000, Ordering::Relaxed);
        assert_eq!(console.write(&[b'y'; 3000]), Ok(1000));
        console.page.store_u32(console.layout.in_cons.offset, 99_999, Ordering::Relaxed);
        assert!(console.write(b"z").is_err());
        // Nothing beyond the input ring was touched.
        let mut output = [1; 8];
        console.page.read(console.layout.output.offset, &mut output);
        assert_eq!(output, [0; 8]);
    }
}

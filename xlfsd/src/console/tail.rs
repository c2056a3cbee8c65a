//! The latest output in memory: what is not on disk yet. It is bounded, so a
//! guest that prints faster than it may be written loses its oldest bytes here,
//! and only here.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

/// Bytes that wait for the disk.
const CAPACITY: usize = 64 << 10;
/// With so many waiting, the next batch should not wait any longer.
const FILLING: usize = CAPACITY / 2;

/// Bytes on their way to the disk.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    pub(super) offset: u64,
    pub(super) bytes: Bytes,
}

/// What memory has from an offset on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum InMemory {
    Bytes(Bytes),
    /// Nothing there; the next byte that is in memory, or the end.
    From(u64),
}

#[derive(Debug)]
pub(super) struct Tail {
    waiting: VecDeque<u8>,
    /// Offset after the last byte.
    end: u64,
    /// Still read from here until it is on disk.
    in_flight: Option<Batch>,
    budget: Budget,
}

impl Tail {
    /// Goes on at the offset `end`. The disk gets `rate` bytes a second, and
    /// `burst` at once after a silence.
    pub(super) fn new(end: u64, rate: u64, burst: u64) -> Self {
        let budget = Budget::new(rate, burst.max(CAPACITY as u64));
        Self { waiting: VecDeque::new(), end, in_flight: None, budget }
    }

    /// Begins again at 0, for the next run.
    pub(super) fn restart(&mut self) {
        self.waiting = VecDeque::new();
        self.in_flight = None;
        self.end = 0;
    }

    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Bytes in memory.
    pub(super) fn held(&self) -> u64 {
        let in_flight = self.in_flight.as_ref().map_or(0, |batch| batch.bytes.len());
        (self.waiting.len() + in_flight) as u64
    }

    /// True when this made the memory fill up: then the flusher should hurry.
    pub(super) fn push(&mut self, bytes: &[u8]) -> bool {
        let before = self.waiting.len();
        self.end += bytes.len() as u64;
        let kept = &bytes[bytes.len().saturating_sub(CAPACITY)..];
        let over = (self.waiting.len() + kept.len()).saturating_sub(CAPACITY);
        self.waiting.drain(..over);
        self.waiting.extend(kept);
        before < FILLING && self.waiting.len() >= FILLING
    }

    pub(super) fn has_batch(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// All that waits, if the budget allows or `regardless` of it. It stays
    /// readable here until [`batch_done`](Self::batch_done).
    pub(super) fn take_batch(&mut self, regardless: bool) -> Option<Batch> {
        let len = self.waiting.len() as u64;
        if len == 0 || !self.budget.take(len, regardless) {
            return None;
        }
        let batch = Batch {
            offset: self.end - len,
            bytes: Bytes::from(Vec::from(std::mem::take(&mut self.waiting))),
        };
        self.in_flight = Some(batch.clone());
        Some(batch)
    }

    pub(super) fn batch_done(&mut self) {
        self.in_flight = None;
    }

    /// The disk took the batch only up to the offset `until`: the rest waits
    /// again, as far as there is room.
    pub(super) fn batch_failed(&mut self, until: u64) {
        let Some(batch) = self.in_flight.take() else { return };
        let newer = std::mem::take(&mut self.waiting);
        let gap = self.end - newer.len() as u64 > batch.offset + batch.bytes.len() as u64;
        if !gap {
            let done = until.saturating_sub(batch.offset).min(batch.bytes.len() as u64) as usize;
            let rest = batch.bytes.slice(done..);
            let over = (rest.len() + newer.len()).saturating_sub(CAPACITY).min(rest.len());
            self.waiting.extend(&rest[over..]);
        }
        self.waiting.extend(newer);
    }

    /// What memory has from `offset` on, at most `max` bytes at a time.
    pub(super) fn read(&self, offset: u64, max: usize) -> InMemory {
        let waiting_from = self.end - self.waiting.len() as u64;
        if let Some(batch) = &self.in_flight {
            let batch_end = batch.offset + batch.bytes.len() as u64;
            if offset < batch.offset {
                return InMemory::From(batch.offset);
            }
            if offset < batch_end {
                let from = (offset - batch.offset) as usize;
                let to = batch.bytes.len().min(from + max);
                return InMemory::Bytes(batch.bytes.slice(from..to));
            }
        }
        if offset < waiting_from || offset >= self.end {
            return InMemory::From(waiting_from.max(offset.min(self.end)));
        }
        let from = (offset - waiting_from) as usize;
        InMemory::Bytes(self.waiting.iter().skip(from).take(max).copied().collect())
    }
}

/// How much may be written: a bucket that fills with time.
#[derive(Debug)]
struct Budget {
    rate: u64,
    burst: u64,
    left: u64,
    filled: Instant,
}

impl Budget {
    fn new(rate: u64, burst: u64) -> Self {
        Self { rate, burst, left: burst, filled: Instant::now() }
    }

    fn take(&mut self, bytes: u64, regardless: bool) -> bool {
        let elapsed = self.filled.elapsed();
        let gained = (elapsed.as_millis() as u64).saturating_mul(self.rate) / 1000;
        if gained > 0 {
            self.left = self.left.saturating_add(gained).min(self.burst);
            self.filled = Instant::now();
        }
        let allowed = regardless || self.left >= bytes;
        if allowed {
            self.left = self.left.saturating_sub(bytes);
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &'static str) -> InMemory {
        InMemory::Bytes(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn a_batch_is_read_from_memory_until_it_is_on_disk() {
        let mut tail = Tail::new(10, 1000, 1000);
        tail.push(b"abc");
        let batch = tail.take_batch(false).unwrap();
        assert_eq!((batch.offset, &batch.bytes[..]), (10, &b"abc"[..]));
        tail.push(b"de");
        assert_eq!(tail.held(), 5);
        assert_eq!(tail.read(11, 99), bytes("bc"));
        assert_eq!(tail.read(11, 1), bytes("b"));
        assert_eq!(tail.read(13, 99), bytes("de"));
        assert_eq!(tail.read(4, 99), InMemory::From(10));
        tail.batch_done();
        assert_eq!(tail.read(11, 99), InMemory::From(13));
        assert_eq!(tail.read(15, 99), InMemory::From(15));
        assert_eq!((tail.end(), tail.held()), (15, 2));
    }

    #[test]
    fn memory_is_bounded_and_keeps_the_latest() {
        let mut tail = Tail::new(0, 0, 0);
        for byte in 0..200u8 {
            tail.push(&[byte; 1000]);
        }
        assert_eq!((tail.end(), tail.held()), (200_000, CAPACITY as u64));
        assert_eq!(tail.read(0, 1), InMemory::From(200_000 - CAPACITY as u64));
        tail.push(&vec![7; 300_000]);
        assert_eq!((tail.end(), tail.held()), (500_000, CAPACITY as u64));
    }

    #[test]
    fn the_disk_gets_no_more_than_its_rate() {
        let mut tail = Tail::new(0, 0, 0);
        tail.push(&[1; CAPACITY]);
        assert!(tail.take_batch(false).is_some(), "a burst is allowed");
        tail.batch_done();
        tail.push(b"more");
        assert!(tail.take_batch(false).is_none() && tail.has_batch());
        assert!(tail.take_batch(true).is_some(), "the last words of a domain always go");
    }

    #[test]
    fn what_the_disk_did_not_take_waits_again() {
        let mut tail = Tail::new(0, 0, 0);
        tail.push(b"abcdef");
        tail.take_batch(false).unwrap();
        tail.push(b"gh");
        tail.batch_failed(2);
        assert_eq!((tail.end(), tail.held()), (8, 6));
        assert_eq!(tail.read(2, 99), bytes("cdefgh"));
        assert_eq!(tail.take_batch(true).unwrap().offset, 2);
        // So much came meanwhile that only the latest of the rest fits.
        tail.push(&[b'x'; CAPACITY - 3]);
        tail.batch_failed(2);
        assert_eq!(tail.held(), CAPACITY as u64);
        assert_eq!(tail.read(8 - 3, 4), bytes("fghx"));
        // And now nothing fits, with a gap between.
        tail.take_batch(true).unwrap();
        tail.push(&[b'y'; CAPACITY]);
        tail.push(b"z");
        tail.batch_failed(0);
        assert_eq!(tail.held(), CAPACITY as u64);
    }
}

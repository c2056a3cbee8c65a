//! Which bytes of a run are on disk: the plan of its files, without I/O.
//!
//! A file holds consecutive bytes and is named by the offset of its first one,
//! so the files tell by themselves what they are: after a kill nothing has to
//! be repaired. Files that begin within the first part are kept; of the others
//! the oldest goes when there are too many bytes.

use std::collections::VecDeque;

/// How much of a run is kept on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Caps {
    /// Bytes from the beginning.
    pub(super) first: u64,
    /// Bytes before the end, at most; and seven eighths of it at least.
    pub(super) recent: u64,
}

impl Caps {
    /// Bytes of one file at most.
    fn segment(self) -> u64 {
        (self.recent / 8).max(1)
    }

    /// The offset at which the file that holds `offset` must end at the latest.
    fn segment_end(self, start: u64) -> u64 {
        let end = start + self.segment();
        if start < self.first { end.min(self.first) } else { end }
    }
}

/// Consecutive bytes in one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    /// Offset of the first byte, and the file's name.
    pub(super) start: u64,
    pub(super) len: u64,
}

impl Segment {
    pub(super) fn end(self) -> u64 {
        self.start + self.len
    }
}

/// One write: `len` bytes into the file of `start`, at `at` in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Write {
    pub(super) start: u64,
    pub(super) at: u64,
    pub(super) len: u64,
}

/// Where an offset is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    In(Segment),
    /// Not kept; the next byte that is kept has this offset.
    Before(u64),
    /// At or after the end.
    After,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Segments {
    /// By offset, without overlaps.
    segments: VecDeque<Segment>,
}

impl Segments {
    /// From what was found on disk, in any order. Where files overlap, the
    /// later begins where the earlier ends: both hold the same bytes there.
    pub(super) fn from_files(mut found: Vec<Segment>) -> Self {
        found.sort_by_key(|segment| segment.start);
        let mut segments: VecDeque<Segment> = VecDeque::new();
        for segment in found.into_iter().filter(|segment| segment.len > 0) {
            if let Some(last) = segments.back_mut()
                && last.end() > segment.start
            {
                last.len = segment.start - last.start;
            }
            segments.push_back(segment);
        }
        segments.retain(|segment| segment.len > 0);
        Self { segments }
    }

    pub(super) fn end(&self) -> u64 {
        self.segments.back().map_or(0, |segment| segment.end())
    }

    /// Bytes that are kept.
    pub(super) fn kept(&self) -> u64 {
        self.segments.iter().map(|segment| segment.len).sum()
    }

    pub(super) fn find(&self, offset: u64) -> Place {
        let at = self.segments.partition_point(|segment| segment.end() <= offset);
        match self.segments.get(at) {
            Some(segment) if segment.start <= offset => Place::In(*segment),
            Some(segment) => Place::Before(segment.start),
            None => Place::After,
        }
    }

    /// The writes that put `len` bytes from `offset` on into files.
    pub(super) fn plan(&self, mut offset: u64, mut len: u64, caps: Caps) -> Vec<Write> {
        let mut writes = Vec::new();
        let mut start = match self.segments.back() {
            Some(last) if last.end() == offset => last.start,
            _ => offset,
        };
        while len > 0 {
            if caps.segment_end(start) <= offset {
                start = offset;
            }
            let part = len.min(caps.segment_end(start) - offset);
            writes.push(Write { start, at: offset - start, len: part });
            offset += part;
            len -= part;
        }
        writes
    }

    /// Takes a write that was done into the books.
    pub(super) fn wrote(&mut self, write: Write) {
        match self.segments.back_mut() {
            Some(last) if last.start == write.start => last.len = write.at + write.len,
            _ => self.segments.push_back(Segment { start: write.start, len: write.len }),
        }
    }

    /// Strikes the oldest files beyond the cap, and answers which to remove.
    pub(super) fn evict(&mut self, caps: Caps) -> Vec<u64> {
        let first = self.segments.partition_point(|segment| segment.start < caps.first);
        let mut recent: u64 = self.segments.range(first..).map(|segment| segment.len).sum();
        let mut removed = Vec::new();
        while recent > caps.recent
            && let Some(oldest) = self.segments.remove(first)
        {
            recent -= oldest.len;
            removed.push(oldest.start);
        }
        removed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPS: Caps = Caps { first: 100, recent: 80 };

    fn write(segments: &mut Segments, offset: u64, len: u64) -> Vec<u64> {
        for write in segments.plan(offset, len, CAPS) {
            segments.wrote(write);
        }
        segments.evict(CAPS)
    }

    #[test]
    fn the_first_part_stays_and_the_recent_part_moves_on() {
        let mut segments = Segments::default();
        for offset in (0..1000).step_by(7) {
            write(&mut segments, offset, 7);
        }
        assert_eq!(segments.end(), 1001);
        for offset in 0..100 {
            assert!(matches!(segments.find(offset), Place::In(_)), "{offset}");
        }
        let recent: u64 = segments.kept() - 100;
        assert!((70..=80).contains(&recent), "{recent}");
        assert!(matches!(segments.find(100), Place::Before(start) if start >= 921));
        assert!(matches!(segments.find(1000), Place::In(_)));
        assert_eq!(segments.find(1001), Place::After);
    }

    #[test]
    fn writes_are_cut_at_the_ends_of_files() {
        let mut segments = Segments::default();
        assert_eq!(
            segments.plan(95, 20, CAPS),
            [
                Write { start: 95, at: 0, len: 5 },
                Write { start: 100, at: 0, len: 10 },
                Write { start: 110, at: 0, len: 5 }
            ]
        );
        write(&mut segments, 95, 20);
        assert_eq!(segments.plan(115, 7, CAPS)[0], Write { start: 110, at: 5, len: 5 });
        // After a gap, a new file.
        assert_eq!(segments.plan(116, 1, CAPS), [Write { start: 116, at: 0, len: 1 }]);
    }

    #[test]
    fn files_tell_what_they_are() {
        let segment = |start, len| Segment { start, len };
        let found = vec![segment(20, 5), segment(0, 10), segment(8, 4), segment(30, 0)];
        let segments = Segments::from_files(found);
        assert_eq!(segments.find(9), Place::In(segment(8, 4)));
        assert_eq!(segments.find(7), Place::In(segment(0, 8)));
        assert_eq!(segments.find(12), Place::Before(20));
        assert_eq!((segments.end(), segments.kept()), (25, 17));
    }
}

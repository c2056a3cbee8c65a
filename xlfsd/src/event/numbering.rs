//! Event numbers that are never used twice, without a write per event.
//!
//! Each run of the daemon claims a block of [`BLOCK`] numbers by raising a
//! counter on disk before it uses the first of them; a run that uses up its
//! block claims another one. Run 3 begins with 3,000,000,001: readable, and
//! below 2^53 (what JSON keeps exact) for nine million starts.
//!
//! A clock is no measure of this, because a Dom0 may start in 1970. Only where
//! the counter cannot be read or written, its seconds are the number of the
//! block: far above every counted one, and most likely not seen before.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::durable::{self, FileError};

/// Numbers in one block.
const BLOCK: u64 = 1_000_000_000;

/// The counter of blocks could not be used, so the clock stands in for it.
#[derive(Debug, thiserror::Error)]
pub enum NumberingError {
    #[error("cannot read the counter of event numbers {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the counter of event numbers {} holds {content:?} and not a number", path.display())]
    Damaged { path: PathBuf, content: String },
    #[error("cannot keep the counter of event numbers")]
    Write {
        #[source]
        source: FileError,
    },
}

/// Hands out event numbers.
#[derive(Debug)]
pub struct Numbering {
    last: u64,
    /// The last number of the block.
    end: u64,
    /// The number before the first of this run.
    base: u64,
    counter: Option<PathBuf>,
}

impl Numbering {
    /// Claims a block by the counter in the file `counter`. Never fails: an
    /// error says that the clock had to stand in, and why.
    pub fn claim(counter: &Path) -> (Self, Option<NumberingError>) {
        let (block, error) = claim_block(counter);
        let base = block.saturating_mul(BLOCK);
        let end = base.saturating_add(BLOCK - 1);
        (Self { last: base, end, base, counter: Some(counter.to_owned()) }, error)
    }

    /// Numbers from `base` + 1 on, kept nowhere.
    pub fn starting_at(base: u64) -> Self {
        Self { last: base, end: u64::MAX, base, counter: None }
    }

    /// The next number. Once in [`BLOCK`] calls this writes to the disk.
    pub fn take(&mut self) -> u64 {
        if self.last >= self.end
            && let Some(counter) = self.counter.take()
        {
            let (next, error) = Self::claim(&counter);
            if let Some(error) = error {
                tracing::warn!(error = &error as &dyn std::error::Error, "event numbers");
            }
            self.last = next.last.max(self.last);
            self.end = next.end;
            self.counter = next.counter;
        }
        self.last = self.last.saturating_add(1);
        self.last
    }

    /// The number that was handed out last; before the first, the one before it.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Every number of this run is above.
    pub fn base(&self) -> u64 {
        self.base
    }
}

fn claim_block(counter: &Path) -> (u64, Option<NumberingError>) {
    let (block, read_error) = match read_counter(counter) {
        Ok(used) => (used + 1, None),
        Err(error) => (clock_seconds(), Some(error)),
    };
    match durable::write_whole(counter, format!("{block}\n").as_bytes()) {
        Ok(()) => (block, read_error),
        Err(source) => (clock_seconds().max(block), Some(NumberingError::Write { source })),
    }
}

fn read_counter(path: &Path) -> Result<u64, NumberingError> {
    match std::fs::read(path) {
        Ok(content) => {
            let text = String::from_utf8_lossy(&content[..content.len().min(40)]).into_owned();
            // A number near the end of the range is damage too: no daemon starts that often.
            text.trim()
                .parse()
                .ok()
                .filter(|used| *used < u64::MAX / BLOCK - 1)
                .ok_or_else(|| NumberingError::Damaged { path: path.to_owned(), content: text })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(source) => Err(NumberingError::Read { path: path.to_owned(), source }),
    }
}

fn clock_seconds() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_run_has_numbers_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let counter = dir.path().join("event-blocks");
        let (mut first, error) = Numbering::claim(&counter);
        assert!(error.is_none());
        assert_eq!([first.take(), first.take()], [BLOCK + 1, BLOCK + 2]);
        let (mut second, error) = Numbering::claim(&counter);
        assert!(error.is_none());
        assert_eq!(second.base(), 2 * BLOCK);
        assert_eq!(second.take(), 2 * BLOCK + 1);
    }

    #[test]
    fn a_used_up_block_is_followed_by_a_fresh_one() {
        let dir = tempfile::tempdir().unwrap();
        let counter = dir.path().join("event-blocks");
        let (mut first, _) = Numbering::claim(&counter);
        first.last = first.end - 1;
        assert_eq!(first.take(), 2 * BLOCK - 1);
        let (second, _) = Numbering::claim(&counter);
        assert_eq!(second.base(), 2 * BLOCK);
        assert_eq!(first.take(), 3 * BLOCK + 1, "block 2 is another run's");
    }

    #[test]
    fn a_damaged_counter_is_reported_and_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let counter = dir.path().join("event-blocks");
        for damage in ["seven", "", "18446744073709551615", "-1"] {
            std::fs::write(&counter, damage).unwrap();
            let (numbering, error) = Numbering::claim(&counter);
            assert!(matches!(error, Some(NumberingError::Damaged { .. })), "{damage}");
            assert!(numbering.base() > 1_700_000_000 * BLOCK);
            let (next, error) = Numbering::claim(&counter);
            assert!(error.is_none());
            assert!(next.base() > numbering.base());
        }
    }

    #[test]
    fn a_counter_that_cannot_be_written_does_not_stop_the_daemon() {
        let (mut numbering, error) = Numbering::claim(Path::new("/nonexistent/event-blocks"));
        assert!(matches!(error, Some(NumberingError::Write { .. })));
        assert!(numbering.take() > 1_700_000_000 * BLOCK);
    }
}

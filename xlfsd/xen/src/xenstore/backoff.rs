//! How long to wait before trying again: twice as long each time, up to a limit, and never
//! quite as long as somebody else.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    limit: Duration,
    next: Duration,
}

impl Backoff {
    pub(super) fn new(first: Duration, limit: Duration) -> Backoff {
        Backoff { first, limit, next: first }
    }

    /// The next pause.
    pub(super) fn next(&mut self) -> Duration {
        let pause = jitter(self.next);
        self.next = (self.next * 2).min(self.limit);
        pause
    }

    /// It worked: starts again with short pauses.
    pub(super) fn reset(&mut self) {
        self.next = self.first;
    }
}

/// Between a half and all of `limit`, differently each time.
fn jitter(limit: Duration) -> Duration {
    // Each RandomState has keys of its own: randomness enough for this, without a crate.
    let random = RandomState::new().hash_one(()) % 1024;
    limit / 2 + limit.mul_f64(random as f64 / 2048.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_limit() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(20), ms(100));
        for longest in [20, 40, 80, 100, 100] {
            let pause = backoff.next();
            assert!((ms(longest) / 2..=ms(longest)).contains(&pause), "{pause:?} of {longest} ms");
        }
        backoff.reset();
        assert!(backoff.next() <= ms(20));
    }

    #[test]
    fn pauses_differ() {
        let limit = Duration::from_millis(100);
        let all: Vec<Duration> = (0..50).map(|_| jitter(limit)).collect();
        assert!(all.iter().any(|pause| *pause != all[0]));
    }
}

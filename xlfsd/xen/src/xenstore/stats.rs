//! What the client counts: the benchmarks of a domain's start are made of these numbers, and an
//! operator sees from them that something is wrong before anything fails.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A snapshot of the client's counters, all since it was made.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Stats { $($(#[$doc])* pub $name: u64,)* }

        #[derive(Debug, Default)]
        pub(super) struct Counters { $(pub(super) $name: Counter,)* }

        impl Counters {
            pub(super) fn snapshot(&self) -> Stats {
                Stats { $($name: self.$name.0.load(Ordering::Relaxed),)* }
            }
        }
    };
}

#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }
}

counters! {
    /// Requests sent to xenstored.
    operations,
    /// Times a caller waited for xenstored: a batch of any length is one.
    round_trips,
    /// Transactions started.
    transactions,
    /// Transactions that met other writers and were tried again.
    transaction_conflicts,
    /// Bytes sent, headers included.
    bytes_sent,
    /// Bytes received, headers included.
    bytes_received,
    /// Connections that were lost and made anew.
    reconnects,
    /// Watch events received.
    watch_events,
    /// Watch events dropped because the same path was waiting to be read already.
    watch_events_coalesced,
    /// Times a watch's queue was full and all of it was replaced by one resync.
    watch_overflows,
    /// Watch events of watches that are gone, or whose path is no text.
    watch_events_ignored,
    /// Replies to requests whose caller had given up.
    late_replies,
    /// Replies to requests that were never made.
    unknown_replies,
}

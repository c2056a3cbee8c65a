//! A reader's place in the ring of events.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use futures::Stream;
use prost_types::Timestamp;
use tokio_stream::wrappers::WatchStream;
use xlfs_proto::v1::{self as pb, event};

use super::bus::Shared;

/// Events that are taken out of the ring in one go, under one lock.
const BATCH: usize = 32;

/// Which events a reader wants.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    domain: Option<String>,
}

impl EventFilter {
    pub fn all() -> Self {
        Self::default()
    }

    /// Only events of the guest `name`; empty for all.
    pub fn domain(name: &str) -> Self {
        Self { domain: (!name.is_empty()).then(|| name.to_owned()) }
    }

    fn wants(&self, event: &pb::Event) -> bool {
        match &self.domain {
            None => true,
            // An image may bear a guest's name.
            Some(name) => {
                event.object == *name && !matches!(event.kind, Some(event::Kind::Image(_)))
            }
        }
    }
}

/// Events in the order of their numbers; never ends by itself.
pub struct EventStream {
    shared: Arc<Shared>,
    filter: EventFilter,
    /// Everything up to this number was delivered, skipped or reported as missed.
    seen: u64,
    ready: VecDeque<Arc<pb::Event>>,
    wakeups: WatchStream<u64>,
}

impl EventStream {
    pub(super) fn new(shared: Arc<Shared>, seen: u64, filter: EventFilter) -> Self {
        let wakeups = WatchStream::new(shared.latest.subscribe());
        Self { shared, filter, seen, ready: VecDeque::new(), wakeups }
    }

    /// Takes what is there for this reader out of the ring.
    fn refill(&mut self) {
        let ring = self.shared.ring.lock();
        let before_oldest = ring.before_oldest();
        // Below the oldest, something was dropped; above the latest, the number
        // is not of this daemon's: its state was wiped or it counted elsewhere.
        if self.seen < before_oldest || self.seen > ring.latest() {
            let begin = self.seen.max(ring.base());
            // Nobody knows how much an earlier run said after `seen`.
            let missed = before_oldest.saturating_sub(begin);
            // `after: 0` means all that are kept, so nothing is missing there
            // as long as the ring has dropped nothing.
            if self.seen > 0 || missed > 0 {
                self.ready.push_back(Arc::new(lagged(missed, before_oldest)));
            }
            self.seen = before_oldest;
        }
        for event in ring.after(self.seen) {
            self.seen = event.sequence;
            if self.filter.wants(event) {
                self.ready.push_back(event.clone());
                if self.ready.len() >= BATCH {
                    break;
                }
            }
        }
    }
}

fn lagged(missed: u64, resync_from: u64) -> pb::Event {
    let text = match missed {
        0 => "xlfsd was restarted: read the lists again".to_owned(),
        _ => format!("{missed} events were not delivered: read the lists again"),
    };
    pb::Event {
        sequence: resync_from,
        time: Some(Timestamp::from(SystemTime::now())),
        object: String::new(),
        text,
        kind: Some(event::Kind::Lagged(pb::Lagged { missed, resync_from })),
    }
}

impl Stream for EventStream {
    type Item = Arc<pb::Event>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Poll::Ready(Some(event));
            }
            self.refill();
            if self.ready.is_empty() {
                // We hold the sender too: the stream of wake-ups has no end.
                match Pin::new(&mut self.wakeups).poll_next(cx) {
                    Poll::Ready(Some(_)) => {}
                    Poll::Ready(None) => return Poll::Ready(None),
                    Poll::Pending => return Poll::Pending,
                }
            }
        }
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream").field("seen", &self.seen).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, StreamExt};

    use super::super::{EventBus, EventLimits, Numbering};
    use super::*;

    fn bus(base: u64, events: usize) -> EventBus {
        EventBus::new(Numbering::starting_at(base), EventLimits { events, bytes: 1 << 20 })
    }

    fn say(bus: &EventBus, count: u64) {
        for i in 0..count {
            bus.warn("web", "X", format!("{i}"));
        }
    }

    /// Numbers of the events that are there now; a lag as (missed, resync_from).
    #[derive(Debug, PartialEq)]
    enum Seen {
        Event(u64),
        Lag(u64, u64),
    }
    use Seen::{Event, Lag};

    fn drain(stream: &mut EventStream) -> Vec<Seen> {
        std::iter::from_fn(|| stream.next().now_or_never().flatten())
            .map(|event| match &event.kind {
                Some(event::Kind::Lagged(lagged)) => Lag(lagged.missed, lagged.resync_from),
                _ => Event(event.sequence),
            })
            .collect()
    }

    #[test]
    fn resumes_where_it_was() {
        let bus = bus(100, 10);
        say(&bus, 5);
        let mut stream = bus.subscribe(Some(103), EventFilter::all());
        assert_eq!(drain(&mut stream), [Event(104), Event(105)]);
        say(&bus, 1);
        assert_eq!(drain(&mut stream), [Event(106)]);
        assert_eq!(drain(&mut bus.subscribe(None, EventFilter::all())), []);
        assert_eq!(drain(&mut bus.subscribe(Some(106), EventFilter::all())), []);
    }

    #[test]
    fn zero_is_all_that_are_kept() {
        let bus = bus(100, 3);
        say(&bus, 3);
        let all = bus.subscribe(Some(0), EventFilter::all());
        assert_eq!(drain(&mut { all }), [Event(101), Event(102), Event(103)]);
        say(&bus, 1);
        let all = bus.subscribe(Some(0), EventFilter::all());
        assert_eq!(drain(&mut { all }), [Lag(1, 101), Event(102), Event(103), Event(104)]);
    }

    #[test]
    fn a_slow_reader_is_told_and_goes_on() {
        let bus = bus(0, 4);
        let mut stream = bus.subscribe(None, EventFilter::all());
        say(&bus, 2);
        assert_eq!(drain(&mut stream), [Event(1), Event(2)]);
        say(&bus, 10);
        let after = [Lag(6, 8), Event(9), Event(10), Event(11), Event(12)];
        assert_eq!(drain(&mut stream), after);
        // What the lag says can be passed as `after`.
        assert_eq!(drain(&mut bus.subscribe(Some(8), EventFilter::all())), after[1..]);
    }

    #[test]
    fn a_number_of_an_earlier_run_or_of_nowhere_is_a_lag() {
        let bus = bus(2000, 10);
        say(&bus, 2);
        for after in [1500, 9999] {
            let mut stream = bus.subscribe(Some(after), EventFilter::all());
            assert_eq!(drain(&mut stream), [Lag(0, 2000), Event(2001), Event(2002)], "{after}");
        }
    }

    #[test]
    fn a_filter_passes_lags_but_no_other_guests() {
        let bus = bus(0, 3);
        let mut stream = bus.subscribe(None, EventFilter::domain("db"));
        bus.warn("web", "X", "");
        bus.warn("db", "X", "");
        let changed = pb::ImageChanged { digest: "d".into(), deleted: false };
        bus.publish("db", "", event::Kind::Image(changed));
        assert_eq!(drain(&mut stream), [Event(2)]);
        say(&bus, 5);
        assert_eq!(drain(&mut stream), [Lag(2, 5)]);
        bus.warn("db", "X", "");
        assert_eq!(drain(&mut stream), [Event(9)]);
    }

    #[tokio::test]
    async fn a_waiting_reader_is_woken() {
        let bus = bus(0, 10);
        let mut stream = bus.subscribe(None, EventFilter::all());
        let reader = tokio::spawn(async move { stream.next().await });
        tokio::task::yield_now().await;
        say(&bus, 1);
        let event = tokio::time::timeout(std::time::Duration::from_secs(30), reader).await;
        assert_eq!(event.unwrap().unwrap().unwrap().sequence, 1);
    }
}

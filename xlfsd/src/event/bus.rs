//! The ring of the latest events.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use prost::Message;
use prost_types::Timestamp;
use tokio::sync::watch;
use xlfs_proto::v1::{self as pb, event};

use super::{EventFilter, EventStream, Numbering};

/// Bytes of an event's text; what is longer is cut.
const MAX_TEXT: usize = 1000;

/// How many events are kept for those who resume.
#[derive(Debug, Clone, Copy)]
pub struct EventLimits {
    pub events: usize,
    /// As encoded, with a rough allowance for what keeping them costs.
    pub bytes: usize,
}

impl Default for EventLimits {
    fn default() -> Self {
        Self { events: 10_000, bytes: 4 << 20 }
    }
}

/// Takes events and keeps the latest. A clone is another handle to the same bus.
#[derive(Debug, Clone)]
pub struct EventBus {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    limits: EventLimits,
    pub(super) ring: Mutex<Ring>,
    /// The number of the latest event, for those who wait for the next.
    pub(super) latest: watch::Sender<u64>,
}

#[derive(Debug)]
pub(super) struct Ring {
    numbering: Numbering,
    events: VecDeque<Arc<pb::Event>>,
    bytes: usize,
}

impl EventBus {
    pub fn new(numbering: Numbering, limits: EventLimits) -> Self {
        let latest = watch::Sender::new(numbering.last());
        let ring = Ring { numbering, events: VecDeque::new(), bytes: 0 };
        Self { shared: Arc::new(Shared { limits, ring: Mutex::new(ring), latest }) }
    }

    /// Appends an event about `object` and answers its number. Never waits.
    pub fn publish(
        &self,
        object: impl Into<String>,
        text: impl Into<String>,
        kind: event::Kind,
    ) -> u64 {
        let mut text = text.into();
        text.truncate(text.floor_char_boundary(MAX_TEXT));
        let mut ring = self.shared.ring.lock();
        let sequence = ring.numbering.take();
        let event = pb::Event {
            sequence,
            time: Some(Timestamp::from(SystemTime::now())),
            object: object.into(),
            text,
            kind: Some(kind),
        };
        ring.bytes += cost(&event);
        ring.events.push_back(Arc::new(event));
        // The latest stays, however large: somebody may wait for it.
        while ring.events.len() > 1
            && (ring.events.len() > self.shared.limits.events
                || ring.bytes > self.shared.limits.bytes)
        {
            if let Some(oldest) = ring.events.pop_front() {
                ring.bytes -= cost(&oldest);
            }
        }
        drop(ring);
        self.shared.latest.send_if_modified(|latest| {
            let newer = sequence > *latest;
            *latest = sequence.max(*latest);
            newer
        });
        sequence
    }

    /// Something an operator should look at; it goes to the log as well.
    /// `reason` is stable and UPPER_SNAKE_CASE.
    pub fn warn(&self, object: impl Into<String>, reason: &str, text: impl Into<String>) -> u64 {
        let (object, text) = (object.into(), text.into());
        tracing::warn!(object, reason, "{text}");
        self.publish(object, text, event::Kind::Warning(pb::Warning { reason: reason.into() }))
    }

    /// The number of the latest event.
    pub fn latest(&self) -> u64 {
        self.shared.ring.lock().numbering.last()
    }

    /// Events after the number `after` and all that follow; None: only new ones.
    pub fn subscribe(&self, after: Option<u64>, filter: EventFilter) -> EventStream {
        let seen = after.unwrap_or_else(|| self.latest());
        EventStream::new(self.shared.clone(), seen, filter)
    }
}

impl Ring {
    /// The number before the oldest event that is kept.
    pub(super) fn before_oldest(&self) -> u64 {
        self.events.front().map_or(self.numbering.last(), |event| event.sequence - 1)
    }

    pub(super) fn latest(&self) -> u64 {
        self.numbering.last()
    }

    pub(super) fn base(&self) -> u64 {
        self.numbering.base()
    }

    /// The kept events after the number `seen`, oldest first.
    pub(super) fn after(&self, seen: u64) -> impl Iterator<Item = &Arc<pb::Event>> {
        // Numbers rise, but not always by one: a used-up block leaves a step.
        let first = self.events.partition_point(|event| event.sequence <= seen);
        self.events.range(first..)
    }
}

/// What an event costs in the ring: its encoding, plus its strings' and
/// messages' bookkeeping, which a list of task steps has a lot of.
fn cost(event: &pb::Event) -> usize {
    2 * event.encoded_len() + size_of::<pb::Event>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{FutureExt, StreamExt};

    fn bus(events: usize, bytes: usize) -> EventBus {
        EventBus::new(Numbering::starting_at(0), EventLimits { events, bytes })
    }

    fn take_ready(stream: &mut EventStream) -> Vec<Arc<pb::Event>> {
        std::iter::from_fn(|| stream.next().now_or_never().flatten()).collect()
    }

    #[test]
    fn the_ring_is_capped_by_number() {
        let bus = bus(3, 1 << 20);
        for i in 1..=5 {
            assert_eq!(bus.warn("web", "X", format!("event {i}")), i);
        }
        let kept = take_ready(&mut bus.subscribe(Some(2), EventFilter::all()));
        assert_eq!(kept.iter().map(|event| event.sequence).collect::<Vec<_>>(), [3, 4, 5]);
    }

    #[test]
    fn the_ring_is_capped_by_bytes_but_keeps_the_latest() {
        let bus = bus(1000, 10_000);
        for _ in 0..100 {
            bus.warn("web", "X", "x".repeat(900));
        }
        let ring = bus.shared.ring.lock();
        assert!(ring.bytes <= 10_000 && (3..10).contains(&ring.events.len()), "{}", ring.bytes);
        drop(ring);
        let tiny = tests::bus(1000, 1);
        tiny.warn("web", "X", "a");
        tiny.warn("web", "X", "b");
        assert_eq!(tiny.shared.ring.lock().events.len(), 1);
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let bus = bus(10, 1 << 20);
        bus.warn("web", "X", format!("a{}", "ä".repeat(600)));
        let event = take_ready(&mut bus.subscribe(Some(0), EventFilter::all())).remove(0);
        assert_eq!(event.text.len(), 999);
    }
}

//! Events: live, resumed, across a restart, and with a reader that is too slow.

use std::time::Duration;

use tokio_stream::StreamExt;
use tonic::Streaming;
use tonic::transport::Channel;
use xlfs_proto::v1::event_service_client::EventServiceClient;
use xlfs_proto::v1::{Event, WatchEventsRequest, event};

use crate::daemon::Daemon;

async fn watch(channel: Channel, after: Option<u64>, domain: &str) -> Streaming<Event> {
    let request = WatchEventsRequest { after, domain: domain.into() };
    EventServiceClient::new(channel).watch_events(request).await.unwrap().into_inner()
}

async fn next(events: &mut Streaming<Event>) -> Event {
    let next = tokio::time::timeout(Duration::from_secs(30), events.next());
    next.await.expect("an event within 30 s").unwrap().unwrap()
}

fn lag(event: &Event) -> Option<(u64, u64)> {
    match &event.kind {
        Some(event::Kind::Lagged(lagged)) => Some((lagged.missed, lagged.resync_from)),
        _ => None,
    }
}

#[tokio::test]
async fn a_reader_resumes_without_a_hole() {
    let daemon = Daemon::start().await;
    let channel = daemon.connect().await;
    let mut live = watch(channel.clone(), None, "").await;
    let first = daemon.base.events.warn("web", "X", "one");
    assert_eq!(next(&mut live).await.sequence, first);
    drop(live);
    for text in ["two", "three"] {
        daemon.base.events.warn("web", "X", text);
    }
    let mut resumed = watch(channel.clone(), Some(first), "").await;
    daemon.base.events.warn("db", "X", "four");
    let texts = [next(&mut resumed).await, next(&mut resumed).await, next(&mut resumed).await];
    assert_eq!(texts.map(|event| event.text), ["two", "three", "four"]);
    let mut one_guest = watch(channel, Some(0), "db").await;
    assert_eq!(next(&mut one_guest).await.text, "four");
}

#[tokio::test]
async fn numbers_are_not_used_again_after_a_restart() {
    let daemon = Daemon::start().await;
    let before = daemon.base.events.warn("web", "X", "before");
    let daemon = daemon.restart().await;
    let after = daemon.base.events.warn("web", "X", "after");
    assert!(after > before);
    let mut events = watch(daemon.connect().await, Some(before), "").await;
    let (missed, resync_from) = lag(&next(&mut events).await).unwrap();
    assert_eq!((missed, resync_from), (0, after - 1));
    assert_eq!(next(&mut events).await.sequence, after);
}

#[tokio::test]
async fn a_slow_reader_is_told_what_it_missed_and_goes_on() {
    let daemon = Daemon::start_with(|config| config.events.keep = 50).await;
    let mut events = watch(daemon.connect().await, None, "").await;
    let first = daemon.base.events.warn("web", "X", "first");
    assert_eq!(next(&mut events).await.sequence, first);
    // Far more than the transport buffers while nobody reads.
    let filler = "x".repeat(900);
    for _ in 0..5000 {
        daemon.base.events.warn("web", "X", filler.as_str());
        tokio::task::yield_now().await;
    }
    let last = daemon.base.events.warn("web", "X", "last");
    let mut seen = first;
    let mut missed = 0;
    while seen < last {
        let event = next(&mut events).await;
        if let Some((count, resync_from)) = lag(&event) {
            assert_eq!(resync_from, seen + count, "nothing vanishes silently");
            missed += count;
            seen = resync_from;
        } else {
            assert_eq!(event.sequence, seen + 1, "no hole without a word");
            seen = event.sequence;
        }
    }
    assert!(missed > 0, "this reader was slow");
}

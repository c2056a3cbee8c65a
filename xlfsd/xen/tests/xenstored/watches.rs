//! Watches, as the real xenstored fires them.

use std::time::Duration;

use xlfs_xen::xenstore::{WatchEvent, WatchSet};

use crate::server::Server;
use crate::soon;

#[tokio::test]
async fn a_watch_fires_first_at_once_and_then_for_each_change() {
    let server = Server::start();
    let (client, other) = (server.client().await, server.client().await);
    let mut watch = client.watch("/w/deep").await.unwrap();
    let next = async |watch: &mut xlfs_xen::xenstore::Watch| {
        soon("an event", watch.next()).await.unwrap().path().unwrap().to_owned()
    };
    assert_eq!(next(&mut watch).await, "/w/deep", "although it does not exist");
    other.write("/w/deep/a", "1").await.unwrap();
    assert_eq!(next(&mut watch).await, "/w/deep/a");
    other.write("/w/elsewhere", "1").await.unwrap();
    client.write("/w/deep", "own changes too").await.unwrap();
    assert_eq!(next(&mut watch).await, "/w/deep");
    other.rm("/w").await.unwrap();
    assert_eq!(next(&mut watch).await, "/w/deep", "a parent that goes takes it along");
}

#[tokio::test]
async fn each_watch_has_its_own_events() {
    let server = Server::start();
    let client = server.client().await;
    let mut watches = Vec::new();
    for n in 0..50 {
        let mut watch = client.watch(&format!("/w/{n}")).await.unwrap();
        soon("the first event", watch.next()).await.unwrap();
        watches.push(watch);
    }
    // Two on the same path are two watches.
    let mut twin = client.watch("/w/7").await.unwrap();
    soon("the first event", twin.next()).await.unwrap();
    client.write_many((0..50).map(|n| (format!("/w/{n}/x"), ""))).await.unwrap();
    for (n, watch) in watches.iter_mut().enumerate() {
        let event = soon("an event", watch.next()).await.unwrap();
        assert_eq!(event.path(), Some(format!("/w/{n}/x").as_str()));
    }
    assert_eq!(soon("the twin's event", twin.next()).await.unwrap().path(), Some("/w/7/x"));
}

#[tokio::test]
async fn special_watches_can_be_set_up() {
    let server = Server::start();
    let client = server.client().await;
    for special in ["@introduceDomain", "@releaseDomain"] {
        let mut watch = client.watch(special).await.unwrap();
        assert_eq!(soon(special, watch.next()).await.unwrap().path(), Some(special));
    }
}

#[tokio::test]
async fn a_dropped_watch_is_gone_from_xenstored() {
    let server = Server::start();
    let client = server.client().await;
    for _ in 0..300 {
        drop(client.watch("/w").await.unwrap());
    }
    client.read_opt("/w").await.unwrap();
    let before = client.stats().watch_events;
    client.write("/w", "x").await.unwrap();
    client.read("/w").await.unwrap();
    assert_eq!(client.stats().watch_events, before, "nobody watches");
}

#[tokio::test]
async fn a_reader_that_sleeps_is_told_to_look_again() {
    let server = Server::start();
    let client = server.client().await;
    let mut watch = client.watch("/flood").await.unwrap();
    for round in 0..3 {
        let paths = (0..1500).map(|n| (format!("/flood/{round}/{n}"), ""));
        client.write_many(paths).await.unwrap();
    }
    let stats = client.stats();
    assert!(stats.watch_overflows > 0, "{stats:?}");
    assert_eq!(soon("the resync", watch.next()).await.unwrap(), WatchEvent::Resync);
    let mut left = 0;
    while tokio::time::timeout(Duration::from_millis(50), watch.next()).await.is_ok() {
        left += 1;
    }
    assert!(left <= 1024, "{left} events waited");
    client.write("/flood/end", "").await.unwrap();
    assert_eq!(soon("what comes later", watch.next()).await.unwrap().path(), Some("/flood/end"));
}

#[tokio::test]
async fn the_same_path_coalesces() {
    let server = Server::start();
    let client = server.client().await;
    let mut watch = client.watch("/same").await.unwrap();
    client.write_many((0..5000).map(|n| ("/same", n.to_string()))).await.unwrap();
    client.read("/same").await.unwrap();
    assert_eq!(client.stats().watch_overflows, 0);
    assert_eq!(soon("one event", watch.next()).await.unwrap().path(), Some("/same"));
    let more = tokio::time::timeout(Duration::from_millis(100), watch.next()).await;
    assert!(more.is_err(), "{more:?}");
}

#[tokio::test]
async fn a_set_tells_whose_event_it_is() {
    let server = Server::start();
    let client = server.client().await;
    let mut set = WatchSet::new(&client);
    for domid in 1..=3u16 {
        set.add(domid, &format!("/local/domain/{domid}")).await.unwrap();
    }
    for _ in 1..=3 {
        let (domid, event) = soon("a first event", set.next()).await.unwrap();
        assert_eq!(event.path(), Some(format!("/local/domain/{domid}").as_str()));
    }
    assert!(set.remove(&2) && !set.remove(&2));
    client.write("/local/domain/2/x", "").await.unwrap();
    client.write("/local/domain/3/x", "").await.unwrap();
    let (domid, event) = soon("an event", set.next()).await.unwrap();
    assert_eq!((domid, event.path()), (3, Some("/local/domain/3/x")));
    assert_eq!(set.len(), 2);
}

//! xenstored dies and comes back.

use std::time::{Duration, Instant};

use xlfs_xen::xenstore::{Config, ErrorKind, WatchEvent, WatchSet};

use crate::server::Server;
use crate::soon;

#[tokio::test]
async fn a_client_outlives_a_killed_xenstored() {
    let mut server = Server::start();
    let client = server.client().await;
    client.write("/r/a", "1").await.unwrap();
    server.kill();
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.write("/r/b", "2").await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.start_again();
    soon("the write that waited", waiting).await.unwrap().unwrap();
    assert_eq!(client.read("/r/b").await.unwrap(), b"2");
    assert_eq!(client.stats().reconnects, 1);
}

#[tokio::test]
async fn watches_come_back_with_a_resync() {
    let mut server = Server::start();
    let client = server.client().await;
    let mut watch = client.watch("/r").await.unwrap();
    let mut set = WatchSet::new(&client);
    set.add("special", "@releaseDomain").await.unwrap();
    set.add("node", "/r/node").await.unwrap();
    soon("the first event", watch.next()).await.unwrap();
    soon("the first event", set.next()).await.unwrap();
    soon("the first event", set.next()).await.unwrap();
    for round in 0..3 {
        server.kill();
        server.start_again();
        assert_eq!(soon("the resync", watch.next()).await.unwrap(), WatchEvent::Resync);
        let mut resynced = Vec::new();
        while resynced.len() < 2 {
            let (key, event) = soon("the set's resyncs", set.next()).await.unwrap();
            if event == WatchEvent::Resync {
                resynced.push(key);
            }
        }
        resynced.sort_unstable();
        assert_eq!(resynced, ["node", "special"]);
        let path = format!("/r/after/{round}");
        client.write(&path, "x").await.unwrap();
        while soon("the change", watch.next()).await.unwrap().path() != Some(path.as_str()) {}
    }
    assert_eq!(client.stats().reconnects, 3);
}

#[tokio::test]
async fn calls_in_flight_say_that_they_may_have_happened() {
    let mut server = Server::start();
    let client = server.client().await;
    // More than xenstored can do before it is killed.
    let batch = tokio::spawn({
        let client = client.clone();
        async move {
            let mut batch = client.batch();
            for n in 0..200_000 {
                batch = batch.write("/r/flood", n.to_string());
            }
            batch.run_each().await
        }
    });
    let until = Instant::now() + Duration::from_secs(30);
    while client.stats().operations < 1000 && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    server.kill();
    let each = soon("the batch", batch).await.unwrap().unwrap();
    let done = each.iter().take_while(|result| result.is_ok()).count();
    let (mut maybe, mut never) = (0, 0);
    for result in &each[done..] {
        match &result.as_ref().unwrap_err().kind {
            ErrorKind::Disconnected { sent: true, .. } => maybe += 1,
            ErrorKind::Disconnected { sent: false, .. } => never += 1,
            other => panic!("{other}"),
        }
    }
    assert!(done > 0 && (1..=128).contains(&maybe) && never > 0, "{done} {maybe} {never}");
}

#[tokio::test]
async fn a_call_does_not_wait_longer_than_its_deadline() {
    let mut server = Server::start();
    let config = Config { deadline: Duration::from_millis(300), ..Config::default() };
    let client = server.client_with(config).await;
    server.kill();
    let error = soon("the deadline", client.write("/r", "x")).await.unwrap_err();
    let sent = matches!(error.kind, ErrorKind::Disconnected { .. });
    assert!(
        sent || error.kind
            == ErrorKind::TimedOut { sent: false, after: Duration::from_millis(300) },
        "{error}"
    );
    server.start_again();
    soon("the way back", async { while client.write("/r", "y").await.is_err() {} }).await;
    assert_eq!(client.read("/r").await.unwrap(), b"y");
}

#[tokio::test]
async fn a_transaction_ends_with_its_connection() {
    let mut server = Server::start();
    let client = server.client().await;
    let transaction = client.begin().await.unwrap();
    transaction.write("/r/tx", "x").await.unwrap();
    server.kill();
    server.start_again();
    soon("the way back", async { while client.write("/r/ping", "y").await.is_err() {} }).await;
    // The new xenstored may have a transaction of the same number; it must not be hit.
    let other = client.begin().await.unwrap();
    let error = transaction.write("/r/tx", "z").await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Disconnected { sent: false, .. }), "{error}");
    assert!(transaction.commit().await.is_err());
    other.write("/r/other", "1").await.unwrap();
    other.commit().await.unwrap();
    assert_eq!(client.read_opt("/r/tx").await.unwrap(), None);
}

//! The connection is lost and made anew.

use std::time::Instant;

use super::super::wire::Kind;
use super::super::{Client, Config, Endpoint, ErrorKind};
use super::*;

#[tokio::test]
async fn a_first_connection_that_fails_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::Socket(dir.path().join("nobody"));
    let error = Client::connect(endpoint, Config::default()).await.unwrap_err();
    assert!(error.to_string().contains("nobody"), "{error}");
    assert!(matches!(error.kind, ErrorKind::Disconnected { sent: false, .. }));
}

#[tokio::test]
async fn the_connection_ends_with_the_last_client() {
    let listener = Listener::new();
    let (client, mut peer) = listener.client(Config::default()).await;
    let clone = client.clone();
    drop(client);
    let (value, ()) = tokio::join!(clone.read("/a"), async {
        let request = peer.request().await;
        peer.send(Kind::Read, request.req_id, b"v").await;
    });
    value.unwrap();
    drop(clone);
    assert_eq!(soon("the end", peer.request_or_end()).await, None);
}

#[tokio::test]
async fn what_was_not_sent_is_sent_to_the_next() {
    let listener = Listener::new();
    let (client, peer) = listener.client(Config::default()).await;
    drop(peer);
    let calls: Vec<_> = (0..10)
        .map(|n| {
            let client = client.clone();
            tokio::spawn(async move { client.read(&format!("/{n}")).await })
        })
        .collect();
    let mut peer = listener.accept().await;
    let serve = tokio::spawn(async move { peer.echo().await });
    for (n, call) in calls.into_iter().enumerate() {
        let value = soon("an answer", call).await.unwrap().unwrap();
        assert_eq!(value, format!("/{n}").as_bytes());
    }
    drop(client);
    assert_eq!(soon("the end", serve).await.unwrap(), 10);
}

#[tokio::test]
async fn a_batch_is_not_continued_on_another_connection() {
    let listener = Listener::new();
    let (client, mut peer) = listener.client(Config::default()).await;
    let play = async {
        for _ in 0..10 {
            let request = peer.request().await;
            peer.ok(&request).await;
        }
        drop(peer);
    };
    let mut batch = client.batch();
    for n in 0..1000 {
        batch = batch.write("/n", n.to_string());
    }
    let (each, ()) = tokio::join!(batch.run_each(), play);
    let each = each.unwrap();
    assert!(each[..10].iter().all(Result::is_ok));
    let kinds: Vec<_> = each[10..].iter().map(|r| r.as_ref().unwrap_err().kind.clone()).collect();
    assert!(kinds.iter().all(|kind| matches!(kind, ErrorKind::Disconnected { .. })));
    assert!(matches!(kinds[0], ErrorKind::Disconnected { sent: true, .. }));
    assert!(matches!(kinds[989], ErrorKind::Disconnected { sent: false, .. }));
    let mut peer = listener.accept().await;
    let (_, request) = tokio::join!(client.rm("/other"), async {
        let request = peer.request().await;
        peer.ok(&request).await;
        request
    });
    assert_eq!(request.kind, Kind::Rm);
}

#[tokio::test]
async fn a_peer_that_hangs_up_at_once_is_not_stormed() {
    let listener = Listener::new();
    let (client, peer) = listener.client(Config::default()).await;
    drop(peer);
    let start = Instant::now();
    for _ in 0..6 {
        drop(listener.accept().await);
    }
    // Pauses of at least half of 20, 40, 80, 160, 320 and 640 ms lie before them.
    assert!(start.elapsed() > Duration::from_millis(600), "{:?}", start.elapsed());
    drop(client);
}

#[tokio::test]
async fn the_end_of_the_client_is_noticed_while_nobody_answers() {
    let listener = Listener::new();
    let (client, peer) = listener.client(Config::default()).await;
    let Listener { _dir, path, listener } = listener;
    drop((peer, listener));
    std::fs::remove_file(&path).unwrap();
    let error = client.with_deadline(SHORT).read("/a").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::TimedOut { sent: false, after: SHORT });
    drop(client);
    let listener = UnixListener::bind(&path).unwrap();
    let connection = tokio::time::timeout(Duration::from_millis(300), listener.accept()).await;
    if let Ok(Ok((stream, _))) = connection {
        // It may have been on its way already; then it ends by itself.
        let mut peer = Peer { stream, decoder: Default::default() };
        assert_eq!(soon("the end", peer.request_or_end()).await, None);
    }
}

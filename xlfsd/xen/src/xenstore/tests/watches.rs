//! Watches across time-outs, refusals and lost connections.

use super::super::wire::Kind;
use super::super::{Config, ErrorKind, Watch, WatchEvent};
use super::*;

async fn watch(client: &Client, peer: &mut Peer, path: &str) -> (Watch, String) {
    let (watch, token) = tokio::join!(client.watch(path), async {
        let request = peer.request().await;
        assert_eq!((request.kind, argument(&request, 0).as_str()), (Kind::Watch, path));
        peer.ok(&request).await;
        argument(&request, 1)
    });
    (watch.unwrap(), token)
}

#[tokio::test]
async fn events_go_to_the_watch_of_their_token() {
    let listener = Listener::new();
    let (client, mut peer) = listener.client(Config::default()).await;
    let (mut one, token_one) = watch(&client, &mut peer, "/same").await;
    let (mut two, token_two) = watch(&client, &mut peer, "/same").await;
    assert_ne!(token_one, token_two);
    peer.event("/same/2", &token_two).await;
    peer.event("/same/1", &token_one).await;
    peer.send(Kind::WatchEvent, 9, format!("/same/3\0{token_one}\0more\0").as_bytes()).await;
    assert_eq!(soon("1", one.next()).await.unwrap().path(), Some("/same/1"));
    assert_eq!(soon("3", one.next()).await.unwrap().path(), Some("/same/3"));
    assert_eq!(soon("2", two.next()).await.unwrap().path(), Some("/same/2"));
}

#[tokio::test]
async fn strange_events_are_counted() {
    let listener = Listener::new();
    let (client, mut peer) = listener.client(Config::default()).await;
    let (mut watch, token) = watch(&client, &mut peer, "/a").await;
    peer.event("/a", "999999").await;
    peer.event("/a", "no number").await;
    peer.send(Kind::WatchEvent, 0, format!("/\u{0}{token}\u{0}").as_bytes()).await;
    let mut not_text = b"/\xff\0".to_vec();
    not_text.extend_from_slice(token.as_bytes());
    peer.send(Kind::WatchEvent, 0, &not_text).await;
    assert_eq!(soon("a good one", watch.next()).await.unwrap().path(), Some("/"));
    let (_, ()) = tokio::join!(client.rm("/x"), async {
        let request = peer.request().await;
        peer.ok(&request).await;
    });
    let stats = client.stats();
    assert_eq!((stats.watch_events, stats.watch_events_ignored), (4, 3));
}

#[tokio::test]
async fn a_new_connection_gets_the_watches_first_and_each_once() {
    let listener = Listener::new();
    let (client, mut peer) = listener.client(Config::default()).await;
    let (mut stands, token) = watch(&client, &mut peer, "/stands").await;
    let (dropped, dropped_token) = watch(&client, &mut peer, "/dropped").await;
    drop(dropped);
    let request = peer.request().await;
    assert_eq!((request.kind, argument(&request, 1)), (Kind::Unwatch, dropped_token));
    // A third one is on its way when the connection ends.
    let (lost, ()) = tokio::join!(client.watch("/lost"), async {
        peer.request().await;
        drop(peer);
    });
    assert!(lost.unwrap_err().may_have_happened());

    // A fourth is asked for before the next connection stands.
    let fresh = tokio::spawn({
        let client = client.clone();
        async move { client.watch("/fresh").await }
    });
    tokio::task::yield_now().await;
    let mut peer = listener.accept().await;
    let again = peer.request().await;
    assert_eq!((again.kind, argument(&again, 0).as_str()), (Kind::Watch, "/stands"));
    assert_eq!(argument(&again, 1), token);
    let early = tokio::time::timeout(Duration::from_millis(50), stands.next()).await;
    assert!(early.is_err(), "no resync before the watch stands: {early:?}");
    peer.ok(&again).await;
    assert_eq!(soon("the resync", stands.next()).await.unwrap(), WatchEvent::Resync);
    let request = peer.request().await;
    assert_eq!(argument(&request, 0), "/fresh");
    peer.ok(&request).await;
    let _fresh = soon("the fresh one", fresh).await.unwrap().unwrap();
    let (_, request) = tokio::join!(client.rm("/x"), async {
        let request = peer.request().await;
        peer.ok(&request).await;
        request
    });
    assert_eq!(request.kind, Kind::Rm, "and nothing else was sent");
}

#[tokio::test]
async fn a_watch_that_cannot_be_set_up_again_says_so() {
    let listener = Listener::new();
    let (client, mut peer) = listener.client(Config::default()).await;
    let (mut watch, _) = watch(&client, &mut peer, "/a").await;
    drop(peer);
    let mut peer = listener.accept().await;
    let again = peer.request().await;
    peer.send(Kind::Error, again.req_id, b"EACCES\0").await;
    let error = soon("the failure", watch.next()).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Refused(super::super::Code::Access)), "{error}");
}

#[tokio::test]
async fn a_cancelled_watch_is_taken_back() {
    let listener = Listener::new();
    let (client, mut peer) = listener.client(Config::default()).await;
    let error = client.with_deadline(SHORT).watch("/slow").await.unwrap_err();
    assert!(error.may_have_happened(), "{error}");
    let request = peer.request().await;
    assert_eq!(request.kind, Kind::Watch);
    peer.ok(&request).await;
    let back = peer.request().await;
    assert_eq!((back.kind, &back.payload), (Kind::Unwatch, &request.payload));
    drop(peer);
    let mut peer = listener.accept().await;
    let (_, request) = tokio::join!(client.read("/x"), peer.request());
    assert_eq!(request.kind, Kind::Read, "it is not set up again");
}

#[tokio::test]
async fn a_refused_watch_is_an_error() {
    let listener = Listener::new();
    let (client, mut peer) = listener.client(Config::default()).await;
    let (result, ()) = tokio::join!(client.watch("/a"), async {
        let request = peer.request().await;
        peer.send(Kind::Error, request.req_id, b"E2BIG\0").await;
    });
    assert_eq!(result.unwrap_err().code(), Some(&super::super::Code::TooBig));
    let error = client.watch("relative").await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::BadPath { .. }));
}

#[tokio::test]
async fn a_watch_keeps_the_client_alive() {
    let listener = Listener::new();
    let (client, mut peer) = listener.client(Config::default()).await;
    let (mut watch, token) = watch(&client, &mut peer, "/a").await;
    drop(client);
    peer.event("/a", &token).await;
    assert_eq!(soon("an event", watch.next()).await.unwrap().path(), Some("/a"));
    drop(watch);
    while soon("the end", peer.request_or_end()).await.is_some() {}
}

//! Peers that are silent, or answer too late.

use super::super::wire::Kind;
use super::super::{Config, ErrorKind};
use super::*;

#[tokio::test]
async fn a_late_answer_is_not_mistaken_for_another() {
    let listener = Listener::new();
    let (client, mut peer) = listener.client(Config::default()).await;
    let error = client.with_deadline(SHORT).read("/slow").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::TimedOut { sent: true, after: SHORT });
    let slow = peer.request().await;
    let play = async {
        let request = peer.request().await;
        assert_ne!(request.req_id, slow.req_id);
        peer.send(Kind::Read, slow.req_id, b"late").await;
        peer.send(Kind::Read, request.req_id, b"right").await;
    };
    let (value, ()) = tokio::join!(client.read("/quick"), play);
    assert_eq!(value.unwrap(), b"right");
    let stats = client.stats();
    assert_eq!((stats.late_replies, stats.unknown_replies, stats.reconnects), (1, 0, 0));
}

#[tokio::test]
async fn a_batch_that_gets_on_is_given_time() {
    let listener = Listener::new();
    let deadline = Duration::from_millis(1500);
    let (client, mut peer) = listener.client(Config { deadline, ..Config::default() }).await;
    let play = async {
        for _ in 0..8 {
            let request = peer.request().await;
            tokio::time::sleep(deadline / 6).await;
            peer.ok(&request).await;
        }
    };
    let writes = client.write_many((0..10).map(|n| (format!("/{n}"), "")));
    let (result, ()) = tokio::join!(writes, play);
    let error = result.unwrap_err();
    assert_eq!(error.path, "/8", "eight took longer than the deadline, together");
    assert!(error.may_have_happened(), "{error}");
}

#[tokio::test]
async fn a_silent_peer_does_not_close_the_window_for_ever() {
    let listener = Listener::new();
    let (client, mut peer) = listener.client(Config::default()).await;
    // Fills the window; the rest never leaves.
    let error = client.with_deadline(SHORT).read_many(vec!["/a"; 500]).await.unwrap_err();
    assert!(error.may_have_happened());
    for _ in 0..128 {
        peer.request().await;
    }
    let serve = tokio::spawn(async move { peer.echo().await });
    client.read("/b").await.unwrap();
    assert_eq!(client.stats().reconnects, 0);
    drop(client);
    let served = soon("the end", serve).await.unwrap();
    assert!(served < 372, "{served}: what was not sent when its caller gave up is never sent");
}

#[tokio::test]
async fn a_peer_that_never_answers_is_left_in_the_end() {
    let listener = Listener::new();
    let deadline = Duration::from_millis(20);
    let (client, peer) = listener.client(Config { deadline, ..Config::default() }).await;
    let mut peer = Some(peer);
    let swallow = async {
        let mut old = peer.take().unwrap();
        while old.request_or_end().await.is_some() {}
    };
    let ask = async {
        while client.stats().reconnects == 0 {
            let _ = client.read_many(vec!["/a"; 128]).await;
        }
    };
    let accept = listener.accept();
    soon("another connection", async { tokio::join!(swallow, ask, accept) }).await;
    assert!(client.stats().operations > 4096);
}

#[tokio::test]
async fn a_transaction_whose_start_is_answered_late_is_aborted() {
    let listener = Listener::new();
    let (client, mut peer) = listener.client(Config::default()).await;
    assert!(client.with_deadline(SHORT).begin().await.unwrap_err().may_have_happened());
    let start = peer.request().await;
    assert_eq!(start.kind, Kind::TransactionStart);
    peer.send(Kind::TransactionStart, start.req_id, b"77\0").await;
    let end = peer.request().await;
    assert_eq!((end.kind, end.tx_id, &end.payload[..]), (Kind::TransactionEnd, 77, &b"F\0"[..]));
}

#[tokio::test]
async fn a_commit_without_an_answer_may_have_happened_and_is_not_aborted() {
    let listener = Listener::new();
    let (client, mut peer) = listener.client(Config::default()).await;
    let client = client.with_deadline(Duration::from_secs(2));
    let (transaction, ()) = tokio::join!(client.begin(), async {
        let start = peer.request().await;
        peer.send(Kind::TransactionStart, start.req_id, b"5\0").await;
    });
    let error = transaction.unwrap().commit().await.unwrap_err();
    assert!(error.may_have_happened(), "{error}");
    let end = peer.request().await;
    assert_eq!((end.kind, &end.payload[..]), (Kind::TransactionEnd, &b"T\0"[..]));
    let (_, next) = tokio::join!(client.read("/next"), peer.request());
    assert_eq!(next.kind, Kind::Read, "no second end");
}

#[tokio::test]
async fn a_dropped_transaction_is_aborted() {
    let listener = Listener::new();
    let (client, mut peer) = listener.client(Config::default()).await;
    let (transaction, ()) = tokio::join!(client.begin(), async {
        let start = peer.request().await;
        peer.send(Kind::TransactionStart, start.req_id, b"5\0").await;
    });
    let transaction = transaction.unwrap();
    let clone = transaction.clone();
    drop(transaction);
    let (_, request) = tokio::join!(clone.read_opt("/in"), async {
        let request = peer.request().await;
        peer.send(Kind::Read, request.req_id, b"").await;
        request
    });
    assert_eq!((request.kind, request.tx_id), (Kind::Read, 5), "a clone keeps it open");
    drop(clone);
    let end = peer.request().await;
    assert_eq!((end.kind, end.tx_id, &end.payload[..]), (Kind::TransactionEnd, 5, &b"F\0"[..]));
}

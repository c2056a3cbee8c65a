//! Peers that cannot be believed: the connection ends, the client goes on with a new one.

use super::super::wire::{Header, Kind};
use super::super::{Config, ErrorKind};
use super::*;

/// Sends `nonsense` instead of an answer; the client has to give the connection up, report the
/// request as perhaps carried out, and serve the next one on a new connection.
async fn breaks(nonsense: Vec<u8>, why: &str) {
    let listener = Listener::new();
    let (client, mut peer) = listener.client(Config::default()).await;
    let play = async {
        peer.request().await;
        peer.raw(&nonsense).await;
        let ended = soon("the end", peer.request_or_end()).await;
        assert_eq!(ended, None, "{why}: the client has to end this connection");
    };
    let (result, ()) = tokio::join!(client.write("/a", "v"), play);
    let error = result.unwrap_err();
    assert!(error.may_have_happened(), "{error}");
    assert!(error.to_string().contains(why), "{error}");

    let mut peer = listener.accept().await;
    let (value, _) = tokio::join!(client.read("/again"), async {
        let request = peer.request().await;
        peer.send(Kind::Read, request.req_id, b"fine").await;
    });
    assert_eq!(value.unwrap(), b"fine");
    assert_eq!(client.stats().reconnects, 1);
}

fn header(kind: u32, len: u32) -> Vec<u8> {
    Header { kind, req_id: 1, tx_id: 0, len }.encode().to_vec()
}

#[tokio::test]
async fn a_length_above_the_limit() {
    breaks(header(2, (4 << 20) + 1), "4194305 bytes of payload").await;
    breaks(header(2, u32::MAX), "4294967295 bytes of payload").await;
}

#[tokio::test]
async fn long_directories_in_one_message_are_taken_and_long_values_are_not() {
    let listener = Listener::new();
    let (client, mut peer) = listener.client(Config::default()).await;
    let names: Vec<String> = (0..100_000).map(|n| format!("a-name-{n}")).collect();
    let mut payload = names.join("\0").into_bytes();
    payload.push(0);
    let play = async {
        for _ in 0..2 {
            let request = peer.request().await;
            let len = u32::try_from(payload.len()).unwrap();
            let raw = Header { kind: request.kind as u32, req_id: request.req_id, tx_id: 0, len };
            peer.raw(&raw.encode()).await;
            peer.raw(&payload).await;
        }
    };
    let ask = async {
        assert_eq!(client.directory("/d").await.unwrap(), names);
        let error = client.read("/d").await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::ValueTooLong { len: payload.len(), limit: 4096 });
        assert_eq!(client.stats().reconnects, 0);
    };
    tokio::join!(ask, play);
}

#[tokio::test]
async fn an_unknown_type() {
    breaks(header(0xffff, 0), "unknown type 65535").await;
}

#[tokio::test]
async fn noise() {
    breaks(vec![0xa5; 500], "bytes of payload").await;
}

#[tokio::test]
async fn an_answer_of_another_type() {
    breaks(header(Kind::Read as u32, 0), "answered a Write request with a Read message").await;
}

#[tokio::test]
async fn an_event_without_a_token() {
    let mut event = header(Kind::WatchEvent as u32, 2);
    event.extend_from_slice(b"/\0");
    breaks(event, "watch event without path and token").await;
}

#[tokio::test]
async fn answers_to_questions_that_were_not_asked_are_counted() {
    let listener = Listener::new();
    let (client, mut peer) = listener.client(Config::default()).await;
    let play = async {
        let request = peer.request().await;
        for stranger in [0, request.req_id + 1, u32::MAX] {
            peer.send(Kind::Read, stranger, b"wrong").await;
        }
        peer.send(Kind::Read, request.req_id, b"right").await;
        peer.send(Kind::Read, request.req_id, b"twice").await;
        peer.echo().await
    };
    let ask = async move {
        assert_eq!(client.read("/a").await.unwrap(), b"right");
        assert_eq!(client.read("/b").await.unwrap(), b"/b");
        assert_eq!(client.stats().unknown_replies, 4);
        assert_eq!(client.stats().reconnects, 0);
    };
    tokio::join!(ask, play);
}

#[tokio::test]
async fn an_end_in_the_middle_of_an_answer() {
    let listener = Listener::new();
    let (client, mut peer) = listener.client(Config::default()).await;
    let play = async {
        peer.request().await;
        let mut half = header(Kind::Read as u32, 100);
        half.extend_from_slice(b"only a part");
        peer.raw(&half).await;
        drop(peer);
    };
    let (result, ()) = tokio::join!(client.read("/a"), play);
    let error = result.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Disconnected { sent: true, .. }), "{error}");
}

#[tokio::test]
async fn answers_that_mean_nothing_are_errors_of_the_caller_only() {
    let listener = Listener::new();
    let (client, mut peer) = listener.client(Config::default()).await;
    let play = async {
        for _ in 0..4 {
            let request = peer.request().await;
            peer.send(request.kind, request.req_id, b"\xff\xfe\0").await;
        }
        peer.echo().await
    };
    let ask = async move {
        let errors = [
            client.is_introduced(3).await.unwrap_err(),
            client.domain_path(3).await.unwrap_err(),
            client.get_perms("/a").await.unwrap_err(),
            client.begin().await.unwrap_err(),
        ];
        for error in errors {
            assert!(matches!(error.kind, ErrorKind::BadReply { .. }), "{error}");
        }
        assert_eq!(client.read("/b").await.unwrap(), b"/b");
    };
    tokio::join!(ask, play);
}

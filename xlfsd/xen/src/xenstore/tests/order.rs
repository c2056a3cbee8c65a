//! Replies find their requests, however they arrive.

use super::super::wire::{Kind, encode};
use super::super::{Code, Config, ErrorKind, Op};
use super::*;

#[tokio::test]
async fn replies_may_come_in_any_order() {
    let listener = Listener::new();
    let (client, mut peer) = listener.client(Config::default()).await;
    let play = async {
        let mut requests = Vec::new();
        for _ in 0..100 {
            requests.push(peer.request().await);
        }
        requests.reverse();
        for request in &requests {
            let path = request.payload.strip_suffix(&[0]).unwrap().to_vec();
            peer.send(Kind::Read, request.req_id, &path).await;
        }
    };
    let paths: Vec<String> = (0..100).map(|n| format!("/n/{n}")).collect();
    let (values, ()) = tokio::join!(client.read_many(&paths), play);
    for (path, value) in paths.iter().zip(values.unwrap()) {
        assert_eq!(value.as_deref(), Some(path.as_bytes()));
    }
}

#[tokio::test]
async fn messages_may_come_byte_by_byte() {
    let listener = Listener::new();
    let (client, mut peer) = listener.client(Config::default()).await;
    let play = async {
        for value in [&b"one"[..], b"", b"three"] {
            let request = peer.request().await;
            let mut message = Vec::new();
            encode(&mut message, Kind::Read, request.req_id, 0, value).unwrap();
            for byte in message {
                peer.raw(&[byte]).await;
                tokio::task::yield_now().await;
            }
        }
    };
    let read = async {
        assert_eq!(client.read("/1").await.unwrap(), b"one");
        assert_eq!(client.read("/2").await.unwrap(), b"");
        assert_eq!(client.read("/3").await.unwrap(), b"three");
    };
    tokio::join!(play, read);
}

#[tokio::test]
async fn requests_leave_in_the_order_of_the_batch() {
    let listener = Listener::new();
    let (client, mut peer) = listener.client(Config::default()).await;
    let batch = client.batch().mkdir("/a").write("/a/b", "v").rm("/c").introduce(5, 6, 7);
    let play = async {
        let mut seen = Vec::new();
        for _ in 0..4 {
            let request = peer.request().await;
            seen.push((request.kind, request.payload.to_vec()));
            peer.ok(&request).await;
        }
        seen
    };
    let (result, seen) = tokio::join!(batch.run(), play);
    result.unwrap();
    let wanted: [(Kind, &[u8]); 4] = [
        (Kind::Mkdir, b"/a\0"),
        (Kind::Write, b"/a/b\0v"),
        (Kind::Rm, b"/c\0"),
        (Kind::Introduce, b"5\x006\x007\0"),
    ];
    for ((kind, payload), wanted) in seen.iter().zip(wanted) {
        assert_eq!((*kind, payload.as_slice()), wanted);
    }
}

#[tokio::test]
async fn the_first_error_of_a_batch_is_reported_with_its_path() {
    let listener = Listener::new();
    let (client, mut peer) = listener.client(Config::default()).await;
    let play = async {
        for answer in [&b""[..], b"ENOSPC\0", b"EINVAL\0"] {
            let request = peer.request().await;
            match answer {
                b"" => peer.ok(&request).await,
                code => peer.send(Kind::Error, request.req_id, code).await,
            }
        }
    };
    let writes = client.write_many([("/1", ""), ("/2", ""), ("/3", "")]);
    let (result, ()) = tokio::join!(writes, play);
    let error = result.unwrap_err();
    assert_eq!((error.op, error.path.as_str()), (Op::Write, "/2"));
    assert_eq!(error.kind, ErrorKind::Refused(Code::NoSpace));
}

#[tokio::test]
async fn a_peer_that_writes_before_it_reads_does_not_block() {
    let listener = Listener::new();
    let (client, mut peer) = listener.client(Config::default()).await;
    // Each side has far more to write than the socket holds.
    let batch = client.write_many((0..2000).map(|n| (format!("/n/{n}"), vec![b'x'; 2000])));
    let play = async {
        for n in 0..20_000 {
            peer.event(&format!("/nobody/{n}"), "12345").await;
        }
        for _ in 0..2000 {
            let request = peer.request().await;
            peer.ok(&request).await;
        }
    };
    let (result, ()) = soon("both", async { tokio::join!(batch, play) }).await;
    result.unwrap();
    assert_eq!(client.stats().watch_events_ignored, 20_000);
}

#[tokio::test]
async fn a_directory_that_changes_while_it_is_listed_is_listed_again() {
    let listener = Listener::new();
    let (client, mut peer) = listener.client(Config::default()).await;
    let play = async {
        let request = peer.request().await;
        peer.send(Kind::Error, request.req_id, b"E2BIG\0").await;
        let parts: [(&str, &[u8]); 4] = [
            ("0", b"1\0aa\0bb\0"),
            ("6", b"2\0xx\0\0"), // another generation: all is read again
            ("0", b"2\0cc\0"),
            ("3", b"2\0dd\0\0"),
        ];
        for (offset, part) in parts {
            let request = peer.request().await;
            assert_eq!(
                (request.kind, argument(&request, 1).as_str()),
                (Kind::DirectoryPart, offset)
            );
            peer.send(Kind::DirectoryPart, request.req_id, part).await;
        }
    };
    let (list, ()) = tokio::join!(client.directory("/d"), play);
    assert_eq!(list.unwrap(), ["cc", "dd"]);
}

#[tokio::test]
async fn a_listing_that_makes_no_sense_ends() {
    let answers: [&[u8]; 4] = [b"1\0aa", b"1", b"", b"1\0"];
    for answer in answers {
        let listener = Listener::new();
        let (client, mut peer) = listener.client(Config::default()).await;
        let play = async {
            let request = peer.request().await;
            peer.send(Kind::Error, request.req_id, b"E2BIG\0").await;
            let request = peer.request().await;
            peer.send(Kind::DirectoryPart, request.req_id, answer).await;
        };
        let (list, ()) = tokio::join!(client.directory("/d"), play);
        let error = list.unwrap_err();
        assert!(matches!(error.kind, ErrorKind::BadReply { .. }), "{error}");
    }
    // A list that never ends is given up, and so is one that changes for ever.
    for (part, same) in [(&b"x\0"[..], true), (&b"x\0"[..], false)] {
        let listener = Listener::new();
        let (client, mut peer) = listener.client(Config::default()).await;
        let play = async {
            let mut count = 0;
            while let Some(request) = peer.request_or_end().await {
                if request.kind == Kind::Directory {
                    peer.send(Kind::Error, request.req_id, b"E2BIG\0").await;
                    continue;
                }
                count += 1;
                let mut payload = if same { b"1\0".to_vec() } else { format!("{count}\0").into() };
                payload.extend_from_slice(&part.repeat(2000));
                peer.send(Kind::DirectoryPart, request.req_id, &payload).await;
            }
        };
        let ask = async move { client.directory("/d").await.unwrap_err() };
        let (error, ()) = soon("the end", async { tokio::join!(ask, play) }).await;
        let wanted = if same { "does not end" } else { "changed 8 times" };
        assert!(error.to_string().contains(wanted), "{error}");
    }
}

//! Questions to real servers on the loopback, most of them hostile.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// A server that is broken off by its deadline takes this long.
const SHORT: Duration = Duration::from_millis(600);
/// A machine that is busy takes no longer.
const LONG: Duration = Duration::from_secs(30);

pub(in crate::health) fn check(kind: HealthKind, port: u16) -> HealthCheck {
    HealthCheck {
        kind,
        port,
        path: None,
        query: None,
        expect: None,
        interval: LONG,
        timeout: LONG,
        grace: Duration::ZERO,
    }
}

pub(in crate::health) fn loopback() -> Target {
    Target { address: Ipv4Addr::LOCALHOST.into(), bridge: Some("lo".into()) }
}

/// A server that treats every connection as `serve` does.
pub(in crate::health) async fn server<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> u16
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    port
}

/// Reads a request as far as its head goes, and answers it.
async fn answering(mut stream: TcpStream, answer: &'static [u8]) {
    let mut seen = Vec::new();
    while find(&seen, b"\r\n\r\n", 0).is_none() {
        if stream.read_buf(&mut seen).await.unwrap_or(0) == 0 {
            return;
        }
    }
    assert!(seen.starts_with(b"GET /health HTTP/1.0\r\nHost: 127.0.0.1\r\n"));
    let _ = stream.write_all(answer).await;
}

async fn http(answer: &'static [u8], expect: Option<&str>) -> Answer {
    let port = server(move |stream| answering(stream, answer)).await;
    let path = Some("/health".into());
    let expect = expect.map(str::to_owned);
    ask(&HealthCheck { path, expect, ..check(HealthKind::Http, port) }, &loopback()).await
}

fn bad(answer: Answer) -> String {
    match answer {
        Answer::Bad(text) => text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn http_with_its_status_and_text() {
    let page = b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\nxlfs-health: ok\n";
    assert_eq!(http(page, Some("health: ok")).await, Answer::Good);
    assert_eq!(http(page, None).await, Answer::Good);
    assert_eq!(http(b"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n", None).await, Answer::Good);
    let told = bad(http(page, Some("Server: x")).await);
    assert_eq!(told, "its answer does not hold what is expected", "the head is no body");
    let told = bad(http(b"HTTP/1.1 503 No\r\n\r\nxlfs-health: ok", Some("ok")).await);
    assert_eq!(told, "it answers with HTTP status 503");
    assert_eq!(bad(http(b"", None).await), "it closes the connection without an answer");
    let told = bad(http(b"HTTP/1.1 200 OK\r\nno end", Some("x")).await);
    assert_eq!(told, "its answer has no end of its head");
}

#[tokio::test]
async fn a_guests_words_are_harmless() {
    let told = bad(http(b"\x1b]0;you\x07\x9b2J\xff and \"more\"\r\n", None).await);
    assert_eq!(told, "it does not speak HTTP: \"?]0;you??2J? and 'more'\"");
}

#[tokio::test]
async fn an_answer_without_an_end_is_read_no_further() {
    let endless = |begin: &'static [u8]| async move {
        server(move |mut stream| async move {
            let _ = stream.write_all(begin).await;
            while stream.write_all(&[b'x'; 8192]).await.is_ok() {}
        })
        .await
    };
    let expect = Some("not there".to_owned());
    for begin in [b"".as_slice(), b"HTTP/1.1 200 OK\r\nA: ", b"HTTP/1.1 200 OK\r\n\r\n"] {
        let port = endless(begin).await;
        for kind in [HealthKind::Http, HealthKind::Smtp, HealthKind::Imap] {
            let check = HealthCheck { expect: expect.clone(), ..check(kind, port) };
            bad(ask(&check, &loopback()).await);
        }
    }
}

#[tokio::test]
async fn a_server_that_drips_or_is_silent_meets_the_deadline() {
    let drip = server(|mut stream| async move {
        while stream.write_all(b"2").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let silent = server(|stream| async move {
        tokio::time::sleep(LONG).await;
        drop(stream);
    })
    .await;
    for port in [drip, silent] {
        for kind in [HealthKind::Http, HealthKind::Smtp, HealthKind::Imap] {
            let begin = Instant::now();
            let check = HealthCheck { timeout: SHORT, ..check(kind, port) };
            let answer = ask(&check, &loopback()).await;
            assert_eq!(answer, Answer::Silence("no answer within 600ms".into()), "{kind:?}");
            assert!(begin.elapsed() >= SHORT);
        }
    }
}

#[tokio::test]
async fn greetings() {
    async fn greet(kind: HealthKind, said: &'static [u8], expect: &str) -> Answer {
        let port = server(move |mut stream| async move {
            let _ = stream.write_all(said).await;
            // As a server does: it waits for what the client says next.
            let _ = stream.read(&mut [0; 64]).await;
        })
        .await;
        let expect = (!expect.is_empty()).then(|| expect.to_owned());
        ask(&HealthCheck { expect, ..check(kind, port) }, &loopback()).await
    }
    use HealthKind::{Imap, Smtp};
    assert_eq!(greet(Smtp, b"220 mx ESMTP Postfix\r\n", "ESMTP").await, Answer::Good);
    assert_eq!(greet(Smtp, b"220-wait\r\n220 mx ESMTP\r\n", "wait").await, Answer::Good);
    assert_eq!(greet(Imap, b"* OK [CAPABILITY IMAP4rev1] ready\r\n", "IMAP4").await, Answer::Good);
    let told = bad(greet(Smtp, b"554 go away\r\n", "").await);
    assert_eq!(told, "it greets with \"554 go away\"");
    assert_eq!(bad(greet(Smtp, b"2200 mx\r\n", "").await), "it greets with \"2200 mx\"");
    let told = bad(greet(Imap, b"* BYE \x1b[2J\r\n", "").await);
    assert_eq!(told, "it greets with \"* BYE ?[2J\"");
    let told = bad(greet(Smtp, b"220 mx\r\n", "ESMTP").await);
    assert_eq!(told, "its greeting does not hold what is expected: \"220 mx\"");
}

#[tokio::test]
async fn a_server_that_closes_at_once() {
    let port = server(|stream| async move { drop(stream) }).await;
    assert_eq!(ask(&check(HealthKind::Tcp, port), &loopback()).await, Answer::Good);
    for kind in [HealthKind::Http, HealthKind::Smtp, HealthKind::Imap] {
        bad(ask(&check(kind, port), &loopback()).await);
    }
}

#[tokio::test]
async fn whose_fault_it_is() {
    let port = server(|stream| async move { drop(stream) }).await;
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let free = closed.local_addr().unwrap().port();
    drop(closed);
    let told = bad(ask(&check(HealthKind::Tcp, free), &loopback()).await);
    assert_eq!(told, "it refuses the connection");
    for kind in [HealthKind::Tcp, HealthKind::Dns] {
        let away = Target { bridge: Some("br-away".into()), ..loopback() };
        let query = Some("example.org".to_owned());
        let answer = ask(&HealthCheck { query, ..check(kind, port) }, &away).await;
        assert_eq!(answer, Answer::NotAsked("its bridge does not exist".into()), "{kind:?}");
    }
}

//! The client against peers that do what no xenstored should.
//!
//! Each test plays xenstored itself, message by message ([`Listener`], [`Peer`]); what the real
//! one does is tested in `tests/xenstored`.

mod broken;
mod deadlines;
mod kernel;
mod order;
mod reconnect;
mod watches;

use std::path::PathBuf;
use std::time::Duration;

use bytes::BytesMut;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use super::wire::{Decoder, Frame, Kind, encode};
use super::{Client, Config, Endpoint};

/// Long enough for any machine; a test that needs all of it has failed.
const PATIENCE: Duration = Duration::from_secs(60);

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: nothing happened for {PATIENCE:?}"),
    }
}

/// A socket at which the test plays xenstored.
struct Listener {
    _dir: TempDir,
    path: PathBuf,
    listener: UnixListener,
}

impl Listener {
    fn new() -> Listener {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        Listener { _dir: dir, path, listener }
    }

    async fn accept(&self) -> Peer {
        let (stream, _) = soon("a connection", self.listener.accept()).await.unwrap();
        Peer { stream, decoder: Decoder::default() }
    }

    async fn client(&self, config: Config) -> (Client, Peer) {
        let endpoint = Endpoint::Socket(self.path.clone());
        let (client, peer) = tokio::join!(Client::connect(endpoint, config), self.accept());
        (client.unwrap(), peer)
    }
}

/// The deadline of calls that are meant to miss it.
const SHORT: Duration = Duration::from_millis(200);

/// One connection, seen from xenstored.
struct Peer {
    stream: UnixStream,
    decoder: Decoder,
}

impl Peer {
    /// The next request.
    async fn request(&mut self) -> Frame {
        soon("a request", self.request_or_end()).await.expect("the client closed its connection")
    }

    /// The next request, or `None` when the client closed the connection.
    async fn request_or_end(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                return Some(frame);
            }
            let mut chunk = BytesMut::with_capacity(4096);
            if self.stream.read_buf(&mut chunk).await.unwrap_or(0) == 0 {
                return None;
            }
            self.decoder.buffer().extend_from_slice(&chunk);
        }
    }

    async fn send(&mut self, kind: Kind, req_id: u32, payload: &[u8]) {
        let mut message = Vec::new();
        encode(&mut message, kind, req_id, 0, payload).unwrap();
        self.raw(&message).await;
    }

    async fn raw(&mut self, bytes: &[u8]) {
        // The client may have closed its end; then that is what the test is about.
        let _ = self.stream.write_all(bytes).await;
    }

    async fn ok(&mut self, to: &Frame) {
        self.send(to.kind, to.req_id, b"OK\0").await;
    }

    async fn event(&mut self, path: &str, token: &str) {
        let payload = format!("{path}\0{token}\0");
        self.send(Kind::WatchEvent, 0, payload.as_bytes()).await;
    }

    /// Answers whatever comes with what it asks for: reads with the path that was read.
    async fn echo(&mut self) -> usize {
        let mut served = 0;
        while let Some(request) = self.request_or_end().await {
            match request.kind {
                Kind::Read => {
                    let path = request.payload.strip_suffix(&[0]).unwrap().to_vec();
                    self.send(Kind::Read, request.req_id, &path).await;
                }
                _ => self.ok(&request).await,
            }
            served += 1;
        }
        served
    }
}

/// The path or token of a WATCH or UNWATCH request.
fn argument(request: &Frame, index: usize) -> String {
    let argument = super::wire::strings(&request.payload).nth(index).unwrap();
    String::from_utf8(argument.to_vec()).unwrap()
}

/// Everything can be used from any task: fails to compile when it cannot.
#[test]
fn all_of_it_is_send() {
    fn send<T: Send>(_: impl FnOnce(&'static Client) -> T) {}
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Client>();
    shared::<super::Transaction>();
    shared::<super::Watch>();
    shared::<super::WatchSet<u16>>();
    send(|client| client.read("/"));
    send(|client| client.write("/", ""));
    send(|client| client.directory("/"));
    send(|client| client.read_many(["/"]));
    send(|client| client.write_many([("/", "")]));
    send(|client| client.batch().mkdir("/").run());
    send(|client| client.watch("/"));
    send(|client| client.transaction(|tx| async move { tx.mkdir("/").await }));
}

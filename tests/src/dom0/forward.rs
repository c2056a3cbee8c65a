//! A port of the host's loopback that leads into Dom0: to a Unix socket there,
//! or onward to a guest. It runs over the agent's stream, so Dom0 needs neither
//! a network card nor a listening port for it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::link::{Conversation, Link, WayIn};
use super::{Dom0, Dom0Error};
use crate::wire::{CHUNK, Reply, Request};

/// A forwarded port; closed when dropped (open connections go on).
#[derive(Debug)]
pub struct Forward {
    address: SocketAddr,
    closed: Arc<AtomicBool>,
}

impl Forward {
    /// Where a client on the host connects to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
        // Wakes the accepting thread; it may be gone already.
        let _ = TcpStream::connect(self.address);
    }
}

impl Dom0 {
    /// Forwards 127.0.0.1:`port` (0: any free one) to `target` in Dom0: the
    /// absolute path of a Unix socket, or `ADDRESS:PORT` as Dom0 sees it.
    pub fn forward(&self, port: u16, target: &str) -> Result<Forward, Dom0Error> {
        self.shared.link.forward(port, target)
    }
}

impl Link {
    pub(super) fn forward(&self, port: u16, target: &str) -> Result<Forward, Dom0Error> {
        let failed = |source| Dom0Error::Listen { port, source };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let closed = Arc::new(AtomicBool::new(false));
        let (flag, link, target) = (closed.clone(), self.clone(), target.to_owned());
        thread::spawn(move || {
            for client in listener.incoming() {
                if flag.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(client) = client else { continue };
                let (link, target) = (link.clone(), target.clone());
                thread::spawn(move || {
                    if let Err(error) = join(&client, &link, &target) {
                        eprintln!("lab: connection to {target}: {error}");
                    }
                    // Whatever was left open; the client may have gone first.
                    let _ = client.shutdown(Shutdown::Both);
                });
            }
        });
        Ok(Forward { address, closed })
    }
}

fn join(client: &TcpStream, link: &Link, target: &str) -> Result<(), Dom0Error> {
    let request = Request::Connect { target: target.to_owned() };
    let conversation = link.ask(request, Vec::new())?;
    conversation.done(Instant::now() + Duration::from_secs(60))?;
    // Small messages go back and forth; waiting to fill packets only delays.
    let _ = client.set_nodelay(true);
    let way_in = conversation.way_in();
    thread::scope(|scope| {
        scope.spawn(move || upward(client, &way_in));
        let end = downward(client, &conversation);
        // Wakes the other direction, which waits for the client.
        let _ = client.shutdown(Shutdown::Both);
        end
    })
}

fn downward(mut client: &TcpStream, conversation: &Conversation) -> Result<(), Dom0Error> {
    loop {
        // An idle connection is none that has ended.
        let far = Instant::now() + Duration::from_secs(3600);
        match conversation.next(far)? {
            Some((Reply::Data { last: true }, _)) => return Ok(()),
            // A client that takes no more has what it wanted.
            Some((Reply::Data { .. }, body)) => match client.write_all(&body) {
                Ok(()) => {}
                Err(_) => return Ok(()),
            },
            Some((other, _)) => return Err(Dom0Error::Unexpected { got: format!("{other:?}") }),
            None => {}
        }
    }
}

fn upward(mut client: &TcpStream, way_in: &WayIn) {
    let mut chunk = vec![0; CHUNK];
    loop {
        let length = client.read(&mut chunk).unwrap_or(0);
        let part = chunk.get(..length).unwrap_or_default();
        // The empty part says that the client has closed.
        if way_in.send(part).is_err() || length == 0 {
            return;
        }
    }
}

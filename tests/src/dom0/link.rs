//! The lab's end of the stream to the agent: many conversations at once, each
//! with a queue of its own.

use std::collections::HashMap;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::Dom0Error;
use crate::wire::{Frame, PROTOCOL, Reply, Request};

type Event = (Reply, Vec<u8>);
type Routes = Arc<Mutex<HashMap<u64, Sender<Event>>>>;

/// The stream, shared by all conversations.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    out: Arc<Mutex<UnixStream>>,
    routes: Routes,
    next: Arc<AtomicU64>,
    hello: Arc<Mutex<Receiver<Event>>>,
}

/// One request and what comes back for it.
#[derive(Debug)]
pub(crate) struct Conversation {
    id: u64,
    link: Link,
    events: Receiver<Event>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Link {
    /// Takes over the stream; a thread reads it until it breaks.
    pub(crate) fn new(stream: UnixStream) -> io::Result<Self> {
        let mut reader = stream.try_clone()?;
        let (hello, heard) = channel();
        let routes: Routes = Arc::new(Mutex::new(HashMap::from([(0, hello)])));
        let table = routes.clone();
        thread::spawn(move || {
            let mut up = false;
            while let Ok(frame) = Frame::<Reply>::read(&mut reader) {
                if matches!(frame.head, Reply::Ready { .. }) && std::mem::replace(&mut up, true) {
                    // The agent died and was started again: nothing of what it
                    // was doing will be answered.
                    lock(&table).clear();
                    continue;
                }
                if let Some(route) = lock(&table).get(&frame.id) {
                    // A conversation that nobody follows any more.
                    let _ = route.send((frame.head, frame.body));
                }
            }
            // Whoever still waits is told by the closed queue.
            lock(&table).clear();
        });
        Ok(Self {
            out: Arc::new(Mutex::new(stream)),
            routes,
            next: Arc::new(AtomicU64::new(1)),
            hello: Arc::new(Mutex::new(heard)),
        })
    }

    /// Whether the agent is up, waiting a little for it.
    pub(crate) fn ready(&self, patience: Duration) -> Result<bool, Dom0Error> {
        match lock(&self.hello).recv_timeout(patience) {
            Ok((Reply::Ready { protocol: PROTOCOL }, _)) => Ok(true),
            Ok((other, _)) => Err(Dom0Error::Unexpected { got: format!("{other:?}") }),
            // A lost link shows as a machine that has ended.
            Err(_) => Ok(false),
        }
    }

    /// Says something in a conversation.
    pub(crate) fn send(&self, id: u64, head: Request, body: Vec<u8>) -> Result<(), Dom0Error> {
        let frame = Frame { id, head, body };
        frame.write(&mut *lock(&self.out)).map_err(|source| Dom0Error::Lost { source })
    }

    /// Starts a conversation.
    pub(crate) fn ask(&self, head: Request, body: Vec<u8>) -> Result<Conversation, Dom0Error> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (route, events) = channel();
        lock(&self.routes).insert(id, route);
        let conversation = Conversation { id, link: self.clone(), events };
        conversation.send(head, body)?;
        Ok(conversation)
    }
}

impl Conversation {
    /// Says something more in it.
    pub(crate) fn send(&self, head: Request, body: Vec<u8>) -> Result<(), Dom0Error> {
        self.link.send(self.id, head, body)
    }

    /// A way in, for another thread.
    pub(crate) fn way_in(&self) -> WayIn {
        WayIn { id: self.id, link: self.link.clone() }
    }

    /// What comes next. None when `until` passes first.
    pub(crate) fn next(&self, until: Instant) -> Result<Option<Event>, Dom0Error> {
        let patience = until.saturating_duration_since(Instant::now());
        match self.events.recv_timeout(patience) {
            Ok((Reply::Failed { why }, _)) => Err(Dom0Error::Refused { why }),
            Ok(event) => Ok(Some(event)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => {
                Err(Dom0Error::Lost { source: io::ErrorKind::BrokenPipe.into() })
            }
        }
    }

    /// Waits for `Done`.
    pub(crate) fn done(&self, until: Instant) -> Result<(), Dom0Error> {
        match self.next(until)? {
            Some((Reply::Done, _)) => Ok(()),
            Some((other, _)) => Err(Dom0Error::Unexpected { got: format!("{other:?}") }),
            None => Err(Dom0Error::NoAnswer),
        }
    }
}

/// What goes into a program or a connection in Dom0.
#[derive(Debug, Clone)]
pub(crate) struct WayIn {
    id: u64,
    link: Link,
}

impl WayIn {
    /// Sends bytes; none at all close it.
    pub(crate) fn send(&self, bytes: &[u8]) -> Result<(), Dom0Error> {
        self.link.send(self.id, Request::Stdin, bytes.to_vec())
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        lock(&self.link.routes).remove(&self.id);
    }
}

//! Connections that the agent makes in Dom0 for a client on the host: to the
//! daemon's Unix socket, or to a guest's TCP port.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use super::{Answers, ById, lock};
use crate::wire::{CHUNK, Reply};

/// The open connections, each with its way in.
pub(super) type Connections = ById<Sender<Vec<u8>>>;

/// Connects in a thread of its own: a guest that does not answer holds up nobody.
pub(super) fn start(id: u64, target: String, answers: &Answers, connections: &Connections) {
    let (feed, chunks) = channel::<Vec<u8>>();
    // Before the answer: the first bytes may come right behind it.
    lock(connections).insert(id, feed);
    let (answers, connections) = (answers.clone(), connections.clone());
    thread::spawn(move || {
        let socket = connect(&target);
        match socket.and_then(|socket| Ok((socket.try_clone()?, socket))) {
            Ok((mut to, from)) => {
                answers.send(id, Reply::Done, &[]);
                thread::spawn(move || {
                    for chunk in chunks {
                        if chunk.is_empty() || to.write_all(&chunk).is_err() {
                            break;
                        }
                    }
                    // The peer may have closed first.
                    let _ = to.shutdown(Shutdown::Write);
                });
                pour(id, from, &answers);
            }
            Err(error) => answers.send(id, Reply::Failed { why: error.to_string() }, &[]),
        }
        lock(&connections).remove(&id);
    });
}

fn pour(id: u64, mut from: Socket, answers: &Answers) {
    let mut chunk = vec![0; CHUNK];
    loop {
        // A reset ends the stream like a close does.
        let length = from.read(&mut chunk).unwrap_or(0);
        let part = chunk.get(..length).unwrap_or_default();
        answers.send(id, Reply::Data { last: length == 0 }, part);
        if length == 0 {
            return;
        }
    }
}

fn connect(target: &str) -> io::Result<Socket> {
    if target.starts_with('/') {
        UnixStream::connect(target).map(Socket::Unix)
    } else {
        TcpStream::connect(target).map(Socket::Tcp)
    }
}

/// Either kind of stream socket.
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(socket) => Self::Tcp(socket.try_clone()?),
            Self::Unix(socket) => Self::Unix(socket.try_clone()?),
        })
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.shutdown(how),
            Self::Unix(socket) => socket.shutdown(how),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.read(buffer),
            Self::Unix(socket) => socket.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.write(bytes),
            Self::Unix(socket) => socket.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

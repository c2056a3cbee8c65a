//! The two ways bytes travel to xenstored and back, behind one face.
//!
//! [`Transport::drive`] reads and writes at the same time: xenstored is one thread, writes its
//! replies with blocking calls (4.2.5 and later), and reads nothing while it waits for us to
//! take them. A client that first writes everything and then reads could block it for ever.

use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::device::Device;
use super::endpoint::Endpoint;
use super::error::Code;
use super::in_flight::Window;
use super::wire::{self, Kind};

/// A connection to xenstored.
#[derive(Debug)]
pub(super) enum Transport {
    Socket(Socket),
    Device(Device),
}

/// What [`Transport::drive`] came back for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Bytes were added to the buffer.
    Received,
    /// Bytes were sent.
    Sent,
    /// The kernel did not take this request; there will be no reply to it.
    Refused { req_id: u32, code: Code },
}

impl Transport {
    pub(super) async fn open(endpoint: &Endpoint) -> io::Result<Transport> {
        Ok(match endpoint {
            Endpoint::Socket(path) => {
                let (reader, writer) = UnixStream::connect(path).await?.into_split();
                Transport::Socket(Socket {
                    reader,
                    writer,
                    out: Vec::new(),
                    written: 0,
                    written_before: 0,
                })
            }
            Endpoint::Device(path) => Transport::Device(Device::open(path)?),
        })
    }

    /// Queues a message; [`Transport::drive`] sends it. Returns its size, or `None` when its
    /// payload is too long for any transport.
    pub(super) fn push(
        &mut self,
        kind: Kind,
        req_id: u32,
        tx_id: u32,
        payload: &[u8],
    ) -> Option<usize> {
        match self {
            Transport::Socket(socket) => {
                wire::encode(&mut socket.out, kind, req_id, tx_id, payload)
            }
            Transport::Device(device) => {
                let mut message = Vec::new();
                let len = wire::encode(&mut message, kind, req_id, tx_id, payload)?;
                device.push(req_id, message);
                Some(len)
            }
        }
    }

    /// Reads into `buffer` and writes what is queued, and comes back as soon as one of them got
    /// somewhere. Can be cancelled at any time without a loss. An error, the end of the stream
    /// among them, means that the connection is gone.
    pub(super) async fn drive(&mut self, buffer: &mut BytesMut) -> io::Result<Step> {
        match self {
            Transport::Socket(socket) => socket.drive(buffer).await,
            Transport::Device(device) => device.drive(buffer).await,
        }
    }

    /// How many bytes of all that was pushed have left; `None` where nobody can know.
    pub(super) fn written(&self) -> Option<u64> {
        match self {
            Transport::Socket(socket) => Some(socket.written_before + socket.written as u64),
            Transport::Device(_) => None,
        }
    }

    /// How many requests may be outstanding here.
    pub(super) fn window(&self) -> Window {
        match self {
            Transport::Socket(_) => Window::Wide,
            Transport::Device(_) => Window::One,
        }
    }

    /// Whether replies to WATCH and UNWATCH come from the kernel, which forgets their req_id.
    pub(super) fn kernel_answers_watches(&self) -> bool {
        matches!(self, Transport::Device(_))
    }
}

/// xenstored's own socket.
#[derive(Debug)]
pub(super) struct Socket {
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    /// Messages back to back. They leave in one write where possible: xenstored of 4.2.5 blocks
    /// on a message whose header came alone.
    out: Vec<u8>,
    /// How much of `out` has left.
    written: usize,
    /// How much left before `out`.
    written_before: u64,
}

impl Socket {
    async fn drive(&mut self, buffer: &mut BytesMut) -> io::Result<Step> {
        let Socket { reader, writer, out, written, written_before } = self;
        buffer.reserve(16 * 1024);
        let waiting = out.get(*written..).unwrap_or_default();
        tokio::select! {
            read = reader.read_buf(buffer) => match read? {
                0 => Err(closed()),
                _ => Ok(Step::Received),
            },
            sent = writer.write(waiting), if !waiting.is_empty() => {
                *written += sent?;
                if *written >= out.len() {
                    *written_before += out.len() as u64;
                    out.clear();
                    *written = 0;
                }
                Ok(Step::Sent)
            }
        }
    }
}

pub(super) fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "xenstored closed it")
}

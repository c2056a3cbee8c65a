//! What the lab and its agent in Dom0 say to each other.
//!
//! One byte stream (a virtio-serial port), many conversations: each frame
//! carries the id of the conversation that it belongs to. A frame is the length
//! of its JSON head and of its raw body (two little-endian u32), the head, the
//! body. Bulk data is never JSON.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The name of the virtio-serial port that carries the stream.
pub const PORT_NAME: &str = "xlfs.lab";
/// Both ends come from one build; this catches an agent that does not.
pub const PROTOCOL: u32 = 1;
/// No head or body is longer; a longer length means that the stream is broken.
pub const MAX_PART: usize = 1 << 20;
/// How much of a file or of an output goes into one frame.
pub const CHUNK: usize = 32 << 10;

/// What the lab asks of the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Request {
    /// Start a program. Answers: `Started`, any number of `Stdout` and `Stderr`, one `Exit`.
    Spawn {
        /// Program and arguments; the program is looked for in PATH.
        argv: Vec<String>,
        /// Added to the agent's environment.
        env: BTreeMap<String, String>,
        /// Where it starts; `/` when absent.
        cwd: Option<String>,
        /// Columns and rows of a terminal to run it on, when it shall have one.
        terminal: Option<(u16, u16)>,
        /// Whether `Stdin` frames will follow; otherwise its stdin is empty.
        stdin: bool,
    },
    /// Connect to a stream socket. Answers: `Done` when connected, then `Data`
    /// until one says `last`; `Stdin` frames go the other way.
    Connect {
        /// A Unix socket's absolute path, or `ADDRESS:PORT`.
        target: String,
    },
    /// The body goes to the program's stdin or into the connection; an empty
    /// body closes that direction.
    Stdin,
    /// Send a signal to the program's process group.
    Signal {
        /// The signal's number.
        signal: i32,
    },
    /// Write the body to a file. Answer: `Done`.
    Put {
        /// Absolute path; its folders are made.
        path: String,
        /// Permission bits of a new file.
        mode: u32,
        /// Whether the body goes behind what is there.
        append: bool,
    },
    /// Read a file. Answers: `Data` until one says `last`.
    Get {
        /// Absolute path.
        path: String,
    },
}

/// What the agent answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "tell", rename_all = "snake_case")]
pub enum Reply {
    /// The agent is up (conversation 0).
    Ready {
        /// The agent's [`PROTOCOL`].
        protocol: u32,
    },
    /// The program runs.
    Started {
        /// Its process id in Dom0.
        pid: i32,
    },
    /// The body came from the program's stdout (or terminal).
    Stdout,
    /// The body came from the program's stderr.
    Stderr,
    /// The program has ended, and all it wrote has been sent.
    Exit {
        /// Exit code, when it exited.
        code: Option<i32>,
        /// Signal number, when a signal ended it.
        signal: Option<i32>,
    },
    /// The body is the next part of a file or of what a connection brings.
    Data {
        /// Whether it is the last part.
        last: bool,
    },
    /// Done what was asked.
    Done,
    /// Not done.
    Failed {
        /// Why, for people.
        why: String,
    },
}

/// One unit on the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame<H> {
    /// The conversation.
    pub id: u64,
    /// What is asked or told.
    pub head: H,
    /// The raw bytes that go with it.
    pub body: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct Head<H> {
    id: u64,
    #[serde(flatten)]
    head: H,
}

impl<H: Serialize + Clone> Frame<H> {
    /// Writes the frame in one piece.
    pub fn write(&self, stream: &mut impl Write) -> io::Result<()> {
        let head = serde_json::to_vec(&Head { id: self.id, head: self.head.clone() })?;
        let mut out = Vec::with_capacity(8 + head.len() + self.body.len());
        out.extend_from_slice(&part_length(head.len())?);
        out.extend_from_slice(&part_length(self.body.len())?);
        out.extend_from_slice(&head);
        out.extend_from_slice(&self.body);
        stream.write_all(&out)?;
        stream.flush()
    }
}

impl<H: DeserializeOwned> Frame<H> {
    /// Reads the next frame; `UnexpectedEof` when the other end is gone.
    pub fn read(stream: &mut impl Read) -> io::Result<Self> {
        let mut lengths = [0u8; 8];
        stream.read_exact(&mut lengths)?;
        let [a, b, c, d, e, f, g, h] = lengths;
        let head = read_part(stream, u32::from_le_bytes([a, b, c, d]))?;
        let body = read_part(stream, u32::from_le_bytes([e, f, g, h]))?;
        let head: Head<H> = serde_json::from_slice(&head)?;
        Ok(Self { id: head.id, head: head.head, body })
    }
}

fn part_length(length: usize) -> io::Result<[u8; 4]> {
    match u32::try_from(length) {
        Ok(short) if length <= MAX_PART => Ok(short.to_le_bytes()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "frame part too long")),
    }
}

fn read_part(stream: &mut impl Read, length: u32) -> io::Result<Vec<u8>> {
    let length = length as usize;
    if length > MAX_PART {
        let why = format!("a frame part of {length} bytes: the stream is out of step");
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    let mut part = vec![0; length];
    stream.read_exact(&mut part)?;
    Ok(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_survives_the_stream() {
        let first = Frame { id: 7, head: Reply::Data { last: false }, body: vec![0, 255, 10] };
        let second =
            Frame { id: 8, head: Reply::Exit { code: Some(3), signal: None }, body: vec![] };
        let mut stream = Vec::new();
        first.write(&mut stream).unwrap();
        second.write(&mut stream).unwrap();
        let mut stream = stream.as_slice();
        assert_eq!(Frame::<Reply>::read(&mut stream).unwrap(), first);
        assert_eq!(Frame::<Reply>::read(&mut stream).unwrap(), second);
        let end = Frame::<Reply>::read(&mut stream).unwrap_err();
        assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_stream_out_of_step_is_an_error_not_an_allocation() {
        let err = Frame::<Reply>::read(&mut [0xffu8; 64].as_slice()).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::InvalidData);
        let long = Frame { id: 1, head: Reply::Stdout, body: vec![0; MAX_PART + 1] };
        assert!(long.write(&mut Vec::new()).is_err());
    }
}

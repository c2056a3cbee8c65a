//! One question to one guest, and whether the answer is what it should be.

mod dns;
mod greeting;
mod http;

use std::io;
use std::net::{IpAddr, SocketAddr};

use nix::libc;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::template::{HealthCheck, HealthKind};

/// Bytes of what a guest said that an error repeats.
const MAX_QUOTE: usize = 60;
/// Bytes that are read at a time.
const PIECE: usize = 4096;

/// Where a guest is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub address: IpAddr,
    /// The bridge that it is on: another network may have the same addresses,
    /// and nobody but the guest is to answer. None: as the routes say.
    pub bridge: Option<String>,
}

/// What came of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Good,
    /// Why not.
    Bad(String),
    /// Why Dom0 could not ask; the guest is not to blame.
    NotAsked(String),
    /// Nobody answered: the guest, or Dom0 on its way there.
    Silence(String),
}

/// A question that failed.
pub(super) type Wrong = Answer;

/// Asks once. Ends within the check's timeout, whatever the guest does.
pub(super) async fn ask(check: &HealthCheck, target: &Target) -> Answer {
    // On the heap: a task that sleeps until its check is due stays small.
    let asked = Box::pin(question(check, target));
    match tokio::time::timeout(check.timeout, asked).await {
        Ok(Ok(())) => Answer::Good,
        Ok(Err(wrong)) => wrong,
        Err(_) => {
            let timeout = humantime::format_duration(check.timeout);
            Answer::Silence(format!("no answer within {timeout}"))
        }
    }
}

async fn question(check: &HealthCheck, target: &Target) -> Result<(), Wrong> {
    if check.kind == HealthKind::Dns {
        return dns::ask(check, target).await;
    }
    let stream = connect(target, check.port).await.map_err(|error| unreachable(&error))?;
    match check.kind {
        HealthKind::Http => http::ask(stream, check, target).await,
        HealthKind::Smtp => greeting::smtp(stream, check).await,
        HealthKind::Imap => greeting::imap(stream, check).await,
        HealthKind::Tcp | HealthKind::Dns => Ok(()),
    }
}

async fn connect(target: &Target, port: u16) -> io::Result<TcpStream> {
    let socket = match target.address {
        IpAddr::V4(_) => TcpSocket::new_v4()?,
        IpAddr::V6(_) => TcpSocket::new_v6()?,
    };
    if let Some(bridge) = &target.bridge {
        socket.bind_device(Some(bridge.as_bytes()))?;
    }
    socket.connect(SocketAddr::new(target.address, port)).await
}

/// Whether the guest or Dom0 is why a connection did not come about.
fn unreachable(error: &io::Error) -> Wrong {
    match error.raw_os_error() {
        Some(libc::ENETUNREACH) => Answer::NotAsked("Dom0 has no route to its address".into()),
        Some(libc::ENODEV) => Answer::NotAsked("its bridge does not exist".into()),
        Some(
            libc::EADDRNOTAVAIL
            | libc::EMFILE
            | libc::ENFILE
            | libc::ENOMEM
            | libc::ENOBUFS
            | libc::EPERM
            | libc::EACCES
            | libc::EAFNOSUPPORT,
        ) => Answer::NotAsked(format!("Dom0 cannot ask: {error}")),
        Some(libc::ECONNREFUSED) => Answer::Bad("it refuses the connection".into()),
        Some(libc::EHOSTUNREACH | libc::ETIMEDOUT) => {
            Answer::Silence("nobody has its address".into())
        }
        _ => broken(error),
    }
}

/// A connection that the guest took and then lost.
fn broken(error: &io::Error) -> Wrong {
    Answer::Bad(match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            "it breaks the connection off".into()
        }
        _ => format!("the connection failed: {error}"),
    })
}

/// Reads a little more into `seen`, never beyond `limit` bytes. False at the end.
async fn read_more(
    stream: &mut (impl AsyncRead + Unpin),
    seen: &mut Vec<u8>,
    limit: usize,
) -> Result<bool, Wrong> {
    let room = limit.saturating_sub(seen.len()).min(PIECE);
    if room == 0 {
        return Ok(false);
    }
    seen.reserve(room);
    let read = stream.take(room as u64).read_buf(seen).await.map_err(|error| broken(&error))?;
    Ok(read > 0)
}

/// Where `part` begins in `whole`, from `start` on.
fn find(whole: &[u8], part: &[u8], start: usize) -> Option<usize> {
    let rest = whole.get(start..)?;
    rest.windows(part.len()).position(|window| window == part).map(|at| at + start)
}

/// A guest's words, fit for a log and a terminal.
fn quote(said: &[u8]) -> String {
    let shown = said.trim_ascii_end().iter().take(MAX_QUOTE);
    let shown: String = shown
        .map(|byte| match byte {
            b'"' | b'\\' => '\'',
            b' ' | 0x21..=0x7e => char::from(*byte),
            _ => '?',
        })
        .collect();
    format!("\"{shown}\"")
}

#[cfg(test)]
pub(super) mod tests;

//! Where xenstored is to be found.
//!
//! The socket is preferred: it is a connection of our own, it ends when xenstored ends (so its
//! death is noticed at once), it carries whole payloads, and xenstored may block on nobody
//! else's replies. The kernel's device shares the kernel's ring with all of Dom0, gives no sign
//! of life, and takes 16 bytes less per message.

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use super::device;
use super::transport::Transport;
use super::wire::PAYLOAD_MAX;

/// A way to reach xenstored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// xenstored's Unix socket.
    Socket(PathBuf),
    /// The kernel's xenbus device, a character device.
    Device(PathBuf),
}

/// No endpoint answers.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot reach xenstored; tried {}. Is xenstored running, and is this a Xen Dom0 \
     (and are we root)?",
    list(tried)
)]
pub struct DiscoverError {
    /// Each endpoint that was tried, in order, and why it failed.
    pub tried: Vec<(Endpoint, io::Error)>,
}

fn list(tried: &[(Endpoint, io::Error)]) -> String {
    let each: Vec<String> =
        tried.iter().map(|(at, why)| format!("{} ({why})", at.path().display())).collect();
    each.join(", ")
}

impl Endpoint {
    /// The places where xenstored may be, in the order in which they are tried: the socket
    /// (`/run/xenstored/socket`, `/var/run/xenstored/socket`), then the kernel's device
    /// (`/dev/xen/xenbus`, and `/proc/xen/xenbus` of old kernels).
    pub fn candidates() -> Vec<Endpoint> {
        vec![
            Endpoint::Socket("/run/xenstored/socket".into()),
            Endpoint::Socket("/var/run/xenstored/socket".into()),
            Endpoint::Device("/dev/xen/xenbus".into()),
            Endpoint::Device("/proc/xen/xenbus".into()),
        ]
    }

    /// The first of [`Endpoint::candidates`] that can be opened. The error lists all that was
    /// tried. A socket file whose xenstored is gone is passed over.
    pub async fn discover() -> Result<Endpoint, DiscoverError> {
        Endpoint::first_of(Endpoint::candidates()).await
    }

    /// The first of `candidates` that can be opened.
    pub async fn first_of(
        candidates: impl IntoIterator<Item = Endpoint>,
    ) -> Result<Endpoint, DiscoverError> {
        let mut tried = Vec::new();
        for endpoint in candidates {
            match Transport::open(&endpoint).await {
                Ok(_) => return Ok(endpoint),
                // All of its queue of connections is in use: it lives.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(endpoint),
                Err(error) => tried.push((endpoint, error)),
            }
        }
        Err(DiscoverError { tried })
    }

    /// What stands at `path`: a socket, or else a device. Fails when there is nothing.
    pub fn at(path: impl Into<PathBuf>) -> io::Result<Endpoint> {
        let path = path.into();
        let is_socket = path.metadata()?.file_type().is_socket();
        Ok(if is_socket { Endpoint::Socket(path) } else { Endpoint::Device(path) })
    }

    /// Where it stands in the file system.
    pub fn path(&self) -> &Path {
        match self {
            Endpoint::Socket(path) | Endpoint::Device(path) => path,
        }
    }

    /// Most bytes of payload a request may have here.
    pub fn payload_max(&self) -> usize {
        match self {
            Endpoint::Socket(_) => PAYLOAD_MAX,
            Endpoint::Device(_) => device::PAYLOAD_MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_that_answers_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let (stale, live) = (dir.path().join("stale"), dir.path().join("live"));
        drop(tokio::net::UnixListener::bind(&stale).unwrap());
        let _listener = tokio::net::UnixListener::bind(&live).unwrap();
        let candidates =
            [dir.path().join("absent"), stale, live.clone()].map(Endpoint::Socket).to_vec();
        assert_eq!(Endpoint::first_of(candidates).await.unwrap(), Endpoint::Socket(live));
    }

    #[tokio::test]
    async fn a_path_tells_what_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("socket");
        let _listener = tokio::net::UnixListener::bind(&socket).unwrap();
        assert_eq!(Endpoint::at(&socket).unwrap(), Endpoint::Socket(socket));
        assert_eq!(Endpoint::at("/dev/null").unwrap(), Endpoint::Device("/dev/null".into()));
        assert!(Endpoint::at(dir.path().join("none")).is_err());
    }

    #[tokio::test]
    async fn the_error_lists_what_was_tried() {
        let dir = tempfile::tempdir().unwrap();
        let candidates = [
            Endpoint::Socket(dir.path().join("socket")),
            Endpoint::Device(dir.path().join("xenbus")),
        ];
        let error = Endpoint::first_of(candidates).await.unwrap_err();
        assert_eq!(error.tried.len(), 2);
        let text = error.to_string();
        for part in ["/socket (No such file", "/xenbus (No such file", "Is xenstored running"] {
            assert!(text.contains(part), "{text}");
        }
    }
}

//! The Unix socket: made so that at no moment anybody may connect who must
//! not, and never taken away from a daemon that lives.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

use crate::problem::{Problem, ProblemKind};

/// The socket cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    #[error("another daemon serves on {}", path.display())]
    InUse { path: PathBuf },
    #[error("{} is there and is no socket", path.display())]
    NoSocket { path: PathBuf },
    #[error("cannot {action} {}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl From<SocketError> for Problem {
    fn from(error: SocketError) -> Self {
        let hint = match &error {
            SocketError::InUse { .. } => {
                "One xlfsd serves a host. Stop the other one, or choose another socket."
            }
            SocketError::NoSocket { .. } => "Remove it, or choose another socket.",
            SocketError::Io { .. } => {
                "The folder must be there and writable, and the path at most 100 bytes long."
            }
        };
        Self::from_error(
            ProblemKind::FailedPrecondition,
            "SOCKET_UNUSABLE",
            "xlfsd cannot serve",
            &error,
        )
        .hint(hint)
    }
}

/// A listening socket; its file goes when it is dropped.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
    /// Which file is ours: another daemon may have taken the path since.
    inode: (u64, u64),
}

impl Socket {
    /// Listens on `path`; root and the group `gid` may connect. Must be called
    /// within a tokio runtime.
    pub fn bind(path: &Path, gid: u32) -> Result<Self, SocketError> {
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| SocketError::Io { action, path, source }
        };
        if let Some(dir) = path.parent().filter(|dir| !dir.exists()) {
            // Set apart from making it: the umask keeps others out.
            fs::create_dir_all(dir)
                .and_then(|()| fs::set_permissions(dir, fs::Permissions::from_mode(0o755)))
                .map_err(failed("make the folder", dir))?;
        }
        check_vacant(path)?;
        // Bound under another name first: it gets its path when its
        // permissions are right, and replaces what a killed daemon left.
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let new = path.with_file_name(name);
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("replace", &new)(error));
            }
            _ => {}
        }
        let listener = UnixListener::bind(&new).map_err(failed("bind", &new))?;
        let prepared = std::os::unix::fs::chown(&new, None, Some(gid))
            .and_then(|()| fs::set_permissions(&new, fs::Permissions::from_mode(0o660)))
            .and_then(|()| fs::symlink_metadata(&new))
            .and_then(|meta| fs::rename(&new, path).map(|()| (meta.dev(), meta.ino())));
        match prepared {
            Ok(inode) => Ok(Self { listener, path: path.to_owned(), inode }),
            Err(error) => {
                let _ = fs::remove_file(&new);
                Err(failed("prepare", path)(error))
            }
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn listener(&self) -> &UnixListener {
        &self.listener
    }
}

/// A socket that refuses connections is what a killed daemon left.
fn check_vacant(path: &Path) -> Result<(), SocketError> {
    use std::os::unix::fs::FileTypeExt;
    let io = |action| move |source| SocketError::Io { action, path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io("look at")(error)),
        Ok(meta) if !meta.file_type().is_socket() => {
            return Err(SocketError::NoSocket { path: path.to_owned() });
        }
        Ok(_) => {}
    }
    match StdUnixStream::connect(path) {
        Ok(_) => Err(SocketError::InUse { path: path.to_owned() }),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound
            ) =>
        {
            Ok(())
        }
        Err(error) => Err(io("connect to the socket")(error)),
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|meta| (meta.dev(), meta.ino()) == self.inode);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the socket's file stays");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_living_daemon_keeps_its_socket() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/xlfsd.sock");
        let socket = Socket::bind(&path, nix::unistd::getgid().as_raw()).unwrap();
        let mode = fs::symlink_metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        assert!(matches!(Socket::bind(&path, 0), Err(SocketError::InUse { .. })));
        drop(socket);
        assert!(!path.exists());
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn what_a_killed_daemon_left_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("xlfsd.sock");
        for stale in [path.clone(), dir.path().join("xlfsd.sock.new")] {
            drop(std::os::unix::net::UnixListener::bind(stale).unwrap());
        }
        let socket = Socket::bind(&path, nix::unistd::getgid().as_raw()).unwrap();
        assert!(StdUnixStream::connect(socket.path()).is_ok());
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("xlfsd.sock");
        fs::write(&path, "precious").unwrap();
        assert!(matches!(Socket::bind(&path, 0), Err(SocketError::NoSocket { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }

    #[tokio::test]
    async fn another_daemons_socket_is_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("xlfsd.sock");
        let first = Socket::bind(&path, nix::unistd::getgid().as_raw()).unwrap();
        fs::remove_file(&path).unwrap();
        let _second = Socket::bind(&path, nix::unistd::getgid().as_raw()).unwrap();
        drop(first);
        assert!(path.exists());
    }
}

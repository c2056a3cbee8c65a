//! The connection to xlfsd: a gRPC channel over its Unix socket, and a plain
//! answer when there is none.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;
use xlfs_proto::v1::build_service_client::BuildServiceClient;
use xlfs_proto::v1::console_service_client::ConsoleServiceClient;
use xlfs_proto::v1::domain_service_client::DomainServiceClient;
use xlfs_proto::v1::event_service_client::EventServiceClient;
use xlfs_proto::v1::host_service_client::HostServiceClient;
use xlfs_proto::v1::image_service_client::ImageServiceClient;
use xlfs_proto::v1::network_service_client::NetworkServiceClient;
use xlfs_proto::v1::recipe_service_client::RecipeServiceClient;
use xlfs_proto::v1::slot_service_client::SlotServiceClient;
use xlfs_proto::v1::source_service_client::SourceServiceClient;
use xlfs_proto::v1::task_service_client::TaskServiceClient;
use xlfs_proto::v1::template_service_client::TemplateServiceClient;
use xlfs_proto::v1::volume_service_client::VolumeServiceClient;

use crate::errors::Failure;
use crate::exit::Exit;

/// How long the daemon may take to take a connection. It is on this machine.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of the largest answer: a list of ten thousand guests has about 20 MiB.
const MOST_BYTES: usize = 256 * 1024 * 1024;

/// The calls of xlfsd, over one connection. It is made anew by itself when the
/// daemon was restarted.
#[derive(Clone, Debug)]
pub(crate) struct Daemon {
    channel: Channel,
}

impl Daemon {
    /// Connects at once, so that a missing daemon is told apart from a failed
    /// call.
    pub(crate) async fn connect(socket: &Path) -> Result<Daemon, Failure> {
        let first = match tokio::time::timeout(CONNECT_TIMEOUT, UnixStream::connect(socket)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(unreachable(socket, &error)),
            Err(_) => {
                let error = io::Error::new(io::ErrorKind::TimedOut, "nobody took the connection");
                return Err(unreachable(socket, &error));
            }
        };
        let first = Arc::new(Mutex::new(Some(first)));
        let path = socket.to_path_buf();
        let connector = service_fn(move |_: Uri| {
            let ready = first.lock().unwrap_or_else(PoisonError::into_inner).take();
            let path = path.clone();
            async move {
                let stream = match ready {
                    Some(stream) => stream,
                    None => UnixStream::connect(path).await?,
                };
                Ok::<_, io::Error>(TokioIo::new(stream))
            }
        });
        // The URI only fills the :authority header; no name is looked up.
        let channel = Endpoint::from_static("http://xlfsd").connect_with_connector_lazy(connector);
        Ok(Daemon { channel })
    }

    pub(crate) fn domains(&self) -> DomainServiceClient<Channel> {
        DomainServiceClient::new(self.channel.clone()).max_decoding_message_size(MOST_BYTES)
    }

    pub(crate) fn builds(&self) -> BuildServiceClient<Channel> {
        BuildServiceClient::new(self.channel.clone()).max_decoding_message_size(MOST_BYTES)
    }

    pub(crate) fn consoles(&self) -> ConsoleServiceClient<Channel> {
        ConsoleServiceClient::new(self.channel.clone()).max_decoding_message_size(MOST_BYTES)
    }

    pub(crate) fn events(&self) -> EventServiceClient<Channel> {
        EventServiceClient::new(self.channel.clone()).max_decoding_message_size(MOST_BYTES)
    }

    pub(crate) fn images(&self) -> ImageServiceClient<Channel> {
        ImageServiceClient::new(self.channel.clone()).max_decoding_message_size(MOST_BYTES)
    }

    pub(crate) fn tasks(&self) -> TaskServiceClient<Channel> {
        TaskServiceClient::new(self.channel.clone()).max_decoding_message_size(MOST_BYTES)
    }

    pub(crate) fn templates(&self) -> TemplateServiceClient<Channel> {
        TemplateServiceClient::new(self.channel.clone()).max_decoding_message_size(MOST_BYTES)
    }

    pub(crate) fn slots(&self) -> SlotServiceClient<Channel> {
        SlotServiceClient::new(self.channel.clone()).max_decoding_message_size(MOST_BYTES)
    }

    pub(crate) fn volumes(&self) -> VolumeServiceClient<Channel> {
        VolumeServiceClient::new(self.channel.clone()).max_decoding_message_size(MOST_BYTES)
    }

    pub(crate) fn networks(&self) -> NetworkServiceClient<Channel> {
        NetworkServiceClient::new(self.channel.clone()).max_decoding_message_size(MOST_BYTES)
    }

    pub(crate) fn recipes(&self) -> RecipeServiceClient<Channel> {
        RecipeServiceClient::new(self.channel.clone()).max_decoding_message_size(MOST_BYTES)
    }

    pub(crate) fn sources(&self) -> SourceServiceClient<Channel> {
        SourceServiceClient::new(self.channel.clone()).max_decoding_message_size(MOST_BYTES)
    }

    pub(crate) fn host(&self) -> HostServiceClient<Channel> {
        HostServiceClient::new(self.channel.clone()).max_decoding_message_size(MOST_BYTES)
    }
}

/// Why the socket could not be connected to, and what to do about it.
fn unreachable(socket: &Path, error: &io::Error) -> Failure {
    let path = socket.display();
    let failure = Failure::new(Exit::Unreachable, "cannot reach xlfsd");
    let found = std::fs::symlink_metadata(socket).and_then(|_| std::fs::metadata(socket));
    match (found, error.kind()) {
        (Err(missing), _) if missing.kind() == io::ErrorKind::NotFound => failure
            .cause(format!("the socket {path} does not exist"))
            .hint("start xlfsd; if it listens elsewhere, give --socket or set XLFSD_SOCKET"),
        (Ok(file), _) if !file.file_type().is_socket() => failure
            .cause(format!("{path} is there, but it is no socket"))
            .hint("give xlfsd's socket with --socket, or unset XLFSD_SOCKET"),
        (found, io::ErrorKind::PermissionDenied) => {
            let user = nix::unistd::geteuid();
            let rights = found.map_or_else(
                |_| format!("a folder on the way to {path} is closed to uid {user}"),
                |file| {
                    format!(
                        "the socket {path} belongs to uid {} and gid {} (mode {:04o}); you are \
                         uid {user}",
                        file.uid(),
                        file.gid(),
                        file.mode() & 0o7777,
                    )
                },
            );
            failure.cause(rights).hint("run xlfsctl as root, or join the group of the socket")
        }
        (_, io::ErrorKind::ConnectionRefused) => failure
            .cause(format!("the socket {path} is there, but nobody listens on it"))
            .hint("start xlfsd; its log says why it ended"),
        _ => failure
            .cause(format!("{path}: {error}"))
            .hint("see whether xlfsd runs, and what its log says"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn failure(socket: &Path) -> Failure {
        Daemon::connect(socket).await.expect_err("nobody listens")
    }

    #[tokio::test]
    async fn a_missing_daemon_is_explained() {
        let folder = tempfile::tempdir().expect("folder");

        let missing = failure(&folder.path().join("none")).await;
        assert_eq!(missing.exit(), Exit::Unreachable);
        assert!(missing.causes[0].ends_with("none does not exist"), "{missing:?}");

        let file = folder.path().join("file");
        std::fs::write(&file, "").expect("file");
        assert!(failure(&file).await.causes[0].contains("no socket"));

        let dead = folder.path().join("dead");
        drop(std::os::unix::net::UnixListener::bind(&dead).expect("bind"));
        let dead = failure(&dead).await;
        assert!(dead.causes[0].contains("nobody listens"), "{dead:?}");
        assert!(dead.hint.as_ref().is_some_and(|hint| hint.contains("start xlfsd")));
    }
}

//! Serves the services on the socket until the daemon is told to stop.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Stream, stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::transport::Server;
use tonic::transport::server::{Connected, UdsConnectInfo};

use super::authority::AuthorityFilter;
use super::{Services, Socket};

/// How long calls may go on after the daemon was told to stop.
const GRACE: Duration = Duration::from_secs(3);
/// How long to wait after an accept that failed, as for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A client that is gone without a word is found out by these.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// What clients may take up.
#[derive(Debug, Clone, Copy)]
pub struct ServerLimits {
    /// At the same time; further clients wait.
    pub connections: usize,
    /// Calls and streams at the same time on one connection.
    pub calls_per_connection: u32,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self { connections: 128, calls_per_connection: 200 }
    }
}

/// Serving came to an end that nobody asked for.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("the descriptions of the services cannot be served")]
    Reflection {
        #[source]
        source: tonic_reflection::server::Error,
    },
    #[error("the server on the socket failed")]
    Transport {
        #[source]
        source: tonic::transport::Error,
    },
}

/// Serves until `services.stopping()` is cancelled, then ends the streams and
/// waits a little for the calls that go on. Guests are not touched.
pub async fn serve(
    socket: Socket,
    services: Services,
    limits: ServerLimits,
) -> Result<(), ServeError> {
    let stopping = services.stopping();
    let routes =
        services.into_routes().await.map_err(|source| ServeError::Reflection { source })?;
    let server = Server::builder()
        .max_concurrent_streams(limits.calls_per_connection)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .add_routes(routes)
        .serve_with_incoming_shutdown(
            connections(&socket, limits.connections),
            stopping.clone().cancelled_owned(),
        );
    let too_long = async {
        stopping.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        ended = server => ended.map_err(|source| ServeError::Transport { source }),
        () = too_long => {
            tracing::info!("calls that went on were cut off");
            Ok(())
        }
    }
}

/// Accepts no more than `limit` clients at a time. Never ends: an accept that
/// fails (no descriptors left) is tried again.
fn connections(socket: &Socket, limit: usize) -> impl Stream<Item = io::Result<Connection>> {
    let places = Arc::new(Semaphore::new(limit));
    stream::unfold(places, move |places| async move {
        // Never closed, so there is always a permit in the end.
        let permit = places.clone().acquire_owned().await.ok()?;
        loop {
            match socket.listener().accept().await {
                Ok((stream, _)) => {
                    return Some((Ok(Connection::new(stream, permit)), places));
                }
                Err(error) => {
                    tracing::warn!(%error, "a client could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    })
}

/// A client, and its place among those allowed.
#[derive(Debug)]
struct Connection {
    stream: UnixStream,
    filter: AuthorityFilter,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    fn new(stream: UnixStream, permit: OwnedSemaphorePermit) -> Self {
        Self { stream, filter: AuthorityFilter::default(), _permit: permit }
    }
}

impl Connected for Connection {
    type ConnectInfo = UdsConnectInfo;

    fn connect_info(&self) -> UdsConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.filter.pass(&mut buffer.filled_mut()[before..]);
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

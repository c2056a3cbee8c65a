//! SIGTERM, and who may use the socket.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio_stream::StreamExt;
use tonic::Code;
use xlfs_proto::v1::WatchEventsRequest;
use xlfs_proto::v1::event_service_client::EventServiceClient;

use crate::process::Daemon;

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn sigterm_ends_the_daemon_also_with_a_client_that_watches() {
    let dir = tempfile::tempdir().unwrap();
    let (mut daemon, channel) = Daemon::start(dir.path()).await;
    assert_eq!(mode(&daemon.socket), 0o660);
    assert_eq!(mode(daemon.socket.parent().unwrap()), 0o755, "the group must get through");
    assert_eq!(mode(&dir.path().join("state")), 0o700);
    let mut client = EventServiceClient::new(channel);
    let mut events = client.watch_events(WatchEventsRequest::default()).await.unwrap().into_inner();
    kill(Pid::from_raw(daemon.process.id() as i32), Signal::SIGTERM).unwrap();
    let last = tokio::time::timeout(Duration::from_secs(30), events.next()).await.unwrap();
    assert_eq!(last.unwrap().unwrap_err().code(), Code::Unavailable);
    let deadline = Instant::now() + Duration::from_secs(30);
    let status = loop {
        if let Some(status) = daemon.process.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < deadline, "it does not end");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert!(status.success(), "{status}");
    assert!(!daemon.socket.exists());
}

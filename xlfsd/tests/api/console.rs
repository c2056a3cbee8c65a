//! Consoles: attached by real clients, with a guest that the test plays.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use uuid::Uuid;
use xlfs_proto::v1::console_input::{Leave, Open, Part};
use xlfs_proto::v1::console_output;
use xlfs_proto::v1::console_service_client::ConsoleServiceClient;
use xlfs_proto::v1::{ConsoleInput, ConsoleOutput, ReadConsoleLogRequest};
use xlfsd::api::ConsoleDirectory;
use xlfsd::console::ConsoleHub;
use xlfsd::problem::Problem;

use crate::daemon::{Daemon, reason};

/// One guest, called web.
pub(crate) struct OneGuest(pub(crate) Arc<ConsoleHub>);

impl ConsoleDirectory for OneGuest {
    fn console(&self, name: &str) -> Result<Arc<ConsoleHub>, Problem> {
        match name {
            "web" => Ok(self.0.clone()),
            _ => Err(Problem::not_found("NO_SUCH_DOMAIN", "there is no such guest")),
        }
    }
}

struct Terminal {
    typed: mpsc::Sender<ConsoleInput>,
    output: Streaming<ConsoleOutput>,
}

impl Terminal {
    async fn open(channel: Channel, open: Open) -> Result<Self, Status> {
        let (typed, receiver) = mpsc::channel(10);
        typed.send(ConsoleInput { part: Some(Part::Open(open)) }).await.unwrap();
        let mut client = ConsoleServiceClient::new(channel);
        let output = client.attach(ReceiverStream::new(receiver)).await?.into_inner();
        Ok(Self { typed, output })
    }

    async fn type_in(&self, text: &str) {
        let part = Some(Part::Data(text.as_bytes().to_vec()));
        self.typed.send(ConsoleInput { part }).await.unwrap();
    }

    /// Reads until `text` came; notices count as output.
    async fn expect(&mut self, text: &str) {
        let mut seen = String::new();
        while !seen.contains(text) {
            let next = tokio::time::timeout(Duration::from_secs(30), self.output.next());
            let next = next.await.unwrap_or_else(|_| panic!("{text:?} not in {seen:?}"));
            match next.unwrap().unwrap().part.unwrap() {
                console_output::Part::Data(bytes) => {
                    seen.push_str(&String::from_utf8(bytes).unwrap())
                }
                console_output::Part::Notice(notice) => seen.push_str(&notice),
                console_output::Part::Gap(count) => panic!("{count} bytes missing after {seen:?}"),
            }
        }
    }
}

fn open(write: bool, force: bool) -> Open {
    Open { name: "web".into(), write, force, replay: true, follow_restarts: false }
}

async fn typed(hub: &ConsoleHub, text: &str) {
    let mut seen = Vec::new();
    while seen != text.as_bytes() {
        let ready = tokio::time::timeout(Duration::from_secs(30), hub.input_ready());
        ready.await.unwrap_or_else(|_| panic!("{text:?} not in {seen:?}"));
        seen.extend(hub.take_input(3));
    }
}

async fn start() -> (Daemon, Arc<ConsoleHub>) {
    let daemon = Daemon::start().await;
    let hub = daemon.base.consoles.hub(Uuid::from_u128(1), "web").unwrap();
    hub.begin_domain().await;
    (daemon, hub)
}

#[tokio::test]
async fn two_read_one_writes_and_the_domains_end_is_the_streams_end() {
    let (daemon, hub) = start().await;
    let daemon = daemon.with_console(OneGuest(hub.clone())).await;
    hub.feed(b"Linux\n");
    let mut writer = Terminal::open(daemon.connect().await, open(true, false)).await.unwrap();
    let mut reader = Terminal::open(daemon.connect().await, open(false, false)).await.unwrap();
    writer.expect("Linux\n").await;
    reader.expect("Linux\n").await;
    hub.feed(b"login: ");
    reader.expect("login: ").await;
    reader.type_in("not for the guest").await;
    writer.type_in("root\n").await;
    typed(&hub, "root\n").await;
    writer.expect("login: ").await;
    hub.end_domain().await;
    assert!(writer.output.next().await.is_none());
    assert!(reader.output.next().await.is_none());
}

/// What was typed last counts, and the place is free at once.
#[tokio::test]
async fn who_leaves_in_order_is_waited_for() {
    let (daemon, hub) = start().await;
    let daemon = daemon.with_console(OneGuest(hub.clone())).await;
    let mut writer = Terminal::open(daemon.connect().await, open(true, false)).await.unwrap();
    writer.type_in("poweroff\n").await;
    let part = Some(Part::Leave(Leave {}));
    writer.typed.send(ConsoleInput { part }).await.unwrap();
    assert!(writer.output.next().await.is_none());
    typed(&hub, "poweroff\n").await;
    Terminal::open(daemon.connect().await, open(true, false)).await.unwrap();
}

#[tokio::test]
async fn the_writers_place_is_refused_taken_and_left() {
    let (daemon, hub) = start().await;
    let daemon = daemon.with_console(OneGuest(hub.clone())).await;
    let mut first = Terminal::open(daemon.connect().await, open(true, false)).await.unwrap();
    let refused = Terminal::open(daemon.connect().await, open(true, false)).await.err().unwrap();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::FailedPrecondition, "WRITER_ATTACHED")
    );
    let (channel, wire) = daemon.connect_to_cut().await;
    let second = Terminal::open(channel, open(true, true)).await.unwrap();
    first.expect("took over").await;
    hub.feed(b"still read");
    first.expect("still read").await;
    second.type_in("mine").await;
    typed(&hub, "mine").await;
    // A client that is killed leaves its place.
    wire.shutdown(std::net::Shutdown::Both).unwrap();
    let left = async {
        while hub.stats().writer_attached || hub.stats().readers > 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), left).await.unwrap();
    drop(first);
    Terminal::open(daemon.connect().await, open(true, false)).await.unwrap();
}

#[tokio::test]
async fn the_log_is_read_in_whole_or_from_its_end() {
    let (daemon, hub) = start().await;
    let daemon = daemon.with_console(OneGuest(hub.clone())).await;
    let text: String = (0..20_000).map(|i| format!("line {i}\n")).collect();
    hub.feed(&text.as_bytes()[..60_000]);
    let mut client = ConsoleServiceClient::new(daemon.connect().await);
    let request = |tail| ReadConsoleLogRequest { name: "web".into(), follow: false, tail };
    for (tail, expected) in [(0, &text[..60_000]), (100, &text[59_900..60_000])] {
        let log = client.read_log(request(tail)).await.unwrap().into_inner();
        let log: Vec<u8> = log
            .map(|output| match output.unwrap().part.unwrap() {
                console_output::Part::Data(bytes) => bytes,
                other => panic!("{other:?}"),
            })
            .fold(Vec::new(), |all, part| [all, part].concat())
            .await;
        assert_eq!(String::from_utf8(log).unwrap(), expected);
    }
    let unknown = ReadConsoleLogRequest { name: "db".into(), ..request(0) };
    assert_eq!(client.read_log(unknown).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn an_attach_that_names_no_guest_is_refused() {
    let (daemon, hub) = start().await;
    let daemon = daemon.with_console(OneGuest(hub)).await;
    let mut client = ConsoleServiceClient::new(daemon.connect().await);
    let data = ConsoleInput { part: Some(Part::Data(b"x".to_vec())) };
    for inputs in [vec![], vec![data]] {
        let status = client.attach(tokio_stream::iter(inputs)).await.unwrap_err();
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::InvalidArgument, "BAD_CONSOLE_INPUT")
        );
    }
}

#[tokio::test]
async fn the_end_of_the_daemon_ends_an_attached_console() {
    let (daemon, hub) = start().await;
    let daemon = daemon.with_console(OneGuest(hub)).await;
    let mut terminal = Terminal::open(daemon.connect().await, open(true, false)).await.unwrap();
    daemon.stopping.cancel();
    let last = tokio::time::timeout(Duration::from_secs(30), terminal.output.next()).await.unwrap();
    assert_eq!(last.unwrap().unwrap_err().code(), Code::Unavailable);
    daemon.stop().await;
}

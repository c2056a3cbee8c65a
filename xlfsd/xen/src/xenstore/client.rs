//! The client: what the rest of xlfs holds.

use std::io;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{self, Instant};

use super::backoff::Backoff;
use super::call::{Answer, Call, Request, Submission};
use super::driver::{self, Core};
use super::endpoint::Endpoint;
use super::error::{Error, ErrorKind, Op};
use super::stats::Stats;
use super::transport::Transport;
use super::view::View;

/// How the client behaves. `Config::default()` is right for the daemon.
#[derive(Clone, Debug)]
pub struct Config {
    /// How long a call may take, reconnecting included. 10 s by default. Each answer to a
    /// request of a batch starts it again.
    pub deadline: Duration,
    /// How often a transaction is tried before [`ErrorKind::Conflict`]. 50 by default: xenstored
    /// of 4.2.5 fails a transaction when anything anywhere changed meanwhile.
    pub transaction_attempts: u32,
}

impl Default for Config {
    fn default() -> Config {
        Config { deadline: Duration::from_secs(10), transaction_attempts: 50 }
    }
}

/// A connection to xenstored. Clones are cheap and share it.
///
/// All the operations on nodes are those of [`View`], which this derefs to.
#[derive(Clone, Debug)]
pub struct Client {
    view: View,
}

impl Deref for Client {
    type Target = View;

    fn deref(&self) -> &View {
        &self.view
    }
}

impl Client {
    /// Connects, and starts the task that keeps the connection. Fails when there is nobody to
    /// connect to; a connection that is lost later is made anew without being asked.
    ///
    /// Must be called within a tokio runtime with I/O and time enabled.
    pub async fn connect(endpoint: Endpoint, config: Config) -> Result<Client, Error> {
        let until = Instant::now() + config.deadline;
        let mut pauses = Backoff::new(Duration::from_millis(2), Duration::from_millis(100));
        let transport = loop {
            match Transport::open(&endpoint).await {
                Ok(transport) => break transport,
                // xenstored listens with a queue of one: many clients at once get EAGAIN.
                Err(error)
                    if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < until =>
                {
                    time::sleep(pauses.next()).await;
                }
                Err(error) => {
                    let path = endpoint.path().display().to_string();
                    let kind = ErrorKind::Disconnected { sent: false, why: error.to_string() };
                    return Err(Error { op: Op::Connect, path, kind });
                }
            }
        };
        Ok(Client::start(endpoint, config, transport))
    }

    /// Starts the driver on its first connection.
    pub(super) fn start(endpoint: Endpoint, config: Config, transport: Transport) -> Client {
        let core = Arc::new(Core {
            endpoint,
            config,
            counters: Default::default(),
            watches: Default::default(),
            generation: AtomicU64::new(0),
        });
        let (submissions, incoming) = mpsc::unbounded_channel();
        tokio::spawn(driver::run(Arc::clone(&core), transport, incoming));
        let deadline = core.config.deadline;
        let shared = Arc::new(Shared { core, submissions });
        Client { view: View { shared, deadline, transaction: None } }
    }

    /// The same client with another deadline than that of its [`Config`].
    pub fn with_deadline(&self, deadline: Duration) -> Client {
        Client { view: View { deadline, ..self.view.clone() } }
    }

    /// What was counted since the client was made.
    pub fn stats(&self) -> Stats {
        self.view.shared.core.counters.snapshot()
    }

    /// Where it is connected to.
    pub fn endpoint(&self) -> &Endpoint {
        &self.view.shared.core.endpoint
    }
}

/// The callers' side of the driver. The driver ends when the last one is dropped.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) core: Arc<Core>,
    submissions: mpsc::UnboundedSender<Submission>,
}

impl Shared {
    /// Sends requests in order and waits for all their answers: one round trip.
    pub(super) async fn run(
        &self,
        requests: Vec<Request>,
        generation: Option<u64>,
        after: Duration,
    ) -> Result<(Arc<Call>, Vec<Answer>), Error> {
        let limit = self.core.endpoint.payload_max();
        if let Some(request) = requests.iter().find(|r| r.payload.len() > limit) {
            return Err(request.error(ErrorKind::TooLong { len: request.payload.len(), limit }));
        }
        let call = Call::new(requests);
        if call.requests.is_empty() {
            return Ok((call, Vec::new()));
        }
        let (done, answers) = oneshot::channel();
        let submission = Submission { call: Arc::clone(&call), generation, done: Some(done) };
        if self.submissions.send(submission).is_err() {
            return Err(call.error(|_| ErrorKind::Closed));
        }
        self.core.counters.round_trips.add(1);
        tokio::pin!(answers);
        loop {
            let deadline = call.last_progress() + after;
            match time::timeout_at(deadline, &mut answers).await {
                Ok(Ok(answers)) => return Ok((call, answers)),
                Ok(Err(_gone)) => return Err(call.error(|_| ErrorKind::Closed)),
                Err(_elapsed) if call.last_progress() + after > deadline => {}
                Err(_elapsed) => {
                    return Err(call.error(|sent| ErrorKind::TimedOut { sent, after }));
                }
            }
        }
    }

    /// Sends something nobody waits for.
    pub(super) fn send_and_forget(&self, submission: Submission) {
        // Without a driver there is no connection either, and so nothing left to undo.
        let _ = self.submissions.send(submission);
    }

    pub(super) fn generation(&self) -> u64 {
        self.core.generation.load(Ordering::Acquire)
    }
}

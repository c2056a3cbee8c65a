//! The remote executor: actions run by any service of the Remote Execution API
//! (version 2), and results that its cache holds already.
//!
//! `upload` brings what the service lacks, `operation` runs the action and waits,
//! `download` fetches what came out, which is checked to the last byte against its
//! digests: a service can lie about what an action does, but not harm the store.
//!
//! The service sees the same action as our own sandbox: its digest is the key. It
//! gets none of our job tokens; how many actions it is given at a time is
//! [`Config::jobs`].

mod connection;
mod download;
mod operation;
mod upload;

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime};

use tokio_util::sync::CancellationToken;
use tonic::Code;

use crate::action::Action;
use crate::digest::Digest;
use crate::durable::FileError;
use crate::reapi;
use crate::store::{StepTime, Store, StoreError};
use crate::tree::Tree;

pub(crate) use connection::Remote;

/// Which service, and what for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// `http://host:port` or `unix:/path`.
    pub address: String,
    /// The API's instance name; empty: the service's only one.
    pub instance: String,
    /// How many actions it is given at the same time; 0: two.
    pub jobs: usize,
    /// Packages that are built there; empty: all.
    pub packages: BTreeSet<String>,
}

impl Config {
    pub(crate) fn takes(&self, package: &str) -> bool {
        self.packages.is_empty() || self.packages.contains(package)
    }

    pub(crate) fn at_once(&self) -> usize {
        if self.jobs == 0 { 2 } else { self.jobs }
    }
}

/// Why the service did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The address is none.
    #[error("{address:?} is no address of a remote executor: http://HOST:PORT or unix:/PATH")]
    Address {
        /// As it was given.
        address: String,
    },
    /// Nobody is there, or not any more.
    #[error("the remote executor {address} cannot be reached: {reason}")]
    Unreachable {
        /// Its address.
        address: String,
        /// The system's or its words.
        reason: String,
    },
    /// It is another service, or lacks something.
    #[error("the remote executor {address} is of no use: {lacks}")]
    Unfit {
        /// Its address.
        address: String,
        /// What it lacks.
        lacks: String,
    },
    /// It refused something.
    #[error("the remote executor {address} cannot {what}: {message} ({code:?})")]
    Refused {
        /// Its address.
        address: String,
        /// A verb and its object, such as "run the action".
        what: &'static str,
        /// The code of gRPC.
        code: Code,
        /// Its words.
        message: String,
    },
    /// What it sent is not what it should be.
    #[error("the remote executor {address} sent nonsense: {what}")]
    Nonsense {
        /// Its address.
        address: String,
        /// What is wrong.
        what: String,
    },
    /// Its sandbox cannot run what ours can.
    #[error(
        "the remote executor {address} cannot run the action's shell (exit code {exit_code}): {tail}"
    )]
    Sandbox {
        /// Its address.
        address: String,
        /// Of the action's command.
        exit_code: i32,
        /// What was printed.
        tail: String,
    },
    /// It takes too long.
    #[error("the remote executor {address} did not finish within {seconds} s")]
    Late {
        /// Its address.
        address: String,
        /// Ten times the recipe's deadline.
        seconds: u64,
    },
    /// Our store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Our disk fails.
    #[error(transparent)]
    File(#[from] FileError),
    /// Somebody wanted it to end.
    #[error("cancelled")]
    Cancelled,
}

/// An action that ran, or had run before.
#[derive(Debug)]
pub(crate) struct Ran {
    /// What the command left, if it succeeded.
    pub out: Tree,
    /// All that it printed; a blob of the store.
    pub log: Digest,
    pub exit_code: i32,
    /// Seconds since 1970.
    pub started: u64,
    /// On the service's machine.
    pub seconds: f64,
    /// What we waited for.
    pub steps: Vec<StepTime>,
}

/// A service does not say whether an action still prints: the whole of it may take
/// so many times the deadline that the recipe sets for silence.
const DEADLINES: u32 = 10;

impl Remote {
    /// The result of an action that ran before, if the service has it.
    pub(crate) async fn cached(
        &self,
        store: &Store,
        action: &Action,
    ) -> Result<Option<Ran>, RemoteError> {
        let Some(result) = self.action_result(&action.digest).await? else { return Ok(None) };
        // Some services remember failures, too. They may have had other reasons.
        if result.exit_code != 0 {
            return Ok(None);
        }
        let mut steps = Steps::default();
        steps.begin("download");
        let mut ran = self.fetch(store, &result).await?;
        ran.steps = steps.finish();
        Ok(Some(ran))
    }

    /// Has an action run. `on_step` hears what is waited for.
    pub(crate) async fn run(
        &self,
        store: &Store,
        action: &Action,
        deadline: Duration,
        cancel: &CancellationToken,
        mut on_step: impl FnMut(&str) + Send,
    ) -> Result<Ran, RemoteError> {
        let deadline = deadline * DEADLINES;
        let mut steps = Steps::default();
        let mut begin = |step: &str| {
            steps.begin(step);
            on_step(step);
        };
        let work = async {
            begin("upload");
            self.upload(store, action).await?;
            begin("remote");
            let mut executed = self.execute(&action.digest, &mut begin).await;
            if let Err(RemoteError::Refused { code: Code::FailedPrecondition, .. }) = &executed {
                // It lost something meanwhile: its cache has an end.
                begin("upload");
                self.upload(store, action).await?;
                begin("remote");
                executed = self.execute(&action.digest, &mut begin).await;
            }
            let result = executed?;
            begin("download");
            self.fetch(store, &result).await
        };
        let ran = tokio::select! {
            ran = tokio::time::timeout(deadline, work) => ran,
            () = cancel.cancelled() => {
                self.cancel(&action.digest).await;
                return Err(RemoteError::Cancelled);
            }
        };
        match ran {
            Ok(ran) => ran.map(|ran| Ran { steps: steps.finish(), ..ran }),
            Err(_) => {
                self.cancel(&action.digest).await;
                Err(RemoteError::Late {
                    address: self.address().to_owned(),
                    seconds: deadline.as_secs(),
                })
            }
        }
    }

    async fn fetch(&self, store: &Store, result: &reapi::ActionResult) -> Result<Ran, RemoteError> {
        let log = self.log(store, result).await?;
        let out = match result.exit_code {
            0 => self.out(store, result).await?,
            _ => Tree::default(),
        };
        let (started, seconds) = times(result);
        Ok(Ran { out, log, exit_code: result.exit_code, started, seconds, steps: Vec::new() })
    }
}

/// When the command started, in seconds since 1970, and how long it ran; as far as
/// the service tells.
fn times(result: &reapi::ActionResult) -> (u64, f64) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let metadata = result.execution_metadata.as_ref();
    let start = metadata.and_then(|it| it.execution_start_timestamp.as_ref());
    let end = metadata.and_then(|it| it.execution_completed_timestamp.as_ref());
    let (Some(start), Some(end)) = (start, end) else { return (now.as_secs(), 0.0) };
    let seconds = end.seconds.saturating_sub(start.seconds) as f64
        + f64::from(end.nanos.saturating_sub(start.nanos)) / 1e9;
    (u64::try_from(start.seconds).unwrap_or_default(), seconds.clamp(0.0, 1e8))
}

/// What is waited for, and for how long.
#[derive(Debug, Default)]
struct Steps {
    list: Vec<StepTime>,
    since: Option<Instant>,
}

impl Steps {
    fn begin(&mut self, step: &str) {
        self.close();
        self.list.push(StepTime { step: step.to_owned(), seconds: 0.0 });
        self.since = Some(Instant::now());
    }

    fn close(&mut self) {
        if let (Some(last), Some(since)) = (self.list.last_mut(), self.since) {
            last.seconds = since.elapsed().as_secs_f64();
        }
    }

    fn finish(mut self) -> Vec<StepTime> {
        self.close();
        self.list
    }
}

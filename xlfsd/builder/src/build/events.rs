//! What happens during a build, numbered, so that a reader can come late or
//! come back and miss nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::BuildError;
use crate::sandbox::SandboxError;

/// Something happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// The build knows what it needs.
    Begun {
        /// Packages in all.
        packages: usize,
    },
    /// A source file is looked for.
    Fetching {
        /// The file.
        file: String,
    },
    /// It is there.
    Fetched {
        /// The file.
        file: String,
        /// The place that served it.
        from: String,
    },
    /// Something that an operator may want to know.
    Note {
        /// In a sentence.
        text: String,
    },
    /// A result was there already.
    Cached {
        /// The package.
        package: String,
    },
    /// A package's sandbox starts.
    Started {
        /// The package.
        package: String,
        /// How long it took last time.
        estimate: Option<f64>,
    },
    /// One of its steps starts.
    Step {
        /// The package.
        package: String,
        /// The step.
        step: String,
    },
    /// A package was built.
    Built {
        /// The package.
        package: String,
        /// How long it took.
        seconds: f64,
        /// Whether its outputs differ from the last ones: if not, nothing that
        /// depends on it is built again for its sake.
        changed: bool,
    },
    /// A package could not be built.
    Failed {
        /// The package.
        package: String,
        /// In which step.
        step: String,
        /// Why.
        reason: String,
        /// The log's last lines.
        tail: Vec<String>,
        /// What it is for a program.
        #[serde(default)]
        cause: Cause,
    },
    /// A package was not tried.
    Skipped {
        /// The package or image.
        package: String,
        /// The package that failed.
        because: String,
    },
    /// An image is there.
    Image {
        /// The image.
        image: String,
        /// Whether it was there already.
        cached: bool,
        /// How long composing it took.
        seconds: f64,
    },
    /// It is over.
    Finished {
        /// What became of it.
        summary: Summary,
    },
}

/// The kinds of failures that ask for different things of who started the build.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The recipe, its sources, or what they were built with.
    #[default]
    Recipe,
    /// The store's disk is full.
    DiskFull,
    /// A step was silent for longer than its deadline.
    Silent,
    /// No place has a source.
    NoSource,
    /// This machine cannot run sandboxes, or lacks something else.
    Machine,
}

impl Cause {
    pub(super) fn of(error: &BuildError) -> Self {
        match error {
            BuildError::DiskFull { .. } => Self::DiskFull,
            BuildError::Source(_) => Self::NoSource,
            BuildError::Sandbox(SandboxError::Silent { .. }) => Self::Silent,
            BuildError::Sandbox(SandboxError::Failed { .. } | SandboxError::Cancelled { .. }) => {
                Self::Recipe
            }
            BuildError::Sandbox(_) | BuildError::Host(_) | BuildError::Remote(_) => Self::Machine,
            _ if full(error) => Self::DiskFull,
            BuildError::Store(_) => Self::Machine,
            _ => Self::Recipe,
        }
    }
}

fn full(error: &(dyn std::error::Error + 'static)) -> bool {
    use std::io::{Error, ErrorKind};
    let kind = error.downcast_ref::<Error>().map(Error::kind);
    matches!(kind, Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded))
        || error.source().is_some_and(full)
}

/// What became of a build.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Packages that were built.
    pub built: usize,
    /// Packages and images whose results were there.
    pub cached: usize,
    /// Packages and images that failed.
    pub failed: usize,
    /// Packages and images that were not tried.
    pub skipped: usize,
    /// Whether somebody ended it.
    pub cancelled: bool,
    /// From start to end.
    pub seconds: f64,
}

impl Summary {
    /// Whether all that was asked for is there.
    pub fn succeeded(&self) -> bool {
        self.failed == 0 && self.skipped == 0 && !self.cancelled
    }
}

/// An event with its place in the build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Numbered {
    /// Counted from 0, without gaps.
    pub number: usize,
    /// Milliseconds since 1970.
    pub time: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// All events of one build so far. A package makes about ten, so all are kept.
#[derive(Debug, Clone)]
pub struct EventLog {
    events: Arc<Mutex<Vec<Numbered>>>,
    count: watch::Sender<usize>,
}

impl Default for EventLog {
    fn default() -> Self {
        Self { events: Arc::default(), count: watch::Sender::new(0) }
    }
}

impl EventLog {
    pub(super) fn tell(&self, event: Event) {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let mut events = self.events.lock();
        let number = events.len();
        events.push(Numbered { number, time, event });
        self.count.send_replace(events.len());
    }

    pub(super) fn all(&self) -> Vec<Numbered> {
        self.events.lock().clone()
    }

    /// Reads from event `from` on.
    pub fn reader(&self, from: usize) -> EventReader {
        EventReader { log: self.clone(), next: from, count: self.count.subscribe() }
    }
}

/// A whole build, kept for its picture.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// All that happened.
    pub events: Vec<Numbered>,
    /// For each package, those that had to come before.
    pub after: BTreeMap<String, BTreeSet<String>>,
}

/// Reads events in order.
#[derive(Debug)]
pub struct EventReader {
    log: EventLog,
    next: usize,
    count: watch::Receiver<usize>,
}

impl EventReader {
    /// The next event, when it has happened; none after [`Event::Finished`].
    pub async fn next(&mut self) -> Option<Numbered> {
        let next = self.next;
        self.count.wait_for(|count| *count > next || next == usize::MAX).await.ok()?;
        let event = self.log.events.lock().get(next).cloned()?;
        let last = matches!(event.event, Event::Finished { .. });
        self.next = if last { usize::MAX } else { next + 1 };
        Some(event)
    }
}

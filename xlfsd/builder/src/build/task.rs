//! What a build does for one package before and after it is built: its action is
//! looked up, here and in the remote executor's cache, its sources are fetched, its
//! result is published.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::BuildError;
use super::away::{self, Away};
use super::events::{Event, EventLog};
use super::known::{Known, Records};
use super::one::{self, Failed};
use super::pool::Token;
use crate::action::Action;
use crate::blocking;
use crate::remote::{Remote, RemoteError};
use crate::source::Fetcher;
use crate::store::Record;

/// A package that has to be built.
#[derive(Debug, Clone)]
pub(super) struct Ready {
    pub action: Arc<Action>,
    pub host_packages: Arc<Vec<String>>,
    /// Which place served each source.
    pub from: BTreeMap<String, String>,
}

/// What a task came to.
pub(super) enum Message {
    Cached(String, Box<Record>),
    Ready(String, Ready),
    /// With its token, which goes back when it is told.
    Built(String, Box<Record>, Token),
    Failed(String, Box<Failed>),
    /// The remote executor's cache had it.
    Received(String, Box<Record>),
    /// Built by the remote executor, which takes no token.
    BuiltAway(String, Box<Record>),
    /// The remote executor did not do its work.
    Returned(String, Ready, RemoteError),
}

/// A package whose dependencies are there.
pub(super) struct Asked {
    pub known: Arc<Known>,
    pub name: String,
    /// The results so far.
    pub records: Records,
    /// Whether it is built even if there is a result.
    pub forced: bool,
    /// Whose cache is asked, too.
    pub remote: Option<Arc<Remote>>,
    pub fetcher: Arc<Fetcher>,
    pub downloads: Arc<Semaphore>,
    pub log: EventLog,
}

impl Asked {
    /// Looks for its result, and if there is none, fetches its sources.
    pub(super) async fn ready(self) -> Message {
        let Self { known, name, records, forced, remote, fetcher, downloads, log } = self;
        let found = {
            let (known, name) = (Arc::clone(&known), name.clone());
            blocking(move || look_up(&known, &name, &records, forced)).await
        };
        let ready = match found {
            Ok(Found::Result(record)) => return Message::Cached(name, record),
            Ok(Found::Nothing(ready)) => ready,
            Err(error) => return failed(name, "sandbox", error),
        };
        if let Some(remote) = remote
            && let Some(message) = receive(&known, &remote, &name, &ready, &log).await
        {
            return message;
        }
        // The semaphore is never closed.
        let _permit = downloads.acquire().await;
        let package = name.clone();
        let fetched = blocking(move || fetch(&known, &package, &fetcher, &log)).await;
        match fetched {
            Ok(from) => Message::Ready(name, Ready { from, ..ready }),
            Err(error) => failed(name, "fetch", error),
        }
    }
}

enum Found {
    Result(Box<Record>),
    Nothing(Ready),
}

pub(super) fn failed(package: String, step: &str, error: BuildError) -> Message {
    let failed = Failed { step: step.to_owned(), error, tail: Vec::new() };
    Message::Failed(package, Box::new(failed))
}

fn look_up(
    known: &Known,
    name: &str,
    records: &Records,
    forced: bool,
) -> Result<Found, BuildError> {
    let action = known.action(name, records)?;
    if !forced && let Some(record) = known.store.result(&action.digest)? {
        // An older result may have become the newest again.
        known.store.point(&known.set.file.name, &known.latest_name(name), &action.digest)?;
        return Ok(Found::Result(Box::new(record)));
    }
    let toolchain = known.graph.needs.get(name).map_or("", |need| &need.toolchain);
    let host_packages = known.toolchain(toolchain, records)?.host_packages.clone();
    Ok(Found::Nothing(Ready {
        action: Arc::new(action),
        host_packages: Arc::new(host_packages),
        from: BTreeMap::new(),
    }))
}

/// Takes a result from the remote executor's cache, if it has one.
async fn receive(
    known: &Arc<Known>,
    remote: &Remote,
    name: &str,
    ready: &Ready,
    log: &EventLog,
) -> Option<Message> {
    let note = |reason: String| {
        let text = format!("{reason}; its cache is not used for {name}");
        log.tell(Event::Note { text });
        None
    };
    match away::cached(known, remote, name, &ready.action).await {
        Ok(Some(outcome)) => {
            let kept = keep(Arc::clone(known), name.to_owned(), ready.clone(), outcome);
            Some(match kept.await {
                Ok(record) => Message::Received(name.to_owned(), Box::new(record)),
                Err(error) => failed(name.to_owned(), "store", error),
            })
        }
        Ok(None) => None,
        Err(Away::Service(error)) => note(crate::with_causes(&error)),
        Err(Away::Failed(failed)) => note(crate::with_causes(&failed.error)),
    }
}

fn fetch(
    known: &Known,
    name: &str,
    fetcher: &Fetcher,
    log: &EventLog,
) -> Result<BTreeMap<String, String>, BuildError> {
    let mut from = BTreeMap::new();
    for used in &known.package(name)?.source {
        let Some(source) = known.set.sources.get(&used.file) else { continue };
        let new = !fetcher.has(source);
        if new {
            log.tell(Event::Fetching { file: source.file.clone() });
        }
        let place = fetcher.fetch(source, &|text| log.tell(Event::Note { text }))?;
        if new {
            log.tell(Event::Fetched { file: source.file.clone(), from: place.clone() });
        }
        from.insert(source.file.clone(), place);
    }
    Ok(from)
}

/// Publishes what a package came to.
pub(super) async fn keep(
    known: Arc<Known>,
    name: String,
    ready: Ready,
    outcome: one::Outcome,
) -> Result<Record, BuildError> {
    blocking(move || {
        let Ready { action, host_packages, from } = &ready;
        let last = known.latest(&name);
        let mut record = one::record(&known, &name, action, outcome, from, host_packages)?;
        record.changed = last.is_none_or(|last| last.outputs != record.outputs);
        known.store.publish(&record)?;
        Ok(record)
    })
    .await
}

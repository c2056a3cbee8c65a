//! One build: packages in the order of the longest remaining path, as many at a
//! time as the pool of jobs allows. A failure stops only what depends on it.
//!
//! A package waits for those before it; then its action is put together and
//! looked up; if there is no result, its sources are fetched; then it waits for a
//! token of the pool, which is the job that its make may always run; then it is
//! built. Nothing of this is written down: a build that is killed is started
//! again, and finds the results of all packages that were finished.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::BuildError;
use super::events::{Cause, Event, EventLog, History, Summary};
use super::known::{Known, Records};
use super::one::{self, Failed, Machine, blocking};
use super::pool::{Token, Tokens};
use crate::action::Action;
use crate::image::Inputs;
use crate::source::Fetcher;
use crate::store::{InUse, Record};

#[derive(Debug)]
pub(super) struct Scheduler {
    pub known: Arc<Known>,
    pub machine: Machine,
    pub fetcher: Arc<Fetcher>,
    pub log: EventLog,
    pub cancel: CancellationToken,
    pub rebuild: BTreeSet<String>,
    pub inputs: Arc<Inputs>,
    pub tokens: Tokens,
    pub _in_use: InUse,
}

/// A package that has to be built.
#[derive(Debug, Clone)]
struct Ready {
    action: Arc<Action>,
    host_packages: Arc<Vec<String>>,
    /// Which place served each source.
    from: BTreeMap<String, String>,
}

/// What a task came to.
enum Message {
    Cached(String, Box<Record>),
    Ready(String, Ready),
    /// With its token, which goes back when it is told.
    Built(String, Box<Record>, Token),
    Failed(String, Box<Failed>),
}

/// What became of the packages so far.
#[derive(Default)]
struct Progress {
    waiting: BTreeSet<String>,
    ready: BTreeMap<String, Ready>,
    records: Records,
    summary: Summary,
}

/// So many downloads at a time.
const DOWNLOADS: usize = 4;

impl Scheduler {
    pub(super) async fn run(mut self) -> Summary {
        let clock = Instant::now();
        let names: BTreeSet<String> = self.known.graph.needs.keys().cloned().collect();
        self.log.tell(Event::Begun { packages: names.len() });
        let times: BTreeMap<&str, f64> = names
            .iter()
            .filter_map(|name| Some((name.as_str(), self.known.latest(name)?.seconds)))
            .collect();
        let seconds = |name: &str| times.get(name).copied().unwrap_or(UNKNOWN_SECONDS);
        let lengths = self.known.graph.path_lengths(seconds);
        let mut progress = Progress { waiting: names.clone(), ..Progress::default() };
        let mut tasks: JoinSet<Message> = JoinSet::new();
        let downloads = Arc::new(Semaphore::new(DOWNLOADS));
        loop {
            let going = !self.cancel.is_cancelled();
            if going {
                self.look_up(&mut progress, &mut tasks, &downloads);
                self.tokens.want(progress.ready.len());
            }
            let asking = going && !progress.ready.is_empty();
            tokio::select! {
                Some(message) = tasks.join_next() => match message {
                    Ok(message) => self.hear(message, &mut progress),
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                },
                token = self.tokens.next(), if asking => {
                    if let (Some(token), Some(name)) = (token, first(&progress.ready, &lengths)) {
                        self.start(&name, token, &mut progress, &mut tasks, &times);
                    }
                }
                () = self.cancel.cancelled(), if asking => {}
                else => break,
            }
        }
        let mut summary = progress.summary;
        summary.cancelled = self.cancel.is_cancelled();
        self.images(&progress.records, &mut summary).await;
        summary.seconds = clock.elapsed().as_secs_f64();
        self.log.tell(Event::Finished { summary: summary.clone() });
        let history = History {
            events: self.log.all(),
            after: self
                .known
                .graph
                .needs
                .iter()
                .map(|(name, need)| (name.clone(), need.after.clone()))
                .collect(),
        };
        // Only a picture depends on it; the build itself is done.
        let _ = self.known.store.publish_history(&self.known.set.file.name, &history);
        summary
    }

    /// Looks for results of all packages whose dependencies are there.
    fn look_up(
        &self,
        progress: &mut Progress,
        tasks: &mut JoinSet<Message>,
        downloads: &Arc<Semaphore>,
    ) {
        let due = |name: &&String| {
            let need = self.known.graph.needs.get(*name);
            need.is_some_and(|need| need.after.iter().all(|it| progress.records.contains_key(it)))
        };
        let due: Vec<String> = progress.waiting.iter().filter(due).cloned().collect();
        for name in due {
            progress.waiting.remove(&name);
            let known = Arc::clone(&self.known);
            // Each package sees the results so far: those that it needs are among them.
            let records = progress.records.clone();
            let (fetcher, log) = (Arc::clone(&self.fetcher), self.log.clone());
            let forced = self.rebuild.contains(&name);
            let downloads = Arc::clone(downloads);
            tasks.spawn(async move {
                let found = {
                    let (known, name) = (Arc::clone(&known), name.clone());
                    blocking(move || look_up(&known, &name, &records, forced)).await
                };
                let ready = match found {
                    Ok(Found::Result(record)) => return Message::Cached(name, record),
                    Ok(Found::Nothing(ready)) => ready,
                    Err(error) => return failed(name, "sandbox", error),
                };
                // The semaphore is never closed.
                let _permit = downloads.acquire().await;
                let package = name.clone();
                let fetched = blocking(move || fetch(&known, &package, &fetcher, &log)).await;
                match fetched {
                    Ok(from) => Message::Ready(name, Ready { from, ..ready }),
                    Err(error) => failed(name, "fetch", error),
                }
            });
        }
    }

    /// Starts a package with the token that is its first job.
    fn start(
        &self,
        name: &str,
        token: Token,
        progress: &mut Progress,
        tasks: &mut JoinSet<Message>,
        times: &BTreeMap<&str, f64>,
    ) {
        let Some(ready) = progress.ready.remove(name) else { return };
        let estimate = times.get(name).copied();
        let name = name.to_owned();
        self.log.tell(Event::Started { package: name.clone(), estimate });
        let (known, machine) = (Arc::clone(&self.known), self.machine.clone());
        let (log, cancel) = (self.log.clone(), self.cancel.clone());
        tasks.spawn(async move {
            let on_step = |step: &str| {
                log.tell(Event::Step { package: name.clone(), step: step.to_owned() });
            };
            let action = Arc::clone(&ready.action);
            let built = one::build(&known, &machine, &name, action, &cancel, on_step).await;
            match built {
                Ok(outcome) => {
                    let package = name.clone();
                    let kept = blocking(move || keep(&known, &package, &ready, outcome)).await;
                    match kept {
                        Ok(record) => Message::Built(name, Box::new(record), token),
                        Err(error) => failed(name, "store", error),
                    }
                }
                Err(error) => Message::Failed(name, error),
            }
        });
    }

    fn hear(&self, message: Message, progress: &mut Progress) {
        match message {
            Message::Cached(package, record) => {
                progress.summary.cached += 1;
                progress.records.insert(package.clone(), Arc::new(*record));
                self.log.tell(Event::Cached { package });
            }
            Message::Ready(package, ready) => {
                progress.ready.insert(package, ready);
            }
            Message::Built(package, record, _token) => {
                progress.summary.built += 1;
                let (seconds, changed) = (record.seconds, record.changed);
                progress.records.insert(package.clone(), Arc::new(*record));
                self.log.tell(Event::Built { package, seconds, changed });
            }
            Message::Failed(package, failed) => {
                if self.cancel.is_cancelled() {
                    return;
                }
                progress.summary.failed += 1;
                for other in self.known.graph.dependents(&package) {
                    if progress.waiting.remove(&other) {
                        progress.summary.skipped += 1;
                        let because = package.clone();
                        self.log.tell(Event::Skipped { package: other, because });
                    }
                }
                let reason = crate::with_causes(&failed.error);
                let cause = Cause::of(&failed.error);
                let (step, tail) = (failed.step, failed.tail);
                self.log.tell(Event::Failed { package, step, reason, tail, cause });
            }
        }
    }

    /// Composes the images all of whose packages are there.
    async fn images(&self, records: &Records, summary: &mut Summary) {
        for (name, outputs) in &self.known.graph.targets {
            let Some(image) = self.known.set.images.get(name) else { continue };
            let missing = outputs.iter().find(|it| !records.contains_key(&it.package));
            if let Some(missing) = missing {
                summary.skipped += 1;
                let because = missing.package.clone();
                self.log.tell(Event::Skipped { package: name.clone(), because });
                continue;
            }
            if summary.cancelled {
                continue;
            }
            let clock = Instant::now();
            let (known, image) = (Arc::clone(&self.known), image.clone());
            let (records, outputs) = (records.clone(), outputs.clone());
            let inputs = Arc::clone(&self.inputs);
            let composed = blocking(move || known.compose(&image, &outputs, &records, &inputs));
            match composed.await {
                Ok(cached) => {
                    if cached {
                        summary.cached += 1;
                    } else {
                        summary.built += 1;
                    }
                    let (image, seconds) = (name.clone(), clock.elapsed().as_secs_f64());
                    self.log.tell(Event::Image { image, cached, seconds });
                }
                Err(error) => {
                    summary.failed += 1;
                    self.log.tell(Event::Failed {
                        package: name.clone(),
                        step: "image".to_owned(),
                        reason: crate::with_causes(&error),
                        tail: Vec::new(),
                        cause: Cause::of(&error),
                    });
                }
            }
        }
    }
}

/// A package that was never built is guessed to take so long.
pub(super) const UNKNOWN_SECONDS: f64 = 60.0;

enum Found {
    Result(Box<Record>),
    Nothing(Ready),
}

fn failed(package: String, step: &str, error: BuildError) -> Message {
    let failed = Failed { step: step.to_owned(), error, tail: Vec::new() };
    Message::Failed(package, Box::new(failed))
}

/// The ready package with the longest path behind it.
fn first(ready: &BTreeMap<String, Ready>, lengths: &BTreeMap<String, f64>) -> Option<String> {
    let length = |name: &String| lengths.get(name).copied().unwrap_or_default();
    ready.keys().max_by(|one, two| length(one).total_cmp(&length(two))).cloned()
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

fn keep(
    known: &Known,
    name: &str,
    ready: &Ready,
    outcome: one::Outcome,
) -> Result<Record, BuildError> {
    let last = known.latest(name);
    let mut record =
        one::record(known, name, &ready.action, outcome, &ready.from, &ready.host_packages)?;
    record.changed = last.is_none_or(|last| last.outputs != record.outputs);
    known.store.publish(&record)?;
    Ok(record)
}

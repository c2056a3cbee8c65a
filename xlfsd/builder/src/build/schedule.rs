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

use super::events::{Cause, Event, EventLog, History, Summary};
use super::known::{Known, Records};
use super::one::{self, Machine};
use super::pool::{Token, Tokens};
use super::task::{self, Asked, Message, Ready, failed};
use crate::blocking;
use crate::image::Inputs;
use crate::remote::{self, Remote};
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
    pub remote: Option<remote::Config>,
    pub inputs: Arc<Inputs>,
    pub tokens: Tokens,
    pub _in_use: InUse,
}

/// What became of the packages so far.
#[derive(Default)]
pub(super) struct Progress {
    pub waiting: BTreeSet<String>,
    pub ready: BTreeMap<String, Ready>,
    pub running: BTreeSet<String>,
    /// Built by the remote executor just now.
    pub away: BTreeSet<String>,
    /// Came back from it.
    pub returned: BTreeSet<String>,
    pub records: Records,
    pub summary: Summary,
}

impl Progress {
    /// Whether the package is the remote executor's.
    pub(super) fn goes_away(&self, name: &str, remote: Option<&Arc<Remote>>) -> bool {
        remote.is_some_and(|remote| remote.takes(name)) && !self.returned.contains(name)
    }

    /// What is ready to be built here.
    fn here(&self, remote: Option<&Arc<Remote>>) -> impl Iterator<Item = &String> {
        self.ready.keys().filter(move |name| !self.goes_away(name, remote))
    }
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
        let remote = self.connect().await;
        let remote = remote.as_ref();
        let downloads = Arc::new(Semaphore::new(DOWNLOADS));
        loop {
            let going = !self.cancel.is_cancelled();
            if going {
                self.look_up(&mut progress, &mut tasks, &downloads, remote);
                self.send_away(&mut progress, &mut tasks, remote, &lengths, &times);
                // A token that nobody can use yet would be missing in the pool.
                let room = self.machine.packages.saturating_sub(progress.running.len());
                self.tokens.want(progress.here(remote).count().min(room));
            }
            let room = progress.running.len() < self.machine.packages;
            let asking = going && room && progress.here(remote).next().is_some();
            tokio::select! {
                Some(message) = tasks.join_next() => match message {
                    Ok(message) => self.hear(message, &mut progress),
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                },
                token = self.tokens.next(), if asking => {
                    let name = first(progress.here(remote), &lengths);
                    if let (Some(token), Some(name)) = (token, name) {
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
        remote: Option<&Arc<Remote>>,
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
            let remote = remote.filter(|remote| !forced && remote.takes(&name)).cloned();
            let asked = Asked { known, name, records, forced, remote, fetcher, downloads, log };
            tasks.spawn(asked.ready());
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
        progress.running.insert(name.clone());
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
                    match task::keep(known, package, ready, outcome).await {
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
            Message::Built(package, record, _token) => self.built(package, *record, progress),
            Message::BuiltAway(package, record) => self.built(package, *record, progress),
            Message::Received(package, record) => {
                let from = record.provenance.by.as_deref().unwrap_or_default();
                let text = format!("{package} comes from the cache of {from}");
                self.log.tell(Event::Note { text });
                self.hear(Message::Cached(package, record), progress);
            }
            Message::Returned(package, ready, error) => {
                progress.away.remove(&package);
                let reason = crate::with_causes(&error);
                let text = format!("{reason}; {package} is built here");
                self.log.tell(Event::Note { text });
                progress.returned.insert(package.clone());
                progress.ready.insert(package, ready);
            }
            Message::Failed(package, failed) => {
                progress.running.remove(&package);
                progress.away.remove(&package);
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

    fn built(&self, package: String, record: Record, progress: &mut Progress) {
        progress.summary.built += 1;
        progress.running.remove(&package);
        progress.away.remove(&package);
        let (seconds, changed) = (record.seconds, record.changed);
        progress.records.insert(package.clone(), Arc::new(record));
        self.log.tell(Event::Built { package, seconds, changed });
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

/// The package with the longest path behind it.
pub(super) fn first<'a>(
    ready: impl Iterator<Item = &'a String>,
    lengths: &BTreeMap<String, f64>,
) -> Option<String> {
    let length = |name: &String| lengths.get(name).copied().unwrap_or_default();
    ready.max_by(|one, two| length(one).total_cmp(&length(two))).cloned()
}

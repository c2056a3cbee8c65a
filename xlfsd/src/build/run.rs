//! One build, from its request to its end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::StreamExt;
use xlfs_builder::build::{Build, Builder, Cause, Event, Request, Summary};
use xlfs_builder::recipe::RecipeSet;
use xlfs_builder::sandbox;
use xlfs_proto::v1 as pb;

use super::config::BuilderConfig;
use super::import::{self, Wanted};
use super::log::{Around, Entry, Log, Told};
use super::place::Place;
use super::record::{self, Asked, Counts, FORMAT, Record, State, now};
use super::sets::short;
use super::table::{Found, Live, Occupant};
use super::{Builds, halted, message, problem};
use crate::api::ReplyStream;
use crate::problem::Problem;
use crate::size::ByteSize;
use crate::task::{PlannedStep, TaskHandle};

/// The request with what it left out.
pub(super) fn asked(builder: &Builder, request: pb::BuildRequest) -> Result<Asked, Problem> {
    let set = builder.set();
    let pb::BuildRequest { targets, toolchain, check, rebuild, inputs, .. } = request;
    let targets = if targets.is_empty() { everything(set) } else { targets };
    if let Some(unknown) = rebuild.iter().find(|it| !set.packages.contains_key(*it)) {
        let description = format!("{unknown:?} is no package of the set {}", set.file.name);
        return Err(Problem::invalid_field("NO_SUCH_PACKAGE", "rebuild", &description));
    }
    let toolchain = Some(toolchain).filter(|it| !it.is_empty());
    let inputs = inputs.into_iter().map(|(name, path)| (name, PathBuf::from(path)));
    let inputs: BTreeMap<String, PathBuf> = inputs.collect();
    if let Some((name, path)) = inputs.iter().find(|(_, path)| !path.is_absolute()) {
        let description = format!("{} must be an absolute path", path.display());
        let field = format!("inputs.{}", short(name));
        return Err(Problem::invalid_field("BAD_INPUT", &field, &description));
    }
    Ok(Asked { set: set.file.name.clone(), targets, toolchain, check, rebuild, inputs })
}

/// What is meant when nothing is named.
fn everything(set: &RecipeSet) -> Vec<String> {
    match set.images.is_empty() {
        true => set.packages.keys().cloned().collect(),
        false => set.images.keys().cloned().collect(),
    }
}

/// The request for the builder, with the files of the host that images ask for: our own
/// program, which may not stand at its path any more, and the configured xlfsctl.
pub(super) fn inputs(builder: &Builder, asked: &Asked, config: &BuilderConfig) -> Request {
    let mut request = asked.request();
    let own = [("xlfsd", Path::new("/proc/self/exe")), ("xlfsctl", config.xlfsctl.as_path())];
    let wanted = builder.wanted_inputs(&asked.targets);
    for (name, path) in own {
        // One that is not there is told as one that nobody gave.
        if wanted.contains(name) && path.is_file() {
            request.inputs.entry(name.to_owned()).or_insert_with(|| path.to_owned());
        }
    }
    request
}

/// A build that was started and has no id yet.
struct Started {
    build: Build,
    builder: Builder,
    asked: Asked,
    plan: record::PlanRecord,
}

impl Builds {
    /// Starts a build. It goes on when the caller goes away, also while it starts.
    pub async fn start(&self, request: pb::StartBuildRequest) -> Result<pb::Build, Problem> {
        let place = self.occupy(Occupant::Starting)?;
        let this = self.clone();
        let begun = self.threads()?.spawn(async move { this.begin(place, request).await });
        begun.await.map_err(|error| halted(&error))?
    }

    async fn begin(
        &self,
        place: Place,
        request: pb::StartBuildRequest,
    ) -> Result<pb::Build, Problem> {
        let pb::StartBuildRequest { build, import } = request;
        let build = build.unwrap_or_default();
        let (config, folder) = (self.shared.config.clone(), self.folder());
        let set = build.set.clone();
        let started = self.with_builder(set, move |builder| start(builder, build, &config));
        let Started { build, builder, asked, plan } = started.await?;
        let id = self.shared.table.lock().number();
        let images = asked.targets.iter().filter(|it| builder.set().images.contains_key(*it));
        let packages = plan.packages.len();
        let counts = Counts { packages: packages + images.count(), ..Counts::default() };
        let record = Record {
            format: FORMAT,
            id,
            asked,
            import,
            state: State::Running,
            started: now(),
            ended: None,
            counts,
            plan,
            events: 0,
            problem: String::new(),
        };
        let written = self.on_threads({
            let record = record.clone();
            move || {
                record::write(&folder, &record)?;
                Log::create(&record::events_path(&folder, id))
            }
        });
        let log = match written.await? {
            Ok(log) => Arc::new(log),
            Err(error) => {
                build.cancel();
                return Err(Problem::internal("the build cannot be recorded").cause(&error));
            }
        };
        let object = record.asked.targets.join(", ");
        let mut steps = vec![PlannedStep::new("build", format!("{packages} packages"))];
        if import {
            steps.push(PlannedStep::new("import-images", "into the image store"));
        }
        let task = self.shared.base.tasks.begin("build", object, steps);
        let live = Arc::new(Live { id, record: record.into(), log, task: task.id().to_owned() });
        place.begun(Arc::clone(&live));
        tracing::info!(id, targets = ?live.record.lock().asked.targets, "a build has begun");
        let answer = message::build(&live.snapshot(), &live.task, true);
        let running = Running { builds: self.clone(), live, ended: false, _place: place };
        tokio::spawn(running.go(build, builder, task));
        Ok(answer)
    }

    pub(super) fn folder(&self) -> PathBuf {
        self.shared.table.lock().folder.clone()
    }

    /// All builds, newest first, without their plans.
    pub fn list(&self) -> Vec<pb::Build> {
        let table = self.shared.table.lock();
        let running = table.running().map(|it| message::build(&it.snapshot(), &it.task, false));
        let ended = table.ended.values().rev().map(|it| message::build(it, "", false));
        running.into_iter().chain(ended).collect()
    }

    /// A build with its plan.
    pub fn get(&self, id: &str) -> Result<pb::Build, Problem> {
        Ok(match self.shared.table.lock().find(id)? {
            Found::Live(live) => message::build(&live.snapshot(), &live.task, true),
            Found::Ended(record) => message::build(&record, "", true),
        })
    }

    /// The events of a build from `from` on, up to its end.
    pub async fn watch(&self, id: &str, from: u64) -> Result<ReplyStream<pb::BuildEvent>, Problem> {
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        let found = self.shared.table.lock().find(id)?;
        let message = |entry: Entry| Ok(message::event(&entry));
        Ok(match found {
            Found::Live(live) => Box::pin(Arc::clone(&live.log).follow(from).map(message)),
            Found::Ended(record) => {
                let path = record::events_path(&self.folder(), record.id);
                let entries = crate::api::blocking(move || super::log::read(&path)).await?;
                Box::pin(futures::stream::iter(entries.into_iter().skip(from)).map(message))
            }
        })
    }

    /// Asks a build to end, and answers with the build as it is.
    pub fn cancel(&self, id: &str, dry_run: bool) -> Result<pb::Build, Problem> {
        let found = self.shared.table.lock().find(id)?;
        match found {
            Found::Live(live) => {
                self.shared.base.tasks.cancel(&live.task, dry_run)?;
                Ok(message::build(&live.snapshot(), &live.task, false))
            }
            Found::Ended(record) => {
                let text = match id.is_empty() {
                    true => "no build runs".to_owned(),
                    false => format!("build {} has ended already", record.id),
                };
                Err(Problem::failed_precondition("BUILD_ENDED", text)
                    .object(format!("build {}", record.id)))
            }
        }
    }
}

/// Plans and starts. Runs where it may wait for the disk.
fn start(
    builder: &Builder,
    request: pb::BuildRequest,
    config: &BuilderConfig,
) -> Result<Started, Problem> {
    sandbox::find().map_err(|_| problem::no_sandbox())?;
    let asked = asked(builder, request)?;
    let free = builder.store().free_space().map_err(|error| problem::of_store(&error))?;
    if free < config.min_free.0 {
        return Err(Problem::resource_exhausted(
            "DISK_FULL",
            format!(
                "the disk of the store {} has {} free, less than {}",
                builder.store().folder().display(),
                ByteSize(free >> 20 << 20),
                config.min_free
            ),
        )
        .hint("Free some space, run xlfsctl build gc, or set builder.min_free."));
    }
    let request = inputs(builder, &asked, config);
    let plan = builder.plan(&request).map_err(|error| problem::of(&error))?;
    let build = builder.start(request).map_err(|error| problem::of(&error))?;
    Ok(Started { build, builder: builder.clone(), asked, plan: plan.into() })
}

/// A build on its way. When it is dropped before its end, as by a panic, the build
/// has failed.
struct Running {
    builds: Builds,
    live: Arc<Live>,
    ended: bool,
    _place: Place,
}

/// What a build has come to so far.
#[derive(Default)]
struct SoFar {
    failures: Failures,
    /// Images that are there.
    images: Vec<String>,
}

/// What failed.
#[derive(Default)]
struct Failures {
    /// Package, step and reason.
    first: Option<(String, String, String)>,
    cause: Cause,
    count: usize,
}

impl Running {
    async fn go(mut self, build: Build, builder: Builder, task: TaskHandle) {
        task.step_started(0);
        let (cancel, mut asked_to_end) = (task.cancel_token(), false);
        let mut reader = build.events().reader(0);
        let mut so_far = SoFar::default();
        loop {
            tokio::select! {
                event = reader.next() => match event {
                    Some(event) => self.hear(event.time, event.event, &task, &mut so_far),
                    None => break,
                },
                () = cancel.cancelled(), if !asked_to_end => {
                    asked_to_end = true;
                    build.cancel();
                }
            }
        }
        let SoFar { failures, images } = so_far;
        let summary = build.finished().await;
        if summary.failed == 0 && !summary.cancelled {
            task.step_done(0);
        }
        let import = self.live.record.lock().import;
        let mut not_imported = None;
        if import && !summary.cancelled {
            if summary.failed == 0 {
                task.step_started(1);
            }
            not_imported = self.import(builder, images, &task).await;
        } else {
            // Whoever sees the end may collect the store, which must not be open then.
            drop(builder);
        }
        self.finish(task, &summary, &failures, not_imported).await;
    }

    /// Takes an event of the builder in.
    fn hear(&self, time: u64, event: Event, task: &TaskHandle, so_far: &mut SoFar) {
        let SoFar { failures, images } = so_far;
        let mut record = self.live.record.lock();
        let counts = &mut record.counts;
        counts.hear(&event);
        match &event {
            Event::Image { image, .. } => images.push(image.clone()),
            Event::Failed { package, step, reason, cause, .. } => {
                failures.count += 1;
                task.log(format!("{package} failed in step {step}: {reason}"));
                if failures.first.is_none() {
                    failures.cause = *cause;
                    failures.first = Some((package.clone(), step.clone(), reason.clone()));
                }
            }
            Event::Note { text } => task.log(text),
            // The daemon's own end comes after what it still has to do.
            Event::Finished { .. } => return,
            _ => {}
        }
        let percent = counts.done() * 100 / counts.packages.max(1);
        drop(record);
        task.step_progress(u32::try_from(percent).unwrap_or(100));
        self.live.log.tell(time, Told::Builder(event));
    }

    /// Takes the images that came out into the image store; answers what went wrong.
    async fn import(
        &self,
        builder: Builder,
        built: Vec<String>,
        task: &TaskHandle,
    ) -> Option<Problem> {
        let images = self.builds.shared.base.images.clone();
        let mut wrong = None;
        let wanted = self.builds.on_threads(move || import::wanted(&builder, &built)).await;
        let wanted = match wanted.and_then(|wanted| wanted) {
            Ok(wanted) => wanted,
            Err(problem) => return Some(problem),
        };
        for wanted in wanted {
            let result = import::import(&images, &wanted).await;
            let Wanted { image, file, alias, .. } = wanted;
            let (digest, changed, problem) = match result {
                Ok(imported) => {
                    (imported.record.digest.to_string(), imported.changed, String::new())
                }
                Err(problem) => {
                    let text = format!("{problem:#}");
                    task.log(format!("{image}: {file} is not in the image store: {text}"));
                    wrong.get_or_insert(problem.context(format!("{file} was not imported")));
                    (String::new(), false, text)
                }
            };
            let told = Around::Imported { image, file, alias, digest, changed, problem };
            self.live.log.tell(now(), Told::Daemon(told));
        }
        wrong
    }

    async fn finish(
        &mut self,
        task: TaskHandle,
        summary: &Summary,
        failures: &Failures,
        not_imported: Option<Problem>,
    ) {
        let result = match &failures.first {
            _ if summary.cancelled => Err(Problem::cancelled("the build was cancelled")
                .hint("What is built is kept: the same request goes on with the rest.")),
            Some((package, step, reason)) => {
                let first = (package.as_str(), step.as_str(), reason.as_str());
                Err(problem::of_failures(first, failures.count - 1, failures.cause))
            }
            None => not_imported.map_or(Ok(()), Err),
        };
        let state = match &result {
            Ok(()) => State::Succeeded,
            Err(problem) if problem.is_cancelled() => State::Cancelled,
            Err(_) => State::Failed,
        };
        let text = result.as_ref().err().map_or(String::new(), |problem| {
            let cause = problem.causes.first().map(|it| format!(": {it}")).unwrap_or_default();
            format!("{}{cause}", problem.message)
        });
        let counts = self.live.record.lock().counts.at_end(summary);
        self.end(state, counts, summary.seconds, text);
        task.finish(result);
    }

    /// The last event, and the record as it stays.
    fn end(&mut self, state: State, counts: Counts, seconds: f64, problem: String) {
        self.ended = true;
        let record = {
            let mut record = self.live.record.lock();
            record.state = state;
            record.counts = counts;
            record.ended = Some(now());
            record.problem = problem;
            // The last event is still to be told.
            Record { events: self.live.log.len() + 1, ..record.clone() }
        };
        let (folder, keep) = (self.builds.folder(), self.builds.shared.config.keep);
        if let Err(error) = record::write(&folder, &record) {
            tracing::warn!(%error, "how the build ended is not on disk");
        }
        tracing::info!(id = self.live.id, ?state, problem = record.problem, "the build has ended");
        {
            let mut table = self.builds.shared.table.lock();
            table.end(record, keep);
            // Whoever sees the last event may start the next build.
            table.occupant = None;
        }
        self.live.log.tell(now(), Told::Daemon(Around::Ended { state, counts, seconds }));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            let (counts, started) = {
                let record = self.live.record.lock();
                (record.counts, record.started)
            };
            let seconds = now().saturating_sub(started) as f64 / 1000.0;
            self.end(State::Failed, counts, seconds, "a defect of xlfsd: see its log".to_owned());
        }
    }
}

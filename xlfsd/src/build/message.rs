//! Builds, plans and events as gRPC says them.

use std::collections::HashMap;
use std::time::{Duration, UNIX_EPOCH};

use prost_types::Timestamp;
use xlfs_builder::build::{Cause, Event, Plan};
use xlfs_builder::store::Failure;
use xlfs_proto::v1 as pb;
use xlfs_proto::v1::build_event::Kind;

use super::log::{Around, Entry, Told};
use super::record::{Asked, Counts, PlanRecord, Planned, PlannedStanding, Record, State};
use crate::problem::Problem;

/// A build; `plan` says whether with the plan that it began with.
pub(super) fn build(record: &Record, task: &str, plan: bool) -> pb::Build {
    let request = pb::BuildRequest {
        set: record.asked.set.clone(),
        targets: record.asked.targets.clone(),
        toolchain: record.asked.toolchain.clone().unwrap_or_default(),
        check: record.asked.check,
        rebuild: record.asked.rebuild.clone(),
        inputs: inputs(record),
    };
    pb::Build {
        id: record.id.to_string(),
        request: Some(request),
        import: record.import,
        state: state(record.state).into(),
        started: Some(moment(record.started)),
        ended: record.ended.map(moment),
        counts: Some(counts(record.counts)),
        plan: plan.then(|| self::plan(&record.asked, record.plan.clone())),
        task_id: task.to_owned(),
        events: record.events as u64,
        problem: record.problem.clone(),
    }
}

fn inputs(record: &Record) -> HashMap<String, String> {
    let given = record.asked.inputs.iter();
    given.map(|(name, path)| (name.clone(), path.display().to_string())).collect()
}

fn state(state: State) -> pb::BuildState {
    match state {
        State::Running => pb::BuildState::Running,
        State::Succeeded => pb::BuildState::Succeeded,
        State::Failed => pb::BuildState::Failed,
        State::Cancelled => pb::BuildState::Cancelled,
        State::Interrupted => pb::BuildState::Interrupted,
    }
}

fn counts(counts: Counts) -> pb::BuildCounts {
    pb::BuildCounts {
        packages: number(counts.packages),
        built: number(counts.built),
        cached: number(counts.cached),
        failed: number(counts.failed),
        skipped: number(counts.skipped),
    }
}

fn plan(asked: &Asked, plan: PlanRecord) -> pb::BuildPlan {
    pb::BuildPlan {
        set: asked.set.clone(),
        targets: asked.targets.clone(),
        packages: plan.packages.into_iter().map(planned).collect(),
        estimate_seconds: plan.estimate,
        guessed: number(plan.guessed),
        missing_inputs: plan.missing_inputs,
    }
}

/// A plan with the last failure of each of its packages.
pub(super) fn plan_with_failures(
    asked: &Asked,
    plan: Plan,
    failure: impl Fn(&str) -> Result<Option<Failure>, Problem>,
) -> Result<pb::BuildPlan, Problem> {
    let mut message = self::plan(asked, plan.into());
    for package in &mut message.packages {
        package.failure = failure(&package.name)?.as_ref().map(self::failure);
    }
    Ok(message)
}

fn planned(planned: Planned) -> pb::PlannedPackage {
    let standing = match planned.standing {
        PlannedStanding::Cached => pb::PackageStanding::Cached,
        PlannedStanding::Build => pb::PackageStanding::Build,
        PlannedStanding::Perhaps => pb::PackageStanding::Perhaps,
    };
    pb::PlannedPackage {
        name: planned.package,
        version: planned.version,
        toolchain: planned.toolchain,
        standing: standing.into(),
        reasons: planned.reasons,
        seconds: planned.seconds,
        failure: None,
    }
}

/// How a package failed.
pub(super) fn failure(failure: &Failure) -> pb::PackageFailure {
    pb::PackageFailure {
        step: failure.step.clone(),
        reason: failure.reason.clone(),
        started: Some(moment(failure.started.saturating_mul(1000))),
        seconds: failure.seconds,
    }
}

/// An event in its place.
pub(super) fn event(entry: &Entry) -> pb::BuildEvent {
    let kind = match entry.told.clone() {
        Told::Builder(event) => of_builder(event),
        Told::Daemon(Around::Imported { image, file, alias, digest, changed, problem }) => {
            Kind::Imported(pb::ArtifactImported { image, file, alias, digest, changed, problem })
        }
        Told::Daemon(Around::Ended { state: ended, counts: at_end, seconds }) => {
            Kind::Finished(pb::BuildFinished {
                state: state(ended).into(),
                counts: Some(counts(at_end)),
                seconds,
            })
        }
    };
    pb::BuildEvent { number: entry.number as u64, time: Some(moment(entry.time)), kind: Some(kind) }
}

fn of_builder(event: Event) -> Kind {
    match event {
        Event::Begun { packages } => Kind::Begun(pb::BuildBegun { packages: number(packages) }),
        Event::Fetching { file } => Kind::Fetching(pb::SourceFetching { file }),
        Event::Fetched { file, from } => Kind::Fetched(pb::SourceFetched { file, from }),
        Event::Note { text } => Kind::Note(text),
        Event::Cached { package } => Kind::Cached(package),
        Event::Started { package, estimate } => {
            Kind::Started(pb::PackageStarted { package, estimate_seconds: estimate })
        }
        Event::Step { package, step } => Kind::Step(pb::PackageStep { package, step }),
        Event::Built { package, seconds, changed } => {
            Kind::Built(pb::PackageBuilt { package, seconds, changed })
        }
        Event::Failed { package, step, reason, tail, cause } => {
            let cause = self::cause(cause).into();
            Kind::Failed(pb::PackageFailed { package, step, reason, tail, cause })
        }
        Event::Skipped { package, because } => {
            Kind::Skipped(pb::PackageSkipped { package, because })
        }
        Event::Image { image, cached, seconds } => {
            Kind::Image(pb::ImageBuilt { image, cached, seconds })
        }
        // The log holds the daemon's own end in its place.
        Event::Finished { summary } => Kind::Finished(pb::BuildFinished {
            seconds: summary.seconds,
            ..pb::BuildFinished::default()
        }),
    }
}

fn cause(cause: Cause) -> pb::FailureCause {
    match cause {
        Cause::Recipe => pb::FailureCause::Recipe,
        Cause::DiskFull => pb::FailureCause::DiskFull,
        Cause::Silent => pb::FailureCause::Silent,
        Cause::NoSource => pb::FailureCause::NoSource,
        Cause::Machine => pb::FailureCause::Machine,
    }
}

/// Milliseconds since 1970 as a message.
pub(super) fn moment(milliseconds: u64) -> Timestamp {
    Timestamp::from(UNIX_EPOCH + Duration::from_millis(milliseconds))
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

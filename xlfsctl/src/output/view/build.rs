//! Builds: plans, states, events, results.

use serde::Serialize;
use xlfs_proto::v1;
use xlfs_proto::v1::build_event::Kind;
use xlfs_proto::v1::{BuildState, FailureCause, PackageStanding};

use super::moment;
use crate::errors::filled;
use crate::progress::build::event_line;

/// `build plan`, `build why`.
#[derive(Debug, Serialize)]
pub(crate) struct PlanView {
    set: String,
    targets: Vec<String>,
    packages: Vec<PlannedView>,
    estimate_seconds: f64,
    guessed: u32,
    missing_inputs: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct PlannedView {
    name: String,
    version: Option<String>,
    toolchain: Option<String>,
    standing: &'static str,
    reasons: Vec<String>,
    last_seconds: Option<f64>,
    failure: Option<PackageFailureView>,
}

#[derive(Debug, Serialize)]
pub(crate) struct PackageFailureView {
    step: String,
    reason: String,
    started: Option<String>,
    took_seconds: f64,
}

/// `build list`.
#[derive(Debug, Serialize)]
pub(crate) struct BuildsView {
    pub(crate) builds: Vec<BuildView>,
}

/// `build start`, `build cancel`, and each of `build list`.
#[derive(Debug, Serialize)]
pub(crate) struct BuildView {
    id: String,
    state: &'static str,
    set: String,
    targets: Vec<String>,
    toolchain: Option<String>,
    check: bool,
    rebuild: Vec<String>,
    inputs: std::collections::BTreeMap<String, String>,
    import: bool,
    started: Option<String>,
    ended: Option<String>,
    counts: CountsView,
    problem: Option<String>,
    task_id: Option<String>,
    events: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct CountsView {
    packages: u32,
    built: u32,
    cached: u32,
    failed: u32,
    skipped: u32,
}

/// Each event of `build watch`.
#[derive(Debug, Default, Serialize)]
pub(crate) struct BuildEventView {
    number: u64,
    time: Option<String>,
    kind: &'static str,
    text: Option<String>,
    package: Option<String>,
    image: Option<String>,
    step: Option<String>,
    file: Option<String>,
    from: Option<String>,
    last_seconds: Option<f64>,
    took_seconds: Option<f64>,
    changed: Option<bool>,
    cached: Option<bool>,
    because: Option<String>,
    reason: Option<String>,
    cause: Option<&'static str>,
    tail: Vec<String>,
    alias: Option<String>,
    digest: Option<String>,
    state: Option<&'static str>,
    counts: Option<CountsView>,
}

impl From<&v1::BuildPlan> for PlanView {
    fn from(plan: &v1::BuildPlan) -> PlanView {
        PlanView {
            set: plan.set.clone(),
            targets: plan.targets.clone(),
            packages: plan.packages.iter().map(PlannedView::from).collect(),
            estimate_seconds: plan.estimate_seconds,
            guessed: plan.guessed,
            missing_inputs: plan.missing_inputs.clone(),
        }
    }
}

impl From<&v1::PlannedPackage> for PlannedView {
    fn from(package: &v1::PlannedPackage) -> PlannedView {
        PlannedView {
            name: package.name.clone(),
            version: filled(&package.version),
            toolchain: filled(&package.toolchain),
            standing: standing_word(package.standing()),
            reasons: package.reasons.clone(),
            last_seconds: package.seconds,
            failure: package.failure.as_ref().map(PackageFailureView::from),
        }
    }
}

impl From<&v1::PackageFailure> for PackageFailureView {
    fn from(failure: &v1::PackageFailure) -> PackageFailureView {
        PackageFailureView {
            step: failure.step.clone(),
            reason: failure.reason.clone(),
            started: moment(&failure.started),
            took_seconds: failure.seconds,
        }
    }
}

impl From<&v1::Build> for BuildView {
    fn from(build: &v1::Build) -> BuildView {
        let request = build.request.clone().unwrap_or_default();
        BuildView {
            id: build.id.clone(),
            state: build_state_word(build.state()),
            set: request.set,
            targets: request.targets,
            toolchain: filled(&request.toolchain),
            check: request.check,
            rebuild: request.rebuild,
            inputs: request.inputs.into_iter().collect(),
            import: build.import,
            started: moment(&build.started),
            ended: moment(&build.ended),
            counts: CountsView::from(&build.counts.unwrap_or_default()),
            problem: filled(&build.problem),
            task_id: filled(&build.task_id),
            events: build.events,
        }
    }
}

impl From<&v1::BuildCounts> for CountsView {
    fn from(counts: &v1::BuildCounts) -> CountsView {
        let v1::BuildCounts { packages, built, cached, failed, skipped } = *counts;
        CountsView { packages, built, cached, failed, skipped }
    }
}

impl From<&v1::BuildEvent> for BuildEventView {
    fn from(event: &v1::BuildEvent) -> BuildEventView {
        let view = BuildEventView {
            number: event.number,
            time: moment(&event.time),
            kind: "unknown",
            text: event_line(event),
            ..BuildEventView::default()
        };
        match event.kind.clone() {
            None => view,
            Some(Kind::Begun(_)) => BuildEventView { kind: "begun", ..view },
            Some(Kind::Fetching(it)) => {
                BuildEventView { kind: "fetching", file: filled(&it.file), ..view }
            }
            Some(Kind::Fetched(it)) => BuildEventView {
                kind: "fetched",
                file: filled(&it.file),
                from: filled(&it.from),
                ..view
            },
            Some(Kind::Note(text)) => BuildEventView { kind: "note", text: filled(&text), ..view },
            Some(Kind::Cached(package)) => {
                BuildEventView { kind: "cached", package: filled(&package), ..view }
            }
            Some(Kind::Started(it)) => BuildEventView {
                kind: "started",
                package: filled(&it.package),
                last_seconds: it.estimate_seconds,
                ..view
            },
            Some(Kind::Step(it)) => BuildEventView {
                kind: "step",
                package: filled(&it.package),
                step: filled(&it.step),
                ..view
            },
            Some(Kind::Built(it)) => BuildEventView {
                kind: "built",
                package: filled(&it.package),
                took_seconds: Some(it.seconds),
                changed: Some(it.changed),
                ..view
            },
            Some(Kind::Failed(it)) => BuildEventView {
                kind: "failed",
                package: filled(&it.package),
                step: filled(&it.step),
                reason: filled(&it.reason),
                cause: Some(cause_word(it.cause())),
                tail: it.tail,
                ..view
            },
            Some(Kind::Skipped(it)) => BuildEventView {
                kind: "skipped",
                package: filled(&it.package),
                because: filled(&it.because),
                ..view
            },
            Some(Kind::Image(it)) => BuildEventView {
                kind: "image",
                image: filled(&it.image),
                cached: Some(it.cached),
                took_seconds: Some(it.seconds),
                ..view
            },
            Some(Kind::Imported(it)) => BuildEventView {
                kind: "imported",
                image: filled(&it.image),
                file: filled(&it.file),
                alias: filled(&it.alias),
                digest: filled(&it.digest),
                changed: Some(it.changed),
                reason: filled(&it.problem),
                ..view
            },
            Some(Kind::Finished(it)) => BuildEventView {
                kind: "finished",
                state: Some(build_state_word(it.state())),
                counts: it.counts.as_ref().map(CountsView::from),
                took_seconds: Some(it.seconds),
                ..view
            },
        }
    }
}

pub(crate) fn standing_word(standing: PackageStanding) -> &'static str {
    match standing {
        PackageStanding::Unspecified => "unknown",
        PackageStanding::Cached => "cached",
        PackageStanding::Build => "build",
        PackageStanding::Perhaps => "perhaps",
    }
}

pub(crate) fn build_state_word(state: BuildState) -> &'static str {
    match state {
        BuildState::Unspecified => "unknown",
        BuildState::Running => "running",
        BuildState::Succeeded => "succeeded",
        BuildState::Failed => "failed",
        BuildState::Cancelled => "cancelled",
        BuildState::Interrupted => "interrupted",
    }
}

fn cause_word(cause: FailureCause) -> &'static str {
    match cause {
        FailureCause::Unspecified => "unknown",
        FailureCause::Recipe => "recipe",
        FailureCause::DiskFull => "disk_full",
        FailureCause::Silent => "silent",
        FailureCause::NoSource => "no_source",
        FailureCause::Machine => "machine",
    }
}

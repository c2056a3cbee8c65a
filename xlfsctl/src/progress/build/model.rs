//! What is known of a build that is watched, and what its lines say.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use xlfs_proto::v1::build_event::Kind;
use xlfs_proto::v1::{Build, BuildEvent, FailureCause, PackageStanding};

use crate::exit::Exit;
use crate::output::text::{cut, plain};
use crate::output::time::span;

/// What a package without an earlier time counts as, in seconds.
const UNKNOWN: f64 = 60.0;
/// Columns of a package's name.
const NAME: usize = 20;
/// Columns of the bar, between its brackets.
const BAR: usize = 20;

/// A package that is being built.
struct Row {
    step: String,
    since: SystemTime,
    estimate: Option<f64>,
}

/// The state of a build, as its events tell it.
pub(super) struct Model {
    total: usize,
    done: BTreeSet<String>,
    running: BTreeMap<String, Row>,
    /// Sources that are looked for, since when.
    fetching: BTreeMap<String, SystemTime>,
    /// Seconds that each package is expected to take which is to be built.
    work: BTreeMap<String, f64>,
    /// Seconds until the end when it began.
    estimate: f64,
    failed: usize,
}

impl Model {
    pub(super) fn new(build: &Build) -> Model {
        let plan = build.plan.clone().unwrap_or_default();
        let built = plan.packages.iter().filter(|it| it.standing() == PackageStanding::Build);
        let work = built.map(|it| (it.name.clone(), it.seconds.unwrap_or(UNKNOWN))).collect();
        Model {
            total: build.counts.as_ref().map_or(0, |it| it.packages as usize),
            done: BTreeSet::new(),
            running: BTreeMap::new(),
            fetching: BTreeMap::new(),
            work,
            estimate: plan.estimate_seconds,
            failed: 0,
        }
    }

    pub(super) fn hear(&mut self, event: &BuildEvent) {
        let time = event.time.and_then(|time| SystemTime::try_from(time).ok());
        let since = time.unwrap_or_else(SystemTime::now);
        match &event.kind {
            Some(Kind::Started(started)) => {
                let (step, estimate) = ("start".to_owned(), started.estimate_seconds);
                let seconds = estimate.unwrap_or(UNKNOWN);
                // One that was only perhaps to be built.
                if self.work.insert(started.package.clone(), seconds).is_none() {
                    self.estimate += seconds;
                }
                self.running.insert(started.package.clone(), Row { step, since, estimate });
            }
            Some(Kind::Step(step)) => {
                if let Some(row) = self.running.get_mut(&step.package) {
                    row.step.clone_from(&step.step);
                }
            }
            Some(Kind::Fetching(fetching)) => {
                self.fetching.insert(fetching.file.clone(), since);
            }
            Some(Kind::Fetched(fetched)) => drop(self.fetching.remove(&fetched.file)),
            Some(Kind::Cached(package)) => self.end(package),
            Some(Kind::Built(built)) => self.end(&built.package),
            Some(Kind::Skipped(skipped)) => self.end(&skipped.package),
            Some(Kind::Image(image)) => self.end(&image.image),
            Some(Kind::Failed(failed)) => {
                self.failed += 1;
                // Its sources may be why: which ones were its is not said.
                if failed.step == "fetch" {
                    self.fetching.retain(|file, _| !failed.reason.contains(file.as_str()));
                }
                self.end(&failed.package);
            }
            _ => {}
        }
    }

    fn end(&mut self, name: &str) {
        self.running.remove(name);
        self.done.insert(name.to_owned());
    }

    /// Seconds until the end, by what of the expected work is done.
    fn left(&self, now: SystemTime) -> f64 {
        let all: f64 = self.work.values().sum();
        let part = |name: &String, seconds: &f64| match self.running.get(name) {
            _ if self.done.contains(name) => *seconds,
            Some(row) => elapsed(row, now).as_secs_f64().min(*seconds * 0.95),
            None => 0.0,
        };
        let done: f64 = self.work.iter().map(|(name, seconds)| part(name, seconds)).sum();
        if all > 0.0 { self.estimate * (1.0 - done / all).max(0.0) } else { 0.0 }
    }

    /// What is drawn: at most `most` lines of at most `width` columns.
    pub(super) fn lines(&self, now: SystemTime, width: usize, most: usize) -> Vec<String> {
        let room = most.saturating_sub(2).max(1);
        let mut lines: Vec<String> =
            self.running.iter().take(room).map(|(name, row)| line(name, row, now, width)).collect();
        let fetched = self.fetching.iter().map(|(file, since)| {
            let elapsed = span(now.duration_since(*since).unwrap_or_default());
            cut(&format!("fetching {} {elapsed:>6}", plain(file)), width)
        });
        lines.extend(fetched.take(room.saturating_sub(lines.len())));
        let hidden = (self.running.len() + self.fetching.len()).saturating_sub(lines.len());
        if hidden > 0 {
            lines.push(format!("and {hidden} more"));
        }
        let (done, total) = (self.done.len(), self.total.max(self.done.len()));
        let filled = BAR * done / total.max(1);
        let bar = format!("[{}{}]", "#".repeat(filled), ".".repeat(BAR - filled));
        let failed = match self.failed {
            0 => String::new(),
            count => format!(", {count} failed"),
        };
        let left = match self.left(now) {
            left if left >= 1.0 => format!("  about {} left", span(rounded(left))),
            _ => String::new(),
        };
        lines.push(cut(&format!("{bar} {done}/{total}{failed}{left}"), width));
        lines
    }
}

fn elapsed(row: &Row, now: SystemTime) -> Duration {
    now.duration_since(row.since).unwrap_or_default()
}

/// A package that is being built, in one line.
fn line(name: &str, row: &Row, now: SystemTime, width: usize) -> String {
    let name = cut(&plain(name), NAME);
    let step = cut(&plain(&row.step), 12);
    let of = row.estimate.map(|it| format!(" of about {}", span(rounded(it)))).unwrap_or_default();
    cut(&format!("{name:<NAME$} {step:<12} {:>6}{of}", span(elapsed(row, now))), width)
}

/// An estimate knows no tenths.
fn rounded(seconds: f64) -> Duration {
    Duration::from_secs(seconds.clamp(0.0, 1e9).round() as u64)
}

/// Seconds for people.
pub(crate) fn about(seconds: f64) -> String {
    span(Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default())
}

/// The exit that a failure asks for.
pub(super) fn exit_of(cause: FailureCause) -> Exit {
    match cause {
        FailureCause::DiskFull => Exit::Exhausted,
        FailureCause::Silent => Exit::Deadline,
        FailureCause::Machine => Exit::WrongState,
        FailureCause::NoSource | FailureCause::Recipe | FailureCause::Unspecified => Exit::Failed,
    }
}

/// What an event says, in a line; nothing for those that only concern progress.
pub(crate) fn event_line(event: &BuildEvent) -> Option<String> {
    Some(match event.kind.as_ref()? {
        Kind::Begun(begun) => format!("begun    {} packages", begun.packages),
        Kind::Fetching(fetching) => format!("fetch    {}", fetching.file),
        Kind::Fetched(fetched) => format!("fetched  {} from {}", fetched.file, fetched.from),
        Kind::Note(text) => format!("note     {text}"),
        Kind::Cached(_) | Kind::Step(_) => return None,
        Kind::Started(started) => {
            let last = started.estimate_seconds.map(|it| format!(" (last time {})", about(it)));
            format!("start    {}{}", started.package, last.unwrap_or_default())
        }
        Kind::Built(built) => {
            let same = if built.changed { "" } else { ", same result as before" };
            format!("built    {} in {}{same}", built.package, about(built.seconds))
        }
        Kind::Failed(failed) => {
            format!("FAILED   {} (step {}): {}", failed.package, failed.step, failed.reason)
        }
        Kind::Skipped(skipped) => {
            format!("skipped  {}: it needs {}", skipped.package, skipped.because)
        }
        Kind::Image(image) if image.cached => format!("image    {} is there already", image.image),
        Kind::Image(image) => {
            format!("image    {} composed in {}", image.image, about(image.seconds))
        }
        Kind::Imported(imported) if !imported.problem.is_empty() => {
            format!("FAILED   {} was not imported: {}", imported.file, imported.problem)
        }
        Kind::Imported(imported) if imported.changed => {
            format!("imported {} as {}", imported.file, imported.alias)
        }
        Kind::Imported(imported) => {
            format!("imported {} is {} already", imported.file, imported.alias)
        }
        Kind::Finished(finished) => {
            format!("{}    after {}", state_word(finished.state()), about(finished.seconds))
        }
    })
}

/// A state of a build in a word.
pub(crate) fn state_word(state: xlfs_proto::v1::BuildState) -> &'static str {
    crate::output::view::build::build_state_word(state)
}

#[cfg(test)]
mod tests {
    use xlfs_proto::v1::{
        BuildCounts, BuildPlan, PackageBuilt, PackageFailed, PackageStarted, PackageStep,
        PlannedPackage,
    };

    use super::*;
    use crate::output::text::width;

    const BEGUN: SystemTime = SystemTime::UNIX_EPOCH;

    fn build() -> Build {
        let package = |name: &str, standing: PackageStanding, seconds| PlannedPackage {
            name: name.to_owned(),
            standing: standing.into(),
            seconds,
            ..PlannedPackage::default()
        };
        let packages = vec![
            package("musl", PackageStanding::Cached, Some(50.0)),
            package("zlib", PackageStanding::Build, Some(30.0)),
            package("openssh", PackageStanding::Build, Some(90.0)),
            package("image-tools", PackageStanding::Perhaps, Some(10.0)),
        ];
        Build {
            plan: Some(BuildPlan { packages, estimate_seconds: 120.0, ..BuildPlan::default() }),
            counts: Some(BuildCounts { packages: 4, ..BuildCounts::default() }),
            ..Build::default()
        }
    }

    fn at(seconds: u64, kind: Kind) -> BuildEvent {
        let time = Some((BEGUN + Duration::from_secs(seconds)).into());
        BuildEvent { number: 0, time, kind: Some(kind) }
    }

    fn started(package: &str, estimate: Option<f64>) -> Kind {
        Kind::Started(PackageStarted { package: package.to_owned(), estimate_seconds: estimate })
    }

    #[test]
    fn the_time_left_shrinks_with_the_work() {
        let mut model = Model::new(&build());
        let now = |seconds| BEGUN + Duration::from_secs(seconds);
        assert_eq!(model.left(now(0)).round(), 120.0);
        model.hear(&at(0, Kind::Cached("musl".to_owned())));
        model.hear(&at(0, started("zlib", Some(30.0))));
        assert_eq!(model.left(now(15)).round(), 105.0);
        let built = PackageBuilt { package: "zlib".to_owned(), seconds: 20.0, changed: true };
        model.hear(&at(20, Kind::Built(built)));
        assert_eq!(model.left(now(20)).round(), 90.0);
        // One that takes longer than ever is not said to be done.
        model.hear(&at(20, started("openssh", Some(90.0))));
        assert!(model.left(now(9000)) > 1.0);
        model.hear(&at(20, started("image-tools", Some(10.0))));
        assert!(model.left(now(20)) > 90.0);
    }

    #[test]
    fn a_line_for_each_package_and_one_for_all() {
        let mut model = Model::new(&build());
        model.hear(&at(0, Kind::Cached("musl".to_owned())));
        model.hear(&at(0, started("openssh", Some(90.0))));
        let step = PackageStep { package: "openssh".to_owned(), step: "configure".to_owned() };
        model.hear(&at(3, Kind::Step(step)));
        let lines = model.lines(BEGUN + Duration::from_secs(12), 79, 16);
        assert_eq!(lines[0], "openssh              configure       12s of about 1m30s");
        assert_eq!(lines[1], "[#####...............] 1/4  about 1m48s left");
        let failed = PackageFailed { package: "openssh".to_owned(), ..PackageFailed::default() };
        model.hear(&at(13, Kind::Failed(failed)));
        let lines = model.lines(BEGUN + Duration::from_secs(13), 79, 16);
        assert_eq!(lines, ["[##########..........] 2/4, 1 failed  about 30s left"]);
        for number in 0..40 {
            model.hear(&at(0, started(&format!("a-rather-long-name-of-package-{number}"), None)));
        }
        let lines = model.lines(BEGUN + Duration::from_secs(90_000), 40, 16);
        assert_eq!(lines.len(), 16);
        assert!(lines.iter().all(|line| width(line) <= 40), "{lines:?}");
    }

    #[test]
    fn causes_decide_the_exit() {
        assert_eq!(exit_of(FailureCause::Silent), Exit::Deadline);
        assert_eq!(exit_of(FailureCause::Recipe), Exit::Failed);
    }
}

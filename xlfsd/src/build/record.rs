//! A build as it stands on disk, so that a daemon that starts again can say what
//! became of the builds before it.
//!
//! ```text
//! builds/7.json     what was asked for, the plan, how it ended
//! builds/7.events   what happened, a line of JSON each: see `log`
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use xlfs_builder::build::{Event, Plan, Request, Standing, Summary};

use crate::durable::{self, FileError};

/// How a build ended, or that it has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    Running,
    Succeeded,
    Failed,
    Cancelled,
    Interrupted,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Asked {
    pub set: String,
    pub targets: Vec<String>,
    pub toolchain: Option<String>,
    pub check: bool,
    pub rebuild: Vec<String>,
    /// Files that were given, by the inputs' names.
    #[serde(default)]
    pub inputs: BTreeMap<String, PathBuf>,
}

impl Asked {
    /// The same for the builder.
    pub(super) fn request(&self) -> Request {
        Request {
            targets: self.targets.clone(),
            toolchain: self.toolchain.clone(),
            check: self.check,
            rebuild: self.rebuild.iter().cloned().collect(),
            inputs: self.inputs.clone(),
        }
    }
}

/// What became of packages and images so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts {
    pub packages: usize,
    pub built: usize,
    pub cached: usize,
    pub failed: usize,
    pub skipped: usize,
}

impl Counts {
    /// Takes an event in.
    pub(super) fn hear(&mut self, event: &Event) {
        match event {
            Event::Built { .. } | Event::Image { cached: false, .. } => self.built += 1,
            Event::Cached { .. } | Event::Image { cached: true, .. } => self.cached += 1,
            Event::Skipped { .. } => self.skipped += 1,
            Event::Failed { .. } => self.failed += 1,
            _ => {}
        }
    }

    /// At the end, by the builder's own count.
    pub(super) fn at_end(self, summary: &Summary) -> Self {
        let Summary { built, cached, failed, skipped, .. } = *summary;
        Self { built, cached, failed, skipped, ..self }
    }

    /// Those of which nothing is to be expected any more.
    pub(super) fn done(&self) -> usize {
        self.built + self.cached + self.failed + self.skipped
    }
}

/// A package of the plan with which it began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Planned {
    pub package: String,
    pub version: String,
    pub toolchain: String,
    pub standing: PlannedStanding,
    pub reasons: Vec<String>,
    pub seconds: Option<f64>,
}

/// As the builder's, without the reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PlannedStanding {
    Cached,
    Build,
    Perhaps,
}

/// The plan with which it began.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct PlanRecord {
    pub packages: Vec<Planned>,
    pub estimate: f64,
    pub guessed: usize,
    #[serde(default)]
    pub missing_inputs: Vec<String>,
}

impl From<Plan> for PlanRecord {
    fn from(plan: Plan) -> Self {
        let packages = plan.packages.into_iter().map(|it| {
            let (standing, reasons) = match it.standing {
                Standing::Cached => (PlannedStanding::Cached, Vec::new()),
                Standing::Build(reasons) => (PlannedStanding::Build, reasons),
                Standing::Perhaps(because) => (PlannedStanding::Perhaps, because),
            };
            let (package, version, toolchain) = (it.package, it.version, it.toolchain);
            Planned { package, version, toolchain, standing, reasons, seconds: it.seconds }
        });
        let missing = plan.missing_inputs.into_iter().map(|it| it.input);
        let mut missing_inputs: Vec<String> = missing.collect();
        missing_inputs.dedup();
        let (estimate, guessed) = (plan.estimate, plan.guessed);
        Self { packages: packages.collect(), estimate, guessed, missing_inputs }
    }
}

/// All that is known of a build but its events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Of this file; there is only 1 so far.
    pub format: u32,
    pub id: u64,
    pub asked: Asked,
    pub import: bool,
    pub state: State,
    /// Milliseconds since 1970.
    pub started: u64,
    pub ended: Option<u64>,
    pub counts: Counts,
    pub plan: PlanRecord,
    pub events: usize,
    /// What failed, in a line.
    pub problem: String,
}

pub(super) const FORMAT: u32 = 1;

/// Writes a record.
pub(super) fn write(folder: &Path, record: &Record) -> Result<(), FileError> {
    let path = path(folder, record.id);
    let bytes = serde_json::to_vec_pretty(record)
        .map_err(|error| FileError::at("describe", &path)(error.into()))?;
    durable::write_whole(&path, &bytes)
}

/// Reads all records. Those that make no sense are told to `bad`, and stay where
/// they are for people to look at.
pub(super) fn read_all(folder: &Path, mut bad: impl FnMut(&Path, String)) -> BTreeMap<u64, Record> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|it| it != "json") {
            continue;
        }
        let read = fs::read(&path).map_err(|error| error.to_string());
        let parse = |bytes: Vec<u8>| {
            serde_json::from_slice::<Record>(&bytes).map_err(|error| error.to_string())
        };
        match read.and_then(parse) {
            Ok(record) if record.format == FORMAT => drop(found.insert(record.id, record)),
            Ok(record) => bad(&path, format!("format {} is not known", record.format)),
            Err(error) => bad(&path, error),
        }
    }
    found
}

/// The last number that a build here had, also of one whose record makes no sense.
pub(super) fn last_number(folder: &Path) -> u64 {
    let number = |entry: fs::DirEntry| entry.path().file_stem()?.to_str()?.parse().ok();
    fs::read_dir(folder).into_iter().flatten().flatten().filter_map(number).max().unwrap_or(0)
}

/// Forgets a build.
pub(super) fn remove(folder: &Path, id: u64) -> Result<(), FileError> {
    durable::remove(&events_path(folder, id))?;
    durable::remove(&path(folder, id))
}

fn path(folder: &Path, id: u64) -> PathBuf {
    folder.join(format!("{id}.json"))
}

/// Where a build's events are.
pub(super) fn events_path(folder: &Path, id: u64) -> PathBuf {
    folder.join(format!("{id}.events"))
}

/// Milliseconds since 1970.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

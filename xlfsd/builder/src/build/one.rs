//! One package: its sandbox laid out, its command run, its outputs taken into
//! the store.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio_util::sync::CancellationToken;

use super::BuildError;
use super::known::Known;
use super::pool::Pool;
use crate::action::{Action, OUT};
use crate::blocking;
use crate::digest::Digest;
use crate::durable::{FileError, remove_tree};
use crate::layout;
use crate::pattern::Patterns;
use crate::recipe::Package;
use crate::recipe::check::{parse_mode, parse_owner};
use crate::recipe::package::Jobs;
use crate::sandbox::{self, Job, SandboxError};
use crate::store::{Failure, Provenance, Record, SourceRecord, StepTime, Store, StoreError};
use crate::tree::{Attributes, Tree};

/// How a package is built on this machine.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    /// The pool of jobs.
    pub pool: Arc<Pool>,
    /// So many packages at a time.
    pub packages: usize,
    /// Who steps run as, if we are root.
    pub user: Option<u32>,
}

/// A failed build, with what people need to know.
#[derive(Debug)]
pub(super) struct Failed {
    pub step: String,
    pub error: BuildError,
    pub tail: Vec<String>,
}

/// What came out, before it becomes a record.
pub(super) struct Outcome {
    pub outputs: BTreeMap<String, Digest>,
    pub log: Digest,
    pub started: u64,
    pub seconds: f64,
    pub steps: Vec<StepTime>,
    /// The remote executor that did it; none: this machine.
    pub by: Option<String>,
}

/// Builds a package; its sources must be in the store.
pub(super) async fn build(
    known: &Arc<Known>,
    machine: &Machine,
    name: &str,
    action: Arc<Action>,
    cancel: &CancellationToken,
    on_step: impl FnMut(&str) + Send,
) -> Result<Outcome, Box<Failed>> {
    let early = |error: BuildError| {
        Box::new(Failed { step: "sandbox".to_owned(), error, tail: Vec::new() })
    };
    let package = known.package(name).map_err(early)?.clone();
    let work = {
        let (store, name, user) = (known.store.clone(), name.to_owned(), machine.user);
        let action = Arc::clone(&action);
        blocking(move || lay_out(&store, &name, &action, user)).await.map_err(early)?
    };
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let clock = Instant::now();
    let log = work.path().join("log");
    let (root, folder) = (work.path().join("root"), work.path().join("build"));
    let job = Job {
        root: &root,
        work: &folder,
        arguments: &action.arguments,
        environment: &action.environment,
        log: &log,
        deadline: Duration::from_secs(package.deadline),
        user: machine.user,
        jobs: (package.jobs == Jobs::Shared).then_some((&machine.pool.client, machine.pool.size)),
    };
    let ran = sandbox::run(&job, cancel, on_step).await;
    let seconds = clock.elapsed().as_secs_f64();
    let known = Arc::clone(known);
    blocking(move || {
        let out = work.path().join("build").join(OUT);
        let taken = match ran {
            Ok(steps) => take(&known, &package, &out).map(|outputs| (outputs, steps)),
            Err(error) => Err(error.into()),
        };
        let result = match taken {
            Ok((outputs, steps)) => known
                .store
                .take_file(&work.path().join("log"), false)
                .map(|log| Outcome { outputs, log, started, seconds, steps, by: None })
                .map_err(|error| early(error.into())),
            Err(error) => {
                let log = work.path().join("log");
                let tail = sandbox::tail(&log, 20);
                let left = Left {
                    log: known.store.take_file(&log, false).ok(),
                    tail,
                    work: Some(work.path().join("build")),
                    started,
                    seconds,
                };
                Err(fail(&known, &package, &action.digest, left, error))
            }
        };
        // A sandbox's folders may lack write permission, which a plain removal needs.
        let path = work.keep();
        match (remove_tree(&path), result) {
            (Err(error), Ok(_)) => Err(early(StoreError::from(error).into())),
            (_, result) => Ok(result),
        }
    })
    .await?
}

/// A folder with the action's root in `root`, and an empty `build` for its user.
pub(super) fn lay_out(
    store: &Store,
    name: &str,
    action: &Action,
    user: Option<u32>,
) -> Result<tempfile::TempDir, BuildError> {
    let work = store.work_folder(name)?;
    for part in ["root", "build"] {
        let path = work.path().join(part);
        fs::create_dir(&path).map_err(FileError::at("make", &path)).map_err(StoreError::from)?;
    }
    store.lay_out(&action.root, &work.path().join("root"))?;
    let build = work.path().join("build");
    if user.is_some() {
        std::os::unix::fs::chown(&build, user, user)
            .map_err(FileError::at("give away", &build))
            .map_err(StoreError::from)?;
    }
    Ok(work)
}

/// What fails when a package was built, but its files are not what the recipe says.
pub(super) const OUTPUTS: &str = "outputs";

/// What a failed package left.
pub(super) struct Left {
    pub log: Option<Digest>,
    pub tail: Vec<String>,
    /// What was `/build`, if it is here.
    pub work: Option<PathBuf>,
    pub started: u64,
    pub seconds: f64,
}

/// Keeps the log and the work folder, and says more where the reason lies elsewhere.
pub(super) fn fail(
    known: &Known,
    package: &Package,
    action: &Digest,
    left: Left,
    error: BuildError,
) -> Box<Failed> {
    let set = &known.set.file.name;
    let step = match &error {
        BuildError::Sandbox(error) => error.step().to_owned(),
        _ => OUTPUTS.to_owned(),
    };
    let Left { log, tail, work, started, seconds } = left;
    let cancelled = matches!(error, BuildError::Sandbox(SandboxError::Cancelled { .. }));
    let full = known.store.free_space().is_ok_and(|free| free < FULL);
    let error = if full && !cancelled {
        BuildError::DiskFull { folder: known.store.folder().to_owned(), source: Box::new(error) }
    } else {
        error
    };
    if let (false, Some(log)) = (cancelled, log) {
        let keep = |work: PathBuf| known.store.keep_work(set, &package.name, &work).ok();
        let failure = Failure {
            package: package.name.clone(),
            step: step.clone(),
            reason: error.to_string(),
            log,
            started,
            seconds,
            action: Some(action.clone()),
            work: work.filter(|_| !full).and_then(keep),
        };
        // The failure itself is reported; that its log could not be kept is less.
        let _ = known.store.publish_failure(set, &failure);
    }
    Box::new(Failed { step, error, tail })
}

/// With less free space than this, a failure is most likely the disk's.
const FULL: u64 = 16 << 20;

/// Takes the staging folder into the store, split into outputs.
fn take(
    known: &Known,
    package: &Package,
    out: &Path,
) -> Result<BTreeMap<String, Digest>, BuildError> {
    outputs(known, package, known.store.take_tree(out)?)
}

/// Makes outputs of a staging folder's tree, whose files are in the store.
pub(super) fn outputs(
    known: &Known,
    package: &Package,
    mut tree: Tree,
) -> Result<BTreeMap<String, Digest>, BuildError> {
    layout::without_links(&mut tree);
    for special in &package.permission {
        let attributes = Attributes {
            mode: special.mode.as_deref().and_then(parse_mode),
            owner: special.owner.as_deref().and_then(parse_owner),
        };
        if !tree.set_attributes(&special.path, attributes) {
            return Err(BuildError::NoSuchFile { path: special.path.clone() });
        }
    }
    let mut outputs = BTreeMap::new();
    for (name, part) in split(known, package, &tree)? {
        outputs.insert(name, known.store.put_tree(&part)?);
    }
    Ok(outputs)
}

fn split(
    known: &Known,
    package: &Package,
    tree: &Tree,
) -> Result<BTreeMap<String, Tree>, BuildError> {
    let tables = [&package.outputs, &known.set.file.outputs];
    let mut names = Vec::new();
    let mut patterns = Vec::new();
    for (name, list) in tables.into_iter().flatten() {
        for pattern in list {
            names.push(name.as_str());
            patterns.push(pattern.clone());
        }
    }
    let set = Patterns::new(&patterns).map_err(BuildError::Pattern)?;
    let mut used = vec![false; patterns.len()];
    let mut owner: BTreeMap<&str, &str> = BTreeMap::new();
    for (path, _) in tree.iter() {
        if tree.is_leaf(path) {
            let matching = set.which(path);
            for index in &matching {
                if let Some(used) = used.get_mut(*index) {
                    *used = true;
                }
            }
            let first = matching.iter().min().and_then(|index| names.get(*index));
            owner.insert(path, first.copied().unwrap_or("run"));
        }
    }
    let own = package.outputs.values().map(Vec::len).sum();
    let unused = used.iter().take(own).position(|used| !used);
    if let Some(pattern) = unused.and_then(|index| patterns.get(index)) {
        return Err(BuildError::NothingMatches { pattern: pattern.clone() });
    }
    let all = known.set.outputs_of(package);
    Ok(all
        .map(|name| (name.to_owned(), tree.filter(|path| owner.get(path) == Some(&name))))
        .collect())
}

/// The record of a package that was built.
pub(super) fn record(
    known: &Known,
    name: &str,
    action: &Action,
    outcome: Outcome,
    from: &BTreeMap<String, String>,
    host_packages: &[String],
) -> Result<Record, BuildError> {
    let package = known.package(name)?;
    let source = |used: &crate::recipe::package::SourceUse| {
        let locked = known.set.sources.get(&used.file)?;
        Some(SourceRecord {
            file: used.file.clone(),
            digest: Digest { hash: locked.sha256.clone(), size: locked.size },
            from: from.get(&used.file).cloned().unwrap_or_default(),
        })
    };
    Ok(Record {
        package: name.to_owned(),
        version: package.version.clone(),
        licence: package.licence.clone(),
        homepage: package.homepage.clone(),
        action: action.digest.clone(),
        inputs: action.inputs.clone(),
        outputs: outcome.outputs,
        sources: package.source.iter().filter_map(source).collect(),
        changed: true,
        log: outcome.log,
        started: outcome.started,
        seconds: outcome.seconds,
        steps: outcome.steps,
        provenance: Provenance {
            builder: concat!("xlfs-builder ", env!("CARGO_PKG_VERSION")).to_owned(),
            set: known.set.file.name.clone(),
            toolchain: known.graph.needs.get(name).map_or("", |it| &it.toolchain).to_owned(),
            host_packages: host_packages.to_vec(),
            checked: known.checked.contains(name),
            by: outcome.by,
        },
    })
}

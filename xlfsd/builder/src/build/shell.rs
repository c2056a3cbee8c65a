//! `shell`: a package's sandbox, opened for a person, with what the last failure
//! left, or with the steps before a wanted one done.
//!
//! The root is the one of the package's action as it is now, the shell is the
//! toolchain's, the variables are the steps'. Nothing of what is done in there ever
//! becomes a result.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::known::{Known, Records};
use super::one;
use super::{BuildError, Builder, Request, plan};
use crate::action::shell as files;
use crate::blocking;
use crate::durable::remove_tree;
use crate::sandbox::{self, Job, Place, SandboxError, ShellInput, ShellOutput};
use crate::source::Fetcher;
use crate::store::{InUse, Kept};

/// Whose sandbox, and how far along.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShellRequest {
    /// The package.
    pub package: String,
    /// None: the set's.
    pub toolchain: Option<String>,
    /// Whether the package's own tests are among the steps.
    pub check: bool,
    /// All before this step is done anew. None: what the last failure left, or, if
    /// nothing failed, the unpacked and patched sources.
    pub step: Option<String>,
}

/// A sandbox that waits for its shell. Dropping it takes its folders away, but for
/// what a failure left.
#[derive(Debug)]
pub struct Shell {
    folder: Folder,
    environment: BTreeMap<String, String>,
    about: Vec<String>,
    user: Option<u32>,
    in_use: InUse,
}

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    kept: Option<Kept>,
}

impl Folder {
    fn root(&self) -> PathBuf {
        self.path.join("root")
    }

    /// What becomes `/build`.
    fn work(&self) -> PathBuf {
        self.kept.as_ref().map_or_else(|| self.path.join("build"), |kept| kept.path.clone())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed now is when the store is opened next.
        let _ = remove_tree(&self.path);
    }
}

impl Builder {
    /// Prepares a package's sandbox for a shell. All that the package needs must be
    /// built. `told` hears what goes on meanwhile, in sentences.
    pub async fn shell(
        &self,
        request: &ShellRequest,
        cancel: &CancellationToken,
        mut told: impl FnMut(&str) + Send,
    ) -> Result<Shell, BuildError> {
        let in_use = self.store.in_use();
        let known = self.known(&Request {
            targets: vec![request.package.clone()],
            toolchain: request.toolchain.clone(),
            check: request.check,
            ..Request::default()
        })?;
        told("Preparing the sandbox.");
        let user = self.machine.user;
        let prepared = {
            let (request, fetcher) = (request.clone(), Arc::clone(&self.fetcher));
            blocking(move || prepare(&known, &request, &fetcher, user)).await?
        };
        let Prepared { folder, mut environment, mut about, deadline } = prepared;
        let jobs = self.machine.pool.size.to_string();
        environment.insert("XLFS_JOBS".to_owned(), jobs);
        if folder.kept.is_none() {
            let (root, work, log) = (folder.root(), folder.work(), folder.path.join("log"));
            let job = Job {
                root: &root,
                work: &work,
                arguments: &["/bin/sh".to_owned(), files::UNTIL.to_owned()],
                environment: &environment,
                log: &log,
                deadline,
                user,
                jobs: Some((&self.machine.pool.client, self.machine.pool.size)),
            };
            let on_step = |step: &str| told(&format!("Running step {step}."));
            match sandbox::run(&job, cancel, on_step).await {
                Ok(_) => {}
                Err(SandboxError::Failed { step, how }) => {
                    about.push(format!("Step {step}, which comes before, failed ({how}):"));
                    about.extend(sandbox::tail(&log, 10).into_iter().map(|it| format!("  | {it}")));
                }
                Err(error) => return Err(error.into()),
            }
        }
        environment.insert("ENV".to_owned(), files::PROFILE.to_owned());
        Ok(Shell { folder, environment, about, user, in_use })
    }
}

impl Shell {
    /// Starts the shell on a terminal of its own, of this kind (`TERM`) and size.
    /// Must be called on a worker of a tokio runtime, because the sandbox dies with
    /// the thread that started it.
    pub fn open(
        mut self,
        terminal: &str,
        rows: u16,
        columns: u16,
    ) -> Result<(ShellInput, ShellOutput), SandboxError> {
        // The user's word may be anything, but it is no more than a name.
        let name = |byte: u8| byte.is_ascii_graphic();
        let terminal = if terminal.bytes().all(name) { terminal } else { "dumb" };
        self.environment.insert("TERM".to_owned(), terminal.to_owned());
        let (root, work) = (self.folder.root(), self.folder.work());
        let place =
            Place { root: &root, work: &work, environment: &self.environment, user: self.user };
        let about = self.about.iter().map(|line| format!("{line}\r\n")).collect::<String>();
        let foundation = Box::new((self.folder, self.in_use));
        sandbox::open(&place, (rows, columns), about, foundation)
    }
}

struct Prepared {
    folder: Folder,
    environment: BTreeMap<String, String>,
    about: Vec<String>,
    deadline: Duration,
}

fn prepare(
    known: &Known,
    request: &ShellRequest,
    fetcher: &Fetcher,
    user: Option<u32>,
) -> Result<Prepared, BuildError> {
    let name = &request.package;
    let package = known.package(name)?;
    let steps = files::steps(package, request.check);
    if let Some(step) = &request.step
        && !steps.contains(&step.as_str())
    {
        let (package, step) = (name.clone(), step.clone());
        return Err(BuildError::NoSuchStep { package, step, steps: steps.join(", ") });
    }
    let mut action = known.action(name, &dependencies(known, name)?)?;
    let locked = package.source.iter().map(|it| known.set.sources.get(&it.file));
    for source in locked.flatten() {
        fetcher.fetch(source, &|_| ())?;
    }
    let set = &known.set.file.name;
    let failure = known.store.failure(set, name)?.filter(|_| request.step.is_none());
    let kept = match &failure {
        Some(failure) => known.store.kept_work(set, failure)?,
        None => None,
    };
    let mut about = Vec::new();
    let begin = match (&failure, &kept, &request.step) {
        (Some(failure), Some(_), _) => {
            about.push(format!("{name}: /build is as it was left: {}.", failure.reason));
            if failure.action.as_ref() != Some(&action.digest) {
                about.push("The recipe or its inputs have changed since.".to_owned());
            }
            if failure.step == one::OUTPUTS {
                about.push("The files of $OUT were taken out: `step install` again.".to_owned());
            }
            failure.step.as_str()
        }
        (_, _, Some(step)) => {
            about.push(format!("{name}: all before step {step} was done."));
            step
        }
        _ => {
            about.push(format!("{name}: the sources are unpacked and patched."));
            "build"
        }
    };
    about.push("The steps' variables are set ($SRC $BUILD $OUT $FILES ...).".to_owned());
    let runnable = files::runnable(package, request.check).join(" ");
    about.push(format!("`step NAME` runs one: {runnable}. `exit` ends."));
    let toolchain = known.graph.needs.get(name).map_or("", |it| &it.toolchain);
    let target = known.set.file.toolchains.get(toolchain).map_or("", |it| &it.target);
    let step = request.step.as_deref();
    let script = files::until(package, request.check, step);
    files::put(&known.store, &mut action.root, files::UNTIL, &script)?;
    let profile = files::profile(package, target, begin);
    files::put(&known.store, &mut action.root, files::PROFILE, &profile)?;
    let path = one::lay_out(&known.store, name, &action, user)?.keep();
    let deadline = Duration::from_secs(package.deadline);
    let folder = Folder { path, kept };
    Ok(Prepared { folder, environment: action.environment, about, deadline })
}

/// The results of all that the package needs.
fn dependencies(known: &Known, name: &str) -> Result<Records, BuildError> {
    let mut records = Records::new();
    let mut missing = Vec::new();
    for other in plan::order(known).into_iter().filter(|other| other != name) {
        let need = known.graph.needs.get(&other);
        let due = need.is_some_and(|need| need.after.iter().all(|it| records.contains_key(it)));
        if !due || plan::settle(known, &other, None, &mut records)?.is_some() {
            missing.push(other);
        }
    }
    if missing.is_empty() {
        return Ok(records);
    }
    Err(BuildError::Needs { package: name.to_owned(), missing: missing.join(", ") })
}

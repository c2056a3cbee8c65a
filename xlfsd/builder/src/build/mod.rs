//! The builder's face: open it on a store and a release set, ask for a plan,
//! start builds, read what happens, cancel.
//!
//! `plan` says what would be built and why; `schedule` runs a build; `one` builds
//! one package; `pool` shares the jobs; `known` keeps what a build has read; `events` tells of it.

mod away;
mod events;
mod known;
mod one;
mod plan;
mod pool;
mod schedule;
mod shell;
mod task;
mod verify;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::action::ActionError;
use crate::graph::{self, GraphError};
use crate::image::{ImageError, InputError, inputs};
use crate::pattern::PatternError;
use crate::recipe::{LoadError, RecipeSet};
use crate::remote::{self, Remote, RemoteError};
use crate::sandbox::SandboxError;
use crate::source::{Fetcher, Places, SourceError};
use crate::store::{Collected, Store, StoreError};
use crate::toolchain::ToolchainError;
use crate::tree::Conflict;

pub use events::{Cause, Event, EventLog, EventReader, History, Numbered, Summary};
pub use plan::{Plan, Planned, Standing};
pub use shell::{Shell, ShellRequest};
pub use verify::{Difference, Verified};

use known::Known;
use one::Machine;

/// Why something of a build went wrong.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum BuildError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Graph(#[from] GraphError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Action(#[from] ActionError),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error(transparent)]
    Input(#[from] InputError),
    #[error("the toolchain cannot be copied from this machine")]
    Host(#[from] ToolchainError),
    #[error("the packages of the toolchain {toolchain} do not fit together")]
    Toolchain {
        toolchain: String,
        #[source]
        source: Conflict,
    },
    #[error("{package} is in the plan, but not in the set (did a recipe change meanwhile?)")]
    Vanished { package: String },
    #[error("{package} has no result to compare with: build it first")]
    NotBuilt { package: String },
    #[error("{package} has no step {step:?}; it has {steps}")]
    NoSuchStep { package: String, step: String, steps: String },
    #[error("the sandbox of {package} needs what is not built: {missing} (build {package} first)")]
    Needs { package: String, missing: String },
    #[error("permission: the package has no file or folder {path:?}")]
    NoSuchFile { path: String },
    #[error("outputs: nothing in the package matches {pattern:?}")]
    NothingMatches { pattern: String },
    #[error("outputs cannot be told apart")]
    Pattern(#[source] PatternError),
    #[error("the disk of the store {} is full: free some space or run gc, and start again: what is built is kept", folder.display())]
    DiskFull {
        folder: PathBuf,
        #[source]
        source: Box<BuildError>,
    },
    #[error("the pool of jobs cannot be made")]
    Pool(#[source] std::io::Error),
}

/// What a builder works with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where results are kept.
    pub store: PathBuf,
    /// The release set.
    pub recipes: PathBuf,
    /// Size of the pool of jobs; 0: as many as there are processors.
    pub jobs: usize,
    /// How many packages may be built here at the same time; 0: as many as there are jobs.
    /// With 1 they come one after another, each with the whole pool for its make.
    pub packages: usize,
    /// Where sources are looked for beside the lock's places.
    pub places: Places,
    /// A remote executor that builds packages instead of this machine.
    pub remote: Option<remote::Config>,
    /// Who steps run as when the builder is root.
    pub user: u32,
}

impl Config {
    /// With the usual values for everything else.
    pub fn new(store: PathBuf, recipes: PathBuf) -> Self {
        let (places, user) = (Places::default(), BUILD_USER);
        Self { store, recipes, jobs: 0, packages: 0, places, remote: None, user }
    }
}

/// A number that no Debian account has (its policy leaves 60000 to 64999 to
/// packages that ask for one, and none has this).
pub const BUILD_USER: u32 = 64_110;

/// What to build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// Packages and images.
    pub targets: Vec<String>,
    /// None: the set's.
    pub toolchain: Option<String>,
    /// Whether the targets' own tests run.
    pub check: bool,
    /// Packages that are built even if their results are there.
    pub rebuild: BTreeSet<String>,
    /// Files for the images that ask for them, by the inputs' names.
    pub inputs: BTreeMap<String, PathBuf>,
}

/// Builds of one release set in one store.
#[derive(Debug, Clone)]
pub struct Builder {
    store: Store,
    set: Arc<RecipeSet>,
    fetcher: Arc<Fetcher>,
    machine: Machine,
    remote: Option<remote::Config>,
}

impl Builder {
    /// Opens the store and reads the set.
    pub fn open(config: &Config) -> Result<Self, BuildError> {
        let set = Arc::new(RecipeSet::load(&config.recipes)?);
        let store = Store::open(&config.store)?;
        let root = nix::unistd::geteuid().is_root();
        let user = root.then_some(config.user);
        if let Some(user) = user {
            store.reachable_by(user)?;
        }
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let jobs = if config.jobs == 0 { processors } else { config.jobs };
        let pool = Arc::new(pool::Pool::new(jobs).map_err(BuildError::Pool)?);
        let suite = set.file.debian.as_ref().map(|it| it.suite.clone());
        let fetcher = Arc::new(Fetcher::new(store.clone(), config.places.clone(), suite));
        let packages = if config.packages == 0 { jobs } else { config.packages };
        let machine = Machine { pool, packages, user };
        config.remote.as_ref().map(Remote::check).transpose()?;
        let remote = config.remote.clone();
        Ok(Self { store, set, fetcher, machine, remote })
    }

    /// The set.
    pub fn set(&self) -> &RecipeSet {
        &self.set
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The places of sources.
    pub fn fetcher(&self) -> &Fetcher {
        &self.fetcher
    }

    /// Names of the inputs that these images ask for.
    pub fn wanted_inputs(&self, targets: &[String]) -> BTreeSet<String> {
        inputs::wanted(&self.set, targets).into_iter().map(|it| it.input).collect()
    }

    /// What would be built, and why. Reads the disk. Inputs that are missing are
    /// told in the plan; one that no image asks for is an error.
    pub fn plan(&self, request: &Request) -> Result<Plan, BuildError> {
        let known = self.known(request)?;
        let missing_inputs = inputs::missing(&self.set, &request.targets, &request.inputs)?;
        let at_once = self.machine.pool.size.min(self.machine.packages);
        let plan = plan::plan(&known, request, at_once)?;
        Ok(Plan { missing_inputs, ..plan })
    }

    /// Starts a build. Needs a tokio runtime with time and I/O, whose threads
    /// must outlive the build. Reads the inputs before it returns: each that an
    /// image asks for must be given, and no other.
    pub fn start(&self, request: Request) -> Result<Build, BuildError> {
        let known = Arc::new(self.known(&request)?);
        // Before the inputs: a collection must not take them before the build has begun.
        let in_use = self.store.in_use();
        let inputs = inputs::take(&self.store, &self.set, &request.targets, &request.inputs)?;
        let (log, cancel) = (EventLog::default(), CancellationToken::new());
        let scheduler = schedule::Scheduler {
            _in_use: in_use,
            inputs: Arc::new(inputs),
            known,
            machine: self.machine.clone(),
            fetcher: Arc::clone(&self.fetcher),
            log: log.clone(),
            cancel: cancel.clone(),
            rebuild: request.rebuild,
            remote: self.remote.clone(),
            tokens: pool::Tokens::new(&self.machine.pool).map_err(BuildError::Pool)?,
        };
        Ok(Build { log, cancel, task: tokio::spawn(scheduler.run()) })
    }

    /// Builds packages a second time, from what is in the store, and compares; of an
    /// image, all of its packages, and then composes it again (with the inputs that it
    /// was given).
    pub async fn verify(&self, request: &Request) -> Result<Vec<Verified>, BuildError> {
        self.verify_each(request, |_| {}).await
    }

    /// The same; `told` hears of each as soon as it is compared.
    pub async fn verify_each(
        &self,
        request: &Request,
        told: impl FnMut(&Verified) + Send,
    ) -> Result<Vec<Verified>, BuildError> {
        let _in_use = self.store.in_use();
        verify::verify(&Arc::new(self.known(request)?), &self.machine, told).await
    }

    /// Removes what nothing leads to; the set's sources stay. With `dry`, only tells
    /// what would go.
    pub fn collect(&self, dry: bool) -> Result<Collected, BuildError> {
        let digest = |it: &crate::recipe::LockedSource| crate::digest::Digest {
            hash: it.sha256.clone(),
            size: it.size,
        };
        let sources: Vec<_> = self.set.sources.values().map(digest).collect();
        let known = |name: &str| {
            // A recipe with mistakes is still one: its results stay.
            self.set.packages.contains_key(name)
                || self.set.images.contains_key(name)
                || self.set.problems.contains_key(name)
        };
        let forgotten = self.store.forgotten(&self.set.file.name, known)?;
        Ok(self.store.collect(&sources, &forgotten, dry)?)
    }

    fn known(&self, request: &Request) -> Result<Known, BuildError> {
        let graph = graph::resolve(&self.set, &request.targets, request.toolchain.as_deref())?;
        let checked = request.targets.iter().filter(|_| request.check).cloned().collect();
        Ok(Known::new(self.store.clone(), Arc::clone(&self.set), graph, checked))
    }
}

/// A build that goes on by itself. Dropping this does not end it.
#[derive(Debug)]
pub struct Build {
    log: EventLog,
    cancel: CancellationToken,
    task: JoinHandle<Summary>,
}

impl Build {
    /// All that happened and will happen.
    pub fn events(&self) -> &EventLog {
        &self.log
    }

    /// Ends it: steps under way are ended, results so far are kept.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Waits for its end.
    pub async fn finished(self) -> Summary {
        match self.task.await {
            Ok(summary) => summary,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

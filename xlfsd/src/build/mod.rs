//! Building from source, as the daemon serves it: one build at a time, which goes on
//! when nobody watches, and is known after a restart of the daemon.
//!
//! ```text
//!   api ── plan, start, watch, log, ... ──> Builds
//!                                             │  one place: a build, a verification
//!                                             │  or a collection at a time
//!                                             ├ threads   apart from those of guests
//!                                             ├ run       one build, from start to end
//!                                             ├ log       its events, also on disk
//!                                             └ record    what is known after a restart
//!                         crate xlfs-builder: recipes, store, sandboxes, schedule
//! ```
//!
//! A second build is refused and not queued: it would compete for the same processors
//! and end no earlier, and what it builds would depend on recipes that may have changed
//! by then. A build is a task too (`task`): its progress and end are among the others,
//! and it is cancelled like any of them.
//!
//! Each call opens the builder anew, so a recipe that was just changed counts. Nothing
//! of it is opened before somebody asks: a host that builds nothing pays nothing.

mod config;
mod import;
mod inspect;
mod log;
mod message;
mod place;
mod problem;
mod recipes;
mod record;
mod run;
mod sets;
mod shell;
mod sources;
mod table;
mod threads;
mod verify;

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::{OwnedRwLockReadGuard, RwLock};
use xlfs_builder::build::{Builder, Config};
use xlfs_builder::source::Places;
use xlfs_proto::v1 as pb;

pub use config::BuilderConfig;
pub use sources::Addition;

use crate::base::Base;
use crate::problem::{Problem, ProblemKind};
use table::Table;

/// The builds of this host. A clone is another handle to the same.
#[derive(Debug, Clone)]
pub struct Builds {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    base: Arc<Base>,
    config: BuilderConfig,
    /// Where results are kept.
    store: PathBuf,
    /// Root may have to let the sandboxes' user through it to the store.
    state_dir: PathBuf,
    table: Mutex<Table>,
    /// Held for reading while a store is open, for writing by a collection.
    gate: Arc<RwLock<()>>,
    /// Made when it is first needed.
    threads: Mutex<Option<Runtime>>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(threads) = self.threads.lock().take() {
            threads.shutdown_background();
        }
    }
}

/// Lets nobody collect while the store is open.
type InUse = OwnedRwLockReadGuard<()>;

impl Builds {
    /// Reads what became of earlier builds. Builds that a former daemon left in the
    /// middle are said to be interrupted. What cannot be read is told in the events.
    pub fn open(base: Arc<Base>, config: BuilderConfig, state_dir: PathBuf) -> Self {
        let store = config.store(&state_dir);
        let table = Table::open(state_dir.join("builds"), &base.events);
        let (table, gate, threads) = (Mutex::new(table), Arc::default(), Mutex::default());
        let shared = Shared { base, config, store, state_dir, table, gate, threads };
        Self { shared: Arc::new(shared) }
    }

    /// What a build would do, and why.
    pub async fn plan(&self, request: pb::BuildRequest) -> Result<pb::BuildPlan, Problem> {
        let config = self.shared.config.clone();
        self.with_builder(request.set.clone(), move |builder| {
            let asked = run::asked(builder, request)?;
            let inputs = run::inputs(builder, &asked, &config);
            let plan = builder.plan(&inputs).map_err(|error| problem::of(&error))?;
            let failure = |package: &str| {
                let failure = builder.store().failure(&asked.set, package);
                failure.map_err(|error| problem::of_store(&error))
            };
            message::plan_with_failures(&asked, plan, failure)
        })
        .await
    }

    /// Runs work on the threads of builds.
    async fn on_threads<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        self.threads()?.spawn_blocking(work).await.map_err(|error| halted(&error))
    }

    /// Opens the builder on a set, and keeps collections away meanwhile.
    async fn with_builder<T: Send + 'static>(
        &self,
        set: String,
        work: impl FnOnce(&Builder) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let (this, in_use) = (self.clone(), self.in_use().await);
        self.on_threads(move || {
            let _in_use = in_use;
            work(&this.builder(&set)?)
        })
        .await?
    }

    async fn in_use(&self) -> InUse {
        Arc::clone(&self.shared.gate).read_owned().await
    }

    /// Opens the builder. Reads the disk; only on the threads of builds, whose umask
    /// lets sandboxes read what is made.
    fn builder(&self, set: &str) -> Result<Builder, Problem> {
        let Shared { config, store, .. } = &*self.shared;
        let (_, recipes) = sets::choose(config, set)?;
        self.let_through()?;
        let places = Places { folders: config.sources.clone(), mirrors: config.mirrors.clone() };
        let config = Config {
            jobs: config.jobs,
            packages: config.packages,
            places,
            remote: config.remote.as_ref().map(Into::into),
            user: config.user,
            ..Config::new(store.clone(), recipes)
        };
        Builder::open(&config).map_err(|error| problem::of(&error))
    }

    /// Sandboxes of root run as another user, who must get through the state folder to
    /// a store in it. What else is there is private by its own modes.
    fn let_through(&self) -> Result<(), Problem> {
        use std::os::unix::fs::PermissionsExt;
        let Shared { store, state_dir, .. } = &*self.shared;
        if !store.starts_with(state_dir) || !nix::unistd::geteuid().is_root() {
            return Ok(());
        }
        let open = |meta: std::fs::Metadata| {
            let mut mode = meta.permissions();
            if mode.mode() & 0o001 == 0 {
                mode.set_mode(mode.mode() | 0o001);
                return std::fs::set_permissions(state_dir, mode);
            }
            Ok(())
        };
        std::fs::metadata(state_dir).and_then(open).map_err(|error| {
            let message = format!("{} cannot be opened to the builder's user", state_dir.display());
            Problem::internal(message).cause(&error)
        })
    }

    fn threads(&self) -> Result<Handle, Problem> {
        let mut threads = self.shared.threads.lock();
        if let Some(threads) = &*threads {
            return Ok(threads.handle().clone());
        }
        let made = threads::start(self.shared.config.nice)
            .map_err(|error| Problem::internal("no threads to build on").cause(&error))?;
        let handle = made.handle().clone();
        *threads = Some(made);
        Ok(handle)
    }
}

fn halted(error: &tokio::task::JoinError) -> Problem {
    let message = "the builder came to a halt";
    Problem::from_error(ProblemKind::Internal, "INTERNAL", message, error)
}

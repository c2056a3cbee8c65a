//! The pools of the configuration, by name.

use std::sync::Arc;

use super::{FolderPool, LvmPool, Pool, PoolConfig, PoolKind, PoolPlace};
use crate::event::EventBus;
use crate::problem::{FieldProblem, Problem};
use xlfs_mistakes::suggest::did_you_mean;

/// The pools of this host, in the order of the configuration.
#[derive(Debug, Clone)]
pub struct Pools {
    pools: Vec<PoolEntry>,
}

/// A pool of the configuration, also one that cannot be used.
#[derive(Debug, Clone)]
pub struct PoolEntry {
    pub name: String,
    pub kind: PoolKind,
    /// The folder, or the volume group and its thin pool.
    pub path: String,
    pub pool: Result<Arc<dyn Pool>, Problem>,
}

/// A pool, or why it cannot be used.
type Opened = Result<Arc<dyn Pool>, Problem>;

impl Pools {
    /// Opens every pool. One that cannot be opened (its disk is not there, say)
    /// is told as a warning and keeps no other from being used.
    pub fn open(configs: &[PoolConfig], events: &EventBus) -> Self {
        let open = |config: &PoolConfig| {
            let opened = open(config);
            if let Err(problem) = &opened {
                events.warn(
                    format!("pool {}", config.name),
                    "POOL_UNAVAILABLE",
                    format!("{problem:#}"),
                );
            }
            PoolEntry {
                name: config.name.clone(),
                kind: config.kind,
                path: path(config),
                pool: opened,
            }
        };
        Self { pools: configs.iter().map(open).collect() }
    }

    /// Of pools that are open already.
    pub fn of(pools: impl IntoIterator<Item = Arc<dyn Pool>>) -> Self {
        let entry = |pool: Arc<dyn Pool>| PoolEntry {
            name: pool.name().to_owned(),
            kind: pool.kind(),
            path: pool.about().path,
            pool: Ok(pool),
        };
        Self { pools: pools.into_iter().map(entry).collect() }
    }

    /// All of them, in the order of the configuration.
    pub fn entries(&self) -> &[PoolEntry] {
        &self.pools
    }

    /// Every pool, or why it cannot be used.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Result<&Arc<dyn Pool>, &Problem>)> {
        self.pools.iter().map(|entry| (entry.name.as_str(), entry.pool.as_ref()))
    }

    /// Where a volume goes that names no pool. NO_POOL.
    pub fn default_name(&self) -> Result<&str, Problem> {
        self.first().ok_or_else(|| {
            Problem::failed_precondition("NO_POOL", "this host has no pool for volumes")
                .hint("Declare one in xlfsd's configuration: [[pools]]")
        })
    }

    /// The pool that the configuration names first.
    pub fn first(&self) -> Option<&str> {
        self.pools.first().map(|entry| entry.name.as_str())
    }

    /// The pool `name`. NO_SUCH_POOL, or why it cannot be used.
    pub fn get(&self, name: &str) -> Result<Arc<dyn Pool>, Problem> {
        let names = || self.pools.iter().map(|entry| entry.name.as_str());
        match self.pools.iter().find(|known| known.name == name).map(|known| &known.pool) {
            Some(Ok(pool)) => Ok(pool.clone()),
            Some(Err(problem)) => {
                Err(problem.clone().context(format!("the pool {name} cannot be used")))
            }
            None => {
                let shown: String = name.chars().take(80).collect();
                let message =
                    format!("there is no pool {shown:?}{}", did_you_mean(&shown, names()));
                let hint = format!("There are {}.", names().collect::<Vec<_>>().join(", "));
                Err(Problem::not_found("NO_SUCH_POOL", message)
                    .object(format!("pool {shown}"))
                    .hint(hint))
            }
        }
    }
}

/// As its section says, whether or not that makes sense.
fn path(config: &PoolConfig) -> String {
    let folder = config.path.as_ref().map(|path| path.display().to_string());
    let group = config.volume_group.iter().chain(&config.thin_pool);
    folder.unwrap_or_else(|| group.map(String::as_str).collect::<Vec<_>>().join("/"))
}

fn open(config: &PoolConfig) -> Opened {
    let place = config.place().map_err(|(field, text)| {
        let fields = vec![FieldProblem::new(field, &text)];
        Problem::invalid("BAD_CONFIGURATION", format!("{field}: {text}"), fields)
    })?;
    match place {
        PoolPlace::Folder { path } => Ok(Arc::new(FolderPool::open(&config.name, &path)?)),
        PoolPlace::Lvm { volume_group, thin_pool } => {
            let pool = LvmPool::open(&config.name, &volume_group, thin_pool.as_deref())?;
            Ok(Arc::new(pool))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventLimits, Numbering};

    #[test]
    fn a_broken_pool_hurts_no_other_and_says_why() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        let mut configs = PoolConfig::default_pools(dir.path());
        let mut broken = configs[0].clone();
        broken.name = "broken".into();
        broken.path = Some(dir.path().join("file/volumes"));
        configs.push(broken);
        let events = EventBus::new(Numbering::starting_at(0), EventLimits::default());
        let pools = Pools::open(&configs, &events);
        assert_eq!(events.latest(), 1, "one warning");
        assert_eq!(pools.first(), Some("default"));
        assert_eq!(pools.get("default").unwrap().name(), "default");
        let problem = pools.get("broken").unwrap_err();
        assert_eq!(problem.message, "the pool broken cannot be used");
        assert!(!problem.causes.is_empty());
        let problem = pools.get("defualt").unwrap_err();
        assert_eq!(problem.reason, "NO_SUCH_POOL");
        assert!(problem.message.contains("did you mean \"default\""), "{problem}");
    }
}

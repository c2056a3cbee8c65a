//! What the operator sets about building; docs/configuration.md describes each key.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use xlfs_builder::build::BUILD_USER;
use xlfs_builder::remote;

use crate::problem::Problem;
use crate::size::ByteSize;

/// The section `[builder]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BuilderConfig {
    /// Folders with release sets; of one name, the later folder's is taken.
    pub recipes: Vec<PathBuf>,
    /// The set that is meant when none is named. Empty: the only one.
    pub set: String,
    /// Where results are kept. None: `store` below the state folder.
    pub store: Option<PathBuf>,
    /// Folders with source files.
    pub sources: Vec<PathBuf>,
    /// Addresses below which source files stand by their names.
    pub mirrors: Vec<String>,
    /// Size of the pool of jobs; 0: as many as there are processors.
    pub jobs: usize,
    /// How many packages are built at the same time; 0: as many as there are jobs.
    pub packages: usize,
    /// Who steps run as.
    pub user: u32,
    /// The niceness of everything that builds, 0 to 19.
    pub nice: i32,
    /// A build does not start with less free space on the store's disk.
    pub min_free: ByteSize,
    /// Builds that are remembered after they ended.
    pub keep: usize,
    /// The program that images get which ask for xlfsctl.
    pub xlfsctl: PathBuf,
    /// A remote executor that builds packages instead of this host.
    pub remote: Option<RemoteConfig>,
}

/// The section `[builder.remote]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoteConfig {
    /// `http://host:port` or `unix:/path`.
    pub address: String,
    /// The API's instance name.
    #[serde(default)]
    pub instance: String,
    /// How many packages it builds at the same time; 0: two.
    #[serde(default)]
    pub jobs: usize,
    /// Packages that it builds; empty: all.
    #[serde(default)]
    pub packages: BTreeSet<String>,
}

impl From<&RemoteConfig> for remote::Config {
    fn from(config: &RemoteConfig) -> Self {
        let RemoteConfig { address, instance, jobs, packages } = config.clone();
        Self { address, instance, jobs, packages }
    }
}

impl Default for BuilderConfig {
    fn default() -> Self {
        Self {
            recipes: vec!["/usr/share/xlfs/recipes".into(), "/etc/xlfs/recipes".into()],
            set: String::new(),
            store: None,
            sources: Vec::new(),
            mirrors: Vec::new(),
            jobs: 0,
            packages: 0,
            user: BUILD_USER,
            nice: 10,
            min_free: ByteSize::mib(1024),
            keep: 50,
            xlfsctl: "/usr/bin/xlfsctl".into(),
            remote: None,
        }
    }
}

impl BuilderConfig {
    /// Where results are kept.
    pub fn store(&self, state_dir: &Path) -> PathBuf {
        self.store.clone().unwrap_or_else(|| state_dir.join("store"))
    }

    /// Holds the values against what they may be.
    pub fn check(&self) -> Result<(), Problem> {
        let wrong = |key: &str, text: &str| {
            Err(Problem::invalid_field("BAD_CONFIGURATION", &format!("builder.{key}"), text))
        };
        let paths = [("recipes", &self.recipes), ("sources", &self.sources)];
        let paths = paths.into_iter().flat_map(|(key, list)| list.iter().map(move |it| (key, it)));
        let store = self.store.iter().map(|path| ("store", path));
        let all = paths.chain(store).chain([("xlfsctl", &self.xlfsctl)]);
        if let Some((key, path)) = all.into_iter().find(|(_, path)| !path.is_absolute()) {
            return wrong(key, &format!("{} must be an absolute path", path.display()));
        }
        if !(0..=19).contains(&self.nice) {
            return wrong("nice", &format!("{} must be 0 to 19", self.nice));
        }
        if self.user == 0 {
            return wrong("user", "must not be root: recipes run programs of others");
        }
        Ok(())
    }
}

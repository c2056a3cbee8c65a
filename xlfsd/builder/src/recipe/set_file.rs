//! `set.toml`: what holds for a whole release set.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::package::OutputPatterns;

/// The file as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetFile {
    /// As the folder is called.
    pub name: String,
    /// One line.
    pub summary: String,
    /// Seconds since 1970: the time stamp of everything that is made.
    pub source_date_epoch: u64,
    /// The default toolchain.
    pub toolchain: String,
    /// Where `debian` places are looked up.
    pub debian: Option<DebianSuite>,
    /// Variables for all steps.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Outputs of all packages, after a recipe's own.
    #[serde(default)]
    pub outputs: OutputPatterns,
    /// By name.
    #[serde(default)]
    pub toolchains: BTreeMap<String, Toolchain>,
}

/// A suite of Debian's archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DebianSuite {
    /// Its code name.
    pub suite: String,
}

/// A root in which steps run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Toolchain {
    /// One line.
    pub summary: String,
    /// Another toolchain that is part of this one.
    pub on: Option<String>,
    /// Packages that are installed on the building machine.
    #[serde(default)]
    pub debian: Vec<String>,
    /// Packages of the set.
    #[serde(default)]
    pub packages: Vec<String>,
    /// Packages that stand in for others where this toolchain builds.
    #[serde(default)]
    pub instead: BTreeMap<String, String>,
    /// The triple for `$TARGET`.
    pub target: String,
    /// Variables for all steps.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
}

//! The file of one package, `<package>.toml`, as it is written. What its words
//! mean stands in docs/recipes.md; what they must fulfil, in `check`.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// How one package is built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// As the file is called.
    pub name: String,
    /// Upstream's version.
    pub version: String,
    /// An SPDX expression.
    pub licence: String,
    /// One line.
    pub summary: String,
    /// Why the set has it.
    pub why: String,
    /// For people and the bill of materials.
    pub homepage: Option<String>,
    /// One of the set's toolchains; none: the build's.
    pub toolchain: Option<String>,
    /// Where `configure` to `install` run.
    #[serde(default)]
    pub build_in: BuildIn,
    /// Whether debugging symbols leave the ELF files.
    #[serde(default = "yes")]
    pub strip: bool,
    /// Whether its make shares the pool of jobs.
    #[serde(default)]
    pub jobs: Jobs,
    /// Applied in order with `patch -p1`.
    #[serde(default)]
    pub patches: Vec<String>,
    /// Seconds without output after which a step is ended.
    #[serde(default = "twenty_minutes")]
    pub deadline: u64,
    /// What it is built from.
    #[serde(default)]
    pub source: Vec<SourceUse>,
    /// What it needs.
    #[serde(default)]
    pub depends: Depends,
    /// The shell fragments.
    pub steps: Steps,
    /// Variables for the steps.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Names of outputs and the patterns of their files, in the file's order.
    #[serde(default)]
    pub outputs: OutputPatterns,
    /// Exceptions from the usual modes and owners.
    #[serde(default)]
    pub permission: Vec<Permission>,
    /// A kernel's configuration.
    pub kernel: Option<Kernel>,
}

fn yes() -> bool {
    true
}

fn twenty_minutes() -> u64 {
    1200
}

/// Where the steps after `prepare` run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BuildIn {
    /// In the source folder.
    #[default]
    Source,
    /// In an empty folder beside it.
    Separate,
}

/// How many jobs a package's make may run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Jobs {
    /// As many as the pool has free.
    #[default]
    Shared,
    /// One.
    Alone,
}

/// A source file that a package uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceUse {
    /// Its name in `sources.lock`.
    pub file: String,
    /// Folder below `$SRC` for its contents.
    pub into: Option<String>,
    /// Whether it is unpacked at all.
    #[serde(default = "yes")]
    pub unpack: bool,
}

/// What a package needs: entries are `package` or `package:output`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Depends {
    /// In the sandbox while it is built.
    #[serde(default)]
    pub build: Vec<String>,
    /// Wherever it goes.
    #[serde(default)]
    pub run: Vec<String>,
}

/// The shell fragments, in the order in which they run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Steps {
    /// Instead of the builder's own unpacking.
    pub unpack: Option<String>,
    /// After patching.
    pub prepare: Option<String>,
    /// Looks at the sandbox.
    pub configure: Option<String>,
    /// Compiles.
    pub build: Option<String>,
    /// The package's own tests.
    pub check: Option<String>,
    /// Fills `$OUT`.
    pub install: String,
}

/// Outputs and their patterns, first match wins.
pub type OutputPatterns = IndexMap<String, Vec<String>>;

/// An exception from mode 0644 or 0755 and owner root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Permission {
    /// Without a leading slash.
    pub path: String,
    /// Octal.
    pub mode: Option<String>,
    /// `uid:gid` in numbers.
    pub owner: Option<String>,
}

/// How `kernel-config` makes the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kernel {
    /// A target of the kernel's make.
    pub base: String,
    /// Names of files in `kernel/`, without `.config`.
    pub fragments: Vec<String>,
    /// What options get that no fragment names and some fragment makes possible.
    #[serde(default)]
    pub rest: Rest,
}

/// Who answers for options that no fragment names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rest {
    /// Kconfig's defaults.
    #[default]
    Default,
    /// The base, which must answer every question alike.
    Base,
}

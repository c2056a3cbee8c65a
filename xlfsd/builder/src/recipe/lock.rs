//! `sources.lock`: what every source file must be, and where it may come from.

use serde::{Deserialize, Serialize};

/// The whole file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// One entry a file.
    #[serde(default)]
    pub source: Vec<LockedSource>,
}

/// One file of upstream, pinned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedSource {
    /// The name by which recipes know it.
    pub file: String,
    /// In bytes.
    pub size: u64,
    /// 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// Tried in order, after local folders and mirrors.
    #[serde(default)]
    pub places: Vec<Place>,
}

/// Where a file may come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Place {
    /// A source package of the set's Debian suite.
    Debian(DebianPlace),
    /// An address.
    Url(UrlPlace),
}

/// A Debian source package in one version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DebianPlace {
    /// Its name.
    pub debian: String,
    /// Its full version, with epoch and revision.
    pub version: String,
    /// The file's name there; none: as in the lock.
    pub file: Option<String>,
}

/// An address of upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UrlPlace {
    /// `http://` or `https://`.
    pub url: String,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Debian(place) => {
                write!(f, "Debian source package {} {}", place.debian, place.version)
            }
            Self::Url(place) => f.write_str(&place.url),
        }
    }
}

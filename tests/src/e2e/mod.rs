//! End-to-end scenarios: what the product promises, shown on real Xen.

pub mod boot;
pub mod lifetime;

use thiserror::Error;

use crate::dom0::Dom0Error;
use crate::lab::LabError;

/// Why a scenario did not pass.
#[derive(Debug, Error)]
pub enum ScenarioError {
    /// The machine did not come up.
    #[error("no Dom0")]
    Lab(#[from] LabError),
    /// Dom0 did not answer as it should.
    #[error("trouble in Dom0")]
    Dom0(#[from] Dom0Error),
    /// The host's side of a scenario failed.
    #[error("trouble on the host")]
    Host {
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// Something is not as promised.
    #[error("expected {expected}, observed {observed}")]
    Broken {
        /// The promise.
        expected: String,
        /// What was there instead.
        observed: String,
    },
}

/// Holds a promise against what is observed.
pub fn check(
    holds: bool,
    expected: impl Into<String>,
    observed: impl std::fmt::Display,
) -> Result<(), ScenarioError> {
    if holds {
        return Ok(());
    }
    Err(ScenarioError::Broken { expected: expected.into(), observed: observed.to_string() })
}

/// A scenario and what `lab e2e` calls it.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// What it shows, in one line.
    pub about: &'static str,
    /// Boots what it needs and checks it.
    pub run: fn() -> Result<(), ScenarioError>,
}

/// All scenarios.
pub const SCENARIOS: &[Scenario] = &[boot::SCENARIO, lifetime::SCENARIO];

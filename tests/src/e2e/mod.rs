//! End-to-end scenarios: what the product promises, shown on real Xen.
//!
//! Most scenarios share one boot of the lab, with xlfsd running in its Dom0
//! ([`host`]). After each, [`nothing_left`] weighs Dom0 against what it was
//! before. [`runner`] takes them in their order and tells how they went.

pub mod documents;
pub mod guests;
pub mod host;
pub mod keyboard;
pub mod nothing_left;
pub mod runner;

mod asked;
mod boot;
mod consoles;
mod crash;
mod daemon;
mod destroy;
mod disks;
mod from_source;
mod hotplug;
mod kernels;
mod lifecycle;
mod lifetime;
mod network;
mod pools;
mod refusals;
mod resources;
mod services;
mod snapshots;
mod spoofing;
mod third_party;
mod tiny_kernel;

use thiserror::Error;

use crate::dom0::Dom0Error;
use crate::initramfs::dom0::TreeError;
use crate::kernels::KernelError;
use crate::lab::LabError;

use host::Host;

/// Why a scenario did not pass.
#[derive(Debug, Error)]
pub enum ScenarioError {
    /// The machine did not come up.
    #[error("no Dom0")]
    Lab(#[from] LabError),
    /// Dom0 did not answer as it should.
    #[error("trouble in Dom0")]
    Dom0(#[from] Dom0Error),
    /// A guest's kernel does not come in the wanted form.
    #[error("no kernel to try")]
    Kernel(#[from] KernelError),
    /// A guest's initramfs cannot be packed.
    #[error("no initramfs to try")]
    Tree(#[from] TreeError),
    /// The host's side of a scenario failed.
    #[error("trouble on the host")]
    Host {
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// A program's output is not of its schema.
    #[error("cannot read what `{command}` printed: {text}")]
    Schema {
        /// The command line.
        command: String,
        /// What it printed.
        text: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A file system could not be made.
    #[error("no image of a disk")]
    Ext4(#[from] crate::ext4::Ext4Error),
    /// The lab's pieces.
    #[error("the lab's pieces are not complete")]
    Pieces(#[from] crate::pieces::PiecesError),
    /// The image of a guest that serves.
    #[error("no image of a guest")]
    Image(#[from] crate::images::ImageError),
    /// The image that the builder makes.
    #[error("no image from source")]
    Built(#[from] crate::built::BuiltError),
    /// Something on the machine that runs the lab.
    #[error("cannot {doing}")]
    Here {
        /// What was being done.
        doing: &'static str,
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

/// How a scenario, or a part of it, went.
pub type Outcome<T = ()> = Result<T, ScenarioError>;

/// Holds a promise against what is observed.
pub fn check(
    holds: bool,
    expected: impl Into<String>,
    observed: impl std::fmt::Display,
) -> Outcome {
    if holds {
        return Ok(());
    }
    Err(ScenarioError::Broken { expected: expected.into(), observed: observed.to_string() })
}

/// What a scenario runs on.
#[derive(Debug, Clone, Copy)]
pub enum Stage {
    /// It boots what it needs.
    Alone(fn() -> Outcome),
    /// The shared host, which it leaves as it was.
    Shared(fn(&Host) -> Outcome),
    /// The shared host, which is of no use afterwards.
    Last(fn(&Host) -> Outcome),
}

/// A scenario and what `lab e2e` calls it.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// What it shows, in one line.
    pub about: &'static str,
    /// What it does.
    pub stage: Stage,
}

impl Scenario {
    const fn alone(name: &'static str, about: &'static str, run: fn() -> Outcome) -> Self {
        Self { name, about, stage: Stage::Alone(run) }
    }

    const fn shared(name: &'static str, about: &'static str, run: fn(&Host) -> Outcome) -> Self {
        Self { name, about, stage: Stage::Shared(run) }
    }
}

/// All scenarios, in the order in which they run.
pub const SCENARIOS: &[Scenario] = &[
    boot::SCENARIO,
    lifetime::SCENARIO,
    lifecycle::LIFECYCLE,
    lifecycle::REBOOT_SCENARIO,
    lifecycle::PAUSE,
    lifecycle::VCPUS,
    crash::CRASH,
    crash::BRAKE,
    destroy::DESTROY,
    resources::MEMORY,
    kernels::FORMS,
    kernels::MALFORMED,
    resources::TWENTY,
    daemon::RESTART,
    daemon::KILLED,
    refusals::BAD_INPUT,
    refusals::DRY_RUNS,
    refusals::UNMANAGED,
    consoles::CONSOLES,
    consoles::FLOOD,
    disks::DISKS,
    disks::NO_DISKS,
    hotplug::HOTPLUG,
    hotplug::BAD_HOTPLUG,
    snapshots::SNAPSHOTS,
    snapshots::KEPT,
    network::NETWORK,
    network::NO_NETWORK,
    spoofing::SCENARIO,
    third_party::SCENARIO,
    daemon::XENSTORED,
    pools::SCENARIO,
    from_source::SCENARIO,
    services::LAPP,
    services::DNS,
    services::MAIL,
];

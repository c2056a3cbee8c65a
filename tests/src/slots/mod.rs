//! A host as it is installed: QEMU boots the disk of the image `dom0` by GRUB, and
//! everything on it is the image's own. Nothing of the lab runs in it; it is reached
//! by SSH, with the key that its configuration disk gave it.
//!
//! The images are given by path, because they take hours to build: `make images`
//! builds them and then runs `lab host`. [`scenarios`] upgrade that host, break it and
//! see it come back; [`variants`] makes images that are broken in one way each.

mod machine;
pub mod scenarios;
mod variants;

use std::io;
use std::path::PathBuf;

use thiserror::Error;

pub use machine::{Machine, Media};
pub use variants::{Variant, make};

use crate::qemu::QemuError;

/// What is booted, and what is written into its slots.
#[derive(Debug, Clone)]
pub struct Images {
    /// The disk, `dom0.img`.
    pub disk: PathBuf,
    /// A slot's file system, `dom0.ext4`.
    pub slot: PathBuf,
    /// Kernel and ramdisk of the template `minimal`.
    pub guest: Option<(PathBuf, PathBuf)>,
}

/// Why a scenario failed.
#[derive(Debug, Error)]
pub enum SlotsError {
    /// QEMU.
    #[error("the machine does not run")]
    Qemu(#[from] QemuError),
    /// A file or program of the lab's.
    #[error("cannot {what}")]
    System {
        /// What was tried.
        what: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A command on the host.
    #[error("`{command}` on the host: {message}")]
    Command {
        /// As the host's shell got it.
        command: String,
        /// Exit code and what it said.
        message: String,
    },
    /// Something did not come true.
    #[error("{0}")]
    Other(String),
}

/// For `map_err`.
pub(crate) fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> SlotsError {
    let what = what.into();
    move |source| SlotsError::System { what, source }
}

/// For conditions that should hold.
pub(crate) fn check(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), SlotsError> {
    if holds { Ok(()) } else { Err(SlotsError::Other(otherwise())) }
}

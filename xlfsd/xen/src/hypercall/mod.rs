//! Typed hypercalls.
//!
//! [`Xen`] is an open privcmd device together with the ABI of the hypervisor
//! behind it. Each file here is one hypercall; errors say which, on what, and
//! in which version of the interface ([`HypercallError`]).
#![allow(unsafe_code)]

mod domctl;
mod error;
mod event;
mod grant;
mod memory;
mod mmu;
mod sysctl;
mod version;
mod watchdog;

use std::sync::Arc;

use crate::abi::{Abi, AbiError};
use crate::privcmd::{OpenError, Privcmd};

pub use domctl::{DomainInfo, Limits, SchedParams, ShutdownReason, VcpuState};
pub use error::{DomainId, HypercallError};
pub use memory::Extents;
pub use sysctl::{Cpu, NumaNode, PhysInfo, Scheduler};
pub use version::Version;
pub use watchdog::{TIMERS, WatchdogId};

/// The hypervisor: where to ask, and in which dialect.
#[derive(Debug, Clone)]
pub struct Xen {
    privcmd: Arc<Privcmd>,
    abi: Arc<Abi>,
    version: Version,
}

/// Why the hypervisor cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum XenError {
    /// No Xen, or no access.
    #[error("cannot reach the hypervisor")]
    Open(#[from] OpenError),
    /// It did not say who it is.
    #[error("the hypervisor does not answer")]
    Version(#[source] HypercallError),
    /// A release without data.
    #[error("this hypervisor cannot be driven")]
    Unsupported(#[from] AbiError),
    /// The release is known, but the interface is another one.
    #[error(
        "the hypervisor calls itself Xen {version} but refuses domctl interface {domctl} \
         or sysctl interface {sysctl}, which that release has"
    )]
    Mismatch {
        /// As XENVER_version and XENVER_extraversion said.
        version: String,
        /// What was tried.
        domctl: u32,
        /// What was tried.
        sysctl: u32,
        /// How it refused.
        #[source]
        source: HypercallError,
    },
}

impl Xen {
    /// Opens the device, asks for the release and confirms its interface with
    /// two calls that change nothing.
    ///
    /// # Errors
    /// [`XenError`]; each variant is a different thing to do.
    pub fn open() -> Result<Self, XenError> {
        let privcmd = Privcmd::open()?;
        let version = version::read(&privcmd).map_err(XenError::Version)?;
        let abi = Abi::for_release(version.major, version.minor)?;
        let xen = Self { privcmd: Arc::new(privcmd), abi: Arc::new(abi), version };
        let mismatch = |source| XenError::Mismatch {
            version: xen.version.to_string(),
            domctl: xen.abi.domctl_version,
            sysctl: xen.abi.sysctl_version,
            source,
        };
        xen.phys_info().map_err(mismatch)?;
        xen.domain_info(DomainId(0)).map_err(mismatch)?;
        Ok(xen)
    }

    /// What the hypervisor says of itself.
    #[must_use]
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// The layouts in use.
    #[must_use]
    pub fn abi(&self) -> &Abi {
        &self.abi
    }

    /// The device, for mappings.
    #[must_use]
    pub fn privcmd(&self) -> &Privcmd {
        &self.privcmd
    }

    fn fail(
        &self,
        call: &'static str,
        operation: &'static str,
        domain: Option<DomainId>,
        errno: nix::errno::Errno,
    ) -> HypercallError {
        let interface = match call {
            "domctl" => Some(self.abi.domctl_version),
            "sysctl" => Some(self.abi.sysctl_version),
            _ => None,
        };
        HypercallError { call, operation, domain, errno, xen: self.version.to_string(), interface }
    }
}

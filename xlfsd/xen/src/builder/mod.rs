//! Builds a paravirtualised x86_64 domain out of a kernel's plan.
//!
//! ```text
//! KernelPlan + sizes ──> Layout        where everything goes (no I/O, no Xen)
//!                          │
//! create ──> limits ──> populate ──> load ──> start        on a paused domain
//!              vCPUs      P2m          kernel, ramdisk,      vCPU 0, pinned
//!              CPUID                   p2m, page tables,     page tables
//!              max_mem                 start_info, grants
//! ```
//!
//! Nothing here undoes anything: whoever made the domain destroys it when a
//! stage fails, and every mapping is gone by then. Sources: public/xen.h
//! ("Start-of-day memory layout"), public/elfnote.h, public/arch-x86/xen.h.

mod context;
mod cpuid;
mod layout;
mod load;
mod page_tables;
mod populate;
mod start_info;
#[cfg(test)]
mod tests;

use crate::hypercall::{DomainId, HypercallError, Limits, Xen};
use crate::privcmd::MapError;

pub use layout::{Layout, LayoutError, LayoutRequest, Region};
pub use load::Sources;
pub use populate::P2m;

/// Memory that a domain may have beyond what it is given, in KiB: room for
/// what Linux's balloon driver takes and gives back.
const SLACK_KIB: u64 = 1024;

/// Why a domain could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The hypervisor refused.
    #[error("the hypervisor refused a step of the build")]
    Hypercall(#[from] HypercallError),
    /// A frame of the new domain could not be mapped.
    #[error("memory of the new domain cannot be written")]
    Map(#[from] MapError),
    /// The kernel does not fit.
    #[error("the guest's memory cannot be laid out")]
    Layout(#[from] LayoutError),
    /// The hypervisor ran out of memory.
    #[error("the hypervisor gave {got} of {wanted} pages of 4 KiB")]
    OutOfMemory {
        /// Pages asked for.
        wanted: u64,
        /// Pages that it gave.
        got: u64,
    },
    /// The kernel's or the ramdisk's file could not be read.
    #[error("cannot read the {what}")]
    Read {
        /// "kernel" or "ramdisk".
        what: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The domain vanished while it was built.
    #[error("domain {0} is gone")]
    Gone(DomainId),
    /// The task was cancelled.
    #[error("cancelled")]
    Cancelled,
}

/// What the outside needs to know of a built domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Built {
    /// Machine frame of the xenstore ring.
    pub store_mfn: u64,
    /// The guest's event channel port for xenstore.
    pub store_port: u32,
    /// Machine frame of the console ring.
    pub console_mfn: u64,
    /// The guest's event channel port for its console.
    pub console_port: u32,
}

/// A new domain, paused and not yet able to run.
#[derive(Debug)]
pub struct Builder<'a> {
    xen: &'a Xen,
    domid: DomainId,
}

impl<'a> Builder<'a> {
    /// For a domain that [`Xen::create_domain`] made with the same `limits`.
    #[must_use]
    pub fn new(xen: &'a Xen, domid: DomainId) -> Self {
        Self { xen, domid }
    }

    /// Makes its vCPUs and says how much memory it may have.
    ///
    /// # Errors
    /// [`BuildError::Hypercall`].
    pub fn limit(&self, limits: Limits, pages: u64) -> Result<(), BuildError> {
        self.xen.set_max_vcpus(self.domid, limits.vcpus)?;
        cpuid::apply(self.xen, self.domid)?;
        self.xen.set_max_memory(self.domid, pages * 4 + SLACK_KIB)?;
        Ok(())
    }

    /// Gives it its memory. `cancelled` is looked at between batches.
    ///
    /// # Errors
    /// [`BuildError::OutOfMemory`], [`BuildError::Cancelled`].
    pub fn populate(&self, pages: u64, cancelled: &dyn Fn() -> bool) -> Result<P2m, BuildError> {
        populate::populate(self.xen, self.domid, pages, cancelled)
    }

    /// Fills its memory: kernel, ramdisk, tables, start_info and grants.
    ///
    /// # Errors
    /// Any [`BuildError`] but `Layout` and `OutOfMemory`.
    pub fn load(
        &self,
        layout: &Layout,
        p2m: &P2m,
        sources: &Sources<'_>,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Built, BuildError> {
        load::load(self.xen, self.domid, layout, p2m, sources, cancelled)
    }

    /// Pins the page tables and gives vCPU 0 its first state. The domain can be
    /// unpaused after this.
    ///
    /// # Errors
    /// [`BuildError::Hypercall`].
    pub fn start(&self, layout: &Layout, p2m: &P2m) -> Result<(), BuildError> {
        let root = p2m.mfn(layout.page_tables.first);
        self.xen.pin_l4_table(self.domid, root)?;
        let context = context::vcpu0(&self.xen.abi().layouts, layout, root);
        self.xen.set_vcpu_context(self.domid, 0, &context)?;
        Ok(())
    }
}

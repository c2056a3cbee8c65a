//! `memory_op`: a domain's memory. Source: public/memory.h.

use super::{DomainId, HypercallError, Xen};
use crate::abi::numbers::{HYPERVISOR_MEMORY_OP, XENMEM_POPULATE_PHYSMAP};

/// Extents to populate: where they go, and how large each is.
#[derive(Debug, Clone, Copy)]
pub struct Extents<'a> {
    /// The first guest frame of each.
    pub pfns: &'a [u64],
    /// log2 of the pages of each.
    pub order: u32,
}

impl Xen {
    /// Gives memory to a PV domain and returns the first machine frame of each
    /// extent that was populated, in order. The list is shorter than what was
    /// asked when the hypervisor ran out of (contiguous) memory.
    ///
    /// # Errors
    /// What the call as a whole was refused for.
    pub fn populate(
        &self,
        domid: DomainId,
        extents: Extents<'_>,
    ) -> Result<Vec<u64>, HypercallError> {
        let layout = &self.abi.layouts.memory_reservation;
        let fail = |errno| self.fail("memory_op", "populate_physmap", Some(domid), errno);
        let mut frames = self.privcmd.buffer(extents.pfns.len() * 8).map_err(fail)?;
        for (place, pfn) in frames.as_chunks_mut().0.iter_mut().zip(extents.pfns) {
            *place = pfn.to_le_bytes();
        }
        let mut argument = self.privcmd.buffer(layout.size).map_err(fail)?;
        layout.extent_start.put(&mut argument, frames.address());
        layout.nr_extents.put(&mut argument, extents.pfns.len() as u64);
        layout.extent_order.put(&mut argument, extents.order);
        layout.domid.put(&mut argument, domid.0);
        // SAFETY: the argument has the size of its struct, and the list that
        // it points to has as many entries as it says.
        let done = unsafe {
            let args = [XENMEM_POPULATE_PHYSMAP, argument.address(), 0, 0, 0];
            self.privcmd.hypercall(HYPERVISOR_MEMORY_OP, args)
        }
        .map_err(fail)? as usize;
        let frames = frames.as_chunks().0.iter().take(done);
        Ok(frames.map(|c| u64::from_le_bytes(*c)).collect())
    }
}

//! `mmuext_op`: page tables, and pages to clear. Source: public/xen.h.

use super::{DomainId, HypercallError, Xen};
use crate::abi::numbers::{HYPERVISOR_MMUEXT_OP, MMUEXT_CLEAR_PAGE, MMUEXT_PIN_L4_TABLE};

/// Pages that one call clears: so many that its cost vanishes.
const BATCH: usize = 1024;

impl Xen {
    /// Makes a domain's frame a checked top-level page table, and keeps it one.
    ///
    /// # Errors
    /// EINVAL when a table below it is wrong, or is mapped writable somewhere.
    pub fn pin_l4_table(&self, domid: DomainId, mfn: u64) -> Result<(), HypercallError> {
        let layout = &self.abi.layouts.mmuext_op;
        let fail = |errno| self.fail("mmuext_op", "pin_l4_table", Some(domid), errno);
        let mut op = self.privcmd.buffer(layout.size).map_err(fail)?;
        layout.cmd.put(&mut op, MMUEXT_PIN_L4_TABLE);
        layout.mfn.put(&mut op, mfn);
        // SAFETY: one operation of its struct's size; no count is asked back.
        unsafe {
            let args = [op.address(), 1, 0, u64::from(domid.0), 0];
            self.privcmd.hypercall(HYPERVISOR_MMUEXT_OP, args)
        }
        .map(|_| ())
        .map_err(fail)
    }

    /// Fills frames of a domain with zeros. Before Xen 4.3 this is for the
    /// caller's own frames only.
    ///
    /// # Errors
    /// EINVAL when a frame is not the domain's, or is in use as a table.
    pub fn clear_pages(&self, domid: DomainId, frames: &[u64]) -> Result<(), HypercallError> {
        let layout = &self.abi.layouts.mmuext_op;
        let fail = |errno| self.fail("mmuext_op", "clear_page", Some(domid), errno);
        for frames in frames.chunks(BATCH) {
            let mut ops = self.privcmd.buffer(layout.size * frames.len()).map_err(fail)?;
            for (op, mfn) in ops.chunks_exact_mut(layout.size).zip(frames) {
                layout.cmd.put(op, MMUEXT_CLEAR_PAGE);
                layout.mfn.put(op, *mfn);
            }
            // SAFETY: as many operations of their struct's size as there are
            // frames; no count is asked back.
            unsafe {
                let args = [ops.address(), frames.len() as u64, 0, u64::from(domid.0), 0];
                self.privcmd.hypercall(HYPERVISOR_MMUEXT_OP, args)
            }
            .map_err(fail)?;
        }
        Ok(())
    }
}

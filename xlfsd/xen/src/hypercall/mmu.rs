//! `mmuext_op`: page tables. Source: public/xen.h.

use super::{DomainId, HypercallError, Xen};
use crate::abi::numbers::{HYPERVISOR_MMUEXT_OP, MMUEXT_PIN_L4_TABLE};

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
}

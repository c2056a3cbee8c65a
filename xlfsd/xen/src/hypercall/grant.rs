//! `grant_table_op`, as the builder needs it. Source: public/grant_table.h.

use nix::errno::Errno;

use super::{DomainId, HypercallError, Xen};
use crate::abi::numbers::{GNTTABOP_SETUP_TABLE, HYPERVISOR_GRANT_TABLE_OP};

impl Xen {
    /// The machine frame of the first page of a domain's grant table.
    ///
    /// # Errors
    /// EINVAL with the hypervisor's status when it refuses.
    pub fn grant_table_frame(&self, domid: DomainId) -> Result<u64, HypercallError> {
        let layout = &self.abi.layouts.setup_table;
        let fail = |errno| self.fail("grant_table_op", "setup_table", Some(domid), errno);
        let frames = self.privcmd.buffer(8).map_err(fail)?;
        let mut op = self.privcmd.buffer(layout.size).map_err(fail)?;
        layout.dom.put(&mut op, domid.0);
        layout.nr_frames.put(&mut op, 1);
        layout.frame_list.put(&mut op, frames.address());
        // SAFETY: one operation of its struct's size, with a list of one frame.
        unsafe {
            let args = [GNTTABOP_SETUP_TABLE, op.address(), 1, 0, 0];
            self.privcmd.hypercall(HYPERVISOR_GRANT_TABLE_OP, args)
        }
        .map_err(fail)?;
        // GNTST_okay is 0, every error negative.
        if layout.status.get(&op) != 0 {
            return Err(fail(Errno::EINVAL));
        }
        let mut first = [0; 8];
        first.copy_from_slice(&frames[..8]);
        Ok(u64::from_le_bytes(first))
    }
}

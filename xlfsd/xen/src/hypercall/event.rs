//! `event_channel_op`, as the builder needs it. Source: public/event_channel.h.

use super::{DomainId, HypercallError, Xen};
use crate::abi::numbers::{EVTCHNOP_ALLOC_UNBOUND, HYPERVISOR_EVENT_CHANNEL_OP};

impl Xen {
    /// Makes an event channel port in `domid` to which `remote` may bind.
    ///
    /// # Errors
    /// ENOSPC when the domain has no port left.
    pub fn alloc_unbound_port(
        &self,
        domid: DomainId,
        remote: DomainId,
    ) -> Result<u32, HypercallError> {
        let layout = &self.abi.layouts.alloc_unbound;
        let fail = |errno| self.fail("event_channel_op", "alloc_unbound", Some(domid), errno);
        let mut op = self.privcmd.buffer(layout.size).map_err(fail)?;
        layout.dom.put(&mut op, domid.0);
        layout.remote_dom.put(&mut op, remote.0);
        // SAFETY: the buffer has the size of the operation's struct.
        unsafe {
            let args = [EVTCHNOP_ALLOC_UNBOUND, op.address(), 0, 0, 0];
            self.privcmd.hypercall(HYPERVISOR_EVENT_CHANNEL_OP, args)
        }
        .map_err(fail)?;
        Ok(layout.port.get(&op))
    }
}

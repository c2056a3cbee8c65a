//! vCPU 0 at its start. Source: public/arch-x86/xen{,-x86_64}.h.

use super::layout::Layout;
use crate::abi::Layouts;
use crate::abi::numbers::{
    FLAT_KERNEL_CS, FLAT_KERNEL_SS, PAGE_SHIFT, PAGE_SIZE, VGCF_IN_KERNEL, VGCF_ONLINE,
};

/// The interrupt flag.
const RFLAGS_IF: u64 = 1 << 9;

/// A `vcpu_guest_context` that begins at the kernel's entry with start_info in
/// RSI, on the first stack and the initial page tables.
pub(super) fn vcpu0(layouts: &Layouts, layout: &Layout, root_mfn: u64) -> Vec<u8> {
    let fields = &layouts.guest_context;
    let mut context = vec![0; fields.size];
    let stack_top = layout.virt(layout.stack) + PAGE_SIZE as u64;
    fields.flags.put(&mut context, VGCF_IN_KERNEL | VGCF_ONLINE);
    fields.kernel_ss.put(&mut context, u64::from(FLAT_KERNEL_SS));
    fields.kernel_sp.put(&mut context, stack_top);
    // CR3 is the fourth of eight.
    let cr3 = &mut fields.ctrlreg.of_mut(&mut context)[3 * 8..4 * 8];
    cr3.copy_from_slice(&(root_mfn << PAGE_SHIFT).to_le_bytes());

    let regs = fields.user_regs.of_mut(&mut context);
    let names = &layouts.user_regs;
    names.rip.put(regs, layout.entry);
    names.rsp.put(regs, stack_top);
    names.rsi.put(regs, layout.virt(layout.start_info));
    names.rflags.put(regs, RFLAGS_IF);
    names.cs.put(regs, FLAT_KERNEL_CS);
    names.ss.put(regs, FLAT_KERNEL_SS);
    context
}

//! What a guest sees, and the hypercalls that any domain makes. Sources:
//! public/{memory,xen,grant_table,event_channel}.h, arch-x86/xen{,-x86_64}.h.

use super::super::data::AbiData;
use super::super::field::{Field, LayoutError, Nested, resolve};
use super::member::{field_type, field_value, layout};

layout! {
    /// The argument of `XENMEM_populate_physmap`.
    MemoryReservation = "xen_memory_reservation" {
        req extent_start: u64 = "extent_start",
        req nr_extents: u64 = "nr_extents",
        req extent_order: u32 = "extent_order",
        req mem_flags: u32 = "mem_flags",
        req domid: u16 = "domid",
    }
}

layout! {
    /// A vCPU's state at its start.
    GuestContext = "vcpu_guest_context" {
        req flags: u64 = "flags",
        req user_regs: Nested = "user_regs",
        req kernel_ss: u64 = "kernel_ss",
        req kernel_sp: u64 = "kernel_sp",
        req ctrlreg: Nested = "ctrlreg",
    }
}

layout! {
    /// The registers in [`GuestContext`].
    UserRegs = "cpu_user_regs" {
        req rip: u64 = "rip",
        req rsp: u64 = "rsp",
        req rsi: u64 = "rsi",
        req rflags: u64 = "rflags",
        req cs: u16 = "cs",
        req ss: u16 = "ss",
        req ds: u16 = "ds",
        req es: u16 = "es",
        req fs: u16 = "fs",
        req gs: u16 = "gs",
    }
}

layout! {
    /// What a PV kernel finds at its start, with its address in RSI.
    StartInfo = "start_info" {
        req magic: [u8; 32] = "magic",
        req nr_pages: u64 = "nr_pages",
        req shared_info: u64 = "shared_info",
        req flags: u32 = "flags",
        req store_mfn: u64 = "store_mfn",
        req store_evtchn: u32 = "store_evtchn",
        req console_mfn: u64 = "console.domU.mfn",
        req console_evtchn: u32 = "console.domU.evtchn",
        req pt_base: u64 = "pt_base",
        req nr_pt_frames: u64 = "nr_pt_frames",
        req mfn_list: u64 = "mfn_list",
        req mod_start: u64 = "mod_start",
        req mod_len: u64 = "mod_len",
        req cmd_line: Nested = "cmd_line",
        req first_p2m_pfn: u64 = "first_p2m_pfn",
        req nr_p2m_frames: u64 = "nr_p2m_frames",
    }
}

layout! {
    /// A PV console's shared page.
    ConsoleRing = "xencons_interface" {
        req input: Nested = "in",
        req output: Nested = "out",
        req in_cons: u32 = "in_cons",
        req in_prod: u32 = "in_prod",
        req out_cons: u32 = "out_cons",
        req out_prod: u32 = "out_prod",
    }
}

layout! {
    /// `GNTTABOP_setup_table`.
    SetupTable = "gnttab_setup_table" {
        req dom: u16 = "dom",
        req nr_frames: u32 = "nr_frames",
        req status: u16 = "status",
        req frame_list: u64 = "frame_list",
    }
}

layout! {
    /// A grant of version 1.
    GrantEntry = "grant_entry_v1" {
        req flags: u16 = "flags",
        req domid: u16 = "domid",
        req frame: u32 = "frame",
    }
}

layout! {
    /// An entry of `mmuext_op`.
    MmuextOp = "mmuext_op" {
        req cmd: u32 = "cmd",
        req mfn: u64 = "arg1.mfn",
    }
}

layout! {
    /// `EVTCHNOP_alloc_unbound`.
    AllocUnbound = "evtchn_alloc_unbound" {
        req dom: u16 = "dom",
        req remote_dom: u16 = "remote_dom",
        req port: u32 = "port",
    }
}

layout! {
    /// The page that a domain shares with Xen.
    SharedInfo = "shared_info" {
        req vcpu_info: Nested = "vcpu_info",
    }
}

layout! {
    /// An entry of [`SharedInfo`].
    SharedVcpuInfo = "vcpu_info" {
        req evtchn_upcall_mask: u8 = "evtchn_upcall_mask",
    }
}

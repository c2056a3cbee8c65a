//! Numbers that are the same on every release that has them.
//!
//! A test compares each with the data of all 21 releases. Sources:
//! xen/include/public/{xen,domctl,sysctl,memory,version,sched,grant_table,
//! event_channel}.h and arch-x86/xen.h.

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident: $t:ty = $value:expr, $c:literal;)*) => {
        $(
            #[doc = concat!("`", $c, "`")]
            $(#[$doc])*
            pub const $name: $t = $value;
        )*

        #[cfg(test)]
        const ALL: &[(&str, i64)] = &[$(($c, $value as i64)),*];
    };
}

numbers! {
    HYPERVISOR_MMU_UPDATE: u64 = 1, "__HYPERVISOR_mmu_update";
    HYPERVISOR_MEMORY_OP: u64 = 12, "__HYPERVISOR_memory_op";
    HYPERVISOR_XEN_VERSION: u64 = 17, "__HYPERVISOR_xen_version";
    HYPERVISOR_GRANT_TABLE_OP: u64 = 20, "__HYPERVISOR_grant_table_op";
    HYPERVISOR_MMUEXT_OP: u64 = 26, "__HYPERVISOR_mmuext_op";
    HYPERVISOR_EVENT_CHANNEL_OP: u64 = 32, "__HYPERVISOR_event_channel_op";
    HYPERVISOR_SYSCTL: u64 = 35, "__HYPERVISOR_sysctl";
    HYPERVISOR_DOMCTL: u64 = 36, "__HYPERVISOR_domctl";

    DOMID_SELF: u16 = 0x7FF0, "DOMID_SELF";
    /// Domain ids from here on have other meanings.
    DOMID_FIRST_RESERVED: u16 = 0x7FF0, "DOMID_FIRST_RESERVED";

    XENVER_VERSION: u64 = 0, "XENVER_version";
    XENVER_EXTRAVERSION: u64 = 1, "XENVER_extraversion";
    XENVER_CAPABILITIES: u64 = 3, "XENVER_capabilities";
    XENVER_COMMANDLINE: u64 = 9, "XENVER_commandline";

    DOMCTL_CREATEDOMAIN: u32 = 1, "XEN_DOMCTL_createdomain";
    DOMCTL_DESTROYDOMAIN: u32 = 2, "XEN_DOMCTL_destroydomain";
    DOMCTL_PAUSEDOMAIN: u32 = 3, "XEN_DOMCTL_pausedomain";
    DOMCTL_UNPAUSEDOMAIN: u32 = 4, "XEN_DOMCTL_unpausedomain";
    DOMCTL_GETDOMAININFO: u32 = 5, "XEN_DOMCTL_getdomaininfo";
    DOMCTL_SETVCPUAFFINITY: u32 = 9, "XEN_DOMCTL_setvcpuaffinity";
    DOMCTL_MAX_MEM: u32 = 11, "XEN_DOMCTL_max_mem";
    DOMCTL_SETVCPUCONTEXT: u32 = 12, "XEN_DOMCTL_setvcpucontext";
    DOMCTL_GETVCPUINFO: u32 = 14, "XEN_DOMCTL_getvcpuinfo";
    DOMCTL_MAX_VCPUS: u32 = 15, "XEN_DOMCTL_max_vcpus";
    DOMCTL_SCHEDULER_OP: u32 = 16, "XEN_DOMCTL_scheduler_op";
    DOMCTL_HYPERCALL_INIT: u32 = 22, "XEN_DOMCTL_hypercall_init";
    /// Until 4.12.
    DOMCTL_SET_CPUID: u32 = 49, "XEN_DOMCTL_set_cpuid";
    /// 4.10 and 4.11.
    DOMCTL_SET_GNTTAB_LIMITS: u32 = 80, "XEN_DOMCTL_set_gnttab_limits";

    SCHEDOP_PUTINFO: u32 = 0, "XEN_DOMCTL_SCHEDOP_putinfo";
    SCHEDOP_GETINFO: u32 = 1, "XEN_DOMCTL_SCHEDOP_getinfo";
    SCHEDULER_SEDF: u32 = 4, "XEN_SCHEDULER_SEDF";
    SCHEDULER_CREDIT: u32 = 5, "XEN_SCHEDULER_CREDIT";
    SCHEDULER_CREDIT2: u32 = 6, "XEN_SCHEDULER_CREDIT2";
    SCHEDULER_ARINC653: u32 = 7, "XEN_SCHEDULER_ARINC653";
    SCHEDULER_RTDS: u32 = 8, "XEN_SCHEDULER_RTDS";
    SCHEDULER_NULL: u32 = 9, "XEN_SCHEDULER_NULL";
    /// Since 4.5.
    VCPUAFFINITY_HARD: u32 = 1, "XEN_VCPUAFFINITY_HARD";

    DOMINF_DYING: u32 = 1, "XEN_DOMINF_dying";
    DOMINF_HVM_GUEST: u32 = 2, "XEN_DOMINF_hvm_guest";
    DOMINF_SHUTDOWN: u32 = 4, "XEN_DOMINF_shutdown";
    DOMINF_PAUSED: u32 = 8, "XEN_DOMINF_paused";
    DOMINF_BLOCKED: u32 = 16, "XEN_DOMINF_blocked";
    DOMINF_RUNNING: u32 = 32, "XEN_DOMINF_running";
    DOMINF_SHUTDOWNMASK: u32 = 255, "XEN_DOMINF_shutdownmask";
    DOMINF_SHUTDOWNSHIFT: u32 = 16, "XEN_DOMINF_shutdownshift";

    SHUTDOWN_POWEROFF: u8 = 0, "SHUTDOWN_poweroff";
    SHUTDOWN_REBOOT: u8 = 1, "SHUTDOWN_reboot";
    SHUTDOWN_SUSPEND: u8 = 2, "SHUTDOWN_suspend";
    SHUTDOWN_CRASH: u8 = 3, "SHUTDOWN_crash";
    SHUTDOWN_WATCHDOG: u8 = 4, "SHUTDOWN_watchdog";
    SHUTDOWN_SOFT_RESET: u8 = 5, "SHUTDOWN_soft_reset";

    SYSCTL_READCONSOLE: u32 = 1, "XEN_SYSCTL_readconsole";
    SYSCTL_PHYSINFO: u32 = 3, "XEN_SYSCTL_physinfo";
    SYSCTL_SCHED_ID: u32 = 4, "XEN_SYSCTL_sched_id";
    SYSCTL_GETDOMAININFOLIST: u32 = 6, "XEN_SYSCTL_getdomaininfolist";
    SYSCTL_TOPOLOGYINFO: u32 = 16, "XEN_SYSCTL_topologyinfo";
    SYSCTL_CPUTOPOINFO: u32 = 16, "XEN_SYSCTL_cputopoinfo";
    SYSCTL_NUMAINFO: u32 = 17, "XEN_SYSCTL_numainfo";

    XENMEM_POPULATE_PHYSMAP: u64 = 6, "XENMEM_populate_physmap";
    MMUEXT_PIN_L4_TABLE: u32 = 3, "MMUEXT_PIN_L4_TABLE";
    MMUEXT_CLEAR_PAGE: u32 = 16, "MMUEXT_CLEAR_PAGE";

    EVTCHNOP_ALLOC_UNBOUND: u64 = 6, "EVTCHNOP_alloc_unbound";
    GNTTABOP_SETUP_TABLE: u64 = 2, "GNTTABOP_setup_table";
    GTF_PERMIT_ACCESS: u16 = 1, "GTF_permit_access";
    GNTTAB_RESERVED_CONSOLE: u32 = 0, "GNTTAB_RESERVED_CONSOLE";
    GNTTAB_RESERVED_XENSTORE: u32 = 1, "GNTTAB_RESERVED_XENSTORE";

    /// The ramdisk's start is given as a frame number, and is not mapped.
    SIF_MOD_START_PFN: u32 = 8, "SIF_MOD_START_PFN";
    VGCF_I387_VALID: u64 = 1, "VGCF_i387_valid";
    VGCF_IN_KERNEL: u64 = 4, "VGCF_in_kernel";
    VGCF_ONLINE: u64 = 32, "VGCF_online";
    FLAT_KERNEL_CS: u16 = 57395, "FLAT_KERNEL_CS64";
    FLAT_KERNEL_SS: u16 = 57387, "FLAT_KERNEL_SS64";
    /// "Whatever the subleaf" in `XEN_DOMCTL_set_cpuid`.
    CPUID_INPUT_UNUSED: u32 = 0xFFFF_FFFF, "XEN_CPUID_INPUT_UNUSED";
}

/// Bytes of a page, and of a frame.
pub const PAGE_SIZE: usize = 4096;
/// log2 of [`PAGE_SIZE`].
pub const PAGE_SHIFT: u32 = 12;
/// log2 of the pages of a 2 MiB extent.
pub const SUPERPAGE_ORDER: u32 = 9;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::all_releases;

    #[test]
    fn every_number_is_that_of_each_release_that_has_it() {
        for (name, value) in ALL {
            let mut seen = 0;
            for data in all_releases() {
                if let Some(found) = data.constant(name) {
                    assert_eq!(found, *value, "{name} on Xen {}", data.version);
                    seen += 1;
                }
            }
            assert!(seen > 0, "{name} is in no release's data");
        }
    }
}

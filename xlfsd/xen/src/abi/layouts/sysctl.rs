//! What sysctls carry. Source: public/sysctl.h.

use super::super::data::AbiData;
use super::super::field::{Field, LayoutError, Nested, resolve};
use super::member::{field_type, field_value, layout};

layout! {
    /// The envelope of every sysctl.
    Sysctl = "xen_sysctl" {
        req cmd: u32 = "cmd",
        req interface_version: u32 = "interface_version",
        req u: Nested = "u",
    }
}

layout! {
    /// `XEN_SYSCTL_physinfo`.
    PhysInfo = "xen_sysctl_physinfo" {
        req threads_per_core: u32 = "threads_per_core",
        req cores_per_socket: u32 = "cores_per_socket",
        req nr_cpus: u32 = "nr_cpus",
        req max_cpu_id: u32 = "max_cpu_id",
        req nr_nodes: u32 = "nr_nodes",
        req cpu_khz: u32 = "cpu_khz",
        req total_pages: u64 = "total_pages",
        req free_pages: u64 = "free_pages",
        req scrub_pages: u64 = "scrub_pages",
        opt outstanding_pages: u64 = "outstanding_pages",
    }
}

layout! {
    /// `XEN_SYSCTL_readconsole`.
    ReadConsole = "xen_sysctl_readconsole" {
        req clear: u8 = "clear",
        req incremental: u8 = "incremental",
        req index: u32 = "index",
        req buffer: u64 = "buffer",
        req count: u32 = "count",
    }
}

layout! {
    /// `XEN_SYSCTL_getdomaininfolist`.
    DomainInfoList = "xen_sysctl_getdomaininfolist" {
        req first_domain: u16 = "first_domain",
        req max_domains: u32 = "max_domains",
        req buffer: u64 = "buffer",
        req num_domains: u32 = "num_domains",
    }
}

layout! {
    /// `XEN_SYSCTL_topologyinfo`, until 4.5: three arrays.
    TopologyInfo = "xen_sysctl_topologyinfo" {
        req max_cpu_index: u32 = "max_cpu_index",
        req cpu_to_core: u64 = "cpu_to_core",
        req cpu_to_socket: u64 = "cpu_to_socket",
        req cpu_to_node: u64 = "cpu_to_node",
    }
}

layout! {
    /// `XEN_SYSCTL_cputopoinfo`, since 4.6: one array of [`CpuTopology`].
    CpuTopoInfo = "xen_sysctl_cputopoinfo" {
        req num_cpus: u32 = "num_cpus",
        req cputopo: u64 = "cputopo",
    }
}

layout! {
    /// An entry of [`CpuTopoInfo`].
    CpuTopology = "xen_sysctl_cputopo" {
        req core: u32 = "core",
        req socket: u32 = "socket",
        req node: u32 = "node",
    }
}

layout! {
    /// `XEN_SYSCTL_numainfo`: arrays of sizes until 4.5, of [`MemInfo`] since 4.6.
    NumaInfo = "xen_sysctl_numainfo" {
        req count: u32 = "num_nodes" | "max_node_index",
        opt meminfo: u64 = "meminfo",
        opt memsize: u64 = "node_to_memsize",
        opt memfree: u64 = "node_to_memfree",
        req distance: u64 = "distance" | "node_to_node_distance",
    }
}

layout! {
    /// An entry of [`NumaInfo`], since 4.6.
    MemInfo = "xen_sysctl_meminfo" {
        req memsize: u64 = "memsize",
        req memfree: u64 = "memfree",
    }
}

layout! {
    /// `XEN_SYSCTL_sched_id`.
    SchedId = "xen_sysctl_sched_id" { req sched_id: u32 = "sched_id", }
}

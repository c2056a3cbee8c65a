//! What domctls carry. Source: public/domctl.h.

use super::super::data::AbiData;
use super::super::field::{Field, LayoutError, Nested, resolve};
use super::member::{field_type, field_value, layout};

layout! {
    /// The envelope of every domctl.
    Domctl = "xen_domctl" {
        req cmd: u32 = "cmd",
        req interface_version: u32 = "interface_version",
        req domain: u16 = "domain",
        req u: Nested = "u",
    }
}

layout! {
    /// `XEN_DOMCTL_createdomain`; what a PV domain's limits are since 4.12.
    CreateDomain = "xen_domctl_createdomain" {
        req handle: [u8; 16] = "handle",
        req flags: u32 = "flags",
        opt max_vcpus: u32 = "max_vcpus",
        opt max_evtchn_port: u32 = "max_evtchn_port",
        opt max_grant_frames: u32 = "max_grant_frames",
        opt max_maptrack_frames: u32 = "max_maptrack_frames",
        opt grant_opts: u32 = "grant_opts",
        opt cpupool_id: u32 = "cpupool_id",
    }
}

layout! {
    /// `XEN_DOMCTL_getdomaininfo`, and the entries of the sysctl that lists domains.
    DomainInfo = "xen_domctl_getdomaininfo" {
        req domain: u16 = "domain",
        req flags: u32 = "flags",
        req tot_pages: u64 = "tot_pages",
        req max_pages: u64 = "max_pages",
        req shared_info_frame: u64 = "shared_info_frame",
        req cpu_time: u64 = "cpu_time",
        req nr_online_vcpus: u32 = "nr_online_vcpus",
        req max_vcpu_id: u32 = "max_vcpu_id",
        req handle: [u8; 16] = "handle",
        req cpupool: u32 = "cpupool",
    }
}

layout! {
    /// `XEN_DOMCTL_max_mem`.
    MaxMem = "xen_domctl_max_mem" { req max_memkb: u64 = "max_memkb", }
}

layout! {
    /// `XEN_DOMCTL_max_vcpus`.
    MaxVcpus = "xen_domctl_max_vcpus" { req max: u32 = "max", }
}

layout! {
    /// `XEN_DOMCTL_setvcpucontext`.
    VcpuContext = "xen_domctl_vcpucontext" {
        req vcpu: u32 = "vcpu",
        req ctxt: u64 = "ctxt",
    }
}

layout! {
    /// `XEN_DOMCTL_getvcpuinfo`.
    VcpuInfo = "xen_domctl_getvcpuinfo" {
        req vcpu: u32 = "vcpu",
        req online: u8 = "online",
        req blocked: u8 = "blocked",
        req running: u8 = "running",
        req cpu_time: u64 = "cpu_time",
        req cpu: u32 = "cpu",
    }
}

layout! {
    /// `XEN_DOMCTL_setvcpuaffinity`: one map until 4.4, a hard and a soft one since 4.5.
    VcpuAffinity = "xen_domctl_vcpuaffinity" {
        req vcpu: u32 = "vcpu",
        opt flags: u32 = "flags",
        req cpumap: Nested = "cpumap" | "cpumap_hard",
    }
}

layout! {
    /// A bitmap by handle, since 4.3.
    Bitmap = "xenctl_bitmap" {
        req bitmap: u64 = "bitmap",
        req bits: u32 = "nr_bits",
    }
}

layout! {
    /// A CPU map by handle, in 4.2.
    CpuMap = "xenctl_cpumap" {
        req bitmap: u64 = "bitmap",
        req bits: u32 = "nr_cpus",
    }
}

layout! {
    /// `XEN_DOMCTL_scheduler_op`.
    SchedulerOp = "xen_domctl_scheduler_op" {
        req sched_id: u32 = "sched_id",
        req cmd: u32 = "cmd",
        req credit: Nested = "u.credit",
        req credit2: Nested = "u.credit2",
    }
}

layout! {
    /// The credit scheduler's weight and cap (percent of a CPU, 0 for none).
    SchedCredit = "xen_domctl_sched_credit" {
        req weight: u16 = "weight",
        req cap: u16 = "cap",
    }
}

layout! {
    /// The credit2 scheduler's weight, and its cap since 4.10.
    SchedCredit2 = "xen_domctl_sched_credit2" {
        req weight: u16 = "weight",
        opt cap: u16 = "cap",
    }
}

layout! {
    /// `XEN_DOMCTL_hypercall_init`.
    HypercallInit = "xen_domctl_hypercall_init" { req gmfn: u64 = "gmfn", }
}

layout! {
    /// `XEN_DOMCTL_set_cpuid`, until 4.12.
    Cpuid = "xen_domctl_cpuid" {
        req input: [u8; 8] = "input",
        req eax: u32 = "eax",
        req ebx: u32 = "ebx",
        req ecx: u32 = "ecx",
        req edx: u32 = "edx",
    }
}

layout! {
    /// `XEN_DOMCTL_set_gnttab_limits`, 4.10 and 4.11.
    GnttabLimits = "xen_domctl_set_gnttab_limits" {
        req grant_frames: u32 = "grant_frames",
        req maptrack_frames: u32 = "maptrack_frames",
    }
}

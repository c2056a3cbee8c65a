//! The host, its hypervisor and the daemon.

use serde::Serialize;
use xlfs_proto::v1::{Cpu, Host, Hypervisor, NumaNode, XlfsdStats};

use crate::errors::filled;

/// `host info`.
#[derive(Debug, Serialize)]
pub(crate) struct HostView {
    hostname: String,
    kernel: Option<String>,
    xlfsd_version: String,
    xlfsctl_version: &'static str,
    hypervisor: Option<HypervisorView>,
    hypervisor_problem: Option<String>,
    xlfsd: Option<XlfsdView>,
}

#[derive(Debug, Serialize)]
pub(crate) struct HypervisorView {
    version: String,
    abi: Option<String>,
    domctl_version: u32,
    sysctl_version: u32,
    capabilities: Option<String>,
    command_line: Option<String>,
    scheduler: Option<String>,
    cpus: u32,
    cores_per_socket: u32,
    threads_per_core: u32,
    nodes: u32,
    cpu_khz: u32,
    memory_mib: u64,
    free_mib: u64,
    reserved_mib: u64,
    topology: Vec<CpuView>,
    numa: Vec<NumaNodeView>,
}

#[derive(Debug, Serialize)]
pub(crate) struct CpuView {
    id: u32,
    core: u32,
    socket: u32,
    node: u32,
}

#[derive(Debug, Serialize)]
pub(crate) struct NumaNodeView {
    id: u32,
    memory_mib: u64,
    free_mib: u64,
    distances: Vec<u32>,
}

#[derive(Debug, Serialize)]
pub(crate) struct XlfsdView {
    resident_kib: u64,
    xenstore_operations: u64,
    xenstore_waits: u64,
    xenstore_transactions: u64,
    hypercalls: u64,
    uptime_seconds: u64,
}

/// `host dmesg`.
#[derive(Debug, Serialize)]
pub(crate) struct HypervisorLogView {
    pub(crate) text: String,
    pub(crate) cleared: bool,
}

impl From<&Host> for HostView {
    fn from(host: &Host) -> HostView {
        HostView {
            hostname: host.hostname.clone(),
            kernel: filled(&host.kernel),
            xlfsd_version: host.xlfsd_version.clone(),
            xlfsctl_version: env!("CARGO_PKG_VERSION"),
            hypervisor: host.hypervisor.as_ref().map(HypervisorView::from),
            hypervisor_problem: filled(&host.hypervisor_problem),
            xlfsd: host.xlfsd.as_ref().map(XlfsdView::from),
        }
    }
}

impl From<&Hypervisor> for HypervisorView {
    fn from(xen: &Hypervisor) -> HypervisorView {
        HypervisorView {
            version: xen.version.clone(),
            abi: filled(&xen.abi),
            domctl_version: xen.domctl_version,
            sysctl_version: xen.sysctl_version,
            capabilities: filled(&xen.capabilities),
            command_line: filled(&xen.command_line),
            scheduler: filled(&xen.scheduler),
            cpus: xen.cpus,
            cores_per_socket: xen.cores_per_socket,
            threads_per_core: xen.threads_per_core,
            nodes: xen.nodes,
            cpu_khz: xen.cpu_khz,
            memory_mib: xen.memory_mib,
            free_mib: xen.free_mib,
            reserved_mib: xen.reserved_mib,
            topology: xen.topology.iter().map(CpuView::from).collect(),
            numa: xen.numa.iter().map(NumaNodeView::from).collect(),
        }
    }
}

impl From<&Cpu> for CpuView {
    fn from(cpu: &Cpu) -> CpuView {
        CpuView { id: cpu.id, core: cpu.core, socket: cpu.socket, node: cpu.node }
    }
}

impl From<&NumaNode> for NumaNodeView {
    fn from(node: &NumaNode) -> NumaNodeView {
        NumaNodeView {
            id: node.id,
            memory_mib: node.memory_mib,
            free_mib: node.free_mib,
            distances: node.distances.clone(),
        }
    }
}

impl From<&XlfsdStats> for XlfsdView {
    fn from(stats: &XlfsdStats) -> XlfsdView {
        XlfsdView {
            resident_kib: stats.resident_kib,
            xenstore_operations: stats.xenstore_operations,
            xenstore_waits: stats.xenstore_waits,
            xenstore_transactions: stats.xenstore_transactions,
            hypercalls: stats.hypercalls,
            uptime_seconds: stats.uptime_seconds,
        }
    }
}

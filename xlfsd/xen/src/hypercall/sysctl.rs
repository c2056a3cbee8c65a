//! `sysctl`: the host as the hypervisor sees it. Source: public/sysctl.h.

use std::fmt;

use super::{DomainInfo, HypercallError, Xen};
use crate::abi::numbers::*;
use crate::privcmd::HypercallBuffer;

/// The machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PhysInfo {
    /// Threads of a core.
    pub threads_per_core: u32,
    /// Cores of a socket.
    pub cores_per_socket: u32,
    /// CPUs that are up.
    pub cpus: u32,
    /// Highest CPU number.
    pub max_cpu_id: u32,
    /// NUMA nodes.
    pub nodes: u32,
    /// Clock of a CPU in kHz.
    pub cpu_khz: u32,
    /// Pages of memory.
    pub total_pages: u64,
    /// Pages that are free, those still to be scrubbed among them.
    pub free_pages: u64,
    /// Pages that domains have claimed and not yet taken.
    pub claimed_pages: u64,
}

/// Where a CPU is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cpu {
    /// Its number.
    pub id: u32,
    /// The core it is a thread of.
    pub core: u32,
    /// The socket.
    pub socket: u32,
    /// The NUMA node.
    pub node: u32,
}

/// A NUMA node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumaNode {
    /// Its number.
    pub id: u32,
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes that are free.
    pub free: u64,
    /// To each node, in order; 10 is local.
    pub distances: Vec<u32>,
}

/// Which scheduler runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scheduler(u32);

impl Scheduler {
    /// As in `XEN_SCHEDULER_*`.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            SCHEDULER_SEDF => f.write_str("sedf"),
            SCHEDULER_CREDIT => f.write_str("credit"),
            SCHEDULER_CREDIT2 => f.write_str("credit2"),
            SCHEDULER_ARINC653 => f.write_str("arinc653"),
            SCHEDULER_RTDS => f.write_str("rtds"),
            SCHEDULER_NULL => f.write_str("null"),
            other => write!(f, "number {other}"),
        }
    }
}

/// "No such CPU" and "no such node" in the tables.
const INVALID: u32 = 0xffff_ffff;

impl Xen {
    /// The machine's CPUs and memory.
    ///
    /// # Errors
    /// EACCES when the interface has another version.
    pub fn phys_info(&self) -> Result<PhysInfo, HypercallError> {
        let layout = &self.abi.layouts.phys_info;
        let sysctl = self.sysctl(SYSCTL_PHYSINFO, "physinfo", |_| {})?;
        let u = self.abi.layouts.sysctl.u.of(&sysctl);
        Ok(PhysInfo {
            threads_per_core: layout.threads_per_core.get(u),
            cores_per_socket: layout.cores_per_socket.get(u),
            cpus: layout.nr_cpus.get(u),
            max_cpu_id: layout.max_cpu_id.get(u),
            nodes: layout.nr_nodes.get(u),
            cpu_khz: layout.cpu_khz.get(u),
            total_pages: layout.total_pages.get(u),
            free_pages: layout.free_pages.get(u),
            claimed_pages: layout.outstanding_pages.map_or(0, |f| f.get(u)),
        })
    }

    /// The scheduler of the default CPU pool.
    ///
    /// # Errors
    /// As every sysctl.
    pub fn scheduler(&self) -> Result<Scheduler, HypercallError> {
        let layout = &self.abi.layouts.sched_id;
        let sysctl = self.sysctl(SYSCTL_SCHED_ID, "sched_id", |_| {})?;
        Ok(Scheduler(layout.sched_id.get(self.abi.layouts.sysctl.u.of(&sysctl))))
    }

    /// Every domain, in the order of their numbers.
    ///
    /// # Errors
    /// As every sysctl.
    pub fn list_domains(&self) -> Result<Vec<DomainInfo>, HypercallError> {
        const BATCH: usize = 256;
        let layouts = &self.abi.layouts;
        let layout = &layouts.domain_info_list;
        let size = layouts.domain_info.size;
        let buffer = self.sysctl_memory(BATCH * size, "getdomaininfolist")?;
        let mut domains = Vec::new();
        let mut first = 0;
        loop {
            // `buffer` is live across the call and has BATCH entries.
            let sysctl = self.sysctl(SYSCTL_GETDOMAININFOLIST, "getdomaininfolist", |u| {
                layout.first_domain.put(u, first);
                layout.max_domains.put(u, BATCH as u32);
                layout.buffer.put(u, buffer.address());
            })?;
            let count = layout.num_domains.get(layouts.sysctl.u.of(&sysctl)) as usize;
            let entries = buffer.chunks_exact(size).take(count.min(BATCH));
            domains.extend(entries.map(|bytes| self.decode_domain_info(bytes)));
            match domains.last() {
                Some(last) if count >= BATCH && last.domid.0 < DOMID_FIRST_RESERVED => {
                    first = last.domid.0 + 1;
                }
                _ => return Ok(domains),
            }
        }
    }

    /// The hypervisor's message ring, at most its last 1 MiB.
    ///
    /// # Errors
    /// As every sysctl.
    pub fn read_log(&self, clear: bool) -> Result<Vec<u8>, HypercallError> {
        const CHUNK: usize = 32 * 1024;
        let layouts = &self.abi.layouts;
        let layout = &layouts.read_console;
        let buffer = self.sysctl_memory(CHUNK, "readconsole")?;
        let mut log = Vec::new();
        let mut index = 0;
        for _ in 0..32 {
            // `buffer` is live across the call and has CHUNK bytes.
            let sysctl = self.sysctl(SYSCTL_READCONSOLE, "readconsole", |u| {
                layout.incremental.put(u, 1);
                layout.index.put(u, index);
                layout.buffer.put(u, buffer.address());
                layout.count.put(u, CHUNK as u32);
            })?;
            let u = layouts.sysctl.u.of(&sysctl);
            let count = (layout.count.get(u) as usize).min(CHUNK);
            if count == 0 {
                break;
            }
            log.extend_from_slice(&buffer[..count]);
            index = layout.index.get(u);
        }
        if clear {
            self.sysctl(SYSCTL_READCONSOLE, "readconsole", |u| {
                layout.clear.put(u, 1);
                layout.buffer.put(u, buffer.address());
                layout.count.put(u, CHUNK as u32);
            })?;
        }
        Ok(log)
    }

    /// Where each CPU is.
    ///
    /// # Errors
    /// As every sysctl.
    pub fn topology(&self) -> Result<Vec<Cpu>, HypercallError> {
        let count = self.phys_info()?.max_cpu_id as usize + 1;
        let layouts = &self.abi.layouts;
        let cpus = match (&layouts.cpu_topo_info, &layouts.cpu_topology) {
            (Some(info), Some(entry)) => {
                let table = self.sysctl_memory(count * entry.size, "cputopoinfo")?;
                self.sysctl(SYSCTL_CPUTOPOINFO, "cputopoinfo", |u| {
                    info.num_cpus.put(u, count as u32);
                    info.cputopo.put(u, table.address());
                })?;
                table
                    .chunks_exact(entry.size)
                    .zip(0..)
                    .map(|(bytes, id)| Cpu {
                        id,
                        core: entry.core.get(bytes),
                        socket: entry.socket.get(bytes),
                        node: entry.node.get(bytes),
                    })
                    .collect::<Vec<_>>()
            }
            _ => self.topology_by_arrays(count)?,
        };
        Ok(cpus.into_iter().filter(|c| c.core != INVALID).collect())
    }

    /// As Xen until 4.5 tells it.
    fn topology_by_arrays(&self, count: usize) -> Result<Vec<Cpu>, HypercallError> {
        let Some(layout) = &self.abi.layouts.topology_info else { return Ok(Vec::new()) };
        let core = self.sysctl_memory(count * 4, "topologyinfo")?;
        let socket = self.sysctl_memory(count * 4, "topologyinfo")?;
        let node = self.sysctl_memory(count * 4, "topologyinfo")?;
        self.sysctl(SYSCTL_TOPOLOGYINFO, "topologyinfo", |u| {
            layout.max_cpu_index.put(u, count as u32 - 1);
            layout.cpu_to_core.put(u, core.address());
            layout.cpu_to_socket.put(u, socket.address());
            layout.cpu_to_node.put(u, node.address());
        })?;
        let (core, socket, node) = (words(&core), words(&socket), words(&node));
        let all = core.zip(socket).zip(node).zip(0..);
        Ok(all.map(|(((core, socket), node), id)| Cpu { id, core, socket, node }).collect())
    }

    /// The machine's NUMA nodes.
    ///
    /// # Errors
    /// As every sysctl.
    pub fn numa(&self) -> Result<Vec<NumaNode>, HypercallError> {
        let count = self.phys_info()?.nodes.clamp(1, 256) as usize;
        let layouts = &self.abi.layouts;
        let layout = &layouts.numa_info;
        let distance = self.sysctl_memory(count * count * 4, "numainfo")?;
        let sizes: Vec<(u64, u64)> = match (&layouts.mem_info, layout.meminfo) {
            (Some(entry), Some(meminfo)) => {
                let table = self.sysctl_memory(count * entry.size, "numainfo")?;
                self.sysctl(SYSCTL_NUMAINFO, "numainfo", |u| {
                    layout.count.put(u, count as u32);
                    meminfo.put(u, table.address());
                    layout.distance.put(u, distance.address());
                })?;
                let sizes = table.chunks_exact(entry.size);
                sizes.map(|b| (entry.memsize.get(b), entry.memfree.get(b))).collect()
            }
            _ => {
                let size = self.sysctl_memory(count * 8, "numainfo")?;
                let free = self.sysctl_memory(count * 8, "numainfo")?;
                self.sysctl(SYSCTL_NUMAINFO, "numainfo", |u| {
                    layout.count.put(u, count as u32 - 1);
                    for (field, buffer) in [(layout.memsize, &size), (layout.memfree, &free)] {
                        if let Some(field) = field {
                            field.put(u, buffer.address());
                        }
                    }
                    layout.distance.put(u, distance.address());
                })?;
                longs(&size).zip(longs(&free)).collect()
            }
        };
        let distances: Vec<u32> = words(&distance).collect();
        Ok(sizes
            .into_iter()
            .zip(distances.chunks(count))
            .zip(0..)
            .filter(|(((memory, _), _), _)| *memory != u64::MAX)
            .map(|(((memory, free), distances), id)| NumaNode {
                id,
                memory,
                free,
                distances: distances.to_vec(),
            })
            .collect())
    }

    fn sysctl_memory(
        &self,
        len: usize,
        operation: &'static str,
    ) -> Result<HypercallBuffer<'_>, HypercallError> {
        self.privcmd.buffer(len).map_err(|errno| self.fail("sysctl", operation, None, errno))
    }

    /// Issues a sysctl. Handles that `fill` puts into it must point to live
    /// hypercall buffers of the size that the operation needs; every caller in
    /// this file sees to it.
    fn sysctl(
        &self,
        command: u32,
        operation: &'static str,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<HypercallBuffer<'_>, HypercallError> {
        let layout = &self.abi.layouts.sysctl;
        let mut buffer = self.sysctl_memory(layout.size, operation)?;
        layout.cmd.put(&mut buffer, command);
        layout.interface_version.put(&mut buffer, self.abi.sysctl_version);
        fill(layout.u.of_mut(&mut buffer));
        // SAFETY: `buffer` has the size of this release's struct; handles in
        // it are the callers' duty, stated above.
        unsafe { self.privcmd.hypercall(HYPERVISOR_SYSCTL, [buffer.address(), 0, 0, 0, 0]) }
            .map_err(|errno| self.fail("sysctl", operation, None, errno))?;
        Ok(buffer)
    }
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes.as_chunks().0.iter().map(|c| u32::from_le_bytes(*c))
}

fn longs(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.as_chunks().0.iter().map(|c| u64::from_le_bytes(*c))
}

//! What the API tells of the host.

use std::sync::Arc;

use async_trait::async_trait;
use xlfs_proto::v1 as pb;

use super::Reach;
use crate::api::{HostCounters, HostInfo};
use crate::problem::Problem;

/// The host, as far as it can be reached.
#[derive(Debug)]
pub struct HostFacts {
    reach: Arc<dyn Reach>,
}

impl HostFacts {
    pub fn new(reach: Arc<dyn Reach>) -> Self {
        Self { reach }
    }
}

fn failed(error: &xlfs_xen::hypercall::HypercallError) -> Problem {
    Problem::internal("the hypervisor does not answer").cause(error)
}

#[async_trait]
impl HostInfo for HostFacts {
    async fn hypervisor(&self) -> Result<pb::Hypervisor, Problem> {
        let about = self.reach.hypervisor()?.about().map_err(|e| failed(&e))?;
        let reserved = self.reach.reached().map_or(0, |host| host.ledger.reserved_pages());
        let physical = about.physical;
        Ok(pb::Hypervisor {
            version: about.version.to_string(),
            domctl_version: about.domctl_version,
            sysctl_version: about.sysctl_version,
            abi: about.abi_release,
            capabilities: about.version.capabilities,
            command_line: about.version.command_line,
            scheduler: about.scheduler,
            cpus: physical.cpus,
            cores_per_socket: physical.cores_per_socket,
            threads_per_core: physical.threads_per_core,
            nodes: physical.nodes,
            cpu_khz: physical.cpu_khz,
            memory_mib: physical.total_pages >> 8,
            free_mib: physical.free_pages >> 8,
            reserved_mib: reserved >> 8,
            topology: about
                .topology
                .iter()
                .map(|c| pb::Cpu { id: c.id, core: c.core, socket: c.socket, node: c.node })
                .collect(),
            numa: about
                .numa
                .iter()
                .map(|n| pb::NumaNode {
                    id: n.id,
                    memory_mib: n.memory >> 20,
                    free_mib: n.free >> 20,
                    distances: n.distances.clone(),
                })
                .collect(),
        })
    }

    async fn hypervisor_log(&self, clear: bool) -> Result<String, Problem> {
        let log = self.reach.hypervisor()?.log(clear).map_err(|e| failed(&e))?;
        Ok(String::from_utf8_lossy(&log).into_owned())
    }

    fn counters(&self) -> HostCounters {
        let hypercalls = self.reach.hypervisor().map_or(0, |hypervisor| hypervisor.calls());
        let counts = self.reach.reached().map(|host| host.store.counts()).unwrap_or_default();
        HostCounters {
            xenstore_operations: counts.operations,
            xenstore_waits: counts.waits,
            xenstore_transactions: counts.transactions,
            hypercalls,
        }
    }
}

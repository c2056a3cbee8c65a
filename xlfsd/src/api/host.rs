//! `HostService`: the machine and the daemon, which this file knows by itself,
//! and the hypervisor, which it asks a [`HostInfo`] about.

use std::fs;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use tonic::{Request, Response, Status};
use xlfs_proto::v1::host_service_server::HostService;
use xlfs_proto::v1::{
    GetHostRequest, Host, Hypervisor, ReadHypervisorLogRequest, ReadHypervisorLogResponse,
    XlfsdStats,
};

use crate::problem::Problem;

/// What only Xen can tell.
#[async_trait]
pub trait HostInfo: Send + Sync {
    /// The hypervisor as it is now. A problem says why there is none to talk
    /// to; it is shown, and the call succeeds.
    async fn hypervisor(&self) -> Result<Hypervisor, Problem>;

    /// The hypervisor's message ring; `clear` empties it after reading.
    async fn hypervisor_log(&self, clear: bool) -> Result<String, Problem>;

    /// What the daemon asked of Xen so far.
    fn counters(&self) -> HostCounters;
}

/// Counted since the daemon started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HostCounters {
    pub xenstore_operations: u64,
    pub xenstore_waits: u64,
    pub xenstore_transactions: u64,
    pub hypercalls: u64,
}

/// A host with no hypervisor to talk to.
#[derive(Debug, Clone)]
pub struct NoHypervisor {
    /// Why, and what to do.
    pub problem: Problem,
}

#[async_trait]
impl HostInfo for NoHypervisor {
    async fn hypervisor(&self) -> Result<Hypervisor, Problem> {
        Err(self.problem.clone())
    }

    async fn hypervisor_log(&self, _clear: bool) -> Result<String, Problem> {
        Err(self.problem.clone())
    }

    fn counters(&self) -> HostCounters {
        HostCounters::default()
    }
}

pub(super) struct HostApi {
    pub(super) info: Arc<dyn HostInfo>,
    pub(super) started: Instant,
}

#[tonic::async_trait]
impl HostService for HostApi {
    async fn get_host(&self, _: Request<GetHostRequest>) -> Result<Response<Host>, Status> {
        let (hypervisor, hypervisor_problem) = match self.info.hypervisor().await {
            Ok(hypervisor) => (Some(hypervisor), String::new()),
            Err(problem) => (None, format!("{problem:#}")),
        };
        let counters = self.info.counters();
        let uname = nix::sys::utsname::uname().ok();
        let text = |text: &std::ffi::OsStr| text.to_string_lossy().into_owned();
        Ok(Response::new(Host {
            hostname: uname.as_ref().map(|uname| text(uname.nodename())).unwrap_or_default(),
            xlfsd_version: env!("CARGO_PKG_VERSION").to_owned(),
            hypervisor,
            hypervisor_problem,
            kernel: uname.as_ref().map(|uname| text(uname.release())).unwrap_or_default(),
            xlfsd: Some(XlfsdStats {
                resident_kib: resident_kib(),
                xenstore_operations: counters.xenstore_operations,
                xenstore_waits: counters.xenstore_waits,
                xenstore_transactions: counters.xenstore_transactions,
                hypercalls: counters.hypercalls,
                uptime_seconds: self.started.elapsed().as_secs(),
            }),
        }))
    }

    async fn read_hypervisor_log(
        &self,
        request: Request<ReadHypervisorLogRequest>,
    ) -> Result<Response<ReadHypervisorLogResponse>, Status> {
        let text = self.info.hypervisor_log(request.get_ref().clear).await?;
        Ok(Response::new(ReadHypervisorLogResponse { text }))
    }
}

/// The daemon's resident memory by /proc/self/status (proc(5)); 0 where that
/// cannot be read.
fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

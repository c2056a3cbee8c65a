//! One run of a plan: the guest, the host, and what steps hand to later steps.

use std::fs::File;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use xlfs_xen::builder::{Built, Layout, P2m};
use xlfs_xen::hypercall::{DomainId, DomainInfo, HypercallError};

use crate::domain::guest::Guest;
use crate::domain::nodes::vbd::Vbd;
use crate::domain::record::{GuestRecord, Records};
use crate::host::{BlockNumber, Disks, Host, PreparedKernel, Reservation};
use crate::network::Net;
use crate::network::nodes::VifSpec;
use crate::problem::Problem;
use crate::task::TaskHandle;

/// What a running plan knows.
pub(in crate::domain) struct Run {
    pub guest: Arc<Guest>,
    pub record: GuestRecord,
    pub records: Records,
    /// Unset for plans that touch no domain.
    pub host: Option<Arc<Host>>,
    pub disks: Arc<dyn Disks>,
    pub net: Arc<Net>,
    pub task: TaskHandle,
    pub cancel: CancellationToken,
    pub(super) reservation: Option<Reservation>,
    pub(super) kernel: Option<PreparedKernel>,
    pub(super) ramdisk: Option<(File, u64)>,
    pub(super) layout: Option<Layout>,
    pub(super) p2m: Option<P2m>,
    pub(super) built: Option<Built>,
    /// The disks, once they are block devices.
    pub(super) vbds: Vec<Vbd>,
    /// What a paused guest's disks had done when they had come to rest.
    pub(super) settled: Vec<(BlockNumber, u64)>,
    /// The interfaces, once their firewall stands.
    pub(super) vifs: Vec<VifSpec>,
}

impl Run {
    pub(in crate::domain) fn new(
        guest: Arc<Guest>,
        records: Records,
        host: Option<Arc<Host>>,
        disks: Arc<dyn Disks>,
        net: Arc<Net>,
        task: TaskHandle,
    ) -> Self {
        let cancel = task.cancel_token();
        let record = guest.record();
        Self {
            guest,
            record,
            records,
            host,
            disks,
            net,
            task,
            cancel,
            reservation: None,
            kernel: None,
            ramdisk: None,
            layout: None,
            p2m: None,
            built: None,
            vbds: Vec::new(),
            settled: Vec::new(),
            vifs: Vec::new(),
        }
    }

    pub(super) fn host(&self) -> Result<&Arc<Host>, Problem> {
        self.host.as_ref().ok_or_else(|| Problem::internal("a step that needs Xen has no host"))
    }

    /// The guest's domain, found by its handle.
    pub(in crate::domain) fn find_domain(&self) -> Result<Option<DomainInfo>, Problem> {
        self.guest.find_domain(&*self.host()?.hypervisor)
    }

    pub(super) fn domid(&self) -> Result<DomainId, Problem> {
        match self.find_domain()? {
            Some(domain) => Ok(domain.domid),
            None => Err(Problem::aborted("DOMAIN_GONE", "the guest's domain is gone")
                .hint("It ended, or was destroyed by another toolstack. See: xlfsctl events")),
        }
    }

    pub(super) fn is_paused(&self) -> Result<bool, Problem> {
        Ok(self.find_domain()?.is_some_and(|domain| domain.paused))
    }

    pub(super) fn pause(&self) -> Result<(), Problem> {
        let domid = self.domid()?;
        self.host()?.hypervisor.pause(domid).map_err(|e| refused("cannot pause the domain", &e))
    }

    pub(super) fn unpause(&self) -> Result<(), Problem> {
        let domid = self.domid()?;
        self.host()?
            .hypervisor
            .unpause(domid)
            .map_err(|e| refused("cannot unpause the domain", &e))?;
        self.guest.mark_started();
        Ok(())
    }

    /// Writes the record, as it is in memory.
    pub(super) fn define(&self) -> Result<(), Problem> {
        let record = self.guest.record();
        self.records.save(&record).map_err(|error| {
            Problem::internal("the guest's record cannot be written")
                .cause(&error)
                .hint("Look at the free space of the state folder.")
        })
    }

    /// Removes record and console log.
    pub(super) fn forget(&mut self) -> Result<(), Problem> {
        self.guest.mark_forgotten();
        self.records.remove(&self.record.name).map_err(|error| {
            Problem::internal("the guest's record cannot be removed").cause(&error)
        })
    }
}

/// A hypercall's refusal, for a person.
pub(super) fn refused(message: &str, error: &HypercallError) -> Problem {
    use nix::errno::Errno;
    match error.errno {
        Errno::ENOMEM => Problem::resource_exhausted("HYPERVISOR_MEMORY", message)
            .hint("The hypervisor's own memory is used up: stop a guest."),
        Errno::ENOSPC => Problem::resource_exhausted("HYPERVISOR_TABLE_FULL", message),
        Errno::ESRCH => Problem::aborted("DOMAIN_GONE", message)
            .hint("The domain ended meanwhile. See: xlfsctl events"),
        _ => {
            Problem::internal(message).hint("The hypervisor's log may say more: xlfsctl host dmesg")
        }
    }
    .cause(error)
}

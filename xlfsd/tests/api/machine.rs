//! A machine under the daemon: it has the domains that a test gives it, and
//! nothing can be built or run on it.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Notify;
use uuid::Uuid;
use xlfs_xen::builder::{BuildError, Built, Layout, P2m, Sources};
use xlfs_xen::hypercall::{DomainId, DomainInfo, HypercallError, Limits, PhysInfo};
use xlfs_xen::xenstore;
use xlfsd::console::ConsoleHub;
use xlfsd::host::{
    About, Cancelled, ConsolePlace, Host, Hypervisor, Kernels, Ledger, PreparedKernel, Reach,
    Rings, Store, StoreCounts, StoreOp,
};
use xlfsd::image::Digest;
use xlfsd::problem::Problem;
use xlfsd::slots::Slots;

/// The machine. Its domains are those of the guests named here, paused or not.
#[derive(Debug, Default, Clone)]
pub(crate) struct Machine {
    domains: Arc<Mutex<Vec<DomainInfo>>>,
    host: Arc<Mutex<Option<Arc<Host>>>>,
    /// Set where it starts from slots.
    pub(crate) slots: Arc<Mutex<Option<Arc<Slots>>>>,
}

impl Machine {
    /// A domain of this guest is there from now on.
    pub(crate) fn runs(&self, guest: Uuid, paused: bool) {
        let mut domains = self.domains.lock();
        domains.retain(|domain| domain.handle != guest.into_bytes());
        domains.push(DomainInfo {
            domid: DomainId(7),
            handle: guest.into_bytes(),
            dying: false,
            shutdown: None,
            paused,
            blocked: false,
            running: !paused,
            hvm: false,
            pages: 1,
            max_pages: 1,
            shared_info_frame: 0,
            // It has run.
            cpu_time_ns: 1,
            online_vcpus: 1,
            max_vcpu_id: 0,
        });
    }

    /// No domain is there.
    pub(crate) fn is_bare(&self) {
        self.domains.lock().clear();
    }
}

#[async_trait]
impl Reach for Machine {
    async fn reach(&self) -> Result<Arc<Host>, Problem> {
        let mut host = self.host.lock();
        let made = host.get_or_insert_with(|| {
            Arc::new(Host {
                hypervisor: Arc::new(self.clone()),
                store: Arc::new(self.clone()),
                rings: Arc::new(self.clone()),
                kernels: Arc::new(self.clone()),
                ledger: Ledger::default(),
                changes: Arc::new(Notify::new()),
            })
        });
        Ok(made.clone())
    }

    fn reached(&self) -> Option<Arc<Host>> {
        self.host.lock().clone()
    }

    fn hypervisor(&self) -> Result<Arc<dyn Hypervisor>, Problem> {
        Ok(Arc::new(self.clone()))
    }
}

/// Nobody may ask for it without a look at what the test then holds.
fn not_here() -> ! {
    panic!("domains are built, and machines looked at, in the lab; here is nothing to do it with")
}

impl Hypervisor for Machine {
    fn domains(&self) -> Result<Vec<DomainInfo>, HypercallError> {
        Ok(self.domains.lock().clone())
    }

    fn domain(&self, domid: DomainId) -> Result<Option<DomainInfo>, HypercallError> {
        Ok(self.domains.lock().iter().find(|domain| domain.domid == domid).cloned())
    }

    fn phys_info(&self) -> Result<PhysInfo, HypercallError> {
        not_here()
    }

    fn create(&self, _: Uuid, _: Limits) -> Result<DomainId, HypercallError> {
        not_here()
    }

    fn populate(
        &self,
        _: DomainId,
        _: Limits,
        _: u64,
        _: Cancelled<'_>,
    ) -> Result<P2m, BuildError> {
        not_here()
    }

    fn load(
        &self,
        _: DomainId,
        _: &Layout,
        _: &P2m,
        _: &Sources<'_>,
        _: Cancelled<'_>,
    ) -> Result<Built, BuildError> {
        not_here()
    }

    fn pause(&self, _: DomainId) -> Result<(), HypercallError> {
        Ok(())
    }

    fn unpause(&self, _: DomainId) -> Result<(), HypercallError> {
        Ok(())
    }

    fn destroy_once(&self, domid: DomainId) -> Result<bool, HypercallError> {
        self.domains.lock().retain(|domain| domain.domid != domid);
        Ok(true)
    }

    fn about(&self) -> Result<About, HypercallError> {
        not_here()
    }

    fn log(&self, _: bool) -> Result<Vec<u8>, HypercallError> {
        not_here()
    }

    fn calls(&self) -> u64 {
        0
    }
}

#[async_trait]
impl Store for Machine {
    async fn apply(&self, _: Vec<StoreOp>) -> Result<(), xenstore::Error> {
        Ok(())
    }

    async fn read(&self, _: &str) -> Result<Option<Vec<u8>>, xenstore::Error> {
        Ok(None)
    }

    async fn read_many(&self, paths: &[String]) -> Result<Vec<Option<Vec<u8>>>, xenstore::Error> {
        Ok(vec![None; paths.len()])
    }

    fn counts(&self) -> StoreCounts {
        StoreCounts::default()
    }
}

#[async_trait]
impl Rings for Machine {
    async fn attach(&self, _: Arc<ConsoleHub>, _: ConsolePlace) -> Result<(), Problem> {
        Ok(())
    }

    async fn detach(&self, _: Uuid) {}
}

#[async_trait]
impl Kernels for Machine {
    async fn prepare(&self, _: &Digest) -> Result<PreparedKernel, Problem> {
        Err(Problem::internal("no kernel is booted here"))
    }

    async fn ramdisk(&self, _: &Digest) -> Result<(std::fs::File, u64), Problem> {
        Err(Problem::internal("no kernel is booted here"))
    }
}

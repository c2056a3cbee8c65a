//! The real hypervisor, and the gate to the real host.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Notify;
use uuid::Uuid;
use xlfs_xen::builder::{BuildError, Builder, Built, Layout, P2m, Sources};
use xlfs_xen::hypercall::{DomainId, DomainInfo, HypercallError, Limits, PhysInfo, Xen, XenError};
use xlfs_xen::privcmd::OpenError;
use xlfs_xen::xenstore::{Client, Config, Endpoint};

use super::{
    About, Cancelled, Host, Hypervisor, Kernels, Ledger, Reach, Rings, XenRings, XenStore,
};
use crate::problem::Problem;

/// How long a request to xenstored may take.
const STORE_DEADLINE: Duration = Duration::from_secs(20);

/// The real one.
#[derive(Debug)]
pub struct XenHypervisor {
    xen: Xen,
}

impl XenHypervisor {
    /// Opens it, or says what kind of host this is instead.
    pub fn open() -> Result<Self, Problem> {
        Xen::open().map(|xen| Self { xen }).map_err(|error| no_hypervisor(&error))
    }

    pub fn xen(&self) -> &Xen {
        &self.xen
    }
}

fn no_hypervisor(error: &XenError) -> Problem {
    match error {
        XenError::Open(OpenError::NotXen) => {
            Problem::unavailable("HOST_NOT_XEN", "this host does not run on Xen").cause(error).hint(
                "Boot this machine as Dom0 of a Xen hypervisor (4.2 to 4.22) and load the \
                     modules xen-privcmd, xen-evtchn and xen-gntdev. Templates and images can \
                     be used meanwhile.",
            )
        }
        XenError::Open(OpenError::Refused { .. }) => {
            Problem::unavailable("HYPERVISOR_REFUSED", "the hypervisor cannot be reached")
                .cause(error)
                .hint("xlfsd must run as root in Dom0.")
        }
        XenError::Unsupported(_) => {
            Problem::unavailable("HYPERVISOR_UNSUPPORTED", "this release of Xen is not supported")
                .cause(error)
                .hint("Use a newer xlfsd, or a release of Xen that this one knows.")
        }
        XenError::Version(_) | XenError::Mismatch { .. } => Problem::unavailable(
            "HYPERVISOR_MISMATCH",
            "the hypervisor does not speak the interface of its release",
        )
        .cause(error)
        .hint("Is xlfsd running in Dom0? A patched hypervisor may have another interface."),
    }
}

impl Hypervisor for XenHypervisor {
    fn domains(&self) -> Result<Vec<DomainInfo>, HypercallError> {
        self.xen.list_domains()
    }

    fn domain(&self, domid: DomainId) -> Result<Option<DomainInfo>, HypercallError> {
        self.xen.domain_info(domid)
    }

    fn phys_info(&self) -> Result<PhysInfo, HypercallError> {
        self.xen.phys_info()
    }

    fn create(&self, uuid: Uuid, limits: Limits) -> Result<DomainId, HypercallError> {
        self.xen.create_domain(uuid.into_bytes(), limits)
    }

    fn populate(
        &self,
        domid: DomainId,
        limits: Limits,
        pages: u64,
        cancelled: Cancelled<'_>,
    ) -> Result<P2m, BuildError> {
        let builder = Builder::new(&self.xen, domid);
        builder.limit(limits, pages)?;
        builder.populate(pages, cancelled)
    }

    fn load(
        &self,
        domid: DomainId,
        layout: &Layout,
        p2m: &P2m,
        sources: &Sources<'_>,
        cancelled: Cancelled<'_>,
    ) -> Result<Built, BuildError> {
        let builder = Builder::new(&self.xen, domid);
        let built = builder.load(layout, p2m, sources, cancelled)?;
        builder.start(layout, p2m)?;
        Ok(built)
    }

    fn pause(&self, domid: DomainId) -> Result<(), HypercallError> {
        self.xen.pause_domain(domid)
    }

    fn unpause(&self, domid: DomainId) -> Result<(), HypercallError> {
        self.xen.unpause_domain(domid)
    }

    fn destroy_once(&self, domid: DomainId) -> Result<bool, HypercallError> {
        self.xen.destroy_domain_once(domid)
    }

    fn about(&self) -> Result<About, HypercallError> {
        let abi = self.xen.abi();
        Ok(About {
            version: self.xen.version().clone(),
            abi_release: abi.release.clone(),
            domctl_version: abi.domctl_version,
            sysctl_version: abi.sysctl_version,
            scheduler: self.xen.scheduler()?.to_string(),
            physical: self.xen.phys_info()?,
            topology: self.xen.topology()?,
            numa: self.xen.numa()?,
        })
    }

    fn log(&self, clear: bool) -> Result<Vec<u8>, HypercallError> {
        self.xen.read_log(clear)
    }

    fn calls(&self) -> u64 {
        self.xen.privcmd().calls()
    }
}

/// Opens the host when it is first needed, and keeps it.
#[derive(Debug)]
pub struct Gate {
    kernels: Arc<dyn Kernels>,
    hypervisor: Mutex<Option<Arc<XenHypervisor>>>,
    opening: tokio::sync::Mutex<()>,
    host: OnceLock<Arc<Host>>,
}

impl Gate {
    pub fn new(kernels: Arc<dyn Kernels>) -> Self {
        Self {
            kernels,
            hypervisor: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
            host: OnceLock::new(),
        }
    }

    fn xen(&self) -> Result<Arc<XenHypervisor>, Problem> {
        let mut slot = self.hypervisor.lock();
        if let Some(hypervisor) = &*slot {
            return Ok(hypervisor.clone());
        }
        let hypervisor = Arc::new(XenHypervisor::open()?);
        tracing::info!(version = %hypervisor.xen().version(), "reached the hypervisor");
        *slot = Some(hypervisor.clone());
        Ok(hypervisor)
    }

    /// xenstore's client, once the host was reached.
    async fn open_store(&self) -> Result<XenStore, Problem> {
        let down = |error: &(dyn std::error::Error + 'static)| {
            Problem::unavailable("XENSTORED_DOWN", "xenstored cannot be reached")
                .cause(error)
                .hint("Start xenstored in Dom0; xlfsd connects by itself.")
        };
        let endpoint = Endpoint::discover().await.map_err(|e| down(&e))?;
        let config = Config { deadline: STORE_DEADLINE, ..Config::default() };
        let client = Client::connect(endpoint, config).await.map_err(|e| down(&e))?;
        Ok(XenStore::new(client))
    }
}

#[async_trait]
impl Reach for Gate {
    async fn reach(&self) -> Result<Arc<Host>, Problem> {
        if let Some(host) = self.host.get() {
            return Ok(host.clone());
        }
        let _turn = self.opening.lock().await;
        if let Some(host) = self.host.get() {
            return Ok(host.clone());
        }
        let hypervisor = self.xen()?;
        let store = self.open_store().await?;
        let changes = Arc::new(Notify::new());
        watch_releases(store.client().clone(), changes.clone());
        let rings: Arc<dyn Rings> = Arc::new(XenRings::open(hypervisor.xen().clone())?);
        let host = Arc::new(Host {
            hypervisor,
            store: Arc::new(store),
            rings,
            kernels: self.kernels.clone(),
            ledger: Ledger::default(),
            changes,
        });
        Ok(self.host.get_or_init(|| host).clone())
    }

    fn reached(&self) -> Option<Arc<Host>> {
        self.host.get().cloned()
    }

    fn hypervisor(&self) -> Result<Arc<dyn Hypervisor>, Problem> {
        Ok(self.xen()?)
    }
}

/// Passes xenstored's word on ended domains on.
fn watch_releases(client: Client, changes: Arc<Notify>) {
    tokio::spawn(async move {
        loop {
            match client.watch("@releaseDomain").await {
                Ok(mut watch) => {
                    while watch.next().await.is_ok() {
                        changes.notify_one();
                    }
                }
                Err(error) => tracing::warn!("cannot watch for ended domains: {error}"),
            }
            // They are swept meanwhile.
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    });
}

//! What lies under the daemon: the hypervisor, xenstore, consoles, kernels.
//!
//! Everything that the lifecycle of guests needs of the machine stands behind
//! the traits of this room, so that a simulated host can take its place. The
//! real ones are thin and without policy.
//!
//! [`Host::reach`] gives the host when there is one. A machine without Xen, or
//! one whose xenstored is not up yet, is no reason not to start: the daemon
//! serves what it can, and asks again with each call.

mod activity;
mod disks;
mod info;
mod kernels;
mod ledger;
mod rings;
mod store;
mod xen;

use std::fs::File;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use xlfs_xen::builder::{BuildError, Built, Layout, P2m, Sources};
use xlfs_xen::hypercall::{
    Cpu, DomainId, DomainInfo, HypercallError, Limits, NumaNode, PhysInfo, Version,
};
use xlfs_xen::kernel::KernelPlan;
use xlfs_xen::loopdev::Access;
use xlfs_xen::xenstore;

use crate::console::ConsoleHub;
use crate::domain::VolumeRecipe;
use crate::image::Digest;
use crate::problem::Problem;
use crate::storage::{Holder, VolumeRecord};

pub use activity::Activity;
pub use disks::PoolDisks;
pub use info::HostFacts;
pub use kernels::WorkerKernels;
pub use ledger::{Ledger, Reservation};
pub use rings::XenRings;
pub use store::{StoreOp, XenStore};
pub use xen::{Gate, XenHypervisor};

/// Looked at between the parts of long work.
pub type Cancelled<'a> = &'a (dyn Fn() -> bool + Sync);

/// The hypervisor. Calls block as long as their hypercalls: run those that
/// build or destroy outside of the asynchronous threads.
pub trait Hypervisor: Send + Sync + std::fmt::Debug {
    /// Every domain, in the order of their numbers.
    fn domains(&self) -> Result<Vec<DomainInfo>, HypercallError>;
    /// One domain; `None` when it does not exist.
    fn domain(&self, domid: DomainId) -> Result<Option<DomainInfo>, HypercallError>;
    /// The machine's CPUs and memory.
    fn phys_info(&self) -> Result<PhysInfo, HypercallError>;
    /// An empty domain, paused.
    fn create(&self, uuid: Uuid, limits: Limits) -> Result<DomainId, HypercallError>;
    /// vCPUs and memory for an empty domain.
    fn populate(
        &self,
        domid: DomainId,
        limits: Limits,
        pages: u64,
        cancelled: Cancelled<'_>,
    ) -> Result<P2m, BuildError>;
    /// Kernel, ramdisk, tables and first state for a populated domain.
    fn load(
        &self,
        domid: DomainId,
        layout: &Layout,
        p2m: &P2m,
        sources: &Sources<'_>,
        cancelled: Cancelled<'_>,
    ) -> Result<Built, BuildError>;
    /// Stops a domain's vCPUs.
    fn pause(&self, domid: DomainId) -> Result<(), HypercallError>;
    /// Lets a domain's vCPUs run.
    fn unpause(&self, domid: DomainId) -> Result<(), HypercallError>;
    /// Takes a part of a domain apart; true when that was the last.
    fn destroy_once(&self, domid: DomainId) -> Result<bool, HypercallError>;
    /// What the hypervisor says of itself.
    fn about(&self) -> Result<About, HypercallError>;
    /// The hypervisor's message ring.
    fn log(&self, clear: bool) -> Result<Vec<u8>, HypercallError>;
    /// Hypercalls made so far.
    fn calls(&self) -> u64;
}

/// The hypervisor and its machine, for a person to look at.
#[derive(Debug, Clone)]
pub struct About {
    pub version: Version,
    pub abi_release: String,
    pub domctl_version: u32,
    pub sysctl_version: u32,
    pub scheduler: String,
    pub physical: PhysInfo,
    pub topology: Vec<Cpu>,
    pub numa: Vec<NumaNode>,
}

/// xenstore.
#[async_trait]
pub trait Store: Send + Sync + std::fmt::Debug {
    /// Carries out all of `ops` in order, with one wait; the first error is told.
    async fn apply(&self, ops: Vec<StoreOp>) -> Result<(), xenstore::Error>;
    /// A value; `None` when there is no such node.
    async fn read(&self, path: &str) -> Result<Option<Vec<u8>>, xenstore::Error>;
    /// Several values with one wait.
    async fn read_many(&self, paths: &[String]) -> Result<Vec<Option<Vec<u8>>>, xenstore::Error>;
    /// Operations, waits and transactions so far.
    fn counts(&self) -> StoreCounts;
}

/// What xenstore cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreCounts {
    pub operations: u64,
    pub waits: u64,
    pub transactions: u64,
}

/// A block device of Dom0, as xenstore's `physical-device` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlockNumber {
    pub major: u32,
    pub minor: u32,
}

impl std::fmt::Display for BlockNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:x}:{:x}", self.major, self.minor)
    }
}

/// A volume to be made for a guest.
#[derive(Debug, Clone)]
pub struct VolumePlan {
    pub guest: Uuid,
    pub recipe: VolumeRecipe,
    /// It stays when the guest is deleted.
    pub keep: bool,
}

/// The volumes behind the guests' disks. Needs no Xen. Each call is fine when
/// what it asks for is so already.
#[async_trait]
pub trait Disks: Send + Sync + std::fmt::Debug {
    /// Makes a volume. Gives up soon after `cancel`, and leaves nothing then: it
    /// is to be waited for all the same.
    async fn make(&self, volume: VolumePlan, cancel: CancellationToken) -> Result<(), Problem>;
    /// Removes a guest's volume and all that it holds. VOLUME_IN_USE where another
    /// guest has it, too.
    async fn remove(&self, volume: Uuid, guest: Uuid) -> Result<(), Problem>;
    /// A volume stays when its guest goes, and is that guest's no more.
    async fn keep(&self, volume: Uuid) -> Result<(), Problem>;
    /// Gives a volume another name, and says whether it stays when its guest is
    /// deleted.
    async fn rename(&self, volume: Uuid, name: String, keep: bool) -> Result<(), Problem>;
    /// The volume of that name or UUID. NO_SUCH_VOLUME, VOLUME_BUSY.
    fn volume(&self, reference: &str) -> Result<VolumeRecord, Problem>;
    /// Whether `guest` may have a volume beside the guests whose records name
    /// it. VOLUME_IN_USE names them.
    fn check_shared(&self, volume: Uuid, guest: Uuid, access: Access) -> Result<(), Problem>;
    /// What a block device has been doing.
    async fn activity(&self, block: BlockNumber) -> Result<Activity, Problem>;
    /// The content of a guest's configuration disk; `None` when it has none.
    async fn read_seed(&self, guest: Uuid) -> Result<Option<Vec<u8>>, Problem>;
    /// Keeps the content of a guest's configuration disk, for root alone to read.
    async fn write_seed(&self, guest: Uuid, content: Vec<u8>) -> Result<(), Problem>;
    async fn remove_seed(&self, guest: Uuid) -> Result<(), Problem>;
    /// Where a volume goes that names no pool.
    fn default_pool(&self) -> Result<String, Problem>;
    /// Whether there is such a pool, and it can be used.
    fn check(&self, pool: &str) -> Result<(), Problem>;
    /// Makes a block device of Dom0 of it, for one guest; for several only when
    /// all of them read.
    async fn attach(&self, disk: DiskUse) -> Result<BlockNumber, Problem>;
    /// Lets go of the guest's device; a back end that still has it open keeps it
    /// until it closes it.
    async fn detach(&self, disk: DiskUse) -> Result<(), Problem>;
}

/// A disk that a guest uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskUse {
    pub source: DiskSource,
    pub guest: Holder,
    pub access: Access,
}

/// What is behind a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskSource {
    Volume(Uuid),
    /// The guest's configuration disk.
    Seed,
}

/// Where a domain's console is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsolePlace {
    pub domid: DomainId,
    /// Machine frame of the ring.
    pub mfn: u64,
    /// The guest's event channel port.
    pub port: u32,
}

/// The guests' console rings.
#[async_trait]
pub trait Rings: Send + Sync + std::fmt::Debug {
    /// Serves the console of a guest's new domain. Serving it already is fine.
    async fn attach(&self, hub: Arc<ConsoleHub>, place: ConsolePlace) -> Result<(), Problem>;
    /// Takes what is still in the ring, then lets go of the domain's page and port.
    async fn detach(&self, guest: Uuid);
}

/// A kernel that was checked, ready to be loaded.
#[derive(Debug)]
pub struct PreparedKernel {
    pub plan: KernelPlan,
    /// The uncompressed ELF file.
    pub payload: File,
}

/// Kernels out of the image store, parsed by an unprivileged process.
#[async_trait]
pub trait Kernels: Send + Sync + std::fmt::Debug {
    async fn prepare(&self, digest: &Digest) -> Result<PreparedKernel, Problem>;
    /// A ramdisk, and its length in bytes.
    async fn ramdisk(&self, digest: &Digest) -> Result<(File, u64), Problem>;
}

/// A machine that runs on Xen.
#[derive(Debug)]
pub struct Host {
    pub hypervisor: Arc<dyn Hypervisor>,
    pub store: Arc<dyn Store>,
    pub rings: Arc<dyn Rings>,
    pub kernels: Arc<dyn Kernels>,
    pub ledger: Ledger,
    /// Notified when a domain may have come, ended or gone.
    pub changes: Arc<Notify>,
}

/// Finds the host, or says why there is none now.
#[async_trait]
pub trait Reach: Send + Sync + std::fmt::Debug {
    async fn reach(&self) -> Result<Arc<Host>, Problem>;
    /// The host, if it was reached before; never waits.
    fn reached(&self) -> Option<Arc<Host>>;
    /// The hypervisor alone, where xenstore is not needed.
    fn hypervisor(&self) -> Result<Arc<dyn Hypervisor>, Problem>;
}

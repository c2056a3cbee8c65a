//! One guest: its record, what is known of its domain, and who works on it.

use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use xlfs_xen::hypercall::{DomainId, DomainInfo};

use super::lent::Lent;
use super::policy::{Brake, Retry};
use super::record::{GuestRecord, Work};
use crate::console::ConsoleHub;
use crate::host::Hypervisor;
use crate::problem::Problem;

/// The operation that works on a guest.
#[derive(Debug, Clone)]
pub(super) struct Current {
    pub task: String,
    pub work: Work,
    pub cancel: CancellationToken,
}

#[derive(Debug, Default)]
struct Live {
    /// The number of the last domain that was seen; its nodes go by it.
    domid: Option<DomainId>,
    last_domid: Option<DomainId>,
    started: Option<SystemTime>,
    current: Option<Current>,
    brake: Brake,
    forgotten: bool,
    /// A domain that has ended, which the policy keeps for a look.
    kept: Option<DomainId>,
    /// What its configuration disk is to hold, until that is written.
    seed: Option<Vec<u8>>,
    /// When what could not be finished of it was tried again.
    retry: Retry,
    /// The guest whose disks it begins as, until they are copied.
    source: Option<Lent>,
}

/// A guest that xlfs keeps.
#[derive(Debug)]
pub struct Guest {
    uuid: Uuid,
    name: String,
    record: Mutex<GuestRecord>,
    live: Mutex<Live>,
    /// Held by the operation that works on it.
    pub(super) turn: Arc<tokio::sync::Mutex<()>>,
    changed: Notify,
    console: Arc<ConsoleHub>,
}

impl Guest {
    pub(super) fn new(record: GuestRecord, console: Arc<ConsoleHub>) -> Self {
        Self {
            uuid: record.uuid,
            name: record.name.clone(),
            record: Mutex::new(record),
            live: Mutex::default(),
            turn: Arc::default(),
            changed: Notify::new(),
            console,
        }
    }

    pub fn uuid(&self) -> Uuid {
        self.uuid
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// A copy of what the user asked for.
    pub fn record(&self) -> GuestRecord {
        self.record.lock().clone()
    }

    pub(super) fn update<T>(&self, change: impl FnOnce(&mut GuestRecord) -> T) -> T {
        change(&mut self.record.lock())
    }

    pub fn console(&self) -> &Arc<ConsoleHub> {
        &self.console
    }

    /// Its domain, found by the handle. The number that was seen last is tried
    /// first, so that this is one hypercall mostly.
    pub(super) fn find_domain(
        &self,
        hypervisor: &dyn Hypervisor,
    ) -> Result<Option<DomainInfo>, Problem> {
        let failed = |error: xlfs_xen::hypercall::HypercallError| {
            Problem::internal("the hypervisor cannot be asked for the guest's domain").cause(&error)
        };
        let handle = self.uuid.into_bytes();
        if let Some(domid) = self.live.lock().domid
            && let Some(info) = hypervisor.domain(domid).map_err(failed)?
            && info.handle == handle
        {
            return Ok(Some(info));
        }
        let found = hypervisor.domains().map_err(failed)?.into_iter().find(|d| d.handle == handle);
        self.set_domid(found.as_ref().map(|d| d.domid));
        Ok(found)
    }

    pub(super) fn set_domid(&self, domid: Option<DomainId>) {
        let mut live = self.live.lock();
        live.domid = domid;
        if domid.is_some() {
            live.last_domid = domid;
        } else {
            live.started = None;
        }
    }

    /// The number of its last domain, which may be gone.
    pub(super) fn last_domid(&self) -> Option<DomainId> {
        self.live.lock().last_domid
    }

    pub(super) fn mark_started(&self) {
        let mut live = self.live.lock();
        live.started.get_or_insert_with(SystemTime::now);
    }

    pub(super) fn started(&self) -> Option<SystemTime> {
        self.live.lock().started
    }

    pub(super) fn keep(&self, domid: Option<DomainId>) {
        self.live.lock().kept = domid;
    }

    pub(super) fn is_kept(&self, domid: DomainId) -> bool {
        self.live.lock().kept == Some(domid)
    }

    pub(super) fn set_seed(&self, content: Option<Vec<u8>>) {
        self.live.lock().seed = content;
    }

    /// The content of its configuration disk, once.
    pub(super) fn take_seed(&self) -> Option<Vec<u8>> {
        self.live.lock().seed.take()
    }

    /// Keeps the guest that this one is a copy of from being changed, or with
    /// `None` lets it go.
    pub(super) fn lend(&self, source: Option<Lent>) {
        let before = std::mem::replace(&mut self.live.lock().source, source);
        // Outside of the lock: the other guest has one, too.
        drop(before);
    }

    /// The guest that this one is being copied from.
    pub(super) fn source(&self) -> Option<Arc<Guest>> {
        self.live.lock().source.as_ref().map(|lent| lent.guest().clone())
    }

    /// A domain that was seen in an earlier life of the daemon.
    pub(super) fn remember_domid(&self, domid: DomainId) {
        self.live.lock().last_domid.get_or_insert(domid);
    }

    pub(super) fn mark_forgotten(&self) {
        self.live.lock().forgotten = true;
    }

    pub(super) fn is_forgotten(&self) -> bool {
        self.live.lock().forgotten
    }

    pub(super) fn current(&self) -> Option<Current> {
        self.live.lock().current.clone()
    }

    pub(super) fn set_current(&self, current: Option<Current>) {
        {
            let mut live = self.live.lock();
            if let (Some(lent), Some(current)) = (&live.source, &current) {
                lent.to(current);
            }
            live.current = current;
        }
        self.touch();
    }

    pub(super) fn with_brake<T>(&self, look: impl FnOnce(&mut Brake) -> T) -> T {
        look(&mut self.live.lock().brake)
    }

    pub(super) fn with_retry<T>(&self, look: impl FnOnce(&mut Retry) -> T) -> T {
        look(&mut self.live.lock().retry)
    }

    /// Wakes everybody who waits for a change of this guest.
    pub(super) fn touch(&self) {
        self.changed.notify_waiters();
    }

    /// Resolves at the next [`touch`](Self::touch).
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

//! Guests and domains as clients see them.

use std::sync::Arc;
use std::time::Duration;

use prost_types::Timestamp;
use xlfs_proto::v1 as pb;
use xlfs_xen::hypercall::DomainInfo;

use super::devices::{DiskRecord, NicRecord, SnapshotDisk, SnapshotRecord};
use super::guest::Guest;
use super::operations::Guests;
use super::record::{GuestRecord, time_of};
use super::request::WaitRequest;
use super::state::{Observed, of_domain, operations, state, word};
use crate::host::Host;
use crate::problem::Problem;

/// Bytes of a foreign domain's name that are shown.
const MAX_NAME: usize = 80;
/// How often a waited-for guest is looked at without a word from it.
const LOOK: Duration = Duration::from_millis(500);

/// All domains, and why some may be missing.
#[derive(Debug)]
pub struct Listing {
    pub domains: Vec<pb::Domain>,
    /// Set when the hypervisor could not be asked.
    pub problem: Option<Problem>,
}

impl Guests {
    /// Every guest, and every domain that others made.
    pub async fn list(&self) -> Listing {
        let reached = self.shared.reach.reach().await;
        let (host, problem) = match reached {
            Ok(host) => (Some(host), None),
            Err(problem) => (None, Some(problem)),
        };
        let infos = match &host {
            Some(host) => host.hypervisor.domains().unwrap_or_default(),
            None => Vec::new(),
        };
        let mut domains = Vec::new();
        for guest in self.shared.table.all() {
            let handle = guest.uuid().into_bytes();
            let info = infos.iter().find(|info| info.handle == handle);
            domains.push(self.show_guest(&guest, info));
        }
        if let Some(host) = &host {
            domains.extend(self.foreign(host, &infos).await);
        }
        Listing { domains, problem }
    }

    /// One guest, or one domain of others by its name.
    pub async fn show(&self, name: &str) -> Result<pb::Domain, Problem> {
        match self.shared.table.get(name) {
            Ok(guest) => {
                let host = self.shared.reach.reach().await.ok();
                let info = match &host {
                    Some(host) => guest.find_domain(&*host.hypervisor)?,
                    None => None,
                };
                Ok(self.show_guest(&guest, info.as_ref()))
            }
            Err(problem) => {
                let listed = self.list().await.domains;
                listed.into_iter().find(|d| d.name == name).ok_or(problem)
            }
        }
    }

    /// The number of a domain of others that has this name.
    pub(super) async fn unmanaged(&self, name: &str) -> Option<u32> {
        let host = self.shared.reach.reach().await.ok()?;
        let infos = host.hypervisor.domains().ok()?;
        let foreign = self.foreign(&host, &infos).await;
        foreign.into_iter().find(|domain| domain.name == name)?.domid
    }

    fn show_guest(&self, guest: &Guest, info: Option<&DomainInfo>) -> pb::Domain {
        let record = guest.record();
        let current = guest.current();
        let work = current.as_ref().map(|current| current.work);
        let now = state(&Observed { domain: info, work, held: record.held });
        let mut problems = Vec::new();
        if record.held {
            problems.push(format!(
                "held: {}; start it when the cause is mended",
                super::policy::hold_reason()
            ));
        }
        if info.is_some_and(|info| info.dying) {
            problems.push("its domain is destroyed, but some of its memory is still held".into());
        }
        let end = record.last_end.as_ref();
        pb::Domain {
            name: record.name.clone(),
            uuid: record.uuid.to_string(),
            managed: true,
            state: now.into(),
            domid: info.map(|info| u32::from(info.domid.0)),
            template: record.template.clone(),
            parameters: record.parameters.clone().into_iter().collect(),
            memory_mib: record.memory_mib,
            vcpus: record.vcpus,
            end_policy: Some(record.policy.into()),
            kernel_digest: record.kernel.to_string(),
            ramdisk_digest: record.ramdisk.map(|d| d.to_string()).unwrap_or_default(),
            wanted_running: record.wanted_running,
            created: Some(Timestamp::from(time_of(record.created_ms))),
            started: info.and_then(|_| guest.started()).map(Timestamp::from),
            cpu_time: info.map(|info| duration(info.cpu_time_ns)),
            last_end: end.map(|end| end.cause.clone()).unwrap_or_default(),
            last_end_time: end.map(|end| Timestamp::from(time_of(end.at_ms))),
            restarts: record.restarts,
            operations: operations(now),
            task_id: current.map(|current| current.task).unwrap_or_default(),
            problems,
            disks: record.disks.iter().map(disk).collect(),
            nics: record.nics.iter().map(nic).collect(),
            snapshots: record.snapshots.iter().map(|one| snapshot(one, &record)).collect(),
            console: Some(guest.console().stats()),
            health: self.health(&record, now),
        }
    }

    /// Domains that no guest of ours runs in.
    async fn foreign(&self, host: &Host, infos: &[DomainInfo]) -> Vec<pb::Domain> {
        let ours = |info: &DomainInfo| {
            self.shared.table.by_uuid(uuid::Uuid::from_bytes(info.handle)).is_some()
        };
        let others: Vec<&DomainInfo> = infos.iter().filter(|info| !ours(info)).collect();
        let paths: Vec<String> =
            others.iter().map(|i| format!("/local/domain/{}/name", i.domid)).collect();
        let names = host.store.read_many(&paths).await.unwrap_or_default();
        let names = names.into_iter().chain(std::iter::repeat(None));
        others.into_iter().zip(names).map(|(info, name)| show_foreign(info, name)).collect()
    }

    /// Waits until a guest is as asked, or the time is up.
    pub async fn wait(&self, request: WaitRequest) -> Result<pb::Domain, Problem> {
        let guest = self.shared.table.get(&request.name)?;
        let text = request.console_contains.as_slice();
        let reached = async {
            tokio::select! {
                found = self.wait_for_state(&guest, &request) => found,
                seen = guest.console().contains(text), if !text.is_empty() => {
                    seen?;
                    self.show_now(&guest).await
                }
            }
        };
        let Some(timeout) = request.timeout else { return reached.await };
        if let Ok(found) = tokio::time::timeout(timeout, reached).await {
            return found;
        }
        let found = self.show_now(&guest).await?;
        Err(Problem::deadline_exceeded(
            "WAIT_TIMEOUT",
            format!("the guest {} is {}", request.name, word(found.state())),
        )
        .object(format!("guest {}", request.name))
        .hint("Wait longer with --timeout, or look at its console."))
    }

    async fn wait_for_state(
        &self,
        guest: &Arc<Guest>,
        request: &WaitRequest,
    ) -> Result<pb::Domain, Problem> {
        loop {
            // Armed before the look: nothing that changes between is missed.
            let changed = guest.changed();
            let found = self.show_now(guest).await?;
            if request.states.contains(&found.state()) {
                return Ok(found);
            }
            if !request.health.is_empty() {
                let health = found.health.as_ref().map(pb::Health::state);
                if health.is_some_and(|health| request.health.contains(&health)) {
                    return Ok(found);
                }
                if guest.record().health.is_empty() {
                    return Err(no_checks(&request.name, &found.template));
                }
            }
            if guest.is_forgotten() {
                return Err(Problem::not_found(
                    "NO_SUCH_GUEST",
                    format!("the guest {} was deleted meanwhile", request.name),
                ));
            }
            // A look now and then too: not everything that changes a state
            // comes with a word of it.
            let _ = tokio::time::timeout(LOOK, changed).await;
        }
    }

    async fn show_now(&self, guest: &Arc<Guest>) -> Result<pb::Domain, Problem> {
        let host = self.shared.reach.reach().await.ok();
        let info = match &host {
            Some(host) => guest.find_domain(&*host.hypervisor)?,
            None => None,
        };
        Ok(self.show_guest(guest, info.as_ref()))
    }
}

/// It would be waited for without an end.
fn no_checks(name: &str, template: &str) -> Problem {
    Problem::failed_precondition(
        "NO_HEALTH_CHECKS",
        format!("the guest {name} has no health checks, so its health is not known"),
    )
    .object(format!("guest {name}"))
    .hint(format!("Its template {template} had none when it was made. Wait for a state, or a text on its console."))
}

fn show_foreign(info: &DomainInfo, name: Option<Vec<u8>>) -> pb::Domain {
    let name = match name {
        _ if info.domid.0 == 0 => "Domain-0".into(),
        Some(name) => clean(&name),
        None => format!("domain-{}", info.domid),
    };
    pb::Domain {
        name,
        uuid: uuid::Uuid::from_bytes(info.handle).to_string(),
        managed: false,
        state: of_domain(info).into(),
        domid: Some(u32::from(info.domid.0)),
        memory_mib: info.pages >> 8,
        vcpus: info.online_vcpus,
        cpu_time: Some(duration(info.cpu_time_ns)),
        ..pb::Domain::default()
    }
}

/// A stranger's word, fit for a terminal.
fn clean(bytes: &[u8]) -> String {
    let shown = bytes.iter().take(MAX_NAME);
    shown.map(|b| if b.is_ascii_graphic() { char::from(*b) } else { '?' }).collect()
}

fn duration(ns: u64) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(ns / 1_000_000_000).unwrap_or(i64::MAX),
        nanos: (ns % 1_000_000_000) as i32,
    }
}

fn disk(disk: &DiskRecord) -> pb::Disk {
    pb::Disk {
        name: disk.name.to_string(),
        volume: disk.volume.name.clone(),
        volume_uuid: disk.volume.uuid.to_string(),
        pool: disk.volume.pool.clone(),
        size_bytes: disk.volume.size,
        read_only: disk.read_only,
        keep: disk.keep,
        image_digest: disk.volume.image.map(|digest| digest.to_string()).unwrap_or_default(),
    }
}

fn snapshot(snapshot: &SnapshotRecord, record: &GuestRecord) -> pb::Snapshot {
    let disk = |disk: &SnapshotDisk| pb::SnapshotDisk {
        name: disk.name.to_string(),
        volume: disk.volume.name.clone(),
        size_bytes: disk.volume.size,
    };
    pb::Snapshot {
        name: snapshot.name.clone(),
        created: Some(Timestamp::from(time_of(snapshot.created_ms))),
        paused: snapshot.paused,
        disks: snapshot.disks.iter().map(disk).collect(),
        problem: snapshot.problem(record).unwrap_or_default(),
    }
}

fn nic(nic: &NicRecord) -> pb::Nic {
    pb::Nic {
        index: nic.index.into(),
        network: nic.network.clone(),
        mac: nic.mac.to_string(),
        addresses: nic.addresses.iter().map(ToString::to_string).collect(),
        rate: nic.rate.map(|rate| rate.to_string()).unwrap_or_default(),
        anti_spoofing: nic.anti_spoofing,
    }
}

//! What a daemon does at its start about guests that run, and about operations
//! that an earlier one was in the middle of.
//!
//! | the record says | there is | then |
//! |---|---|---|
//! | create | anything | undone: the guest is gone |
//! | start, reboot, restart | a domain that never ran | destroyed, and started anew |
//! | the same | a domain that ran | adopted |
//! | the same | none | started |
//! | shutdown | a running domain | asked again |
//! | destroy, cleanup, delete | anything | finished |
//! | snapshot | anything | undone; a paused guest is adopted first |
//! | unsnapshot | anything | finished; the same |
//! | restore | anything | finished once the disks are the restored ones, else undone |
//! | attach | anything | the device is taken away, unless the guest has it whole |
//! | detach | anything | finished |
//! | nothing | a domain that ran | adopted: its console is served again |
//! | nothing | a domain that never ran | destroyed |
//!
//! A guest that runs is never touched but for its console.

use std::sync::Arc;
use std::time::Duration;

use xlfs_xen::hypercall::DomainInfo;

use super::devices::DeviceChange;
use super::guest::Guest;
use super::nodes;
use super::operations::{Guests, SHUTDOWN, Turn};
use super::plan::{DeviceKind, Goal, World, plan};
use super::record::Work;
use crate::host::Host;
use crate::problem::Problem;

impl Guests {
    /// Settles every guest once.
    pub(super) async fn recover(&self, host: &Arc<Host>) {
        for guest in self.shared.table.all() {
            if let Err(problem) = self.settle(host, &guest).await {
                let text = format!("cannot settle the guest {}: {problem:#}", guest.name());
                self.shared.base.events.warn(guest.name(), "RECOVERY_FAILED", text);
            }
        }
    }

    pub(super) async fn settle(&self, host: &Arc<Host>, guest: &Arc<Guest>) -> Result<(), Problem> {
        let Ok(turn) = guest.turn.clone().try_lock_owned() else { return Ok(()) };
        let domain = guest.find_domain(&*host.hypervisor)?;
        let record = guest.record();
        if domain.is_none() && record.has_devices() {
            // Their nodes go by the number of the domain that is gone.
            let place = host.store.read(&nodes::console_place(guest.uuid())).await.ok().flatten();
            if let Some(domid) = place.and_then(|value| nodes::parse_console_domid(&value)) {
                guest.remember_domid(domid);
            }
        }
        let world = World::of(&record, domain.as_ref());
        let half_built = domain.as_ref().is_some_and(never_ran);
        let (goal, work) = match (record.work, &domain) {
            (Some(Work::Create), _) => {
                // There was no guest yet that a volume could be kept for.
                guest.update(|record| record.disks.iter_mut().for_each(|disk| disk.keep = false));
                (Goal::Forgotten, Work::Delete)
            }
            (Some(Work::Delete), _) => (Goal::Forgotten, Work::Delete),
            (Some(Work::Attach | Work::Detach), _)
            | (Some(Work::Snapshot | Work::Restore | Work::Unsnapshot | Work::Clone), _) => {
                return self.settle_parts(host, guest, turn, domain.as_ref()).await;
            }
            (None, _) if record.is_unsettled() => {
                return self.settle_parts(host, guest, turn, domain.as_ref()).await;
            }
            (Some(Work::Destroy), _) => (Goal::Gone, Work::Destroy),
            (Some(Work::Cleanup), _) => (Goal::Gone, Work::Cleanup),
            (Some(Work::Shutdown), Some(_)) => {
                (Goal::Down { timeout: SHUTDOWN, force: false }, Work::Shutdown)
            }
            (Some(Work::Shutdown), None) => (Goal::Gone, Work::Destroy),
            (Some(work @ (Work::Start | Work::Reboot | Work::Restart)), Some(_)) if !half_built => {
                tracing::info!(guest = guest.name(), ?work, "found running");
                self.note(guest, |record| record.work = None)?;
                return self.adopt(host, guest, domain.as_ref()).await;
            }
            (Some(Work::Start | Work::Reboot | Work::Restart), _) => {
                (Goal::Running { paused: false }, Work::Start)
            }
            (None, Some(_)) if half_built && !record.wanted_running => (Goal::Gone, Work::Destroy),
            (None, Some(_)) => return self.adopt(host, guest, domain.as_ref()).await,
            (None, None) => {
                if record.wanted_running {
                    // The host was restarted, or it ended while nobody looked.
                    self.note(guest, |record| record.wanted_running = false)?;
                    tracing::info!(guest = guest.name(), "is gone");
                }
                return Ok(());
            }
        };
        let text = format!("finishing what was begun: {work:?}");
        self.warn_interrupted(guest);
        self.begin(guest.clone(), turn, Some(host.clone()), work, plan(world, goal), text);
        Ok(())
    }

    fn warn_interrupted(&self, guest: &Guest) {
        self.shared.base.events.warn(
            guest.name(),
            "INTERRUPTED",
            format!("an operation on the guest {} was cut off; it is settled now", guest.name()),
        );
    }

    /// A guest that is as it is meant to be but for a device on its way, or for
    /// disks that were being kept or restored.
    async fn settle_parts(
        &self,
        host: &Arc<Host>,
        guest: &Arc<Guest>,
        turn: Turn,
        domain: Option<&DomainInfo>,
    ) -> Result<(), Problem> {
        if guest.started().is_none()
            && let Err(problem) = self.adopt(host, guest, domain).await
        {
            let text = format!("cannot serve the guest {}: {problem:#}", guest.name());
            self.shared.base.events.warn(guest.name(), "RECOVERY_FAILED", text);
        }
        self.note(guest, |record| {
            if domain.is_none() {
                record.wanted_running = false;
            }
            let listed =
                record.change.as_ref().is_some_and(|c| record.device(c.device.key()).is_some());
            if listed && record.work != Some(Work::Detach) {
                // The guest has it whole.
                record.change = None;
            }
            record.work = None;
        })?;
        let record = guest.record();
        let (goal, work, text) = match &record.change {
            Some(DeviceChange { device, remove_volume }) => {
                let (kind, remove_volume) = (DeviceKind::of(device), *remove_volume);
                let timeout = Duration::ZERO;
                let goal = Goal::Detached { kind, timeout, force: true, remove_volume };
                (goal, Work::Detach, format!("taking the {} away", device.title()))
            }
            None if record.is_untidy() => {
                (Goal::Tidied, Work::Unsnapshot, "removing what was not finished".to_owned())
            }
            None => return Ok(()),
        };
        let steps = plan(World::of(&record, domain), goal);
        self.warn_interrupted(guest);
        self.begin(guest.clone(), turn, Some(host.clone()), work, steps, text);
        Ok(())
    }

    /// Serves the console of a domain that an earlier daemon made.
    async fn adopt(
        &self,
        host: &Arc<Host>,
        guest: &Arc<Guest>,
        domain: Option<&DomainInfo>,
    ) -> Result<(), Problem> {
        let Some(domain) = domain else { return Ok(()) };
        guest.mark_started();
        // Nothing is attached anew: the daemon learns who has which volume.
        let record = guest.record();
        for disk in &record.disks {
            self.shared.disks.attach(record.uses_disk(disk)).await?;
        }
        let path = nodes::console_place(guest.uuid());
        let value = host.store.read(&path).await.map_err(|error| {
            Problem::unavailable("XENSTORE_FAILED", "the place of its console cannot be read")
                .cause(&error)
        })?;
        let place = value.and_then(|value| nodes::parse_console_place(&value, domain.domid));
        let Some(place) = place else {
            return Err(Problem::internal("nothing tells where the console of its domain is")
                .hint("The guest runs on without a console until its next start."));
        };
        guest.console().resume_domain();
        host.rings.attach(guest.console().clone(), place).await
    }
}

/// A domain that was never unpaused: nobody has used it yet.
fn never_ran(domain: &DomainInfo) -> bool {
    domain.paused && domain.cpu_time_ns == 0
}

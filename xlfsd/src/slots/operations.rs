//! What users ask of the slots. Each call checks, plans, and starts a task; one at a
//! time, because the host has one end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use xlfs_proto::v1 as pb;

use super::steps::{Step, Work};
use super::{Content, Restart, Slot, Slots, image};
use crate::api::blocking;
use crate::base::Base;
use crate::domain::{Accepted, Guests};
use crate::image::ImageKind;
use crate::problem::Problem;

/// How a host is to end.
#[derive(Debug, Clone, Copy)]
pub struct End {
    /// How long guests may take.
    pub timeout: Duration,
    /// What does not end in time is destroyed.
    pub force: bool,
}

/// The operations. A clone is another handle to the same.
#[derive(Debug, Clone)]
pub struct HostOperations {
    pub(super) base: Arc<Base>,
    slots: Option<Arc<Slots>>,
    pub(super) guests: Guests,
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl HostOperations {
    pub fn new(base: Arc<Base>, slots: Option<Arc<Slots>>, guests: Guests) -> Self {
        Self { base, slots, guests, turn: Arc::default() }
    }

    fn slots(&self) -> Result<&Arc<Slots>, Problem> {
        self.slots.as_ref().ok_or_else(|| {
            Problem::failed_precondition("NOT_ON_SLOTS", "this host does not start from slots")
                .hint(
                    "Only a host that boots from the disk of the image dom0 can be upgraded, \
                     rolled back or restarted by xlfsd: see docs/host.md. Elsewhere use the \
                     system's own means.",
                )
        })
    }

    pub async fn list(&self) -> Result<Vec<pb::Slot>, Problem> {
        let slots = self.slots()?.clone();
        blocking(move || slots.view()).await?
    }

    /// Writes the image `reference` into the slot that does not run. `end`: and starts it.
    pub async fn upgrade(
        &self,
        reference: &str,
        end: Option<End>,
        dry_run: bool,
    ) -> Result<Accepted, Problem> {
        let slots = self.slots()?;
        let slot = self.free_slot(slots)?;
        let hold = self.base.images.hold(reference)?;
        let record = hold.record().clone();
        if record.kind != ImageKind::Disk {
            return Err(Problem::invalid_field("BAD_IMAGE_KIND", "image", "the image is no disk")
                .hint("Which are disks: xlfsctl image list"));
        }
        let room = slots.partition(slot)?.bytes;
        if record.size > room {
            return Err(Problem::failed_precondition(
                "SLOT_TOO_SMALL",
                format!(
                    "the image {reference} has {} bytes, and slot {slot} takes {room}",
                    record.size
                ),
            )
            .hint("Build the image with a smaller `size`."));
        }
        let file = self.base.images.open(&record.digest)?;
        let name = reference.to_owned();
        blocking(move || image::check(file, &name)).await??;
        let mut steps = vec![Step::Write, Step::Verify, Step::SetTry];
        steps.extend(self.ending(end, Restart::Reboot, dry_run).await?);
        let summary = format!("upgrade of the host to {reference}, in slot {slot}");
        let work = Work::new(slots, slot).image(hold, reference);
        self.begin("upgrade", work, steps, end, summary, dry_run)
    }

    /// Starts the other slot, if it is known to work.
    pub async fn roll_back(&self, end: End, dry_run: bool) -> Result<Accepted, Problem> {
        let slots = self.slots()?;
        let slot = slots.boot().slot.other();
        let record = slots.records.read(slot);
        let intent = slots.loader.intent()?;
        let refuse = |why: &str| {
            Problem::failed_precondition(
                "NOTHING_TO_ROLL_BACK_TO",
                format!("slot {slot} is not known to work: {why}"),
            )
            .hint("What is in the slots: xlfsctl host slots. GRUB's menu starts either by hand.")
        };
        match record.as_ref().map(|record| record.content) {
            Some(Content::Good) => {}
            Some(Content::Failed) => return Err(refuse("it failed its trial")),
            Some(Content::Untried) => return Err(refuse("it was never started")),
            Some(Content::Incomplete) => return Err(refuse("it was not written to its end")),
            None if intent.good == slot => {}
            None => return Err(refuse("there is no record of what is in it")),
        }
        let mut steps = Vec::new();
        if record.is_some() {
            steps.push(Step::Verify);
        }
        steps.push(Step::SetTry);
        steps.extend(self.ending(Some(end), Restart::Reboot, dry_run).await?);
        let mut work = Work::new(slots, slot);
        work.expected = record.map(|record| (record.digest, record.size));
        let summary = format!("roll-back of the host to slot {slot}");
        self.begin("roll-back", work, steps, Some(end), summary, dry_run)
    }

    pub async fn restart(
        &self,
        how: Restart,
        end: End,
        dry_run: bool,
    ) -> Result<Accepted, Problem> {
        let slots = self.slots()?;
        let steps = self.ending(Some(end), how, dry_run).await?;
        let (kind, summary) = match how {
            Restart::Reboot => ("reboot", "restart of the host"),
            Restart::PowerOff => ("power-off", "end of the host"),
        };
        let work = Work::new(slots, slots.boot().slot);
        self.begin(kind, work, steps, Some(end), summary.to_owned(), dry_run)
    }

    /// The slot that may be overwritten.
    fn free_slot(&self, slots: &Slots) -> Result<Slot, Problem> {
        let boot = slots.boot();
        let refuse = |message: String, hint: &str| {
            Err(Problem::failed_precondition("SLOT_NEEDED", message).hint(hint))
        };
        let good = slots.loader.intent()?.good;
        if boot.trial && good != boot.slot {
            return refuse(
                format!("slot {} is on trial, and the other one is its way back", boot.slot),
                "Wait until it is good, at most a minute: xlfsctl host slots",
            );
        }
        if good != boot.slot {
            return refuse(
                format!("slot {good} is the good one, and slot {} was started by hand", boot.slot),
                "Restart the host into its good slot first: xlfsctl host reboot",
            );
        }
        Ok(boot.slot.other())
    }

    /// The steps that end the host.
    async fn ending(
        &self,
        end: Option<End>,
        how: Restart,
        dry_run: bool,
    ) -> Result<Vec<Step>, Problem> {
        let Some(end) = end else { return Ok(Vec::new()) };
        let running = self.guests.running().await;
        if !running.foreign.is_empty() && !end.force && !dry_run {
            let names = running.foreign.iter().map(u16::to_string).collect::<Vec<_>>();
            return Err(Problem::failed_precondition(
                "FOREIGN_DOMAINS",
                format!("domains run that xlfs did not make: {}", names.join(", ")),
            )
            .hint(
                "End them by the means that made them, or use --force: they end with the host.",
            ));
        }
        let mut steps = Vec::new();
        if !running.guests.is_empty() {
            steps.push(Step::StopGuests { guests: running.guests });
        }
        steps.push(Step::End(how));
        Ok(steps)
    }

    fn begin(
        &self,
        kind: &str,
        mut work: Work,
        steps: Vec<Step>,
        end: Option<End>,
        summary: String,
        dry_run: bool,
    ) -> Result<Accepted, Problem> {
        let plan: Vec<_> = steps.iter().map(|step| step.planned(&work)).collect();
        let generated = BTreeMap::new();
        if dry_run {
            return Ok(Accepted {
                task: None,
                plan,
                summary: format!("would begin the {summary}"),
                generated,
            });
        }
        let turn = self.take_turn()?;
        let task = self.base.tasks.begin(kind, "host", plan.clone());
        let started = task.snapshot();
        let operations = self.clone();
        work.end = end;
        tokio::spawn(async move {
            operations.work(work, &steps, task).await;
            drop(turn);
        });
        Ok(Accepted { task: Some(started), plan, summary: format!("{summary}: begun"), generated })
    }

    fn take_turn(&self) -> Result<OwnedMutexGuard<()>, Problem> {
        self.turn.clone().try_lock_owned().map_err(|_| {
            Problem::aborted("HOST_BUSY", "the host is being upgraded or ended already")
                .hint("See what is under way: xlfsctl task list")
        })
    }
}

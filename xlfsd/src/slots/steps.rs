//! The steps of an upgrade, in the order in which a kill between any two leaves a host
//! that starts: the slot's record says "incomplete" before a byte is written, `try` is
//! set when the slot was read back, and the guests go after that.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use xlfs_proto::v1::TaskState;

use super::operations::End;
use super::{Content, HostOperations, Restart, Slot, SlotRecord, Slots, now_ms, write};
use crate::api::blocking;
use crate::image::{Digest, ImageHold};
use crate::problem::Problem;
use crate::storage::Watch;
use crate::task::{PlannedStep, TaskHandle};

/// So that whoever waits for the task hears of its end before the host's.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// When init was told, and the host is still there so much later, Xen ends it.
const DEADLINE: Duration = Duration::from_secs(120);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Write,
    Verify,
    SetTry,
    StopGuests { guests: Vec<String> },
    End(Restart),
}

/// What the steps work on.
#[derive(Debug)]
pub(super) struct Work {
    slots: Arc<Slots>,
    slot: Slot,
    /// Kept in the store meanwhile; and what the user called it.
    image: Option<(ImageHold, String)>,
    /// What the slot should hold.
    pub(super) expected: Option<(Digest, u64)>,
    pub(super) end: Option<End>,
    /// Guests that were shut down.
    stopped: Vec<String>,
}

impl Work {
    pub(super) fn new(slots: &Arc<Slots>, slot: Slot) -> Self {
        let slots = slots.clone();
        Self { slots, slot, image: None, expected: None, end: None, stopped: Vec::new() }
    }

    pub(super) fn image(mut self, hold: ImageHold, name: &str) -> Self {
        self.expected = Some((hold.digest(), hold.record().size));
        self.image = Some((hold, name.to_owned()));
        self
    }

    fn record(&self, content: Content) -> Option<SlotRecord> {
        let ((_, name), (digest, size)) = (self.image.as_ref()?, self.expected?);
        Some(SlotRecord {
            format: SlotRecord::FORMAT,
            content,
            digest,
            size,
            name: name.clone(),
            written_ms: now_ms(),
            judged_ms: 0,
            reason: String::new(),
        })
    }

    fn note(&self, content: Content) -> Result<(), Problem> {
        match self.record(content) {
            Some(record) => self.slots.records.write(self.slot, &record),
            None => Ok(()),
        }
    }
}

impl Step {
    pub(super) fn planned(&self, work: &Work) -> PlannedStep {
        let slot = format!("slot {}", work.slot);
        match self {
            Self::Write => PlannedStep::new("write-slot", slot),
            Self::Verify => PlannedStep::new("verify-slot", slot),
            Self::SetTry => PlannedStep::new("set-try", format!("{slot}, once")),
            Self::StopGuests { guests } => PlannedStep::new("stop-guests", guests.join(", ")),
            Self::End(Restart::Reboot) => PlannedStep::new("restart-host", "host"),
            Self::End(Restart::PowerOff) => PlannedStep::new("power-off", "host"),
        }
    }
}

impl HostOperations {
    /// The body of a task.
    pub(super) async fn work(&self, mut work: Work, steps: &[Step], task: TaskHandle) {
        let task = Arc::new(task);
        let mut result = Ok(());
        for (index, step) in steps.iter().enumerate() {
            task.step_started(index);
            result = match task.cancel_token().is_cancelled() {
                true => Err(Problem::cancelled("it was cancelled")),
                false => self.act(&mut work, step, &task).await,
            };
            if let Err(problem) = &mut result {
                task.step_failed(index);
                task.undoing();
                let planned = step.planned(&work);
                problem.step.get_or_insert(planned.name);
                problem.object.get_or_insert(planned.object);
                self.undo(&mut work, &steps[..=index], &task, problem).await;
                break;
            }
            task.step_done(index);
        }
        if let Some(task) = Arc::into_inner(task) {
            task.finish(result);
        }
    }

    async fn act(
        &self,
        work: &mut Work,
        step: &Step,
        task: &Arc<TaskHandle>,
    ) -> Result<(), Problem> {
        match step {
            Step::Write => self.write(work, task).await,
            Step::Verify => verify(work, task).await,
            Step::SetTry => work.slots.loader.set_try(Some(work.slot)),
            Step::StopGuests { guests } => self.stop(work, guests, task).await,
            Step::End(how) => {
                end(work.slots.clone(), *how);
                Ok(())
            }
        }
    }

    async fn undo(
        &self,
        work: &mut Work,
        taken: &[Step],
        task: &TaskHandle,
        problem: &mut Problem,
    ) {
        for (index, step) in taken.iter().enumerate().rev() {
            let undone = match step {
                Step::SetTry => work.slots.loader.set_try(None),
                Step::StopGuests { .. } => self.start_again(work, task).await,
                // The slot's record says that nobody can start it.
                Step::Write | Step::Verify | Step::End(_) => Ok(()),
            };
            match undone {
                Ok(()) => task.step_undone(index),
                Err(error) => {
                    task.step_undo_failed(index);
                    let name = step.planned(work).name;
                    problem.leftovers.push(format!("what {name} did: {error:#}"));
                }
            }
        }
    }

    async fn write(&self, work: &Work, task: &Arc<TaskHandle>) -> Result<(), Problem> {
        // Whatever happens from here on, the slot is not to be started.
        work.slots.loader.set_try(None)?;
        work.note(Content::Incomplete)?;
        let Some((digest, size)) = work.expected else { return Ok(()) };
        let image = self.base.images.open(&digest)?;
        let device = work.slots.partition(work.slot)?.device;
        long(task, size, move |watch| write::write(&image, size, &device, watch)).await
    }

    /// Shuts them down, all at once; each has the whole time.
    async fn stop(
        &self,
        work: &mut Work,
        guests: &[String],
        task: &TaskHandle,
    ) -> Result<(), Problem> {
        let Some(end) = work.end else { return Ok(()) };
        work.slots.records.keep_guests(guests)?;
        let mut waiting: FuturesUnordered<_> = guests
            .iter()
            .map(|name| async move { (name, self.shut_down(name, end).await) })
            .collect();
        let mut problems = Vec::new();
        while let Some((name, result)) = waiting.next().await {
            match result {
                Ok(()) => {
                    task.log(format!("the guest {name} is down"));
                    work.stopped.push(name.clone());
                }
                Err(problem) => problems.push((name, problem)),
            }
        }
        match problems.into_iter().next() {
            None => Ok(()),
            Some((name, problem)) => Err(problem
                .context(format!("the guest {name} did not shut down, so the host runs on"))
                .hint("With --force, guests that do not end in time are destroyed.")),
        }
    }

    async fn shut_down(&self, name: &str, end: End) -> Result<(), Problem> {
        let accepted = self.guests.shutdown(name, end.timeout, end.force, false).await?;
        self.ended(accepted.task).await
    }

    /// Waits for a guest's task.
    async fn ended(&self, task: Option<xlfs_proto::v1::Task>) -> Result<(), Problem> {
        let Some(task) = task else { return Ok(()) };
        let last = self.base.tasks.watch(&task.id)?.fold(task, |_, now| async { now }).await;
        match (last.state(), last.error) {
            (TaskState::Succeeded, _) => Ok(()),
            (_, Some(error)) => Err(Problem::aborted("GUEST_NOT_STOPPED", error.message)),
            _ => Err(Problem::aborted("GUEST_NOT_STOPPED", "its shutdown was given up")),
        }
    }

    async fn start_again(&self, work: &mut Work, task: &TaskHandle) -> Result<(), Problem> {
        work.slots.records.keep_guests(&[])?;
        let mut failed = Ok(());
        for name in std::mem::take(&mut work.stopped) {
            task.log(format!("the guest {name} is started again"));
            if let Err(problem) = self.guests.start(&name, false, false).await {
                failed = Err(problem);
            }
        }
        failed
    }
}

async fn verify(work: &Work, task: &Arc<TaskHandle>) -> Result<(), Problem> {
    let Some((digest, size)) = work.expected else { return Ok(()) };
    let device = work.slots.partition(work.slot)?.device;
    long(task, size, move |watch| write::verify(&device, size, &digest, watch)).await?;
    work.note(Content::Untried)
}

/// Work on `bytes` bytes, where it holds up nobody.
async fn long(
    task: &Arc<TaskHandle>,
    bytes: u64,
    work: impl FnOnce(Watch<'_>) -> Result<(), Problem> + Send + 'static,
) -> Result<(), Problem> {
    let task = task.clone();
    blocking(move || {
        let cancel = task.cancel_token();
        let stop = || cancel.is_cancelled();
        let progress = |done: u64| {
            let percent = done.saturating_mul(100) / bytes.max(1);
            task.step_progress(u32::try_from(percent).unwrap_or(100));
        };
        work(Watch::new(&stop, &progress))
    })
    .await?
}

/// Ends the host a moment later.
fn end(slots: Arc<Slots>, how: Restart) {
    tokio::spawn(async move {
        tokio::time::sleep(LAST_WORDS).await;
        if let Err(problem) = slots.power.end(how) {
            slots.events.warn("host", problem.reason, format!("{problem:#}"));
            return;
        }
        tokio::time::sleep(DEADLINE).await;
        slots.pulse.end("init was told to end the host, and did not");
    });
}

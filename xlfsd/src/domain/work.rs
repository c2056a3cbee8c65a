//! The task of an operation: begun with a guest's turn, ended with its record
//! in order, whatever happened between.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::devices::{DeviceKey, MOST_NICS};
use super::execute::execute;
use super::guest::{Current, Guest};
use super::operations::{Accepted, Guests, Turn};
use super::record::{GuestRecord, LastEnd, Work, now_ms};
use super::steps::{Run, Step};
use crate::host::Host;
use crate::problem::Problem;
use crate::task::PlannedStep;

impl Guests {
    /// Starts a task that works on a guest whose turn the caller holds.
    pub(super) fn begin(
        &self,
        guest: Arc<Guest>,
        turn: Turn,
        host: Option<Arc<Host>>,
        work: Work,
        steps: Vec<Step>,
        summary: String,
    ) -> Accepted {
        self.begin_as(guest, turn, host, kind(work), Some(work), steps, summary)
    }

    #[allow(clippy::too_many_arguments, reason = "each is a different thing, used once")]
    pub(super) fn begin_as(
        &self,
        guest: Arc<Guest>,
        turn: Turn,
        host: Option<Arc<Host>>,
        kind: &str,
        work: Option<Work>,
        steps: Vec<Step>,
        summary: String,
    ) -> Accepted {
        let record = guest.record();
        let planned: Vec<PlannedStep> = steps.iter().map(|step| step.planned(&record)).collect();
        let task = self.shared.base.tasks.begin(kind, guest.name(), planned.clone());
        let current = Current {
            task: task.id().to_owned(),
            work: work.unwrap_or(Work::Start),
            cancel: task.cancel_token(),
        };
        let snapshot = task.snapshot();
        if work.is_some() {
            guest.set_current(Some(current));
        }
        let shared = self.shared.clone();
        tokio::spawn(async move {
            let guests = Self { shared };
            guests.work(guest, turn, host, work, task, &steps).await;
        });
        let generated = BTreeMap::new();
        Accepted { task: Some(snapshot), plan: planned, summary, generated }
    }

    /// The body of a task.
    async fn work(
        &self,
        guest: Arc<Guest>,
        turn: Turn,
        host: Option<Arc<Host>>,
        work: Option<Work>,
        task: crate::task::TaskHandle,
        steps: &[Step],
    ) {
        let before = self.observe(&guest, host.as_deref());
        // On disk before anything happens: a daemon that is killed meanwhile
        // finds it at its next start.
        let noted = match work {
            Some(work) => self.note(&guest, |record| record.work = Some(work)),
            None => Ok(()),
        };
        let mut run = Run::new(
            guest.clone(),
            self.shared.records.clone(),
            host.clone(),
            self.shared.disks.clone(),
            self.shared.net.clone(),
            task,
        );
        let result = match noted {
            Ok(()) => execute(&mut run, steps).await,
            Err(problem) => Err(problem),
        };
        let undone = work == Some(Work::Create) && result.is_err();
        let leaves = result.as_ref().err().is_some_and(|problem| !problem.leftovers.is_empty());
        if guest.is_forgotten() || undone && !leaves {
            // Deleted, or undone: nothing of it is left.
            let _ = self.shared.records.remove(guest.name());
            self.shared.table.remove(&guest);
            self.shared.base.consoles.remove(guest.uuid());
            self.shared.net.macs.release_guest(guest.uuid());
        } else if undone {
            // Its record stays as long as anything else of it does; the
            // supervisor tries again.
            let noted = self.note(&guest, |record| {
                record.work = Some(Work::Delete);
                record.wanted_running = false;
            });
            if let Err(problem) = noted {
                tracing::error!(guest = guest.name(), "{problem:#}");
            }
        } else if let Some(now @ (Work::Attach | Work::Detach)) = work {
            let noted = self.note(&guest, |record| {
                record.work = None;
                // What could not be undone, or taken away whole, stays on record: it
                // is tried again (`recover`).
                let gone_from_list = record
                    .change
                    .as_ref()
                    .is_some_and(|change| record.device(change.device.key()).is_none());
                let again = match now {
                    Work::Attach => leaves,
                    _ => result.is_err() && gone_from_list,
                };
                if !again {
                    record.change = None;
                }
            });
            if let Err(problem) = noted {
                tracing::error!(guest = guest.name(), "{problem:#}");
            }
            let record = guest.record();
            for index in 0..MOST_NICS {
                if record.device(DeviceKey::Nic(index)).is_none() {
                    self.shared.net.macs.release(guest.uuid(), index);
                }
            }
        } else if let Some(Work::Snapshot | Work::Restore | Work::Unsnapshot) = work {
            // What is left over is tried again (`recover`).
            let noted = self.note(&guest, |record| {
                if result.is_err() && !leaves && work != Some(Work::Unsnapshot) {
                    record.forget_unfinished();
                }
                record.work = None;
            });
            if let Err(problem) = noted {
                tracing::error!(guest = guest.name(), "{problem:#}");
            }
        } else if work.is_some() {
            let failed_start = result.is_err() && matches!(work, Some(Work::Start));
            let ended = matches!(work, Some(Work::Shutdown | Work::Destroy)) && result.is_ok();
            let cause = if work == Some(Work::Destroy) { "destroyed" } else { "poweroff" };
            let noted = self.note(&guest, |record| {
                record.work = None;
                if failed_start {
                    record.wanted_running = false;
                }
                if ended {
                    record.last_end = Some(LastEnd { cause: cause.into(), at_ms: now_ms() });
                }
            });
            if let Err(problem) = noted {
                tracing::error!(guest = guest.name(), "{problem:#}");
            }
        }
        guest.lend(None);
        guest.set_current(None);
        let cause = match (&result, work) {
            (Ok(()), Some(work)) => kind(work).to_owned(),
            (Ok(()), None) => "changed".to_owned(),
            (Err(problem), _) => problem.to_string(),
        };
        self.tell(&guest, host.as_deref(), before, &cause);
        // The turn goes before the task ends, so that who waited for the task
        // can ask for the next thing.
        drop(turn);
        // Its domain may have ended meanwhile, while nobody else could look.
        if let Some(host) = &host {
            host.changes.notify_one();
        }
        let Run { task, .. } = run;
        task.finish(result);
    }

    /// Changes a record, in memory and on disk.
    pub(super) fn note(
        &self,
        guest: &Guest,
        change: impl FnOnce(&mut GuestRecord),
    ) -> Result<(), Problem> {
        let record = guest.update(|record| {
            change(record);
            record.clone()
        });
        self.shared.records.save(&record).map_err(|error| {
            Problem::internal("the guest's record cannot be written")
                .cause(&error)
                .object(record.title())
                .hint("Look at the free space of the state folder.")
        })
    }
}

/// The word for a task.
pub(super) fn kind(work: Work) -> &'static str {
    match work {
        Work::Create => "create",
        Work::Start => "start",
        Work::Shutdown => "shutdown",
        Work::Reboot => "reboot",
        Work::Restart => "restart",
        Work::Destroy => "destroy",
        Work::Attach => "attach",
        Work::Detach => "detach",
        Work::Snapshot => "snapshot",
        Work::Restore => "restore",
        Work::Unsnapshot => "delete-snapshot",
        Work::Clone => "clone",
        Work::Cleanup => "cleanup",
        Work::Delete => "delete",
    }
}

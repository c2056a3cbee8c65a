//! The task of an operation on a volume. It has one step, which `storage`
//! undoes by itself when it fails, is cancelled or is killed.

use std::collections::BTreeMap;

use super::VolumeOperations;
use crate::api::blocking;
use crate::domain::Accepted;
use crate::problem::Problem;
use crate::storage::{Volumes, Watch};
use crate::task::{PlannedStep, TaskHandle};

impl VolumeOperations {
    /// Starts a task of `kind` on `object` that has `bytes` bytes to go through.
    pub(super) fn begin(
        &self,
        kind: &str,
        object: String,
        step: PlannedStep,
        bytes: u64,
        summary: &str,
        work: impl FnOnce(&Volumes, Watch<'_>, &TaskHandle) -> Result<(), Problem> + Send + 'static,
    ) -> Accepted {
        let task = self.base.tasks.begin(kind, object.clone(), vec![step.clone()]);
        let started = task.snapshot();
        let (volumes, name) = (self.volumes.clone(), step.name.clone());
        tokio::spawn(async move {
            let done = blocking(move || {
                let cancel = task.cancel_token();
                let stop = || cancel.is_cancelled();
                let percent = |done: u64| done.saturating_mul(100) / bytes.max(1);
                let progress = |done| {
                    task.step_progress(u32::try_from(percent(done)).unwrap_or(100));
                };
                task.step_started(0);
                let result = match stop() {
                    true => Err(Problem::cancelled("it was cancelled before it began")),
                    false => work(&volumes, Watch::new(&stop, &progress), &task),
                };
                match &result {
                    Ok(()) => task.step_done(0),
                    Err(_) => task.step_failed(0),
                }
                task.finish(result.map_err(|problem| {
                    let known = problem.object.is_some();
                    let problem = problem.step(name);
                    if known { problem } else { problem.object(object) }
                }));
            });
            if let Err(problem) = done.await {
                tracing::error!("{problem:#}");
            }
        });
        let summary = format!("{summary}: begun");
        Accepted { task: Some(started), plan: vec![step], summary, generated: BTreeMap::new() }
    }
}

/// What would be done.
pub(super) fn dry(step: PlannedStep, summary: &str) -> Accepted {
    let summary = format!("would {summary}");
    Accepted { task: None, plan: vec![step], summary, generated: BTreeMap::new() }
}

/// It is so already.
pub(super) fn nothing(summary: String) -> Accepted {
    Accepted { task: None, plan: Vec::new(), summary, generated: BTreeMap::new() }
}

//! Runs a plan's steps in order; when one fails, undoes those that were taken,
//! the last first.

use super::steps::cancelled;
use super::steps::{Run, Step};
use crate::problem::Problem;

/// Runs `steps`. An error says in which step; what could not be undone is among
/// its leftovers.
pub(super) async fn execute(run: &mut Run, steps: &[Step]) -> Result<(), Problem> {
    for (index, step) in steps.iter().enumerate() {
        let result = one(run, index, step).await;
        let Err(problem) = result else { continue };
        run.task.step_failed(index);
        let planned = step.planned(&run.record);
        let mut problem = problem.step(planned.name);
        if problem.object.is_none() {
            problem = problem.object(planned.object);
        }
        run.task.undoing();
        return Err(undo(run, &steps[..=index], problem).await);
    }
    Ok(())
}

async fn one(run: &mut Run, index: usize, step: &Step) -> Result<(), Problem> {
    // Ends are not to be cancelled: half an end helps nobody.
    let may_stop = !matches!(
        step,
        Step::DetachConsole
            | Step::StopDomain
            | Step::DisconnectNics
            | Step::DetachDisks
            | Step::RemoveSeed
            | Step::DestroyDomain
            | Step::Withdraw
            | Step::RemoveVolumes
            | Step::Forget
            | Step::WithdrawDevice
            | Step::ReleaseDevice
            | Step::UnlistDevice
            | Step::RemoveVolume
            | Step::KeepVolume
            | Step::SwitchDisks
            | Step::RemoveReplaced
            | Step::RemoveSnapshots { .. }
    );
    if may_stop && run.cancel.is_cancelled() {
        return Err(cancelled());
    }
    run.task.step_started(index);
    if step.done(run).await? {
        run.task.step_already_done(index);
        return Ok(());
    }
    step.act(run).await?;
    run.task.step_done(index);
    Ok(())
}

async fn undo(run: &mut Run, taken: &[Step], mut problem: Problem) -> Problem {
    for (index, step) in taken.iter().enumerate().rev() {
        match step.undo(run).await {
            Ok(()) => run.task.step_undone(index),
            Err(error) => {
                run.task.step_undo_failed(index);
                tracing::error!(step = step.name(), "cannot undo: {error:#}");
                let left = match error.leftovers.first() {
                    Some(left) => left.clone(),
                    None => format!("what {} did: {error}", step.name()),
                };
                problem = problem.leftover(left);
            }
        }
    }
    problem
}

//! What the start of xlfsd means for the slots: a trial is judged, one that failed is
//! told, and guests that ran before a restart are started again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::image::{file_system_size, hash};
use super::{Checks, Content, Restart, Slot, SlotRecord, Slots, now_ms};
use crate::api::blocking;
use crate::domain::Guests;
use crate::problem::Problem;

/// From xlfsd's first start in this boot until all checks must have passed.
const DEADLINE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(if cfg!(test) { 10 } else { 2000 });
/// When init was told and the host still runs, Xen ends it.
const END: Duration = Duration::from_millis(if cfg!(test) { 10 } else { 30_000 });
/// Where the first start of this boot is noted: in memory, gone with the boot.
const BEGAN: &str = "/run/xlfs/trial-began";

impl Slots {
    /// Runs once at xlfsd's start.
    pub async fn settle(
        self: Arc<Self>,
        checks: &dyn Checks,
        guests: &Guests,
        stopping: CancellationToken,
    ) {
        if self.boot.trial {
            let left = remaining(Path::new(BEGAN), Path::new("/proc/uptime"));
            if !self.judge(checks, left, stopping).await {
                return;
            }
        } else if let Err(problem) = self.look_back() {
            self.events.warn("host", problem.reason, format!("{problem:#}"));
        }
        self.start_guests(guests).await;
        if let Err(problem) = self.identify().await {
            tracing::warn!("it is not known what is in the slot that runs: {problem:#}");
        }
    }

    /// A trial: waits until all checks pass, then the slot is good. Whether it is.
    async fn judge(
        &self,
        checks: &dyn Checks,
        left: Duration,
        stopping: CancellationToken,
    ) -> bool {
        let slot = self.boot.slot;
        tracing::info!(%slot, "this boot is the slot's trial");
        let mut failures = vec!["no check was made in time".to_owned()];
        let passed = async {
            loop {
                failures = checks.failures().await;
                if failures.is_empty() {
                    match self.pass() {
                        Ok(()) => return true,
                        Err(problem) => failures = vec![format!("{problem:#}")],
                    }
                }
                tracing::info!(%slot, "not good yet: {}", failures.join("; "));
                tokio::time::sleep(PAUSE).await;
            }
        };
        let good = tokio::select! {
            good = passed => good,
            () = tokio::time::sleep(left) => false,
            // Somebody ends xlfsd; what judges is then the watchdog.
            () = stopping.cancelled() => return false,
        };
        if good {
            return true;
        }
        self.fail(&failures.join("; "));
        self.restart();
        tokio::time::sleep(END).await;
        self.pulse.end("the host was told to restart after a failed trial, and did not");
        false
    }

    fn pass(&self) -> Result<(), Problem> {
        let slot = self.boot.slot;
        // GRUB's word first: it is what counts.
        self.loader.set_good(slot)?;
        self.judged(slot, Content::Good, "");
        tracing::info!(%slot, "the slot passed its checks: it is good");
        Ok(())
    }

    fn fail(&self, reason: &str) {
        let slot = self.boot.slot;
        let text =
            format!("slot {slot} failed its trial, and the host starts the other one: {reason}");
        self.events.warn("host", "TRIAL_FAILED", text);
        self.judged(slot, Content::Failed, reason);
    }

    fn restart(&self) {
        if let Err(problem) = self.power.end(Restart::Reboot) {
            self.pulse.end(&format!("a failed trial cannot be ended otherwise: {problem:#}"));
        }
    }

    /// Notes how a slot's trial ended. Nothing depends on the note but what people see.
    fn judged(&self, slot: Slot, content: Content, reason: &str) {
        let Some(record) = self.records.read(slot) else { return };
        let record = SlotRecord { content, judged_ms: now_ms(), reason: reason.into(), ..record };
        if let Err(problem) = self.records.write(slot, &record) {
            tracing::warn!("{problem:#}");
        }
    }

    /// After a boot that is no trial: was there one that did not end well?
    fn look_back(&self) -> Result<(), Problem> {
        let intent = self.loader.intent()?;
        let Some(tried) = intent.tried.filter(|tried| *tried != self.boot.slot) else {
            return Ok(());
        };
        let record = self.records.read(tried);
        let known = record.filter(|record| record.content == Content::Failed);
        let reason = match known {
            Some(record) => record.reason,
            None => {
                let unknown = "it did not come so far that xlfsd could say why: its kernel, its \
                               init or xlfsd itself ended or hung";
                self.judged(tried, Content::Failed, unknown);
                unknown.to_owned()
            }
        };
        let text = format!(
            "slot {tried} failed its trial, and slot {} runs again: {reason}",
            self.boot.slot
        );
        self.events.warn("host", "TRIAL_FAILED", text);
        self.loader.forget_tried()
    }

    /// Those that xlfsd shut down for a restart.
    async fn start_guests(&self, guests: &Guests) {
        for name in self.records.take_guests() {
            if let Err(problem) = guests.start(&name, false, false).await {
                let text = format!("the guest {name} ran before the restart: {problem:#}");
                self.events.warn(&name, "NOT_STARTED_AGAIN", text);
            }
        }
    }

    /// What came with the disk has no record: its digest is taken from the slot.
    async fn identify(&self) -> Result<(), Problem> {
        let slot = self.boot.slot;
        if self.records.read(slot).is_some() {
            return Ok(());
        }
        let device = self.partition(slot)?.device;
        let found = blocking(move || {
            let mut file = std::fs::File::open(device)?;
            let Some(size) = file_system_size(&mut file)? else { return Ok(None) };
            Ok(hash(&mut file, size, |_| true)?.map(|digest| (digest, size)))
        });
        let found: std::io::Result<_> = found.await?;
        let unreadable = |error| Problem::internal("the slot cannot be read").cause(&error);
        let Some((digest, size)) = found.map_err(unreadable)? else { return Ok(()) };
        let record = SlotRecord {
            format: SlotRecord::FORMAT,
            content: Content::Good,
            digest,
            size,
            name: String::new(),
            written_ms: 0,
            judged_ms: 0,
            reason: String::new(),
        };
        self.records.write(slot, &record)
    }
}

/// What is left of the deadline. It counts from the first start of xlfsd in this boot:
/// one that dies and is started again does not get more time each time.
fn remaining(began: &Path, uptime: &Path) -> Duration {
    let seconds = |path: PathBuf| -> Option<f64> {
        std::fs::read_to_string(path).ok()?.split_whitespace().next()?.parse().ok()
    };
    let Some(now) = seconds(uptime.to_owned()) else { return DEADLINE };
    let first = seconds(began.to_owned()).unwrap_or_else(|| {
        if let Err(error) = std::fs::write(began, format!("{now}\n")) {
            tracing::warn!(%error, "the trial's beginning cannot be noted");
        }
        now
    });
    DEADLINE.saturating_sub(Duration::from_secs_f64((now - first).max(0.0)))
}

#[cfg(test)]
mod tests;

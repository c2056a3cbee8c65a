//! The slots as the API shows them.

use std::time::{Duration, SystemTime};

use prost_types::Timestamp;
use xlfs_proto::v1 as pb;

use super::loader::Intent;
use super::{Content, Slot, SlotRecord, Slots};
use crate::problem::Problem;

impl Slots {
    /// Both, by name. Waits for the disk.
    pub(super) fn view(&self) -> Result<Vec<pb::Slot>, Problem> {
        let intent = self.loader.intent()?;
        Ok(Slot::ALL.map(|slot| self.one(slot, intent)).into())
    }

    fn one(&self, slot: Slot, intent: Intent) -> pb::Slot {
        let record = self.records.read(slot);
        let running = self.boot.slot == slot;
        let partition = self.partition(slot);
        let (device, size_bytes, unusable) = match partition {
            Ok(found) => (found.device.display().to_string(), found.bytes, String::new()),
            Err(problem) => (String::new(), 0, problem.to_string()),
        };
        let state = match record.as_ref().map(|record| record.content) {
            _ if running && self.boot.trial && intent.good != slot => pb::SlotState::Trial,
            // It was installed so, or what it did speaks for it.
            None if intent.good == slot => pb::SlotState::Good,
            None => pb::SlotState::Unknown,
            Some(Content::Incomplete) => pb::SlotState::Incomplete,
            Some(Content::Untried) => pb::SlotState::Untried,
            Some(Content::Good) => pb::SlotState::Good,
            Some(Content::Failed) => pb::SlotState::Failed,
        };
        let mut seen = pb::Slot {
            name: slot.letter().into(),
            state: state.into(),
            running,
            good: intent.good == slot,
            next: intent.next_try.unwrap_or(intent.good) == slot,
            problem: unusable,
            device,
            size_bytes,
            ..pb::Slot::default()
        };
        if let Some(record) = record {
            let SlotRecord { digest, name, written_ms, judged_ms, reason, .. } = record;
            seen.image = name;
            seen.digest = digest.to_string();
            seen.written = time(written_ms);
            seen.judged = time(judged_ms);
            if !reason.is_empty() {
                seen.problem = reason;
            }
        }
        seen
    }
}

/// 0 is no time.
fn time(ms: u64) -> Option<Timestamp> {
    (ms > 0).then(|| Timestamp::from(SystemTime::UNIX_EPOCH + Duration::from_millis(ms)))
}

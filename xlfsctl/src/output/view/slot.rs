//! The root slots of a host.

use serde::Serialize;
use xlfs_proto::v1::{Slot, SlotState};

use super::moment;
use crate::errors::filled;

/// `host slots`.
#[derive(Debug, Serialize)]
pub(crate) struct SlotsView {
    pub(crate) slots: Vec<SlotView>,
}

#[derive(Debug, Serialize)]
pub(crate) struct SlotView {
    name: String,
    state: &'static str,
    running: bool,
    good: bool,
    next: bool,
    image: Option<String>,
    digest: Option<String>,
    written: Option<String>,
    judged: Option<String>,
    problem: Option<String>,
    device: Option<String>,
    size_bytes: u64,
}

impl From<&Slot> for SlotView {
    fn from(slot: &Slot) -> SlotView {
        SlotView {
            name: slot.name.clone(),
            state: state_word(slot.state()),
            running: slot.running,
            good: slot.good,
            next: slot.next,
            image: filled(&slot.image),
            digest: filled(&slot.digest),
            written: moment(&slot.written),
            judged: moment(&slot.judged),
            problem: filled(&slot.problem),
            device: filled(&slot.device),
            size_bytes: slot.size_bytes,
        }
    }
}

pub(crate) fn state_word(state: SlotState) -> &'static str {
    match state {
        SlotState::Unspecified | SlotState::Unknown => "unknown",
        SlotState::Incomplete => "incomplete",
        SlotState::Untried => "untried",
        SlotState::Trial => "trial",
        SlotState::Good => "good",
        SlotState::Failed => "failed",
    }
}

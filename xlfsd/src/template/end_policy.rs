//! What becomes of a guest that ends by itself.

use serde::{Deserialize, Serialize};
use xlfs_proto::v1 as pb;

/// What is done when the guest ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EndAction {
    Destroy,
    Restart,
    Preserve,
}

impl From<EndAction> for pb::EndAction {
    fn from(action: EndAction) -> Self {
        match action {
            EndAction::Destroy => Self::Destroy,
            EndAction::Restart => Self::Restart,
            EndAction::Preserve => Self::Preserve,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EndPolicy {
    pub on_poweroff: EndAction,
    pub on_reboot: EndAction,
    pub on_crash: EndAction,
}

impl Default for EndPolicy {
    fn default() -> Self {
        Self {
            on_poweroff: EndAction::Destroy,
            on_reboot: EndAction::Restart,
            on_crash: EndAction::Restart,
        }
    }
}

impl From<EndPolicy> for pb::EndPolicy {
    fn from(policy: EndPolicy) -> Self {
        Self {
            on_poweroff: pb::EndAction::from(policy.on_poweroff).into(),
            on_reboot: pb::EndAction::from(policy.on_reboot).into(),
            on_crash: pb::EndAction::from(policy.on_crash).into(),
        }
    }
}

//! What a command that changes guests did, or on a dry run would do.

use serde::Serialize;
use xlfs_proto::v1::PlannedStep;

use super::task::TaskView;
use crate::errors::filled;

/// `create`, `start`, `shutdown` and so on: one result for each name.
#[derive(Debug, Serialize)]
pub(crate) struct OutcomesView {
    pub(crate) results: Vec<OutcomeView>,
}

#[derive(Debug, Serialize)]
pub(crate) struct OutcomeView {
    pub(crate) name: String,
    pub(crate) operation: &'static str,
    pub(crate) changed: bool,
    pub(crate) dry_run: bool,
    pub(crate) summary: Option<String>,
    pub(crate) plan: Vec<PlannedStepView>,
    pub(crate) task: Option<TaskView>,
    /// Secrets that were made; xlfsd keeps none of them.
    pub(crate) generated: std::collections::BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct PlannedStepView {
    name: String,
    object: Option<String>,
}

impl From<&PlannedStep> for PlannedStepView {
    fn from(step: &PlannedStep) -> PlannedStepView {
        PlannedStepView { name: step.name.clone(), object: filled(&step.object) }
    }
}

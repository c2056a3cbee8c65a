//! Events.

use serde::Serialize;
use xlfs_proto::v1::Event;
use xlfs_proto::v1::event::Kind;

use super::domain::state_word;
use super::health::health_word;
use super::moment;
use super::task::TaskView;
use crate::errors::filled;

/// `events`: one document for each. Of the last six fields, the one that
/// `kind` names is there.
#[derive(Debug, Serialize)]
pub(crate) struct EventView {
    sequence: u64,
    time: Option<String>,
    kind: &'static str,
    object: Option<String>,
    text: String,
    domain_state: Option<DomainStateView>,
    task: Option<TaskView>,
    lagged: Option<LaggedView>,
    image: Option<ImageChangedView>,
    warning: Option<WarningView>,
    health: Option<HealthChangedView>,
}

#[derive(Debug, Serialize)]
pub(crate) struct DomainStateView {
    state: &'static str,
    previous: &'static str,
    domid: Option<u32>,
    cause: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct LaggedView {
    missed: u64,
    resync_from: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct ImageChangedView {
    digest: String,
    deleted: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct WarningView {
    reason: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct HealthChangedView {
    state: &'static str,
    previous: &'static str,
    reason: Option<String>,
}

impl From<&Event> for EventView {
    fn from(event: &Event) -> EventView {
        let mut view = EventView {
            sequence: event.sequence,
            time: moment(&event.time),
            kind: "unknown",
            object: filled(&event.object),
            text: event.text.clone(),
            domain_state: None,
            task: None,
            lagged: None,
            image: None,
            warning: None,
            health: None,
        };
        match &event.kind {
            None => {}
            Some(Kind::DomainState(change)) => {
                view.kind = "domain_state";
                view.domain_state = Some(DomainStateView {
                    state: state_word(change.state()),
                    previous: state_word(change.previous()),
                    domid: change.domid,
                    cause: filled(&change.cause),
                });
            }
            Some(Kind::Task(task)) => {
                view.kind = "task";
                view.task = Some(TaskView::from(task));
            }
            Some(Kind::Lagged(lagged)) => {
                view.kind = "lagged";
                view.lagged =
                    Some(LaggedView { missed: lagged.missed, resync_from: lagged.resync_from });
            }
            Some(Kind::Image(image)) => {
                view.kind = "image";
                view.image =
                    Some(ImageChangedView { digest: image.digest.clone(), deleted: image.deleted });
            }
            Some(Kind::Health(change)) => {
                view.kind = "health";
                view.health = Some(HealthChangedView {
                    state: health_word(change.state()),
                    previous: health_word(change.previous()),
                    reason: filled(&change.reason),
                });
            }
            Some(Kind::Warning(warning)) => {
                view.kind = "warning";
                view.warning = Some(WarningView { reason: filled(&warning.reason) });
            }
        }
        view
    }
}

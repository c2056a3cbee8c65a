//! The health of guests, and what templates ask for it.

use serde::Serialize;
use xlfs_proto::v1::{Health, HealthCheck, HealthCheckStatus, HealthKind, HealthState};

use super::{moment, span};
use crate::errors::filled;

/// Of a guest.
#[derive(Debug, Serialize)]
pub(crate) struct HealthView {
    state: &'static str,
    since: Option<String>,
    reason: Option<String>,
    checks: Vec<StatusView>,
}

/// One check, and its last answer.
#[derive(Debug, Serialize)]
pub(crate) struct StatusView {
    #[serde(flatten)]
    check: CheckView,
    state: &'static str,
    since: Option<String>,
    asked: Option<String>,
    took_seconds: Option<f64>,
    failures: u32,
    error: Option<String>,
}

/// What is asked.
#[derive(Debug, Serialize)]
pub(crate) struct CheckView {
    kind: &'static str,
    port: u32,
    path: Option<String>,
    query: Option<String>,
    expect: Option<String>,
    interval_seconds: Option<f64>,
    timeout_seconds: Option<f64>,
    grace_seconds: Option<f64>,
}

impl From<&Health> for HealthView {
    fn from(health: &Health) -> HealthView {
        HealthView {
            state: health_word(health.state()),
            since: moment(&health.since),
            reason: filled(&health.reason),
            checks: health.checks.iter().map(StatusView::from).collect(),
        }
    }
}

impl From<&HealthCheckStatus> for StatusView {
    fn from(status: &HealthCheckStatus) -> StatusView {
        StatusView {
            check: CheckView::from(&status.check.clone().unwrap_or_default()),
            state: health_word(status.state()),
            since: moment(&status.since),
            asked: moment(&status.asked),
            took_seconds: span(&status.took),
            failures: status.failures,
            error: filled(&status.error),
        }
    }
}

impl From<&HealthCheck> for CheckView {
    fn from(check: &HealthCheck) -> CheckView {
        CheckView {
            kind: kind_word(check.kind()),
            port: check.port,
            path: filled(&check.path),
            query: filled(&check.query),
            expect: filled(&check.expect),
            interval_seconds: span(&check.interval),
            timeout_seconds: span(&check.timeout),
            grace_seconds: span(&check.grace),
        }
    }
}

/// The word for a state of health; also what `wait --health` takes.
pub(crate) fn health_word(state: HealthState) -> &'static str {
    match state {
        HealthState::Starting => "starting",
        HealthState::Healthy => "healthy",
        HealthState::Unhealthy => "unhealthy",
        HealthState::Unknown | HealthState::Unspecified => "unknown",
    }
}

/// The word for a kind of check, as templates have it.
pub(crate) fn kind_word(kind: HealthKind) -> &'static str {
    match kind {
        HealthKind::Unspecified => "unknown",
        HealthKind::Tcp => "tcp",
        HealthKind::Http => "http",
        HealthKind::Smtp => "smtp",
        HealthKind::Imap => "imap",
        HealthKind::Dns => "dns",
    }
}

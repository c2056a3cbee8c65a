//! The health of guests in the text of `list`, `show` and `template show`.

use xlfs_proto::v1::{Domain, Health, HealthCheck, HealthCheckStatus, HealthState};

use crate::output::table::{Cell, Colour};
use crate::output::time;
use crate::output::view::health::{health_word, kind_word};

/// A guest's health in a table; a dash when nothing is known of it.
pub(super) fn cell(domain: &Domain) -> Cell {
    let Some(health) = &domain.health else { return "-".into() };
    let colour = match health.state() {
        HealthState::Healthy => Some(Colour::Green),
        HealthState::Unhealthy => Some(Colour::Red),
        HealthState::Starting => Some(Colour::Yellow),
        HealthState::Unknown | HealthState::Unspecified => None,
    };
    Cell::coloured(health_word(health.state()), colour)
}

/// A guest's health and each of its checks, a line each.
pub(super) fn lines(health: &Health) -> Vec<String> {
    let since = health.since.as_ref().and_then(time::age);
    let since = since.map(|age| format!(" for {age}")).unwrap_or_default();
    // Where the checks say it themselves, it is not said twice.
    let reason = match health.checks.is_empty() && !health.reason.is_empty() {
        true => format!(": {}", health.reason),
        false => String::new(),
    };
    let first = format!("{}{since}{reason}", health_word(health.state()));
    std::iter::once(first).chain(health.checks.iter().map(status)).collect()
}

/// `http port 80 /ok: healthy, asked 12s ago, took 0.1s`
fn status(status: &HealthCheckStatus) -> String {
    let check = status.check.clone().unwrap_or_default();
    let mut text = format!("{}: {}", asked(&check), health_word(status.state()));
    if !status.error.is_empty() {
        text.push_str(&format!(", {}", status.error));
    }
    if status.failures > 1 {
        text.push_str(&format!(" ({} times in a row)", status.failures));
    }
    if let Some(age) = status.asked.as_ref().and_then(time::age) {
        text.push_str(&format!(", asked {age} ago"));
    }
    if let (true, Some(took)) = (status.error.is_empty(), &status.took) {
        text.push_str(&format!(", took {}", time::span(time::std_span(took))));
    }
    text
}

/// `http port 80 /ok`
fn asked(check: &HealthCheck) -> String {
    let mut text = format!("{} port {}", kind_word(check.kind()), check.port);
    for what in [&check.path, &check.query] {
        if !what.is_empty() {
            text.push_str(&format!(" {what}"));
        }
    }
    text
}

/// `http port 80 /ok holds "fine"; every 30s, within 5.0s, grace 2m00s`
pub(super) fn check(check: &HealthCheck) -> String {
    let mut text = asked(check);
    if !check.expect.is_empty() {
        text.push_str(&format!(" holds \"{}\"", check.expect));
    }
    let told = |span: &Option<prost_types::Duration>| {
        span.as_ref().map(|span| humantime::format_duration(time::std_span(span)).to_string())
    };
    let times = [("every", &check.interval), ("within", &check.timeout), ("grace", &check.grace)];
    let times: Vec<_> = times
        .iter()
        .filter_map(|(word, span)| told(span).map(|span| format!("{word} {span}")))
        .collect();
    if !times.is_empty() {
        text.push_str(&format!("; {}", times.join(", ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use xlfs_proto::v1::HealthKind;

    use super::*;

    #[test]
    fn a_check_is_told_in_a_line() {
        let span = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
        let http = HealthCheck {
            kind: HealthKind::Http.into(),
            port: 80,
            path: "/ok".to_owned(),
            expect: "fine".to_owned(),
            interval: span(30),
            timeout: span(5),
            grace: span(120),
            ..HealthCheck::default()
        };
        let told = "http port 80 /ok holds \"fine\"; every 30s, within 5s, grace 2m";
        assert_eq!(check(&http), told);
        let status = HealthCheckStatus {
            check: Some(http),
            state: HealthState::Unhealthy.into(),
            failures: 4,
            error: "it answers with HTTP status 503".to_owned(),
            ..HealthCheckStatus::default()
        };
        let health = Health {
            state: HealthState::Unhealthy.into(),
            checks: vec![status],
            ..Health::default()
        };
        assert_eq!(
            lines(&health),
            [
                "unhealthy",
                "http port 80 /ok: unhealthy, it answers with HTTP status 503 (4 times in a row)"
            ]
        );
    }
}

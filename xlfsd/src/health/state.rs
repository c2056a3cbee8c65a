//! From answers to a state. Pure.
//!
//! ```text
//!   starting ──good──> healthy <──good── unhealthy
//!      │                  └─3 failures in a row──┘ ▲
//!      └────────── grace over, 3 failures ─────────┘
//!   unknown: Dom0 could not ask; any answer leads out of it
//! ```

use std::time::{Duration, SystemTime};

use xlfs_proto::v1::{self as pb, HealthState};

use super::probe::Answer;
use super::title;
use crate::template::HealthCheck;

/// Failures in a row that make a guest unhealthy: one lost packet does not.
const FAILURES: u32 = 3;

/// One check of a guest.
#[derive(Debug, Clone)]
pub(super) struct CheckState {
    pub(super) state: HealthState,
    since: SystemTime,
    asked: Option<SystemTime>,
    took: Duration,
    failures: u32,
    /// Since the guest's start.
    passed: bool,
    error: String,
}

impl CheckState {
    fn new(now: SystemTime) -> Self {
        Self {
            state: HealthState::Starting,
            since: now,
            asked: None,
            took: Duration::ZERO,
            failures: 0,
            passed: false,
            error: String::new(),
        }
    }

    fn note(&mut self, answer: Answer, in_grace: bool, took: Duration, now: SystemTime) {
        self.asked = Some(now);
        self.took = took;
        let state = match answer {
            Answer::Good => {
                (self.failures, self.passed) = (0, true);
                self.error.clear();
                HealthState::Healthy
            }
            Answer::NotAsked(why) => {
                (self.failures, self.error) = (0, why);
                HealthState::Unknown
            }
            Answer::Bad(why) | Answer::Silence(why) => {
                (self.failures, self.error) = (self.failures.saturating_add(1), why);
                match () {
                    () if in_grace && !self.passed => HealthState::Starting,
                    () if self.failures >= FAILURES => HealthState::Unhealthy,
                    () => self.state,
                }
            }
        };
        if state != self.state {
            (self.state, self.since) = (state, now);
        }
    }

    fn message(&self, check: &HealthCheck) -> pb::HealthCheckStatus {
        pb::HealthCheckStatus {
            check: Some(check.message()),
            state: self.state.into(),
            since: Some(self.since.into()),
            asked: self.asked.map(Into::into),
            took: self.asked.and_then(|_| self.took.try_into().ok()),
            failures: self.failures,
            error: self.error.clone(),
        }
    }
}

/// All checks of a guest.
#[derive(Debug, Clone)]
pub(super) struct GuestState {
    pub(super) checks: Vec<CheckState>,
    pub(super) state: HealthState,
    since: SystemTime,
    started: SystemTime,
}

impl GuestState {
    /// As it is before the first question.
    pub(super) fn new(checks: &[HealthCheck], started: SystemTime) -> Self {
        let state = HealthState::Starting;
        let checks = checks.iter().map(|_| CheckState::new(started)).collect();
        Self { checks, state, since: started, started }
    }

    /// A guest that cannot be asked, and why.
    pub(super) fn unknown(checks: &[HealthCheck], now: SystemTime, why: &str) -> Self {
        let mut guest = Self::new(checks, now);
        for check in &mut guest.checks {
            check.state = HealthState::Unknown;
            check.error = why.to_owned();
        }
        guest.state = HealthState::Unknown;
        guest
    }

    /// Takes an answer in. The guest's former state, if it has another now.
    pub(super) fn note(
        &mut self,
        (index, check): (usize, &HealthCheck),
        answer: Answer,
        took: Duration,
        now: SystemTime,
    ) -> Option<HealthState> {
        // A clock that went back makes the grace longer, at most once over.
        let age = now.duration_since(self.started).unwrap_or_default();
        self.checks.get_mut(index)?.note(answer, age < check.grace, took, now);
        let before = self.state;
        self.state = worst(self.checks.iter().map(|check| check.state));
        if self.state == before {
            return None;
        }
        self.since = now;
        Some(before)
    }

    /// Why it is not healthy: what the worst check says.
    pub(super) fn reason(&self, checks: &[HealthCheck]) -> String {
        let cause = self
            .checks
            .iter()
            .zip(checks)
            .find(|(state, _)| self.state != HealthState::Healthy && state.state == self.state);
        let Some((state, check)) = cause else { return String::new() };
        match state.error.as_str() {
            "" => format!("{} was not asked yet", title(check)),
            error => format!("{}: {error}", title(check)),
        }
    }

    pub(super) fn message(&self, checks: &[HealthCheck]) -> pb::Health {
        let each = self.checks.iter().zip(checks);
        pb::Health {
            state: self.state.into(),
            since: Some(self.since.into()),
            reason: self.reason(checks),
            checks: each.map(|(state, check)| state.message(check)).collect(),
        }
    }
}

fn worst(states: impl Iterator<Item = HealthState>) -> HealthState {
    let rank = |state: &HealthState| match state {
        HealthState::Unhealthy => 3,
        HealthState::Unknown | HealthState::Unspecified => 2,
        HealthState::Starting => 1,
        HealthState::Healthy => 0,
    };
    states.max_by_key(rank).unwrap_or(HealthState::Unknown)
}

/// The word for a state.
pub(super) fn word(state: HealthState) -> &'static str {
    match state {
        HealthState::Starting => "starting",
        HealthState::Healthy => "healthy",
        HealthState::Unhealthy => "unhealthy",
        HealthState::Unknown | HealthState::Unspecified => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::probe::tests::check;
    use crate::template::HealthKind;

    const SECOND: Duration = Duration::from_secs(1);

    fn bad() -> Answer {
        Answer::Bad("no".into())
    }

    /// The state after each answer, one each second from the start on.
    fn run(grace: u64, answers: Vec<Answer>) -> Vec<HealthState> {
        let check = HealthCheck { grace: Duration::from_secs(grace), ..check(HealthKind::Tcp, 1) };
        let start = SystemTime::UNIX_EPOCH;
        let mut guest = GuestState::new(std::slice::from_ref(&check), start);
        let mut now = start;
        let step = |answer| {
            now += SECOND;
            guest.note((0, &check), answer, SECOND, now);
            guest.state
        };
        answers.into_iter().map(step).collect()
    }

    #[test]
    fn failures_in_the_grace_say_starting_and_then_unhealthy() {
        use HealthState::{Starting as S, Unhealthy as U};
        assert_eq!(run(4, vec![bad(); 5]), [S, S, S, U, U]);
        assert_eq!(run(0, vec![bad(); 4]), [S, S, U, U], "one lost packet is no reason");
    }

    #[test]
    fn one_good_answer_heals_and_ends_the_grace() {
        use HealthState::{Healthy as H, Unhealthy as U};
        let answers = vec![Answer::Good, bad(), bad(), bad(), bad(), Answer::Good, bad()];
        assert_eq!(run(100, answers), [H, H, H, U, U, H, H]);
    }

    #[test]
    fn what_cannot_be_asked_is_unknown_and_no_failure() {
        use HealthState::{Healthy as H, Unhealthy as U, Unknown as N};
        let not = || Answer::NotAsked("no route".into());
        let answers = vec![Answer::Good, bad(), bad(), not(), bad(), bad(), bad(), Answer::Good];
        assert_eq!(run(0, answers), [H, H, H, N, N, N, U, H]);
    }

    #[test]
    fn a_guest_is_as_well_as_its_worst_check() {
        let checks = [check(HealthKind::Tcp, 80), check(HealthKind::Smtp, 25)];
        let now = SystemTime::UNIX_EPOCH;
        let mut guest = GuestState::new(&checks, now);
        let later = now + Duration::from_secs(100_000);
        assert_eq!(guest.note((0, &checks[0]), Answer::Good, SECOND, later), None);
        assert_eq!(guest.state, HealthState::Starting);
        assert_eq!(guest.reason(&checks), "smtp port 25 was not asked yet");
        let before = guest.note((1, &checks[1]), Answer::Good, SECOND, later);
        assert_eq!((before, guest.state), (Some(HealthState::Starting), HealthState::Healthy));
        assert_eq!(guest.reason(&checks), "");
        for _ in 0..3 {
            guest.note((0, &checks[0]), bad(), SECOND, later);
        }
        let told = guest.message(&checks);
        assert_eq!(
            (told.state(), told.reason.as_str()),
            (HealthState::Unhealthy, "tcp port 80: no")
        );
        assert_eq!(told.checks[0].failures, 3);
        assert_eq!(told.checks[1].state(), HealthState::Healthy);
    }
}

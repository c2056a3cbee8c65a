//! What is done when a guest ends by itself. No I/O, no clock.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use xlfs_xen::hypercall::ShutdownReason;

use crate::template::{EndAction, EndPolicy};

/// Restarts within [`WINDOW`] after which a guest is held.
const MOST_RESTARTS: usize = 5;
const WINDOW: Duration = Duration::from_secs(120);

/// What to do with a guest that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Remove the domain; the guest is stopped.
    Remove,
    /// Remove the domain and build it anew.
    Restart,
    /// Leave the dead domain for a look.
    Keep,
    /// It ended too often: remove the domain, and do not restart it.
    Hold,
}

/// The word for an end in records and events.
pub(super) fn cause(reason: ShutdownReason) -> &'static str {
    match reason {
        ShutdownReason::Poweroff => "poweroff",
        ShutdownReason::Reboot => "reboot",
        ShutdownReason::Suspend => "suspend",
        ShutdownReason::Crash => "crash",
        ShutdownReason::Watchdog => "watchdog",
        ShutdownReason::SoftReset => "soft-reset",
        ShutdownReason::Other(_) => "unknown",
    }
}

/// The policy's word on an end, and the brake's.
pub(super) fn decide(
    reason: ShutdownReason,
    policy: &EndPolicy,
    brake: &mut Brake,
    now: Instant,
) -> Verdict {
    let action = match reason {
        ShutdownReason::Poweroff => policy.on_poweroff,
        ShutdownReason::Reboot => policy.on_reboot,
        // xlfs cannot resume a suspended guest, nor reset its devices: to its
        // user it has crashed.
        ShutdownReason::Crash
        | ShutdownReason::Watchdog
        | ShutdownReason::Suspend
        | ShutdownReason::SoftReset
        | ShutdownReason::Other(_) => policy.on_crash,
    };
    match action {
        EndAction::Destroy => Verdict::Remove,
        EndAction::Preserve => Verdict::Keep,
        EndAction::Restart if brake.allows(now) => Verdict::Restart,
        EndAction::Restart => Verdict::Hold,
    }
}

/// Keeps a guest that ends right after its start from restarting for ever.
#[derive(Debug, Default)]
pub(super) struct Brake {
    restarts: VecDeque<Instant>,
}

impl Brake {
    fn allows(&mut self, now: Instant) -> bool {
        while self.restarts.front().is_some_and(|t| now.duration_since(*t) > WINDOW) {
            self.restarts.pop_front();
        }
        if self.restarts.len() >= MOST_RESTARTS {
            return false;
        }
        self.restarts.push_back(now);
        true
    }

    /// The user started the guest: what was before does not count.
    pub(super) fn release(&mut self) {
        self.restarts.clear();
    }
}

/// For the event that tells of a held guest.
pub(super) fn hold_reason() -> String {
    format!("it ended {MOST_RESTARTS} times within {} seconds", WINDOW.as_secs())
}

/// The first wait until something that failed is tried again, and how often it
/// doubles: 5 s up to 5 minutes.
const FIRST_RETRY: Duration = Duration::from_secs(5);
const RETRY_DOUBLINGS: u32 = 6;

/// When what could not be finished is tried again: at once, then ever later.
#[derive(Debug, Default)]
pub(super) struct Retry {
    tried: Option<Instant>,
    times: u32,
}

impl Retry {
    /// Whether it is time; then it counts as tried.
    pub(super) fn may_go(&mut self, now: Instant) -> bool {
        let wait = FIRST_RETRY * (1 << self.times.saturating_sub(1).min(RETRY_DOUBLINGS));
        if self.tried.is_some_and(|tried| now.duration_since(tried) < wait) {
            return false;
        }
        (self.tried, self.times) = (Some(now), self.times + 1);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_has_its_action() {
        let policy = EndPolicy {
            on_poweroff: EndAction::Preserve,
            on_reboot: EndAction::Restart,
            on_crash: EndAction::Destroy,
        };
        let now = Instant::now();
        let decide = |reason| decide(reason, &policy, &mut Brake::default(), now);
        assert_eq!(decide(ShutdownReason::Poweroff), Verdict::Keep);
        assert_eq!(decide(ShutdownReason::Reboot), Verdict::Restart);
        for reason in [ShutdownReason::Crash, ShutdownReason::Watchdog, ShutdownReason::Other(9)] {
            assert_eq!(decide(reason), Verdict::Remove);
        }
    }

    #[test]
    fn a_loop_is_braked_and_a_slow_one_is_not() {
        let policy = EndPolicy::default();
        let start = Instant::now();
        let run = |gap: u64| {
            let mut brake = Brake::default();
            let ends = (0..20).map(|i| {
                decide(
                    ShutdownReason::Crash,
                    &policy,
                    &mut brake,
                    start + Duration::from_secs(gap * i),
                )
            });
            ends.take_while(|v| *v == Verdict::Restart).count()
        };
        assert_eq!(run(1), MOST_RESTARTS);
        assert_eq!(run(20), MOST_RESTARTS);
        assert_eq!(run(60), 20);
    }

    #[test]
    fn the_users_start_releases_the_brake() {
        let mut brake = Brake::default();
        let now = Instant::now();
        while brake.allows(now) {}
        brake.release();
        assert!(brake.allows(now));
    }

    #[test]
    fn what_fails_is_tried_ever_later() {
        let (mut retry, begin) = (Retry::default(), Instant::now());
        let mut went = Vec::new();
        for second in 0..2000 {
            if retry.may_go(begin + Duration::from_secs(second)) {
                went.push(second);
            }
        }
        assert_eq!(went[..6], [0, 5, 15, 35, 75, 155]);
        assert_eq!(went[8] - went[7], 320);
    }
}

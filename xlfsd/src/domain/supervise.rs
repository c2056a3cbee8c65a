//! Watches over the guests: when a domain ended by itself, its policy is
//! carried out; when anything changed, whoever waits is told.
//!
//! xenstored says when a domain ended (`@releaseDomain`); since that word can
//! be lost or held back (XSA-324, XSA-325), the list of domains is also swept.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use xlfs_proto::v1::{self as pb, DomainState};
use xlfs_xen::hypercall::{DomainInfo, ShutdownReason};

use super::guest::Guest;
use super::operations::Guests;
use super::plan::{Goal, World, plan};
use super::policy::{Retry, Verdict, cause, decide, hold_reason};
use super::record::{LastEnd, Work, now_ms};
use super::state::{Observed, state, word};
use crate::host::Host;
use crate::watchdog::Pulse;

/// How often the list of domains is swept without a word from xenstored.
const SWEEP: Duration = Duration::from_secs(15);
/// While the host cannot be reached, it is tried this often.
const RETRY: Duration = Duration::from_secs(2);

impl Guests {
    /// Runs until `stopping`. Finds the host, settles what an earlier daemon
    /// left, then watches; `pulse` beats while that goes on.
    pub async fn supervise(&self, stopping: CancellationToken, pulse: Pulse) {
        let host = loop {
            pulse.beat();
            match self.shared.reach.reach().await {
                Ok(host) => break host,
                Err(problem) => tracing::debug!("no host yet: {problem:#}"),
            }
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = stopping.cancelled() => return,
            }
        };
        self.recover(&host).await;
        loop {
            self.sweep(&host, &pulse).await;
            tokio::select! {
                () = host.changes.notified() => {}
                () = tokio::time::sleep(SWEEP) => {}
                () = stopping.cancelled() => return,
            }
        }
    }

    /// Looks at every domain once.
    pub(super) async fn sweep(&self, host: &Arc<Host>, pulse: &Pulse) {
        pulse.beat();
        let domains = match host.hypervisor.domains() {
            Ok(domains) => domains,
            Err(error) => {
                tracing::error!("the hypervisor does not list its domains: {error}");
                return;
            }
        };
        for guest in self.shared.table.all() {
            let handle = guest.uuid().into_bytes();
            let domain = domains.iter().find(|domain| domain.handle == handle);
            self.look(host, &guest, domain);
            let now = self.observe(&guest, Some(host));
            self.follow_health(&guest, now, domain.map(|domain| u32::from(domain.domid.0)));
            guest.touch();
            self.settle_again(host, &guest).await;
            pulse.beat();
        }
    }

    /// Goes on with what could not be finished of a guest, once xenstored answers
    /// again: a deletion, a device on its way, a snapshot or a restore.
    async fn settle_again(&self, host: &Arc<Host>, guest: &Arc<Guest>) {
        let record = guest.record();
        if record.work != Some(Work::Delete) && !record.is_unsettled() {
            guest.with_retry(|retry| *retry = Retry::default());
            return;
        }
        if guest.current().is_none()
            && !guest.is_forgotten()
            && host.store.read("/").await.is_ok()
            && guest.with_retry(|retry| retry.may_go(Instant::now()))
            && let Err(problem) = self.settle(host, guest).await
        {
            tracing::warn!(guest = guest.name(), "{problem:#}");
        }
    }

    /// One guest and its domain, if it has one.
    fn look(&self, host: &Arc<Host>, guest: &Arc<Guest>, domain: Option<&DomainInfo>) {
        // Somebody works on it: that one sees what happens.
        let Ok(turn) = guest.turn.clone().try_lock_owned() else { return };
        // It may have changed since the list was made.
        let Ok(fresh) = guest.find_domain(&*host.hypervisor) else { return };
        let record = guest.record();
        let (reason, end) = match (&fresh, domain) {
            (Some(domain), _) if domain.dying => return,
            (Some(domain), _) => match domain.shutdown {
                Some(reason) => (reason, cause(reason)),
                None => return,
            },
            (None, _) if record.wanted_running && !record.held => {
                // Its domain vanished under us: another toolstack destroyed it.
                (ShutdownReason::Crash, "vanished")
            }
            (None, _) => return,
        };
        if fresh.as_ref().is_some_and(|domain| guest.is_kept(domain.domid)) {
            return;
        }
        let mut verdict =
            guest.with_brake(|brake| decide(reason, &record.policy, brake, Instant::now()));
        if verdict == Verdict::Restart && !record.wanted_running {
            verdict = Verdict::Remove;
        }
        if fresh.is_none() && verdict == Verdict::Keep {
            verdict = Verdict::Remove;
        }
        let keep = verdict == Verdict::Keep;
        let noted = self.note(guest, |record| {
            record.last_end = Some(LastEnd { cause: end.into(), at_ms: now_ms() });
            match verdict {
                Verdict::Restart => record.restarts += 1,
                Verdict::Hold => record.held = true,
                Verdict::Remove | Verdict::Keep => record.wanted_running = false,
            }
        });
        if let Err(problem) = noted {
            tracing::error!(guest = guest.name(), "{problem:#}");
        }
        let then = match verdict {
            Verdict::Restart => "it is started again".to_owned(),
            Verdict::Remove => "its domain is removed".to_owned(),
            Verdict::Keep => "its domain is kept for a look".to_owned(),
            Verdict::Hold => format!("it is not started again: {}", hold_reason()),
        };
        let text = format!("the guest {} ended ({end}); {then}", guest.name());
        if verdict == Verdict::Hold {
            self.shared.base.events.warn(guest.name(), "GUEST_HELD", &text);
        } else {
            tracing::info!("{text}");
        }
        if keep {
            guest.keep(fresh.map(|domain| domain.domid));
            self.tell(guest, Some(host), DomainState::Running, end);
            return;
        }
        let world = World { ended: true, ..World::of(&record, fresh.as_ref()) };
        let (goal, work) = match verdict {
            Verdict::Restart => (Goal::Restarted, Work::Restart),
            _ => (Goal::Gone, Work::Cleanup),
        };
        self.begin(guest.clone(), turn, Some(host.clone()), work, plan(world, goal), text);
    }

    /// The state of a guest now, as far as it can be seen.
    pub(super) fn observe(&self, guest: &Guest, host: Option<&Host>) -> DomainState {
        let domain = host.and_then(|host| guest.find_domain(&*host.hypervisor).ok().flatten());
        let work = guest.current().map(|current| current.work);
        let held = guest.record().held;
        state(&Observed { domain: domain.as_ref(), work, held })
    }

    /// Publishes that a guest's state has changed, if it has.
    pub(super) fn tell(
        &self,
        guest: &Guest,
        host: Option<&Host>,
        before: DomainState,
        cause: &str,
    ) {
        let now =
            if guest.is_forgotten() { DomainState::Unspecified } else { self.observe(guest, host) };
        guest.touch();
        let gone = now == DomainState::Unspecified;
        let text = if gone {
            format!("the guest {} is deleted", guest.name())
        } else {
            format!("the guest {} is {} ({cause})", guest.name(), word(now))
        };
        let domid = host
            .and_then(|host| guest.find_domain(&*host.hypervisor).ok().flatten())
            .map(|domain| u32::from(domain.domid.0));
        self.follow_health(guest, now, domid);
        let change = pb::DomainStateChanged {
            state: now.into(),
            previous: before.into(),
            domid,
            cause: cause.into(),
        };
        self.shared.base.events.publish(guest.name(), text, pb::event::Kind::DomainState(change));
    }
}

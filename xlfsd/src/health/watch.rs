//! The guests that are asked, and the tasks that ask.
//!
//! A task sleeps until its check is due and costs nothing until then. However
//! many guests there are, only [`AT_ONCE`] questions are open: the others wait
//! their turn, and their deadline begins with it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;
use xlfs_proto::v1::{self as pb, HealthState, event};

use super::probe::{Answer, Target, ask};
use super::source::Sources;
use super::state::{GuestState, word};
use crate::event::EventBus;
use crate::template::HealthCheck;

/// Questions that are open at the same time.
const AT_ONCE: usize = 64;
/// A guest that has not answered since its start is asked so often at least:
/// somebody may wait for it.
const WHILE_STARTING: Duration = Duration::from_secs(5);

/// A guest that runs and what it is to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    pub uuid: Uuid,
    pub name: String,
    /// The number of its domain: another domain starts anew.
    pub domid: u32,
    pub started: Option<SystemTime>,
    /// Where it is, or why that is not known.
    pub target: Result<Target, String>,
    pub checks: Vec<HealthCheck>,
}

/// The health of all guests. A clone is another handle to the same.
#[derive(Debug, Clone)]
pub struct Health {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    events: EventBus,
    turns: Semaphore,
    sources: Sources,
    followed: Mutex<HashMap<Uuid, Followed>>,
}

#[derive(Debug)]
struct Followed {
    subject: Arc<Subject>,
    state: GuestState,
    /// They end with it.
    _tasks: JoinSet<()>,
}

impl Health {
    pub fn new(events: EventBus) -> Self {
        Self::with_turns(events, AT_ONCE)
    }

    fn with_turns(events: EventBus, at_once: usize) -> Self {
        let (turns, followed) = (Semaphore::new(at_once), Mutex::default());
        let shared = Shared { events, turns, sources: Sources::default(), followed };
        Self { shared: Arc::new(shared) }
    }

    /// Asks this guest from now on; nothing changes if it is asked so already.
    /// Must be called within a tokio runtime.
    pub fn follow(&self, subject: Subject) {
        let mut followed = self.shared.followed.lock();
        if followed.get(&subject.uuid).is_some_and(|known| *known.subject == subject) {
            return;
        }
        let now = SystemTime::now();
        let subject = Arc::new(subject);
        let mut tasks = JoinSet::new();
        let state = match &subject.target {
            Ok(target) => {
                for index in 0..subject.checks.len() {
                    let (shared, subject) = (self.shared.clone(), subject.clone());
                    let target = target.clone();
                    tasks.spawn(async move { shared.keep_asking(&subject, index, &target).await });
                }
                GuestState::new(&subject.checks, subject.started.unwrap_or(now))
            }
            Err(why) => GuestState::unknown(&subject.checks, now, why),
        };
        followed.insert(subject.uuid, Followed { subject, state, _tasks: tasks });
    }

    /// Asks this guest no more and forgets its answers.
    pub fn leave(&self, uuid: Uuid) {
        self.shared.followed.lock().remove(&uuid);
    }

    /// What is known of a guest; None when it is not asked.
    pub fn of(&self, uuid: Uuid) -> Option<pb::Health> {
        let followed = self.shared.followed.lock();
        followed.get(&uuid).map(|found| found.state.message(&found.subject.checks))
    }
}

impl Shared {
    async fn keep_asking(&self, subject: &Arc<Subject>, index: usize, target: &Target) {
        let Some(check) = subject.checks.get(index) else { return };
        loop {
            let Ok(turn) = self.turns.acquire().await else { return };
            let begin = Instant::now();
            let answer = ask(check, target).await;
            drop(turn);
            let answer = self.blame(answer, target);
            let Some(state) = self.note(subject, index, answer, begin.elapsed()) else { return };
            let pause = match state {
                HealthState::Starting => check.interval.min(WHILE_STARTING),
                _ => check.interval,
            };
            tokio::time::sleep_until(begin + pause).await;
        }
    }

    /// Whose fault a silence is.
    fn blame(&self, answer: Answer, target: &Target) -> Answer {
        let missing = || self.sources.missing(target.address, target.bridge.as_deref()?);
        match answer {
            Answer::Silence(_) => missing().map_or(answer, Answer::NotAsked),
            other => other,
        }
    }

    /// The check's state now; None when nobody wants to know any more.
    fn note(
        &self,
        subject: &Arc<Subject>,
        index: usize,
        answer: Answer,
        took: Duration,
    ) -> Option<HealthState> {
        let mut followed = self.followed.lock();
        let found = followed.get_mut(&subject.uuid)?;
        // A task that was told to end may still have had an answer.
        if !Arc::ptr_eq(&found.subject, subject) {
            return None;
        }
        let check = subject.checks.get(index)?;
        let previous = found.state.note((index, check), answer, took, SystemTime::now());
        if let Some(previous) = previous {
            self.tell(subject, &found.state, previous);
        }
        found.state.checks.get(index).map(|check| check.state)
    }

    fn tell(&self, subject: &Subject, now: &GuestState, previous: HealthState) {
        let reason = now.reason(&subject.checks);
        let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        let text = match now.state {
            HealthState::Unknown => format!("the health of {} is not known{why}", subject.name),
            state => format!("the guest {} is {}{why}", subject.name, word(state)),
        };
        match now.state {
            HealthState::Unhealthy => tracing::warn!("{text}"),
            _ => tracing::info!("{text}"),
        }
        let change =
            pb::HealthChanged { state: now.state.into(), previous: previous.into(), reason };
        self.events.publish(subject.name.as_str(), text, event::Kind::Health(change));
    }
}

#[cfg(test)]
mod tests;

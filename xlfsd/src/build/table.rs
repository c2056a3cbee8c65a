//! The builds that are known: the one that runs, if any, and those that ended.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use super::log::{self, Log};
use super::record::{self, Record, State};
use super::sets::short;
use crate::durable;
use crate::event::EventBus;
use crate::problem::Problem;

/// A build that runs.
#[derive(Debug)]
pub(super) struct Live {
    pub id: u64,
    pub record: Mutex<Record>,
    pub log: Arc<Log>,
    /// Its task.
    pub task: String,
}

impl Live {
    /// The record with what is known only here.
    pub(super) fn snapshot(&self) -> Record {
        let record = self.record.lock().clone();
        Record { events: self.log.len(), ..record }
    }
}

/// What has the one place.
#[derive(Debug, Clone)]
pub(super) enum Occupant {
    /// A build that has no id yet.
    Starting,
    Build(Arc<Live>),
    Verification,
    Collection,
}

/// A build, as it is looked up.
#[derive(Debug)]
pub(super) enum Found {
    Live(Arc<Live>),
    Ended(Box<Record>),
}

#[derive(Debug)]
pub(super) struct Table {
    pub folder: PathBuf,
    pub occupant: Option<Occupant>,
    pub ended: BTreeMap<u64, Record>,
    next: u64,
}

impl Table {
    /// Reads the records. Those of builds that ran become those of interrupted ones.
    pub(super) fn open(folder: PathBuf, events: &EventBus) -> Self {
        let warn = |text: String| {
            events.warn("builds", "BUILD_RECORDS", text);
        };
        if let Err(error) = durable::make_private_dir(&folder) {
            warn(format!("{:#}", Problem::internal("builds are not recorded").cause(&error)));
        }
        let mut ended = record::read_all(&folder, |path, why| {
            warn(format!("{} is no record of a build: {why}", path.display()));
        });
        for record in ended.values_mut().filter(|it| it.state == State::Running) {
            let path = record::events_path(&folder, record.id);
            let done = log::end_interrupted(&path, record.counts, record.started).and_then(
                |log::Interrupted { events, last, counts }| {
                    record.counts = counts;
                    record.events = events;
                    record.ended = Some(last);
                    record.state = State::Interrupted;
                    record.problem = "xlfsd ended in the middle of it".to_owned();
                    record::write(&folder, record)
                },
            );
            if let Err(error) = done {
                warn(format!("{:#}", Problem::internal(error.to_string()).cause(&error)));
            }
            record.state = State::Interrupted;
        }
        let next = record::last_number(&folder) + 1;
        Self { folder, occupant: None, ended, next }
    }

    /// The next number.
    pub(super) fn number(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }

    pub(super) fn running(&self) -> Option<Arc<Live>> {
        match &self.occupant {
            Some(Occupant::Build(live)) => Some(Arc::clone(live)),
            _ => None,
        }
    }

    /// The build of this id; of an empty one the one that runs, or the last one.
    pub(super) fn find(&self, id: &str) -> Result<Found, Problem> {
        if id.is_empty() {
            if let Some(live) = self.running() {
                return Ok(Found::Live(live));
            }
            let last = self.ended.values().next_back().cloned();
            return last.map(|record| Found::Ended(Box::new(record))).ok_or_else(|| {
                Problem::not_found("NO_BUILD", "nothing was built on this host yet")
                    .hint("Start a build: xlfsctl build start")
            });
        }
        let number: Option<u64> = id.parse().ok();
        let live = self.running().filter(|live| number == Some(live.id));
        let ended = || number.and_then(|number| self.ended.get(&number)).cloned();
        live.map(Found::Live).or_else(|| Some(Found::Ended(Box::new(ended()?)))).ok_or_else(|| {
            let shown = short(id);
            Problem::not_found("NO_SUCH_BUILD", format!("there is no build {shown:?}"))
                .object(format!("build {shown}"))
                .hint("List them: xlfsctl build list")
        })
    }

    /// Takes a build that has ended in, and forgets the oldest beyond `keep`.
    pub(super) fn end(&mut self, record: Record, keep: usize) {
        self.ended.insert(record.id, record);
        while self.ended.len() > keep.max(1) {
            let Some((id, _)) = self.ended.pop_first() else { break };
            if let Err(error) = record::remove(&self.folder, id) {
                tracing::warn!(%error, id, "a build that is forgotten stays on disk");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventLimits, Numbering};

    #[test]
    fn a_record_that_makes_no_sense_is_told_and_its_number_not_used_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("builds");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("7.json"), "garbage").unwrap();
        std::fs::write(folder.join("7.events"), "garbage").unwrap();
        let events = EventBus::new(Numbering::starting_at(0), EventLimits::default());
        let before = events.latest();
        let mut table = Table::open(folder.clone(), &events);
        assert!(table.ended.is_empty() && events.latest() > before);
        assert_eq!(table.number(), 8);
        assert_eq!(table.find("").unwrap_err().reason, "NO_BUILD");
        assert_eq!(std::fs::read_to_string(folder.join("7.json")).unwrap(), "garbage");
    }
}

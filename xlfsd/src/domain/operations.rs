//! What users can ask of guests. Each call checks, plans, and starts a task.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use xlfs_proto::v1::{self as pb, DomainState, Operation};

use super::guest::Guest;
use super::plan::{Goal, World, plan};
use super::record::{GuestRecord, Records, Work};
use super::state::{Observed, refusal, state, word};
use super::table::Table;
use super::work::kind;
use crate::api::ConsoleDirectory;
use crate::base::Base;
use crate::console::ConsoleHub;
use crate::health::Health;
use crate::host::{Disks, Reach};
use crate::image::{Digest, ImageStore, ImageUsers};
use crate::network::{Holder, Net};
use crate::problem::Problem;
use crate::task::PlannedStep;

/// How long a guest may take to shut down unless told otherwise.
pub const SHUTDOWN: Duration = Duration::from_secs(120);
/// How long `destroy` waits for the operation that it cancelled.
const INTERRUPT: Duration = Duration::from_secs(60);

/// How long one waits for somebody who only looks at a guest.
const GLANCE: Duration = Duration::from_secs(5);

/// What an operation answers at once.
#[derive(Debug)]
pub struct Accepted {
    /// The task that works; `None` on a dry run and when nothing is to do.
    pub task: Option<pb::Task>,
    pub plan: Vec<PlannedStep>,
    pub summary: String,
    /// Secrets that were made; to be told once.
    pub generated: BTreeMap<String, String>,
}

/// What the guests are made with.
#[derive(Debug)]
pub struct Setup {
    pub base: Arc<Base>,
    pub reach: Arc<dyn Reach>,
    pub disks: Arc<dyn Disks>,
    pub net: Arc<Net>,
    pub state_dir: PathBuf,
}

/// All guests of this host. A clone is another handle to the same.
#[derive(Debug, Clone)]
pub struct Guests {
    pub(super) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub base: Arc<Base>,
    pub reach: Arc<dyn Reach>,
    pub disks: Arc<dyn Disks>,
    pub net: Arc<Net>,
    pub records: Records,
    pub table: Table,
    pub health: Health,
}

/// A guest's turn: nobody else works on it while this lives.
pub(super) type Turn = OwnedMutexGuard<()>;

impl Guests {
    /// Reads the records. Nothing is done about them yet: see
    /// [`Guests::recover`](super::recover).
    pub fn open(setup: Setup) -> Result<Self, Problem> {
        let Setup { base, reach, disks, net, state_dir } = setup;
        let (records, found) =
            Records::open(state_dir.join("guests"), &state_dir.join("quarantine"), &base.events)
                .map_err(|error| {
                    Problem::internal("the guests' records cannot be read").cause(&error)
                })?;
        base.consoles.sweep(&found.iter().map(|record| record.uuid).collect());
        let table = Table::default();
        for record in found {
            let hub = base.consoles.hub(record.uuid, &record.name)?;
            claim_macs(&record, &net, &base);
            table.insert(Arc::new(Guest::new(record, hub)))?;
        }
        let health = Health::new(base.events.clone());
        let shared = Arc::new(Shared { base, reach, disks, net, records, table, health });
        shared.base.images.set_users(Arc::new(Users(Arc::downgrade(&shared))));
        Ok(Self { shared })
    }

    pub fn get(&self, name: &str) -> Result<Arc<Guest>, Problem> {
        self.shared.table.get(name)
    }

    pub(super) fn images(&self) -> &ImageStore {
        &self.shared.base.images
    }

    pub async fn start(&self, name: &str, paused: bool, dry: bool) -> Result<Accepted, Problem> {
        let ask = Ask::new(Operation::Start, Work::Start, Goal::Running { paused }, "start");
        self.operate(name, ask, dry).await
    }

    pub async fn shutdown(
        &self,
        name: &str,
        timeout: Duration,
        force: bool,
        dry: bool,
    ) -> Result<Accepted, Problem> {
        let goal = Goal::Down { timeout, force };
        self.operate(name, Ask::new(Operation::Shutdown, Work::Shutdown, goal, "shut down"), dry)
            .await
    }

    pub async fn reboot(
        &self,
        name: &str,
        timeout: Duration,
        dry: bool,
    ) -> Result<Accepted, Problem> {
        let goal = Goal::Rebooted { timeout };
        self.operate(name, Ask::new(Operation::Reboot, Work::Reboot, goal, "reboot"), dry).await
    }

    pub async fn destroy(&self, name: &str, dry: bool) -> Result<Accepted, Problem> {
        let ask = Ask::new(Operation::Destroy, Work::Destroy, Goal::Gone, "destroy");
        self.operate(name, ask, dry).await
    }

    /// Pausing is a matter of one hypercall; it is a task all the same, so that
    /// it is seen and in order with the others.
    pub async fn pause(&self, name: &str, dry: bool) -> Result<Accepted, Problem> {
        let ask = Ask::new(Operation::Pause, Work::Start, Goal::Paused, "pause").quiet();
        self.operate(name, ask, dry).await
    }

    pub async fn unpause(&self, name: &str, dry: bool) -> Result<Accepted, Problem> {
        let ask = Ask::new(Operation::Unpause, Work::Start, Goal::Unpaused, "unpause").quiet();
        self.operate(name, ask, dry).await
    }

    pub async fn delete(&self, name: &str, force: bool, dry: bool) -> Result<Accepted, Problem> {
        let mut ask = Ask::new(Operation::Delete, Work::Delete, Goal::Forgotten, "delete");
        if force {
            ask.operation = Operation::Destroy;
            ask.even_stopped = true;
        }
        self.operate(name, ask, dry).await
    }

    async fn operate(&self, name: &str, ask: Ask, dry_run: bool) -> Result<Accepted, Problem> {
        let guest = self.unless_unmanaged(name).await?;
        let title = guest.record().title();
        let interrupts = ask.operation == Operation::Destroy;
        if interrupts
            && !dry_run
            && let Some(current) = guest.current()
        {
            current.cancel.cancel();
        }
        // Deleting a stopped guest needs no Xen.
        let host = match self.shared.reach.reach().await {
            Ok(host) => Some(host),
            Err(_) if ask.work == Work::Delete => None,
            Err(problem) => return Err(problem.object(title)),
        };
        let turn = if dry_run {
            None
        } else if interrupts {
            let turn = tokio::time::timeout(INTERRUPT, guest.turn.clone().lock_owned()).await;
            Some(turn.map_err(|_| busy(&guest))?)
        } else {
            Some(take_turn(&guest).await?)
        };
        if guest.is_forgotten() {
            return Err(self.shared.table.get(name).err().unwrap_or_else(|| busy(&guest)));
        }
        let domain = match &host {
            Some(host) => guest.find_domain(&*host.hypervisor)?,
            None => None,
        };
        let record = guest.record();
        let work = dry_run.then(|| guest.current()).flatten().map(|current| current.work);
        let now = state(&Observed { domain: domain.as_ref(), work, held: record.held });
        let done = match (ask.operation, now) {
            (Operation::Start, DomainState::Running) => Some("runs already"),
            (Operation::Pause, DomainState::Paused) => Some("is paused already"),
            (Operation::Unpause, DomainState::Running) => Some("is not paused"),
            (Operation::Shutdown, DomainState::Stopped | DomainState::Held)
            | (Operation::Destroy, DomainState::Stopped | DomainState::Held)
                if !ask.even_stopped =>
            {
                Some("is stopped already")
            }
            _ => None,
        };
        if let Some(done) = done {
            // The user's word counts all the same: a held or ended guest that
            // he stops is not wanted any more.
            if matches!(ask.operation, Operation::Shutdown | Operation::Destroy) && !dry_run {
                self.note(&guest, |record| record.wanted_running = false)?;
            }
            return Ok(Accepted {
                task: None,
                plan: Vec::new(),
                summary: format!("the guest {name} {done}"),
                generated: BTreeMap::new(),
            });
        }
        let waived = ask.even_stopped && matches!(now, DomainState::Stopped | DomainState::Held);
        if let Some(reason) = refusal(ask.operation, now).filter(|_| !waived) {
            return Err(wrong_state(ask.verb, name, now, reason));
        }
        let world = World::of(&record, domain.as_ref());
        let steps = plan(world, ask.goal);
        if ask.operation == Operation::Start
            && let Some(host) = &host
        {
            host.ledger
                .check(&*host.hypervisor, record.pages())
                .map_err(|problem| problem.object(title))?;
        }
        let Some(turn) = turn else {
            let planned = steps.iter().map(|step| step.planned(&record)).collect();
            return Ok(dry(planned, format!("would {} the guest {name}", ask.verb)));
        };
        match ask.work {
            Work::Start if !ask.quiet => {
                guest.with_brake(super::policy::Brake::release);
                guest.update(|record| {
                    record.wanted_running = true;
                    record.held = false;
                    record.restarts = 0;
                });
            }
            Work::Shutdown | Work::Destroy | Work::Delete => {
                guest.update(|record| record.wanted_running = false);
            }
            _ => {}
        }
        let summary = format!("{} of the guest {name} begun", ask.verb);
        Ok(self.begin_as(
            guest,
            turn,
            host,
            ask.task_kind(),
            (!ask.quiet).then_some(ask.work),
            steps,
            summary,
        ))
    }

    /// The guest of that name; domains that others made are refused.
    pub(super) async fn unless_unmanaged(&self, name: &str) -> Result<Arc<Guest>, Problem> {
        match self.shared.table.get(name) {
            Ok(guest) => Ok(guest),
            Err(problem) => match self.unmanaged(name).await {
                Some(domid) => Err(Problem::failed_precondition(
                    "UNMANAGED",
                    format!("domain {domid} ({name}) was not made by xlfs"),
                )
                .hint("xlfs shows such domains and never touches them. Use what made it.")),
                None => Err(problem),
            },
        }
    }
}

/// Two records that claim one address are a reason to tell, not to stop.
fn claim_macs(record: &GuestRecord, net: &Net, base: &Base) {
    for nic in &record.nics {
        let holder = Holder { guest: record.uuid, name: record.name.clone(), index: nic.index };
        if let Err(problem) = net.macs.claim(nic.mac, holder) {
            base.events.warn(record.name.as_str(), "MAC_IN_USE", format!("{problem:#}"));
        }
    }
}

/// A guest's turn, at once or not at all: an operation is not queued behind
/// another. The supervisor's glance at a guest and a pause are over in no time
/// and are waited for; nobody should be told that he came in between.
pub(super) async fn take_turn(guest: &Guest) -> Result<Turn, Problem> {
    match guest.turn.clone().try_lock_owned() {
        Ok(turn) => Ok(turn),
        Err(_) if guest.current().is_some() => Err(busy(guest)),
        Err(_) => tokio::time::timeout(GLANCE, guest.turn.clone().lock_owned())
            .await
            .map_err(|_| busy(guest)),
    }
}

/// One operation, apart from the guest.
struct Ask {
    operation: Operation,
    work: Work,
    goal: Goal,
    verb: &'static str,
    /// It changes no record, and no state but the domain's own.
    quiet: bool,
    /// It makes sense for a stopped guest too.
    even_stopped: bool,
}

impl Ask {
    fn new(operation: Operation, work: Work, goal: Goal, verb: &'static str) -> Self {
        Self { operation, work, goal, verb, quiet: false, even_stopped: false }
    }

    fn quiet(self) -> Self {
        Self { quiet: true, ..self }
    }

    fn task_kind(&self) -> &'static str {
        if self.quiet { self.verb } else { kind(self.work) }
    }
}

pub(super) fn dry(plan: Vec<PlannedStep>, summary: String) -> Accepted {
    Accepted { task: None, plan, summary, generated: BTreeMap::new() }
}

/// A guest cannot be worked on in the state that it is in, because of `reason`.
pub(super) fn wrong_state(verb: &str, name: &str, now: DomainState, reason: &str) -> Problem {
    let message = format!("cannot {verb} the guest {name}: {reason}");
    Problem::failed_precondition("WRONG_STATE", message)
        .object(format!("guest {name}"))
        .hint(format!("Its state is {}. What may be done now: xlfsctl show {name}", word(now)))
}

pub(super) fn busy(guest: &Guest) -> Problem {
    let what = guest.current().map(|c| format!("task {} ({})", c.task, kind(c.work)));
    let what = what.unwrap_or_else(|| "another task".into());
    Problem::failed_precondition("BUSY", format!("{what} works on the guest {}", guest.name()))
        .object(guest.record().title())
        .hint("Wait for it, or cancel it: xlfsctl task cancel ID. Destroy interrupts any task.")
}

impl ConsoleDirectory for Guests {
    fn console(&self, name: &str) -> Result<Arc<ConsoleHub>, Problem> {
        Ok(self.shared.table.get(name)?.console().clone())
    }
}

/// Tells the image store which guests are bound to an image.
struct Users(std::sync::Weak<Shared>);

impl ImageUsers for Users {
    fn users_of(&self, digest: &Digest) -> Vec<String> {
        let Some(shared) = self.0.upgrade() else { return Vec::new() };
        let guests = shared.table.all();
        let records = guests.iter().map(|guest| guest.record());
        records.filter(|r| r.uses(digest)).map(|r| r.name).collect()
    }
}

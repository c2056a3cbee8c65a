//! What users can ask of guests. Each call checks, plans, and starts a task.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use uuid::Uuid;
use xlfs_proto::v1::{self as pb, DomainState, Operation};

use super::execute::execute;
use super::guest::{Current, Guest};
use super::name;
use super::plan::{Goal, World, plan};
use super::record::{GuestRecord, LastEnd, Records, Work, now_ms};
use super::request::CreateRequest;
use super::state::{Observed, refusal, state, word};
use super::steps::{Run, Step};
use super::table::Table;
use crate::api::ConsoleDirectory;
use crate::base::Base;
use crate::console::ConsoleHub;
use crate::host::{Host, Reach};
use crate::image::{Digest, ImageStore, ImageUsers};
use crate::problem::{FieldProblem, Problem};
use crate::task::PlannedStep;
use crate::template::GuestFacts;

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
}

/// What the guests are made with.
#[derive(Debug)]
pub struct Setup {
    pub base: Arc<Base>,
    pub reach: Arc<dyn Reach>,
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
    pub records: Records,
    pub table: Table,
}

/// A guest's turn: nobody else works on it while this lives.
pub(super) type Turn = OwnedMutexGuard<()>;

impl Guests {
    /// Reads the records. Nothing is done about them yet: see
    /// [`Guests::recover`](super::recover).
    pub fn open(setup: Setup) -> Result<Self, Problem> {
        let Setup { base, reach, state_dir } = setup;
        let (records, found) =
            Records::open(state_dir.join("guests"), &state_dir.join("quarantine"), &base.events)
                .map_err(|error| {
                    Problem::internal("the guests' records cannot be read").cause(&error)
                })?;
        base.consoles.sweep(&found.iter().map(|record| record.uuid).collect());
        let table = Table::default();
        for record in found {
            let hub = base.consoles.hub(record.uuid, &record.name)?;
            table.insert(Arc::new(Guest::new(record, hub)))?;
        }
        let shared = Arc::new(Shared { base, reach, records, table });
        shared.base.images.set_users(Arc::new(Users(Arc::downgrade(&shared))));
        Ok(Self { shared })
    }

    pub fn get(&self, name: &str) -> Result<Arc<Guest>, Problem> {
        self.shared.table.get(name)
    }

    pub(super) fn images(&self) -> &ImageStore {
        &self.shared.base.images
    }

    /// Makes a guest and starts it unless told not to.
    pub async fn create(&self, request: CreateRequest) -> Result<Accepted, Problem> {
        let (record, _holds) = self.define(&request)?;
        let goal = Goal::Defined { start: request.start, paused: request.paused };
        let steps = plan(World { domain: false, ended: false }, goal);
        let host = if request.start { Some(self.shared.reach.reach().await?) } else { None };
        if let Some(host) = &host {
            host.ledger
                .check(&*host.hypervisor, record.pages())
                .map_err(|problem| problem.object(record.title()))?;
        }
        let planned = steps.iter().map(|step| step.planned(&record)).collect();
        if request.dry_run {
            return Ok(dry(planned, format!("would create the guest {}", record.name)));
        }
        let hub = self.shared.base.consoles.hub(record.uuid, &record.name)?;
        let guest = Arc::new(Guest::new(record, hub));
        let turn = guest.turn.clone().try_lock_owned().map_err(|_| busy(&guest))?;
        self.shared.table.insert(guest.clone())?;
        let summary = format!("creating the guest {}", guest.name());
        Ok(self.begin(guest, turn, host, Work::Create, steps, summary))
    }

    /// Checks a request as a whole and makes the record of it. The images are
    /// held until the record is in the table and holds them by itself.
    fn define(
        &self,
        request: &CreateRequest,
    ) -> Result<(GuestRecord, Vec<crate::image::ImageHold>), Problem> {
        name::check(&request.name)?;
        if let Some(taken) = self.shared.table.find(&request.name) {
            // Says the same as the table does when two come at once.
            self.shared.table.insert(taken)?;
        }
        let template = self.shared.base.templates.get(&request.template)?;
        let uuid = Uuid::new_v4();
        let facts = GuestFacts { name: &request.name, uuid };
        let mut wrong = Vec::new();
        let parameters = match template.validate(&request.parameters, &facts) {
            Ok(parameters) => Some(parameters),
            Err(problem) => {
                wrong.extend_from_slice(problem.fields());
                None
            }
        };
        let memory_mib = request.memory_mib.unwrap_or(template.resources.memory_mib);
        let (least, most) = (template.resources.memory_min_mib, 1 << 24);
        if !(least..=most).contains(&memory_mib) {
            wrong.push(FieldProblem::new(
                "memory_mib",
                format!("must be from {least} to {most} MiB for the template {}", template.name),
            ));
        }
        let vcpus = request.vcpus.unwrap_or(template.resources.vcpus);
        if !(1..=template.resources.vcpus_max).contains(&vcpus) {
            wrong.push(FieldProblem::new(
                "vcpus",
                format!("must be from 1 to {}", template.resources.vcpus_max),
            ));
        }
        let Some(parameters) = parameters.filter(|_| wrong.is_empty()) else {
            let many = if wrong.len() == 1 { "one field is" } else { "some fields are" };
            let first = wrong.first().map(|f| format!("{}: {}", f.field, f.description));
            let message = match (wrong.len(), first) {
                (1, Some(first)) => first,
                _ => format!("{many} wrong"),
            };
            return Err(Problem::invalid("BAD_REQUEST", message, wrong)
                .object(format!("guest {}", request.name))
                .hint(format!("See: xlfsctl template show {}", template.name)));
        };
        let missing = |problem: Problem, kind: &str, alias: &str| {
            Problem::failed_precondition(
                "IMAGE_MISSING",
                format!("the template {} needs the {kind} {alias}", template.name),
            )
            .cause(&problem)
            .object(format!("guest {}", request.name))
            .hint(format!("Import it: xlfsctl image import FILE --kind {kind} --alias {alias}"))
        };
        let kernel = self
            .images()
            .hold(&template.kernel)
            .map_err(|problem| missing(problem, "kernel", &template.kernel))?;
        let ramdisk = template
            .ramdisk
            .as_deref()
            .map(|alias| self.images().hold(alias).map_err(|p| missing(p, "ramdisk", alias)))
            .transpose()?;
        let record = GuestRecord {
            format: GuestRecord::FORMAT,
            name: request.name.clone(),
            uuid,
            template: template.name.clone(),
            template_version: template.version.clone(),
            memory_mib,
            vcpus,
            kernel: kernel.digest(),
            ramdisk: ramdisk.as_ref().map(crate::image::ImageHold::digest),
            command_line: parameters.command_line.clone(),
            wanted_running: request.start,
            restarts: 0,
            held: false,
            created_ms: now_ms(),
            work: None,
            policy: request.policy.apply(template.end_policy),
            parameters: parameters.shown(),
            last_end: None,
        };
        Ok((record, std::iter::once(kernel).chain(ramdisk).collect()))
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
            });
        }
        let waived = ask.even_stopped && matches!(now, DomainState::Stopped | DomainState::Held);
        if let Some(reason) = refusal(ask.operation, now).filter(|_| !waived) {
            return Err(Problem::failed_precondition(
                "WRONG_STATE",
                format!("cannot {} the guest {name}: {reason}", ask.verb),
            )
            .object(title)
            .hint(format!(
                "Its state is {}. What may be done now: xlfsctl show {name}",
                word(now)
            )));
        }
        let world = World {
            domain: domain.is_some(),
            ended: domain.as_ref().is_some_and(|d| d.shutdown.is_some() || d.dying),
        };
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
    async fn unless_unmanaged(&self, name: &str) -> Result<Arc<Guest>, Problem> {
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

    /// Starts a task that works on a guest whose turn the caller holds.
    pub(super) fn begin(
        &self,
        guest: Arc<Guest>,
        turn: Turn,
        host: Option<Arc<Host>>,
        work: Work,
        steps: Vec<Step>,
        summary: String,
    ) -> Accepted {
        self.begin_as(guest, turn, host, kind(work), Some(work), steps, summary)
    }

    #[allow(clippy::too_many_arguments, reason = "each is a different thing, used once")]
    fn begin_as(
        &self,
        guest: Arc<Guest>,
        turn: Turn,
        host: Option<Arc<Host>>,
        kind: &str,
        work: Option<Work>,
        steps: Vec<Step>,
        summary: String,
    ) -> Accepted {
        let record = guest.record();
        let planned: Vec<PlannedStep> = steps.iter().map(|step| step.planned(&record)).collect();
        let task = self.shared.base.tasks.begin(kind, guest.name(), planned.clone());
        let current = Current {
            task: task.id().to_owned(),
            work: work.unwrap_or(Work::Start),
            cancel: task.cancel_token(),
        };
        let snapshot = task.snapshot();
        if work.is_some() {
            guest.set_current(Some(current));
        }
        let shared = self.shared.clone();
        tokio::spawn(async move {
            let guests = Self { shared };
            guests.work(guest, turn, host, work, task, &steps).await;
        });
        Accepted { task: Some(snapshot), plan: planned, summary }
    }

    /// The body of a task.
    async fn work(
        &self,
        guest: Arc<Guest>,
        turn: Turn,
        host: Option<Arc<Host>>,
        work: Option<Work>,
        task: crate::task::TaskHandle,
        steps: &[Step],
    ) {
        let before = self.observe(&guest, host.as_deref());
        // On disk before anything happens: a daemon that is killed meanwhile
        // finds it at its next start.
        let noted = match work {
            Some(work) => self.note(&guest, |record| record.work = Some(work)),
            None => Ok(()),
        };
        let mut run = Run::new(guest.clone(), self.shared.records.clone(), host.clone(), task);
        let result = match noted {
            Ok(()) => execute(&mut run, steps).await,
            Err(problem) => Err(problem),
        };
        let created = work == Some(Work::Create);
        if (created && result.is_err()) || guest.is_forgotten() {
            // Undone, or deleted: nothing of it is left.
            let _ = self.shared.records.remove(guest.name());
            self.shared.table.remove(&guest);
            self.shared.base.consoles.remove(guest.uuid());
        } else if work.is_some() {
            let failed_start = result.is_err() && matches!(work, Some(Work::Start));
            let ended = matches!(work, Some(Work::Shutdown | Work::Destroy)) && result.is_ok();
            let cause = if work == Some(Work::Destroy) { "destroyed" } else { "poweroff" };
            let noted = self.note(&guest, |record| {
                record.work = None;
                if failed_start {
                    record.wanted_running = false;
                }
                if ended {
                    record.last_end = Some(LastEnd { cause: cause.into(), at_ms: now_ms() });
                }
            });
            if let Err(problem) = noted {
                tracing::error!(guest = guest.name(), "{problem:#}");
            }
        }
        guest.set_current(None);
        let cause = match (&result, work) {
            (Ok(()), Some(work)) => kind(work).to_owned(),
            (Ok(()), None) => "changed".to_owned(),
            (Err(problem), _) => problem.to_string(),
        };
        self.tell(&guest, host.as_deref(), before, &cause);
        // The turn goes before the task ends, so that who waited for the task
        // can ask for the next thing.
        drop(turn);
        // Its domain may have ended meanwhile, while nobody else could look.
        if let Some(host) = &host {
            host.changes.notify_one();
        }
        let Run { task, .. } = run;
        task.finish(result);
    }

    /// Changes a record, in memory and on disk.
    pub(super) fn note(
        &self,
        guest: &Guest,
        change: impl FnOnce(&mut GuestRecord),
    ) -> Result<(), Problem> {
        let record = guest.update(|record| {
            change(record);
            record.clone()
        });
        self.shared.records.save(&record).map_err(|error| {
            Problem::internal("the guest's record cannot be written")
                .cause(&error)
                .object(record.title())
                .hint("Look at the free space of the state folder.")
        })
    }
}

/// A guest's turn, at once or not at all: an operation is not queued behind
/// another. The supervisor's glance at a guest and a pause are over in no time
/// and are waited for; nobody should be told that he came in between.
async fn take_turn(guest: &Guest) -> Result<Turn, Problem> {
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

/// The word for a task.
pub(super) fn kind(work: Work) -> &'static str {
    match work {
        Work::Create => "create",
        Work::Start => "start",
        Work::Shutdown => "shutdown",
        Work::Reboot => "reboot",
        Work::Restart => "restart",
        Work::Destroy => "destroy",
        Work::Cleanup => "cleanup",
        Work::Delete => "delete",
    }
}

fn dry(plan: Vec<PlannedStep>, summary: String) -> Accepted {
    Accepted { task: None, plan, summary }
}

fn busy(guest: &Guest) -> Problem {
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
        records
            .filter(|r| r.kernel == *digest || r.ramdisk.as_ref() == Some(digest))
            .map(|r| r.name)
            .collect()
    }
}

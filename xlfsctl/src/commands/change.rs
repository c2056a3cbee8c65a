//! What all commands that change guests have in common: ask for each name,
//! print the plan of a dry run, follow the tasks, print the results.

use tonic::transport::Channel;
use tonic::{Response, Status};
use xlfs_proto::v1::domain_service_client::DomainServiceClient;
use xlfs_proto::v1::{Operation, OperationReply, Task};

use super::Session;
use crate::cli::Change;
use crate::errors::{Context as _, Failure, filled};
use crate::exit::Exit;
use crate::output::failure;
use crate::output::table::{Align, Table};
use crate::output::text::plain;
use crate::output::view::outcome::{OutcomeView, OutcomesView};
use crate::output::view::task::TaskView;
use crate::progress;

/// The service that all these calls go to.
pub(crate) type Domains = DomainServiceClient<Channel>;

/// How an operation is written: as a command, and in a sentence.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verb {
    pub(crate) word: &'static str,
    pub(crate) phrase: &'static str,
    /// What it is done to.
    pub(crate) noun: &'static str,
}

impl Verb {
    pub(crate) const CREATE: Verb = Verb { word: "create", phrase: "create", noun: "guest" };

    pub(crate) fn of(operation: Operation) -> Verb {
        let word = crate::output::view::domain::operation_word(operation);
        let phrase = if operation == Operation::Shutdown { "shut down" } else { word };
        Verb { word, phrase, noun: "guest" }
    }

    /// `cannot shut down guest "web"`.
    pub(crate) fn cannot(self, name: &str) -> String {
        format!("cannot {} {} \"{name}\"", self.phrase, self.noun)
    }
}

/// A request that xlfsd took.
pub(super) struct Accepted {
    name: String,
    reply: OperationReply,
}

/// Carries out a change of each name, and prints what came of it.
pub(crate) async fn apply(
    session: &Session,
    change: &Change,
    verb: Verb,
    names: &[String],
    call: impl AsyncFn(Domains, String) -> Result<Response<OperationReply>, Status>,
) -> Result<Exit, Failure> {
    let domains = session.daemon().await?.domains();
    apply_to(session, change, verb, names, domains, call).await
}

/// The same, asked of another service.
pub(crate) async fn apply_to<C: Clone>(
    session: &Session,
    change: &Change,
    verb: Verb,
    names: &[String],
    client: C,
    call: impl AsyncFn(C, String) -> Result<Response<OperationReply>, Status>,
) -> Result<Exit, Failure> {
    let (exit, accepted) = carry_out(session, change, verb, names, client, call).await?;
    print(session, change, verb, &accepted)?;
    Ok(exit)
}

/// Makes the call for each name, then waits for all tasks together. A name that
/// fails does not keep the others from being worked on; the first failure
/// decides the exit.
pub(super) async fn carry_out<C: Clone>(
    session: &Session,
    change: &Change,
    verb: Verb,
    names: &[String],
    client: C,
    call: impl AsyncFn(C, String) -> Result<Response<OperationReply>, Status>,
) -> Result<(Exit, Vec<Accepted>), Failure> {
    let mut exit = Exit::Ok;
    let mut fail = |failure: Failure| {
        failure::report(session.output.format, &failure);
        if exit == Exit::Ok {
            exit = failure.exit();
        }
    };
    let mut accepted: Vec<Accepted> = Vec::new();
    for (at, name) in names.iter().enumerate() {
        if names[..at].contains(name) {
            continue;
        }
        let reply = call(client.clone(), name.clone()).await;
        match reply.context(|| verb.cannot(name)) {
            Ok(reply) => accepted.push(Accepted { name: name.clone(), reply: reply.into_inner() }),
            Err(failure) => fail(failure),
        }
    }
    if !change.dry_run && !change.no_wait {
        for failure in wait(session, verb, &mut accepted).await? {
            fail(failure);
        }
    }
    Ok((exit, accepted))
}

/// What was done, or would be, as documents.
pub(super) fn outcomes(change: &Change, verb: Verb, accepted: &[Accepted]) -> Vec<OutcomeView> {
    let outcome = |Accepted { name, reply }: &Accepted| OutcomeView {
        name: name.clone(),
        operation: verb.word,
        changed: reply.changed,
        dry_run: change.dry_run,
        summary: filled(&reply.summary),
        plan: reply.plan.iter().map(Into::into).collect(),
        task: reply.task.as_ref().map(TaskView::from),
        generated: reply.generated.clone().into_iter().collect(),
    };
    accepted.iter().map(outcome).collect()
}

/// Follows the tasks to their ends, and puts those into the replies.
async fn wait(
    session: &Session,
    verb: Verb,
    accepted: &mut [Accepted],
) -> Result<Vec<Failure>, Failure> {
    let started: Vec<_> = accepted.iter_mut().filter(|one| one.reply.task.is_some()).collect();
    let tasks: Vec<Task> = started.iter().filter_map(|one| one.reply.task.clone()).collect();
    if tasks.is_empty() {
        return Ok(Vec::new());
    }
    let ends = progress::follow(session.daemon().await?, &session.output, tasks).await?;
    let mut failures = Vec::new();
    for (one, end) in started.into_iter().zip(ends) {
        let failure = match end {
            Ok(task) => {
                let failure = progress::failure_of(&task);
                one.reply.task = Some(task);
                failure
            }
            Err(failure) => Some(failure),
        };
        failures.extend(failure.map(|failure| failure.context(&verb.cannot(&one.name))));
    }
    Ok(failures)
}

/// The results: documents for programs; for people only what the progress has
/// not shown.
pub(super) fn print(
    session: &Session,
    change: &Change,
    verb: Verb,
    accepted: &[Accepted],
) -> Result<(), Failure> {
    let output = &session.output;
    if !output.is_table() {
        return output.document(&OutcomesView { results: outcomes(change, verb, accepted) });
    }
    for Accepted { name, reply } in accepted {
        let mut made: Vec<_> = reply.generated.iter().collect();
        made.sort();
        for (parameter, secret) in made {
            output.text(&format!("{name}: {parameter} is {} (shown only now)\n", plain(secret)))?;
        }
        let task = reply.task.as_ref();
        if change.dry_run {
            output.text(&plan(name, verb, reply, output.width))?;
        } else if !reply.changed && task.is_none() {
            let known = filled(&reply.summary);
            output.note(&known.unwrap_or_else(|| format!("{name}: nothing was to do")));
        } else if change.no_wait
            && let Some(task) = task
        {
            let id = plain(&task.id);
            match output.quiet {
                true => output.text(&format!("{id}\n"))?,
                false => output.text(&format!("{name}: {} started as task {id}\n", verb.word))?,
            }
        } else if task.is_none() {
            let known = filled(&reply.summary);
            output.note(&known.unwrap_or_else(|| format!("{name}: {} done", verb.word)));
        }
    }
    Ok(())
}

/// The plan of a dry run.
fn plan(name: &str, verb: Verb, reply: &OperationReply, width: Option<usize>) -> String {
    let mut out = match reply.summary.as_str() {
        "" => format!("{name}: {} would take these steps\n", verb.word),
        summary => format!("{}\n", plain(summary)),
    };
    if reply.plan.is_empty() {
        return out;
    }
    let mut table =
        Table::new(&[("#", Align::Right), ("STEP", Align::Left), ("OBJECT", Align::Elastic)]);
    for (number, step) in reply.plan.iter().enumerate() {
        let number = (number + 1).to_string();
        table.row([number.into(), step.name.as_str().into(), step.object.as_str().into()]);
    }
    out.push_str(&table.render(width, false));
    out
}

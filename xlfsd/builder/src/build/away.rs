//! Packages built by a remote executor: their files become outputs here, their logs
//! logs. What goes wrong with the service itself is no failure of the package.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::BuildError;
use super::events::Event;
use super::known::Known;
use super::one::{self, Failed, Left, Outcome};
use super::schedule::{Progress, Scheduler, first};
use super::task::{self, Message, failed};
use crate::action::Action;
use crate::blocking;
use crate::remote::{Ran, Remote, RemoteError};
use crate::sandbox::{self, SandboxError};

/// Why a package was not built away.
pub(super) enum Away {
    /// It would fail here as well.
    Failed(Box<Failed>),
    /// The service did not do its work.
    Service(RemoteError),
}

/// Has a package built; its sources must be in the store.
pub(super) async fn build(
    known: &Arc<Known>,
    remote: &Remote,
    name: &str,
    action: &Action,
    cancel: &CancellationToken,
    on_step: impl FnMut(&str) + Send,
) -> Result<Outcome, Away> {
    let deadline = known.package(name).map_or(0, |package| package.deadline);
    let deadline = Duration::from_secs(deadline);
    match remote.run(&known.store, action, deadline, cancel, on_step).await {
        Ok(ran) => accept(known, remote, name, action, ran).await,
        Err(RemoteError::Cancelled) => {
            let error = SandboxError::Cancelled { step: "remote".to_owned() }.into();
            Err(broken("remote", error))
        }
        Err(error) => Err(Away::Service(error)),
    }
}

/// A result that the service has from earlier.
pub(super) async fn cached(
    known: &Arc<Known>,
    remote: &Remote,
    name: &str,
    action: &Action,
) -> Result<Option<Outcome>, Away> {
    match remote.cached(&known.store, action).await.map_err(Away::Service)? {
        Some(ran) => accept(known, remote, name, action, ran).await.map(Some),
        None => Ok(None),
    }
}

async fn accept(
    known: &Arc<Known>,
    remote: &Remote,
    name: &str,
    action: &Action,
    ran: Ran,
) -> Result<Outcome, Away> {
    let (known, name, action) = (Arc::clone(known), name.to_owned(), action.digest.clone());
    let address = remote.address().to_owned();
    blocking(move || {
        let package = known.package(&name).map_err(|error| broken("remote", error))?;
        let Ran { out, log, exit_code, started, seconds, steps } = ran;
        let path = known.store.blob_path(&log, false);
        let error = if exit_code == 0 {
            match one::outputs(&known, package, out) {
                Ok(outputs) => {
                    let by = Some(address);
                    return Ok(Outcome { outputs, log, started, seconds, steps, by });
                }
                Err(error) => error,
            }
        } else {
            match sandbox::last_step(&path) {
                Some(step) => {
                    let how = format!("exit code {exit_code}, at {address}");
                    SandboxError::Failed { step, how }.into()
                }
                // Not even the first step: the service cannot run what we can.
                None => {
                    return Err(Away::Service(RemoteError::Sandbox {
                        address,
                        exit_code,
                        tail: sandbox::tail(&path, 3).join(" | "),
                    }));
                }
            }
        };
        let tail = sandbox::tail(&path, 20);
        let left = Left { log: Some(log), tail, work: None, started, seconds };
        Err(Away::Failed(one::fail(&known, package, &action, left, error)))
    })
    .await
}

impl Scheduler {
    /// The remote executor, if there is one and it answers.
    pub(super) async fn connect(&self) -> Option<Arc<Remote>> {
        match Remote::connect(self.remote.as_ref()?).await {
            Ok(remote) => {
                let (address, count) = (remote.address(), remote.at_once());
                let text = format!("packages are built by {address}, {count} at a time");
                self.log.tell(Event::Note { text });
                Some(Arc::new(remote))
            }
            Err(error) => {
                let reason = crate::with_causes(&error);
                self.log.tell(Event::Note { text: format!("{reason}; packages are built here") });
                None
            }
        }
    }

    /// Gives the remote executor what it may have.
    pub(super) fn send_away(
        &self,
        progress: &mut Progress,
        tasks: &mut JoinSet<Message>,
        remote: Option<&Arc<Remote>>,
        lengths: &BTreeMap<String, f64>,
        times: &BTreeMap<&str, f64>,
    ) {
        let Some(remote) = remote else { return };
        while progress.away.len() < remote.at_once() {
            let for_it =
                progress.ready.keys().filter(|name| progress.goes_away(name, Some(remote)));
            let Some(name) = first(for_it, lengths) else { return };
            let Some(ready) = progress.ready.remove(&name) else { return };
            let estimate = times.get(name.as_str()).copied();
            progress.away.insert(name.clone());
            self.log.tell(Event::Started { package: name.clone(), estimate });
            let (known, remote) = (Arc::clone(&self.known), Arc::clone(remote));
            let (log, cancel) = (self.log.clone(), self.cancel.clone());
            tasks.spawn(async move {
                let on_step = |step: &str| {
                    log.tell(Event::Step { package: name.clone(), step: step.to_owned() });
                };
                let action = Arc::clone(&ready.action);
                match build(&known, &remote, &name, &action, &cancel, on_step).await {
                    Ok(outcome) => {
                        let package = name.clone();
                        match task::keep(known, package, ready, outcome).await {
                            Ok(record) => Message::BuiltAway(name, Box::new(record)),
                            Err(error) => failed(name, "store", error),
                        }
                    }
                    Err(Away::Failed(error)) => Message::Failed(name, error),
                    Err(Away::Service(error)) => Message::Returned(name, ready, error),
                }
            });
        }
    }
}

fn broken(step: &str, error: BuildError) -> Away {
    Away::Failed(Box::new(Failed { step: step.to_owned(), error, tail: Vec::new() }))
}

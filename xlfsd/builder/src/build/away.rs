//! One package built by a remote executor: its files become outputs here, its log a
//! log. What goes wrong with the service itself is no failure of the package.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::BuildError;
use super::known::Known;
use super::one::{self, Failed, Left, Outcome};
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
            Err(failed("remote", error))
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
    let by = Some(remote.address().to_owned());
    blocking(move || {
        let package = known.package(&name).map_err(|error| failed("remote", error))?;
        let Ran { out, log, exit_code, started, seconds, steps } = ran;
        let path = known.store.blob_path(&log, false);
        let error = if exit_code == 0 {
            match one::outputs(&known, package, out) {
                Ok(outputs) => return Ok(Outcome { outputs, log, started, seconds, steps, by }),
                Err(error) => error,
            }
        } else {
            match sandbox::last_step(&path) {
                Some(step) => {
                    let how = format!("exit code {exit_code}, at {}", by.unwrap_or_default());
                    SandboxError::Failed { step, how }.into()
                }
                // Not even the first step: the service cannot run what we can.
                None => {
                    return Err(Away::Service(RemoteError::Sandbox {
                        address: by.unwrap_or_default(),
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

fn failed(step: &str, error: BuildError) -> Away {
    Away::Failed(Box::new(Failed { step: step.to_owned(), error, tail: Vec::new() }))
}

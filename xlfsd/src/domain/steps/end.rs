//! The steps that end a domain.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use xlfs_xen::hypercall::DomainId;

use super::build::{blocking, cancelled};
use super::run::refused;
use super::{Ask, Run};
use crate::domain::nodes;
use crate::host::StoreOp;
use crate::problem::Problem;

/// How long a guest may take to acknowledge a request.
const ACKNOWLEDGE: Duration = Duration::from_secs(60);
/// How often things are looked at that send no word of themselves.
pub(super) const POLL: Duration = Duration::from_millis(100);
/// How long a domain may take to be gone once it is taken apart.
const VANISH: Duration = Duration::from_secs(20);

impl Run {
    /// Asks, and waits until the guest has said that it heard.
    pub(super) async fn ask_guest(&mut self, ask: Ask) -> Result<(), Problem> {
        let path = nodes::shutdown_request(self.domid()?);
        let store = self.host()?.store.clone();
        let failed = |error: xlfs_xen::xenstore::Error| {
            Problem::unavailable("XENSTORE_FAILED", "the guest cannot be asked")
                .cause(&error)
                .hint("Look at xenstored's log. `xlfsctl destroy` ends a guest without asking it.")
        };
        let request = StoreOp::Write(path.clone(), ask.word().into());
        store.apply(vec![request]).await.map_err(failed)?;
        let deadline = Instant::now() + ACKNOWLEDGE;
        loop {
            // The guest takes the request by emptying the node. Whatever else it
            // writes there is no request of ours any more.
            let value = store.read(&path).await.map_err(failed)?;
            if value.as_deref() != Some(ask.word().as_bytes()) || self.has_ended()? {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(Problem::deadline_exceeded(
                    "GUEST_SILENT",
                    format!("the guest did not react within {} s", ACKNOWLEDGE.as_secs()),
                )
                .hint(
                    "It may still be booting, or have no support for shutdown requests. \
                     Look at its console; `xlfsctl destroy` ends it at once.",
                ));
            }
            self.pause_for(POLL).await?;
        }
    }

    /// Takes a request back that the guest has not taken.
    pub(super) async fn withdraw_request(&mut self) -> Result<(), Problem> {
        let Some(domain) = self.find_domain()? else { return Ok(()) };
        let path = nodes::shutdown_request(domain.domid);
        let store = &self.host()?.store;
        let result = store.apply(vec![StoreOp::Write(path, Vec::new())]).await;
        result.map_err(|error| {
            Problem::unavailable("XENSTORE_FAILED", "the request cannot be withdrawn").cause(&error)
        })
    }

    pub(super) fn has_ended(&self) -> Result<bool, Problem> {
        Ok(self.find_domain()?.is_none_or(|d| d.shutdown.is_some() || d.dying))
    }

    /// Waits; an interruption is the user's.
    pub(super) async fn pause_for(&self, time: Duration) -> Result<(), Problem> {
        tokio::select! {
            () = sleep(time) => Ok(()),
            () = self.cancel.cancelled() => Err(cancelled()),
        }
    }

    pub(super) async fn await_end(
        &mut self,
        timeout: Duration,
        force: bool,
    ) -> Result<(), Problem> {
        let deadline = Instant::now() + timeout;
        while !self.has_ended()? {
            if Instant::now() >= deadline {
                if force {
                    self.task.log("the time is up; the domain is destroyed");
                    return Ok(());
                }
                return Err(Problem::deadline_exceeded(
                    "SHUTDOWN_TIMEOUT",
                    format!("the guest has not shut down within {} s", timeout.as_secs()),
                )
                .hint(
                    "It goes on shutting down. Look at its console; give it more time with \
                     --timeout, or end it with --force or `xlfsctl destroy`.",
                ));
            }
            tokio::select! {
                () = self.guest.changed() => {}
                waited = self.pause_for(POLL) => waited?,
            }
        }
        Ok(())
    }

    pub(super) async fn detach_console(&mut self) -> Result<(), Problem> {
        self.host()?.rings.detach(self.record.uuid).await;
        self.guest.console().end_domain().await;
        Ok(())
    }

    /// Takes the domain apart and waits until it is gone. It is not to be
    /// cancelled: half a domain is of no use to anybody.
    pub(super) async fn destroy_domain(&mut self) -> Result<(), Problem> {
        let Some(domain) = self.find_domain()? else {
            self.guest.set_domid(None);
            return Ok(());
        };
        let domid = domain.domid;
        let hypervisor = self.host()?.hypervisor.clone();
        let result = blocking(move || {
            loop {
                match hypervisor.destroy_once(domid) {
                    Ok(true) => return Ok(()),
                    Ok(false) => {}
                    Err(error) if error.is_no_domain() => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
        })
        .await?;
        result.map_err(|e| refused("cannot destroy the domain", &e))?;
        self.await_gone(domid).await
    }

    async fn await_gone(&mut self, domid: DomainId) -> Result<(), Problem> {
        let deadline = Instant::now() + VANISH;
        loop {
            let left = self
                .host()?
                .hypervisor
                .domain(domid)
                .map_err(|e| refused("cannot look at the domain", &e))?;
            // A number may be another domain's by now.
            let Some(left) = left.filter(|d| d.handle == self.record.uuid.into_bytes()) else {
                self.guest.set_domid(None);
                return Ok(());
            };
            if Instant::now() >= deadline {
                return Err(Problem::deadline_exceeded(
                    "DOMAIN_LINGERS",
                    format!(
                        "domain {domid} is destroyed but {} KiB of it are still held",
                        left.pages * 4
                    ),
                )
                .hint(
                    "Another program or domain maps its memory: end that one. The guest can \
                     be started again when the domain is gone.",
                )
                .leftover(format!("domain {domid}, dying")));
            }
            // Mostly gone at the first look; soon afterwards otherwise.
            sleep(Duration::from_millis(5)).await;
        }
    }

    pub(super) async fn withdraw(&mut self) -> Result<(), Problem> {
        let domid = self.guest.last_domid();
        let ops = nodes::withdraw(self.record.uuid, domid);
        self.host()?.store.apply(ops).await.map_err(|error| {
            Problem::unavailable("XENSTORE_FAILED", "the domain's xenstore nodes cannot be removed")
                .cause(&error)
                .hint("See whether xenstored runs, and its log. Then try again.")
                .leftover(format!("xenstore nodes of the guest {}", self.record.name))
        })
    }
}

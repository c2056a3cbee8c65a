//! The commands that start, stop and remove guests that exist. Each takes
//! several names.

use std::time::Duration;

use clap::Args;
use xlfs_proto::v1::{
    DeleteDomainRequest, DestroyDomainRequest, Operation, PauseDomainRequest, RebootDomainRequest,
    ShutdownDomainRequest, StartDomainRequest, UnpauseDomainRequest,
};

use super::Session;
use super::change::{Domains, Verb, apply};
use crate::cli::Change;
use crate::complete;
use crate::errors::Failure;
use crate::exit::Exit;
use crate::words::duration;

/// Start stopped guests.
#[derive(Debug, Args)]
pub(crate) struct Start {
    /// The guests.
    #[arg(required = true, value_name = "NAME", add = complete::guests_for(Operation::Start))]
    names: Vec<String>,
    /// Build the domain, but leave it paused.
    #[arg(long)]
    paused: bool,
    #[command(flatten)]
    change: Change,
}

/// Ask guests to shut down, and wait until they have.
///
/// A guest that does not react in time is left running, and the command fails,
/// unless --force is given.
#[derive(Debug, Args)]
pub(crate) struct Shutdown {
    /// The guests.
    #[arg(required = true, value_name = "NAME", add = complete::guests_for(Operation::Shutdown))]
    names: Vec<String>,
    /// How long a guest may take, such as 90s or 5m. Default: 2m.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    timeout: Option<Duration>,
    /// Destroy a guest that has not shut down when the time is up.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    change: Change,
}

/// Ask guests to reboot; their domains are built anew.
#[derive(Debug, Args)]
pub(crate) struct Reboot {
    /// The guests.
    #[arg(required = true, value_name = "NAME", add = complete::guests_for(Operation::Reboot))]
    names: Vec<String>,
    /// How long a guest may take to go down, such as 90s or 5m. Default: 2m.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    timeout: Option<Duration>,
    #[command(flatten)]
    change: Change,
}

/// Stop the virtual CPUs of running guests.
#[derive(Debug, Args)]
pub(crate) struct Pause {
    /// The guests.
    #[arg(required = true, value_name = "NAME", add = complete::guests_for(Operation::Pause))]
    names: Vec<String>,
    #[command(flatten)]
    change: Change,
}

/// Let the virtual CPUs of paused guests run on.
#[derive(Debug, Args)]
pub(crate) struct Unpause {
    /// The guests.
    #[arg(required = true, value_name = "NAME", add = complete::guests_for(Operation::Unpause))]
    names: Vec<String>,
    #[command(flatten)]
    change: Change,
}

/// End the domains of guests at once, as pulling the plug does.
///
/// The guests stay defined and can be started again. What they had not written
/// to disk is lost; "xlfsctl shutdown" is kinder.
#[derive(Debug, Args)]
pub(crate) struct Destroy {
    /// The guests.
    #[arg(required = true, value_name = "NAME", add = complete::guests_for(Operation::Destroy))]
    names: Vec<String>,
    #[command(flatten)]
    change: Change,
}

/// Forget stopped guests, with their console logs.
#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// The guests.
    #[arg(required = true, value_name = "NAME", add = complete::guests())]
    names: Vec<String>,
    /// Destroy a guest first when it runs.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    change: Change,
}

impl Start {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let (paused, dry_run) = (self.paused, self.change.dry_run);
        let call = async |mut domains: Domains, name| {
            domains.start_domain(StartDomainRequest { name, paused, dry_run }).await
        };
        apply(session, &self.change, Verb::of(Operation::Start), &self.names, call).await
    }
}

impl Shutdown {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let timeout = wire_span(self.timeout)?;
        let (force, dry_run) = (self.force, self.change.dry_run);
        let call = async |mut domains: Domains, name| {
            let request = ShutdownDomainRequest { name, timeout, force, dry_run };
            domains.shutdown_domain(request).await
        };
        apply(session, &self.change, Verb::of(Operation::Shutdown), &self.names, call).await
    }
}

impl Reboot {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let timeout = wire_span(self.timeout)?;
        let dry_run = self.change.dry_run;
        let call = async |mut domains: Domains, name| {
            domains.reboot_domain(RebootDomainRequest { name, timeout, dry_run }).await
        };
        apply(session, &self.change, Verb::of(Operation::Reboot), &self.names, call).await
    }
}

impl Pause {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let dry_run = self.change.dry_run;
        let call = async |mut domains: Domains, name| {
            domains.pause_domain(PauseDomainRequest { name, dry_run }).await
        };
        apply(session, &self.change, Verb::of(Operation::Pause), &self.names, call).await
    }
}

impl Unpause {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let dry_run = self.change.dry_run;
        let call = async |mut domains: Domains, name| {
            domains.unpause_domain(UnpauseDomainRequest { name, dry_run }).await
        };
        apply(session, &self.change, Verb::of(Operation::Unpause), &self.names, call).await
    }
}

impl Destroy {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let dry_run = self.change.dry_run;
        let call = async |mut domains: Domains, name| {
            domains.destroy_domain(DestroyDomainRequest { name, dry_run }).await
        };
        apply(session, &self.change, Verb::of(Operation::Destroy), &self.names, call).await
    }
}

impl Delete {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let (force, dry_run) = (self.force, self.change.dry_run);
        let call = async |mut domains: Domains, name| {
            domains.delete_domain(DeleteDomainRequest { name, force, dry_run }).await
        };
        apply(session, &self.change, Verb::of(Operation::Delete), &self.names, call).await
    }
}

/// A time span as the wire has it.
pub(crate) fn wire_span(span: Option<Duration>) -> Result<Option<prost_types::Duration>, Failure> {
    span.map(prost_types::Duration::try_from)
        .transpose()
        .map_err(|_| Failure::new(Exit::Usage, "--timeout is longer than any guest will live"))
}

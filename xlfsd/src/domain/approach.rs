//! How an operation comes to a guest: its turn, its domain, and whether its state
//! and what is unsettled of it allow for the operation.

use std::sync::Arc;

use xlfs_proto::v1::Operation;

use super::guest::Guest;
use super::operations::{Guests, Turn, busy, take_turn, wrong_state};
use super::plan::World;
use super::state::{Observed, refusal, state};
use crate::host::Host;
use crate::problem::Problem;

/// A guest whose turn it is.
pub(super) struct Approached {
    pub guest: Arc<Guest>,
    /// None where the operation needs no Xen, and there is none.
    pub host: Option<Arc<Host>>,
    /// None on a dry run.
    pub turn: Option<Turn>,
    pub world: World,
    pub paused: bool,
}

/// Whether an operation can do without Xen on a guest that is not meant to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Xen {
    Needed,
    /// A definition can be changed without it.
    Optional,
}

impl Guests {
    /// A guest's turn, if its state allows for `operation`. `verb` is for the
    /// error: "cannot VERB the guest".
    pub(super) async fn approach(
        &self,
        name: &str,
        operation: Operation,
        verb: &str,
        (xen, dry_run): (Xen, bool),
    ) -> Result<Approached, Problem> {
        let guest = self.unless_unmanaged(name).await?;
        let title = guest.record().title();
        let host = match self.shared.reach.reach().await {
            Ok(host) => Some(host),
            Err(_) if xen == Xen::Optional && !guest.record().wanted_running => None,
            Err(problem) => return Err(problem.object(title)),
        };
        let turn = if dry_run { None } else { Some(take_turn(&guest).await?) };
        if guest.is_forgotten() {
            return Err(self.shared.table.get(name).err().unwrap_or_else(|| busy(&guest)));
        }
        let domain = match &host {
            Some(host) => guest.find_domain(&*host.hypervisor)?,
            None => None,
        };
        let record = guest.record();
        let work = guest.current().map(|current| current.work);
        let now = state(&Observed { domain: domain.as_ref(), work, held: record.held });
        if let Some(reason) = refusal(operation, now) {
            return Err(wrong_state(verb, name, now, reason));
        }
        if record.is_unsettled() {
            return Err(Problem::failed_precondition(
                "UNFINISHED",
                format!("an earlier change of the devices of the guest {name} is not settled yet"),
            )
            .object(title)
            .hint("xlfsd tries again by itself. What is in its way: xlfsctl task list"));
        }
        let world = World::of(&record, domain.as_ref());
        let paused = domain.is_some_and(|domain| domain.paused);
        Ok(Approached { guest, host, turn, world, paused })
    }
}

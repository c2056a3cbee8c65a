//! The one place for what works on the whole store: a build, a verification or a
//! collection. Who comes second is refused, and told who is there.

use std::sync::Arc;

use super::Builds;
use super::table::{Live, Occupant};
use crate::problem::Problem;

/// The place is taken while this lives.
#[derive(Debug)]
pub(super) struct Place {
    builds: Builds,
}

impl Builds {
    /// Takes the place.
    pub(super) fn occupy(&self, occupant: Occupant) -> Result<Place, Problem> {
        let mut table = self.shared.table.lock();
        if let Some(there) = &table.occupant {
            return Err(refusal(there));
        }
        table.occupant = Some(occupant);
        drop(table);
        Ok(Place { builds: self.clone() })
    }
}

impl Place {
    /// The build that was starting has begun.
    pub(super) fn begun(&self, live: Arc<Live>) {
        self.builds.shared.table.lock().occupant = Some(Occupant::Build(live));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.builds.shared.table.lock().occupant = None;
    }
}

fn refusal(there: &Occupant) -> Problem {
    let busy = |text: &str| Problem::failed_precondition("BUILDER_BUSY", text);
    match there {
        Occupant::Build(live) => {
            let id = live.id;
            let targets = live.record.lock().asked.targets.join(", ");
            Problem::failed_precondition("BUILD_RUNNING", format!("build {id} runs ({targets})"))
                .object(format!("build {id}"))
                .hint(format!(
                    "Watch it (xlfsctl build watch {id}), or end it (xlfsctl build cancel {id})."
                ))
        }
        Occupant::Starting => {
            busy("another build is starting").hint("Watch it: xlfsctl build watch")
        }
        Occupant::Verification => busy("packages are being built again to compare them")
            .hint("Try again when that has ended."),
        Occupant::Collection => {
            busy("the store is being collected").hint("Try again when that has ended.")
        }
    }
}

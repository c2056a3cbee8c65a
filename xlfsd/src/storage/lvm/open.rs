//! Opening a pool: is everything there, and what did a daemon that was killed
//! leave unfinished.

use std::path::Path;

use uuid::Uuid;

use super::command::TAG;
use super::program::{Lvm, Program};
use super::report::Lv;
use super::{LvmPool, UNFINISHED_PREFIX, tag_zero_from, zero_from};
use crate::problem::{Problem, ProblemKind};
use crate::storage::Watch;

impl LvmPool {
    /// Opens the volume group, and removes what was not finished in it.
    ///
    /// NO_LVM where the program is missing, POOL_UNUSABLE.
    pub fn open(name: &str, volume_group: &str, thin_pool: Option<&str>) -> Result<Self, Problem> {
        let lvm = Program::find().map_err(|error| {
            let kind = ProblemKind::FailedPrecondition;
            let message = "logical volumes need the program lvm";
            Problem::from_error(kind, "NO_LVM", message, &error)
                .object(format!("pool {name}"))
                .hint("Install lvm2 in Dom0.")
        })?;
        Self::open_with(name, volume_group, thin_pool, Box::new(lvm), Path::new("/dev"))
    }

    pub(super) fn open_with(
        name: &str,
        volume_group: &str,
        thin_pool: Option<&str>,
        lvm: Box<dyn Lvm>,
        dev: &Path,
    ) -> Result<Self, Problem> {
        let pool = Self {
            name: name.to_owned(),
            group: volume_group.to_owned(),
            thin_pool: thin_pool.map(str::to_owned),
            lvm,
            dev: dev.to_owned(),
        };
        let unusable = |problem: Problem| {
            let mut problem = problem.context(format!("the pool {name} cannot be used"));
            problem.kind = ProblemKind::FailedPrecondition;
            problem.reason = "POOL_UNUSABLE";
            problem.hint("Check the volume group with vgs and lvs, and the pool's configuration.")
        };
        pool.vg().map_err(unusable)?;
        let volumes = pool.lvs().map_err(unusable)?;
        pool.check_thin_pool(&volumes)?;
        pool.sweep(&volumes);
        Ok(pool)
    }

    /// A pool that does not clear its blocks would show one guest what another
    /// left in them, as soon as it writes a part of one.
    pub(super) fn check_thin_pool(&self, volumes: &[Lv]) -> Result<(), Problem> {
        let (Some(thin), group) = (&self.thin_pool, &self.group) else { return Ok(()) };
        let unusable = |message: String, hint: String| {
            Err(Problem::failed_precondition("POOL_UNUSABLE", message)
                .object(format!("pool {}", self.name))
                .hint(hint))
        };
        match volumes.iter().find(|lv| lv.lv_name == *thin) {
            Some(lv) if lv.is_thin_pool() && lv.zeros_new_blocks() => Ok(()),
            Some(lv) if lv.is_thin_pool() => unusable(
                format!(
                    "the thin pool {group}/{thin} hands out blocks with what others left in them"
                ),
                format!("Let it zero them: lvchange --zero y {group}/{thin}"),
            ),
            _ => unusable(
                format!("there is no thin pool {group}/{thin}"),
                format!("Make one: lvcreate --type thin-pool -Zy -L SIZE -n {thin} {group}"),
            ),
        }
    }

    /// What cannot be cleared stays, and is tried again at the next opening.
    fn sweep(&self, volumes: &[Lv]) {
        for lv in volumes.iter().filter(|lv| lv.has_tag(TAG)) {
            let name = &lv.lv_name;
            let cleared = match (name.strip_prefix(UNFINISHED_PREFIX), zero_from(lv)) {
                (Some(id), _) if id.parse::<Uuid>().is_ok() => {
                    self.run(self.group().remove(name)).map(drop)
                }
                (_, Some(start)) if self.volume_of(lv).is_some() => self.clear(lv, start),
                _ => Ok(()),
            };
            if let Err(problem) = cleared {
                tracing::warn!(pool = self.name, volume = name, "not cleared: {problem:#}");
            }
        }
    }

    /// Finishes what a daemon that was killed had begun in [`Pool::grow`].
    fn clear(&self, lv: &Lv, start: u64) -> Result<(), Problem> {
        if !lv.is_active() {
            self.run(self.group().activate(&lv.lv_name))?;
        }
        self.zero_rest(&lv.lv_name, start, lv.lv_size, Watch::nobody())?;
        self.run(self.group().delete_tag(&lv.lv_name, &tag_zero_from(start))).map(drop)
    }
}

//! A pool of logical volumes in a volume group, thick or thin.
//!
//! ```text
//! <group>/xlfs-<uuid>       a volume, tagged "xlfs"
//! <group>/xlfs-new-<uuid>   one that is being made; removed at opening
//! tag xlfs.zero-from.<n>    one that grew, and may hold another's data from
//!                           byte n on; cleared at opening
//! ```
//!
//! Only logical volumes with our tag and our name are ever changed: the group
//! may hold the host's own.
//!
//! A thick volume takes its whole size at once, from wherever something else
//! was: all of it is overwritten, so that no guest reads what another left. A
//! thin volume reads as zeros until it is written, and takes what it needs; its
//! copies share blocks. LVM's older kind of snapshot, of a thick volume, is not
//! used: it depends on its origin and breaks when it is full, so a thick
//! volume is copied.
//!
//! `open` begins, `pool` does the work, `command` and `report` have the words
//! that go to lvm(8) and come back, and `program` runs it.

mod command;
mod open;
mod pool;
mod program;
mod report;
#[cfg(test)]
mod tests;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use nix::fcntl::OFlag;
use uuid::Uuid;

use self::command::{Group, TAG};
use self::program::{Lvm, LvmError};
use self::report::{Lv, Vg};
use super::Watch;
use super::copy::{self, CopyError};
use super::pool::Trouble;
use crate::durable::FileError;
use crate::problem::{Problem, ProblemKind};

const PREFIX: &str = "xlfs-";
const UNFINISHED_PREFIX: &str = "xlfs-new-";
const ZERO_FROM: &str = "xlfs.zero-from.";

/// A volume group, or a thin pool in one.
#[derive(Debug)]
pub struct LvmPool {
    name: String,
    group: String,
    thin_pool: Option<String>,
    lvm: Box<dyn Lvm>,
    /// Where the groups' folders with device nodes are: /dev.
    dev: PathBuf,
}

impl LvmPool {
    fn group(&self) -> Group<'_> {
        Group(&self.group)
    }

    fn trouble(&self) -> Trouble<'_> {
        let when_full = match self.thin_pool {
            Some(_) => {
                "Remove volumes that nobody needs, enlarge the thin pool (lvextend), or choose another pool."
            }
            None => {
                "Remove volumes that nobody needs, add a disk to the volume group (vgextend), or choose another pool."
            }
        };
        Trouble { pool: &self.name, when_full }
    }

    fn run(&self, command: Vec<String>) -> Result<String, Problem> {
        self.lvm.run(&command).map_err(|error| self.lvm_failed(&error))
    }

    fn lvm_failed(&self, error: &LvmError) -> Problem {
        let kind = match error {
            LvmError::Deadline { .. } => ProblemKind::DeadlineExceeded,
            _ => ProblemKind::Internal,
        };
        let message = format!("LVM refuses what the pool {} asks for", self.name);
        Problem::from_error(kind, "LVM_FAILED", message, error)
            .object(format!("pool {}", self.name))
            .hint("The cause has LVM's own words.")
    }

    fn lvs(&self) -> Result<Vec<Lv>, Problem> {
        let command = self.group().list_volumes();
        let shown = program::shown(&command);
        report::volumes(&self.run(command)?)
            .map_err(|source| self.lvm_failed(&LvmError::Answer { command: shown, source }))
    }

    fn vg(&self) -> Result<Vg, Problem> {
        let command = self.group().show();
        let shown = program::shown(&command);
        report::group(&self.run(command)?)
            .map_err(|source| self.lvm_failed(&LvmError::Answer { command: shown, source }))
    }

    /// The volume that `lv` is: by its tag, its name, and the thin pool it is in.
    fn volume_of(&self, lv: &Lv) -> Option<Uuid> {
        let place = self.thin_pool.as_deref().unwrap_or_default();
        let id: Uuid = lv.lv_name.strip_prefix(PREFIX)?.parse().ok()?;
        (lv.has_tag(TAG) && lv.pool_lv == place && lv.lv_name == volume_name(id)).then_some(id)
    }

    fn find(&self, id: Uuid) -> Result<Option<Lv>, Problem> {
        Ok(self.lvs()?.into_iter().find(|lv| self.volume_of(lv) == Some(id)))
    }

    fn volume(&self, id: Uuid) -> Result<Lv, Problem> {
        self.find(id)?.ok_or_else(|| self.trouble().no_such(id))
    }

    fn node(&self, lv: &str) -> PathBuf {
        self.dev.join(&self.group).join(lv)
    }

    /// Opens a device for ourselves: EBUSY where it is mounted or attached.
    fn open_node(&self, lv: &str, write: bool) -> Result<File, Problem> {
        let path = self.node(lv);
        let mut options = OpenOptions::new();
        options.read(true).write(write);
        if write {
            options.custom_flags(OFlag::O_EXCL.bits());
        }
        options.open(&path).map_err(|error| {
            let error = FileError::at("open", &path)(error);
            self.trouble().file("open a logical volume", &error)
        })
    }

    fn zero_rest(&self, lv: &str, start: u64, end: u64, watch: Watch<'_>) -> Result<(), Problem> {
        let device = self.open_node(lv, true)?;
        copy::zero(&device, start, end, watch)
            .and_then(|()| flush(&device))
            .map_err(|error| self.trouble().copy("clear what the disk held before", &error))
    }
}

fn volume_name(id: Uuid) -> String {
    format!("{PREFIX}{id}")
}

fn tag_zero_from(start: u64) -> String {
    format!("{ZERO_FROM}{start}")
}

fn zero_from(lv: &Lv) -> Option<u64> {
    lv.tags().find_map(|tag| tag.strip_prefix(ZERO_FROM)?.parse().ok())
}

fn flush(device: &File) -> Result<(), CopyError> {
    let written = |source: io::Error| CopyError::Write { at: 0, source };
    device.sync_all().map_err(written)
}

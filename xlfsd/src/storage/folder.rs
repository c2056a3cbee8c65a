//! A pool that is a folder of sparse files.
//!
//! ```text
//! <path>/<uuid>.img               a volume: the disk as the guest sees it
//! <path>/.unfinished-<uuid>.img   one that is being made; removed at opening
//! ```
//!
//! Space is taken as guests write, so the volumes together may be larger than
//! the file system below them. An image is taken in by sharing its blocks
//! (reflink) where both lie on one file system that can, else by a copy that
//! leaves out holes and zeros.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::sys::statvfs::fstatvfs;
use uuid::Uuid;
use xlfs_xen::reflink::reflink;

use super::PoolKind;
use super::copy::{self, Before, CopyError};
use super::pool::{
    self, Copies, Pool, PoolAbout, PoolSpace, PoolVolume, Trouble, VolumeDevice, Watch,
};
use crate::durable::{self, FileError, UNFINISHED};
use crate::problem::{Problem, ProblemKind};

const SUFFIX: &str = ".img";
/// Volumes are whole multiples of this many bytes, as file systems and loop
/// devices with any block size want them.
const GRAIN: u64 = 4096;

/// A folder of sparse files.
#[derive(Debug)]
pub struct FolderPool {
    name: String,
    path: PathBuf,
    /// The folder itself; locked, so that nobody else clears our unfinished files.
    dir: Flock<File>,
    /// Its file system lets files share blocks.
    reflink: bool,
}

impl FolderPool {
    /// Opens the folder, or makes it, and removes what was not finished.
    ///
    /// POOL_IN_USE where another pool or daemon has it, POOL_UNUSABLE.
    pub fn open(name: &str, path: &Path) -> Result<Self, Problem> {
        let unusable = |error: &FileError| {
            let message = format!("the folder {} cannot be a pool", path.display());
            let kind = ProblemKind::FailedPrecondition;
            Problem::from_error(kind, "POOL_UNUSABLE", message, error)
                .object(format!("pool {name}"))
                .hint("Check that its disk is mounted and that root may write it.")
        };
        durable::make_private_dir(path).map_err(|error| unusable(&error))?;
        let dir = File::open(path).map_err(FileError::at("open", path));
        let dir = dir.map_err(|error| unusable(&error))?;
        let meta = dir.metadata().map_err(FileError::at("look at", path));
        if meta.map_err(|error| unusable(&error))?.mode() & 0o022 != 0 {
            let message = format!("others than root may write into the folder {}", path.display());
            return Err(Problem::failed_precondition("POOL_UNUSABLE", message)
                .object(format!("pool {name}"))
                .hint(format!("Take that away: chmod go-w {}", path.display())));
        }
        let dir = match Flock::lock(dir, FlockArg::LockExclusiveNonblock) {
            Ok(dir) => dir,
            Err((_, Errno::EWOULDBLOCK)) => {
                let message = format!("the folder {} is in use by another pool", path.display());
                return Err(Problem::failed_precondition("POOL_IN_USE", message)
                    .object(format!("pool {name}"))
                    .hint("Give each pool, and each xlfsd, a folder of its own."));
            }
            Err((_, errno)) => {
                return Err(unusable(&FileError::at("lock", path)(errno.into())));
            }
        };
        let reflink = shares_blocks(path);
        let pool = Self { name: name.to_owned(), path: path.to_owned(), dir, reflink };
        pool.sweep().map_err(|error| unusable(&error))?;
        Ok(pool)
    }

    fn sweep(&self) -> Result<(), FileError> {
        for entry in fs::read_dir(&self.path).map_err(FileError::at("read", &self.path))? {
            let entry = entry.map_err(FileError::at("read", &self.path))?;
            let name = entry.file_name();
            // Only what we could have made: the folder may hold other things.
            let ours = name
                .to_str()
                .and_then(|name| name.strip_prefix(UNFINISHED))
                .is_some_and(|name| volume_of(name).is_some());
            if ours {
                durable::remove(&entry.path())?;
            }
        }
        Ok(())
    }

    fn file(&self, id: Uuid) -> PathBuf {
        self.path.join(format!("{id}{SUFFIX}"))
    }

    fn trouble(&self) -> Trouble<'_> {
        Trouble {
            pool: &self.name,
            when_full: "Remove volumes that nobody needs, enlarge the file system below the \
                        pool, or choose another pool.",
        }
    }

    /// Opens the file of a volume, and only that: never through a link.
    fn open_file(&self, id: Uuid, write: bool) -> Result<File, Problem> {
        let path = self.file(id);
        let mut options = OpenOptions::new();
        options.read(true).write(write);
        options.custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits());
        match options.open(&path) {
            Ok(file) => Ok(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(self.trouble().no_such(id))
            }
            Err(error) => {
                let error = FileError::at("open", &path)(error);
                Err(self.trouble().file(&format!("open the volume {id}"), &error))
            }
        }
    }

    /// Gets the content of `from` into the new file `to`.
    fn fill(&self, from: &File, to: &File, len: u64, watch: Watch<'_>) -> Result<(), Problem> {
        let trouble = self.trouble();
        match reflink(from, to) {
            Ok(()) => {
                watch.done(len);
                return Ok(());
            }
            Err(errno @ (Errno::ENOSPC | Errno::EDQUOT | Errno::EIO | Errno::EROFS)) => {
                let error = CopyError::Write { at: 0, source: errno.into() };
                return Err(trouble.copy("copy the image", &error));
            }
            // This file system cannot, or they lie on two.
            Err(_) => {}
        }
        let failed = |error: CopyError| trouble.copy("copy the image", &error);
        let free = self.space()?.free;
        if let Some(needed) = copy::needed_beyond(free, from, len, watch).map_err(failed)? {
            return Err(trouble.full(needed, free));
        }
        copy::copy(from, to, len, Before::Zeros, watch).map_err(failed)
    }
}

impl Pool for FolderPool {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> PoolKind {
        PoolKind::Folder
    }

    fn about(&self) -> PoolAbout {
        let copies = if self.reflink { Copies::Reflink } else { Copies::Full };
        PoolAbout { path: self.path.display().to_string(), thin: true, copies }
    }

    fn create(
        &self,
        id: Uuid,
        size: u64,
        source: Option<&File>,
        watch: Watch<'_>,
    ) -> Result<u64, Problem> {
        let trouble = self.trouble();
        let what = format!("make the volume {id}");
        let len = source.map_or(Ok(0), pool::length).map_err(|error| {
            trouble.copy("read the image", &CopyError::Read { at: 0, source: error })
        })?;
        let size = pool::whole_size(size, len, GRAIN)?;
        let path = self.file(id);
        if fs::symlink_metadata(&path).is_ok() {
            return Err(trouble.exists(id));
        }
        let failed = |error: FileError| trouble.file(&what, &error);
        let new = Unfinished::make(&path).map_err(failed)?;
        if let Some(source) = source {
            self.fill(source, &new.file, len, watch)?;
        }
        new.file.set_len(size).map_err(FileError::at("enlarge", &path)).map_err(failed)?;
        new.publish(&path).map_err(|error| {
            // It may have its name by now, and is told to be not there.
            drop(durable::remove(&path));
            failed(error)
        })?;
        Ok(size)
    }

    fn duplicate(&self, from: Uuid, to: Uuid, watch: Watch<'_>) -> Result<u64, Problem> {
        let source = self.open_file(from, false)?;
        let size = source.metadata().map_err(FileError::at("look at", &self.file(from)));
        let size =
            size.map_err(|error| self.trouble().file(&format!("copy the volume {from}"), &error))?;
        self.create(to, size.len(), Some(&source), watch)
    }

    fn grow(&self, id: Uuid, size: u64, _: Watch<'_>) -> Result<u64, Problem> {
        let file = self.open_file(id, true)?;
        let path = self.file(id);
        let failed =
            |error: FileError| self.trouble().file(&format!("grow the volume {id}"), &error);
        let now = file.metadata().map_err(FileError::at("look at", &path)).map_err(failed)?.len();
        let size = pool::grown_size(now, size, GRAIN)?;
        file.set_len(size).map_err(FileError::at("enlarge", &path)).map_err(failed)?;
        file.sync_all().map_err(FileError::at("flush", &path)).map_err(failed)?;
        Ok(size)
    }

    fn remove(&self, id: Uuid) -> Result<bool, Problem> {
        let path = self.file(id);
        let there = fs::symlink_metadata(&path).is_ok();
        durable::remove(&path)
            .map_err(|error| self.trouble().file(&format!("remove the volume {id}"), &error))?;
        Ok(there)
    }

    fn list(&self) -> Result<Vec<PoolVolume>, Problem> {
        let failed = |error: io::Error| {
            self.trouble().file("list the volumes", &FileError::at("read", &self.path)(error))
        };
        let mut volumes = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Some(id) = entry.file_name().to_str().and_then(volume_of) else { continue };
            match entry.metadata() {
                Ok(meta) if meta.is_file() => {
                    let (size, allocated) = (meta.len(), meta.blocks().saturating_mul(512));
                    volumes.push(PoolVolume { id, size, allocated });
                }
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
                // No volume, or removed since.
                _ => {}
            }
        }
        volumes.sort_by_key(|volume| volume.id);
        Ok(volumes)
    }

    fn space(&self) -> Result<PoolSpace, Problem> {
        let answer = fstatvfs(&*self.dir).map_err(|errno| {
            let error = FileError::at("look at", &self.path)(errno.into());
            self.trouble().file("ask for the free space", &error)
        })?;
        let fragment = answer.fragment_size();
        Ok(PoolSpace {
            total: answer.blocks().saturating_mul(fragment),
            // Without what is set aside for root's emergencies.
            free: answer.blocks_available().saturating_mul(fragment),
        })
    }

    fn device(&self, id: Uuid) -> Result<VolumeDevice, Problem> {
        self.open_file(id, false)?;
        Ok(VolumeDevice::File(self.file(id)))
    }
}

/// Whether files of a folder can share blocks: tried with two that have no name,
/// so that nothing stays. Where it cannot be tried, it is not so.
fn shares_blocks(folder: &Path) -> bool {
    let nameless = || {
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600).custom_flags(OFlag::O_TMPFILE.bits());
        options.open(folder)
    };
    let (Ok(from), Ok(to)) = (nameless(), nameless()) else { return false };
    from.write_all_at(&[1; GRAIN as usize], 0).is_ok() && reflink(&from, &to).is_ok()
}

/// The volume that a file is by its name.
fn volume_of(name: &str) -> Option<Uuid> {
    let id: Uuid = name.strip_suffix(SUFFIX)?.parse().ok()?;
    // A UUID can be written in several ways, of which only one is ours.
    (format!("{id}{SUFFIX}") == name).then_some(id)
}

/// A file that goes again unless it is published.
struct Unfinished {
    file: File,
    path: PathBuf,
}

impl Unfinished {
    fn make(path: &Path) -> Result<Self, FileError> {
        let path = durable::unfinished(path)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        let file = options.open(&path).map_err(FileError::at("create", &path))?;
        Ok(Self { file, path })
    }

    fn publish(self, path: &Path) -> Result<(), FileError> {
        durable::publish(&self.file, &self.path, path)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let path = self.path.display();
                tracing::warn!(%path, %error, "an unfinished volume stays until the next start");
            }
            // Published, or gone now.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;

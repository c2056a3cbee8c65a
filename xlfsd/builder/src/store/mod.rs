//! The store: everything that was built or fetched, by content.
//!
//! ```text
//! format            which layout this is
//! lock              shared by builds, exclusive for gc
//! blobs/ab/<hash>   files, folders' messages, logs, sources; `.x`: executable
//! results/<action>  what came out of an action: see `record`
//! latest/           the newest result of each package, for reasons and times
//! toolchains/       roots imported from the building machine
//! failed/           logs of builds that failed
//! kept/             their work folders: see `kept`
//! aside/            files that had another hash than their name promised
//! work/             what is being built; emptied at the next start
//! images/           composed images
//! history/          the last build of each set
//! ```
//!
//! A result is published after all of its blobs are flushed, by one rename:
//! whatever ends the builder, a result is whole or absent. Blobs without a
//! result are harmless, and `gc` takes them.

mod blobs;
mod collect;
mod kept;
mod record;
mod trees;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use crate::durable::{FileError, make_folder, remove_tree, sync_folder, write_whole};

pub use collect::Collected;
pub use kept::Kept;
pub use record::{Failure, ImageRecord, Provenance, Record, SourceRecord, StepTime};

const FORMAT: &str = "xlfs-store 1\n";

/// Why the store does not do what it is asked for.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system refused something.
    #[error(transparent)]
    File(#[from] FileError),
    /// The folder is something else.
    #[error("{} is no store of this version (its file \"format\" says {found:?})", path.display())]
    Format {
        /// The folder.
        path: PathBuf,
        /// What stands there.
        found: String,
    },
    /// A record is no record.
    #[error("{} cannot be understood; remove it and build again", path.display())]
    Record {
        /// The record.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A blob that something refers to is not there or is no folder's message.
    #[error("the store lacks {hash} (run verify, or build again after gc)")]
    Lacks {
        /// The digest.
        hash: String,
    },
    /// A package left something that is neither file, folder nor link.
    #[error("{path} is neither a file, nor a folder, nor a symbolic link")]
    Special {
        /// In the package.
        path: String,
    },
    /// One package's link and another's folder, at one path, would lead out of a root.
    #[error("{path} would be laid out outside of the sandbox's root, through a symbolic link")]
    Outside {
        /// In the root.
        path: String,
    },
    /// Names must be UTF-8.
    #[error("the name {name:?} is not UTF-8")]
    Name {
        /// As well as it can be shown.
        name: String,
    },
    /// gc or another exclusive use is under way, or is wanted while builds run.
    #[error("the store {} is in use by another builder", path.display())]
    Busy {
        /// The folder.
        path: PathBuf,
    },
    /// Root's builds run as another user, who must reach the store.
    #[error(
        "user {user}, as whom steps run, cannot enter {}: allow it (chmod o+x) or choose another store",
        path.display()
    )]
    Unreachable {
        /// Who.
        user: u32,
        /// The folder that shuts the user out.
        path: PathBuf,
    },
}

/// A store on disk. Clones are the same store.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
    lock: Arc<File>,
    /// Builds of this process: the lock on disk only tells processes apart.
    builds: Arc<Mutex<usize>>,
}

/// While it lives, nothing is removed from the store.
#[derive(Debug)]
pub struct InUse {
    builds: Arc<Mutex<usize>>,
}

impl Drop for InUse {
    fn drop(&mut self) {
        *self.builds.lock() -= 1;
    }
}

impl Store {
    /// Opens the store in `folder`, making it if there is none. Work that a
    /// killed builder left is removed, unless another builder runs.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        make_folder(folder)?;
        let folder = folder.canonicalize().map_err(FileError::at("find", folder))?;
        let format = folder.join("format");
        match fs::read_to_string(&format) {
            Ok(found) if found == FORMAT => {}
            Ok(found) => return Err(StoreError::Format { path: folder, found }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let others = fs::read_dir(&folder).map_err(FileError::at("read", &folder))?;
                if others.count() > 0 {
                    return Err(StoreError::Format { path: folder, found: String::new() });
                }
                write_whole(&format, FORMAT.as_bytes())?;
            }
            Err(error) => return Err(FileError::at("read", &format)(error).into()),
        }
        for part in PARTS {
            make_folder(&folder.join(part))?;
        }
        let path = folder.join("lock");
        let lock = File::create(&path).map_err(FileError::at("open", &path))?;
        if lock.try_lock().is_ok() {
            let work = folder.join("work");
            remove_tree(&work)?;
            make_folder(&work)?;
            lock.unlock().map_err(FileError::at("unlock", &path))?;
        }
        // Another builder that starts holds it alone for a moment, gc for longer.
        let deadline = Instant::now() + PATIENCE;
        while lock.try_lock_shared().is_err() {
            if Instant::now() > deadline {
                return Err(StoreError::Busy { path: folder });
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(Self { folder, lock: Arc::new(lock), builds: Arc::default() })
    }

    /// Keeps gc away. Waits for one that runs.
    pub fn in_use(&self) -> InUse {
        *self.builds.lock() += 1;
        InUse { builds: Arc::clone(&self.builds) }
    }

    /// Where it stands.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A new folder for work in progress; removed at the next start at the latest.
    pub fn work_folder(&self, prefix: &str) -> Result<tempfile::TempDir, StoreError> {
        let work = self.folder.join("work");
        let dir = tempfile::Builder::new()
            .prefix(&format!("{prefix}-"))
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir_in(&work)
            .map_err(FileError::at("make a folder in", &work))?;
        Ok(dir)
    }

    /// Whether `user` may enter the store's folders.
    pub fn reachable_by(&self, user: u32) -> Result<(), StoreError> {
        for path in self.folder.join("work").ancestors() {
            let mode = fs::metadata(path).map_err(FileError::at("look at", path))?;
            if mode.permissions().mode() & 0o001 == 0 {
                return Err(StoreError::Unreachable { user, path: path.to_owned() });
            }
        }
        Ok(())
    }

    /// Bytes that are free on the store's disk.
    pub fn free_space(&self) -> Result<u64, StoreError> {
        let stat = nix::sys::statvfs::statvfs(&self.folder)
            .map_err(|errno| FileError::at("look at", &self.folder)(errno.into()))?;
        Ok(stat.blocks_available() * stat.fragment_size())
    }

    /// Keeps a file that is not what it should be, for people to look at.
    pub fn put_aside(&self, file: &Path, name: &str) -> Result<PathBuf, StoreError> {
        let to = self.folder.join("aside").join(name);
        if fs::rename(file, &to).is_err() {
            fs::copy(file, &to).map_err(FileError::at("copy to", &to))?;
        }
        sync_folder(&self.folder.join("aside"))?;
        Ok(to)
    }

    /// Takes the store for this process alone while the returned guard lives.
    fn exclusive(&self) -> Result<Exclusive<'_>, StoreError> {
        let busy = || StoreError::Busy { path: self.folder.clone() };
        let builds = self.builds.lock();
        if *builds > 0 {
            return Err(busy());
        }
        self.lock.unlock().map_err(FileError::at("unlock", &self.folder))?;
        if self.lock.try_lock().is_err() {
            // Nobody can hold it exclusively for long: builds only share.
            self.lock.lock_shared().map_err(FileError::at("lock", &self.folder))?;
            return Err(busy());
        }
        Ok(Exclusive { lock: &self.lock, _builds: builds })
    }
}

/// How long opening a store waits for others.
const PATIENCE: Duration = Duration::from_secs(10);

const PARTS: [&str; 9] =
    ["blobs", "results", "latest", "toolchains", "failed", "kept", "aside", "work", "images"];

struct Exclusive<'a> {
    lock: &'a File,
    _builds: MutexGuard<'a, usize>,
}

impl Drop for Exclusive<'_> {
    fn drop(&mut self) {
        // Back to shared: nothing else can be done about a failure here.
        let _ = self.lock.unlock();
        let _ = self.lock.lock_shared();
    }
}

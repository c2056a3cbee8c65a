//! Kernels that were looked at before, by the digest of their image.
//!
//! ```text
//! <dir>/<SHA-256 of the image>/plan.json   the plan, its limits, a checksum
//!                              payload     the unpacked ELF; absent if the
//!                                          image is an ELF itself
//! <dir>/.new-<digest>-<n>, .old-<digest>   on the way in and out
//! ```
//!
//! An entry appears by one `rename` of a complete and synced directory, so it
//! is whole or absent. On the way out of the cache it is checked again: the
//! checksum of the plan, the limits it was made under, the payload's size and
//! the plan's rules; one that fails is made anew, with a warning. Two requests
//! for the same digest wait for one parse.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::digest::{Digest, InvalidDigest};
use super::entry;
use super::limits::Limits;
use super::plan::KernelPlan;
use super::worker;

/// Why a kernel could not be had from the cache.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The image could not be parsed.
    #[error("kernel {digest} has no plan")]
    Worker {
        /// The image's digest.
        digest: Digest,
        /// What the worker says.
        #[source]
        source: worker::Error,
    },
    /// The image is larger than what is read, so it was not even hashed.
    #[error("the kernel image {path} is {size} bytes long, the limit is {limit}", path = path.display())]
    ImageTooLarge {
        /// The image.
        path: PathBuf,
        /// Its size.
        size: u64,
        /// [`Limits::image_bytes`].
        limit: u64,
    },
    /// A file or directory could not be used.
    #[error("cannot {action} {path}", path = path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
    /// A digest that is none.
    #[error(transparent)]
    Digest(#[from] InvalidDigest),
    /// A task of the daemon was cancelled at its end.
    #[error("the kernel cache was interrupted")]
    Interrupted,
}

impl Error {
    /// For `map_err`: what was tried on which path.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}

/// A kernel, ready to be built into a domain.
#[derive(Debug)]
pub struct CachedKernel {
    /// The digest of its image.
    pub digest: Digest,
    /// What the builder is to do. Check [`KernelPlan::fits`] for each guest.
    pub plan: KernelPlan,
    /// The ELF that the plan's offsets refer to, open for reading. It stays
    /// readable when the cache forgets the entry.
    pub payload: File,
}

/// The right to touch one entry.
type Turn = tokio::sync::OwnedMutexGuard<()>;

/// The cache in one directory. There must be only one for a directory.
#[derive(Debug)]
pub struct PlanCache {
    dir: PathBuf,
    exe: PathBuf,
    limits: Limits,
    deadline: Duration,
    busy: Mutex<HashMap<Digest, Arc<tokio::sync::Mutex<()>>>>,
}

impl PlanCache {
    /// Opens the cache in `dir`, which is made if need be, and clears away what
    /// an earlier daemon left unfinished. `exe` and `deadline` are for
    /// [`worker::inspect_in_child`].
    ///
    /// # Errors
    /// [`Error::Io`] when the directory cannot be made or read.
    pub fn open(dir: &Path, exe: &Path, limits: Limits, deadline: Duration) -> Result<Self, Error> {
        entry::make_dir(dir)?;
        for item in fs::read_dir(dir).map_err(Error::io("read the directory", dir))? {
            let path = item.map_err(Error::io("read the directory", dir))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
            if name.starts_with(entry::NEW) || name.starts_with(entry::OLD) {
                fs::remove_dir_all(&path).map_err(Error::io("remove", &path))?;
            }
        }
        let (dir, exe) = (dir.to_owned(), exe.to_owned());
        Ok(Self { dir, exe, limits, deadline, busy: Mutex::default() })
    }

    /// The kernel in the file `image`: hashed, and parsed unless that was done
    /// before. The file must not change meanwhile.
    ///
    /// # Errors
    /// See [`Error`]; an image that is refused gives [`Error::Worker`].
    pub async fn kernel(&self, image: &Path) -> Result<CachedKernel, Error> {
        let (path, limit) = (image.to_owned(), self.limits.image_bytes);
        let (file, digest) = blocking(move || {
            let file = File::open(&path).map_err(Error::io("open", &path))?;
            let size = file.metadata().map_err(Error::io("look at", &path))?.len();
            if size > limit {
                return Err(Error::ImageTooLarge { path, size, limit });
            }
            let digest = Digest::of(&file).map_err(Error::io("read", &path))?;
            Ok((file, digest))
        })
        .await?;
        self.kernel_of(file, digest).await
    }

    /// The same for a caller that knows the digest of what `image` holds, as an
    /// image store does. The digest is not checked.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn kernel_of(&self, image: File, digest: Digest) -> Result<CachedKernel, Error> {
        let turn = self.turn(&digest).await;
        let (dir, limits, name) = (self.dir.clone(), self.limits, digest.clone());
        let (turn, image, loaded) = blocking(move || {
            let loaded = entry::load(&dir, &name, &limits, &image)?;
            Ok((turn, image, loaded))
        })
        .await?;
        if let Some(kernel) = loaded {
            return Ok(kernel);
        }
        self.parse(turn, image, digest).await
    }

    /// Removes what is known of an image. Says whether there was anything.
    /// Kernels in use keep their payload.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be removed.
    pub async fn forget(&self, digest: &Digest) -> Result<bool, Error> {
        let turn = self.turn(digest).await;
        let (dir, name) = (self.dir.clone(), digest.clone());
        blocking(move || {
            let _turn = turn;
            entry::remove(&dir, &name)
        })
        .await
    }

    async fn parse(&self, turn: Turn, image: File, digest: Digest) -> Result<CachedKernel, Error> {
        let (dir, limits, name) = (self.dir.clone(), self.limits, digest.clone());
        let (turn, draft, (image, payload)) = blocking(move || {
            let draft = entry::Draft::begin(&dir, &name, image)?;
            let files = draft.files()?;
            Ok((turn, draft, files))
        })
        .await?;
        let plan = worker::inspect_in_child(&self.exe, image, payload, &limits, self.deadline)
            .await
            .map_err(|source| Error::Worker { digest, source })?;
        blocking(move || {
            let _turn = turn;
            draft.finish(plan, &limits)
        })
        .await
    }

    /// Waits for the right to touch the entry of `digest`. It is handed into
    /// every piece of file work, which goes on when its caller is cancelled.
    async fn turn(&self, digest: &Digest) -> Turn {
        let lock = {
            let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
            // Forget those whom nobody holds or waits for.
            busy.retain(|_, lock| Arc::strong_count(lock) > 1);
            Arc::clone(busy.entry(digest.clone()).or_default())
        };
        lock.lock_owned().await
    }
}

/// Runs file work where it may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(Error::Interrupted))
}

//! The store itself: lists, resolves, opens and deletes. What it does at start
//! stands in `start`, how an image comes in, in `import`.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use xlfs_proto::v1::{self as pb, event};

use super::catalog::Catalog;
use super::{Digest, ImageKind, ImageRecord};
use crate::durable::{self, FileError};
use crate::event::EventBus;
use crate::problem::{Problem, ProblemKind};
use crate::size::ByteSize;

/// Who uses images: asked before one is deleted, and for lists.
pub trait ImageUsers: Send + Sync {
    /// Names of the guests that are bound to `digest`. A guest must be among
    /// them before its maker drops its [`ImageHold`]. Should not wait long.
    fn users_of(&self, digest: &Digest) -> Vec<String>;
}

/// Says in one line what a kernel is and asks for.
///
/// The caller hands over an open file of a checked digest. The callee parses
/// it without privileges and within bounds. It answers INVALID_ARGUMENT when
/// the file is no kernel that a guest could start with, which refuses the
/// import; any other problem is the callee's own and lets the import through
/// without a summary.
#[async_trait]
pub trait KernelInspector: Send + Sync {
    async fn inspect(&self, digest: &Digest, kernel: File) -> Result<String, Problem>;
    /// Drops what it keeps of a kernel that was deleted. Having nothing is fine.
    async fn forget(&self, digest: &Digest) -> Result<(), Problem>;
}

#[derive(Debug, Clone, Copy)]
pub struct ImageLimits {
    pub kernel: ByteSize,
    pub ramdisk: ByteSize,
    pub disk: ByteSize,
    /// Imports at the same time; the others wait.
    pub imports: usize,
}

impl Default for ImageLimits {
    fn default() -> Self {
        Self {
            kernel: ByteSize::mib(256),
            ramdisk: ByteSize::mib(512),
            disk: ByteSize::mib(64 << 10),
            imports: 4,
        }
    }
}

impl ImageLimits {
    pub(super) fn of(&self, kind: ImageKind) -> ByteSize {
        match kind {
            ImageKind::Kernel => self.kernel,
            ImageKind::Ramdisk => self.ramdisk,
            ImageKind::Disk => self.disk,
        }
    }
}

/// The store cannot be used at all. Single bad images never cause this.
#[derive(Debug, thiserror::Error)]
#[error("the image store {} cannot be used", path.display())]
pub struct ImageStoreError {
    pub path: PathBuf,
    #[source]
    pub source: FileError,
}

/// The images of this host. A clone is another handle to the same store.
#[derive(Clone)]
pub struct ImageStore {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) dir: PathBuf,
    pub(super) limits: ImageLimits,
    pub(super) events: EventBus,
    pub(super) state: Mutex<State>,
    pub(super) importing: Arc<Semaphore>,
    users: OnceLock<Arc<dyn ImageUsers>>,
    pub(super) inspector: OnceLock<Arc<dyn KernelInspector>>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) catalog: Catalog,
    /// How many hold an image that no guest is bound to yet.
    holds: HashMap<Digest, usize>,
    /// Images that are being deleted: nobody may hold them.
    going: HashSet<Digest>,
}

impl ImageStore {
    pub(super) fn new(
        dir: PathBuf,
        limits: ImageLimits,
        events: EventBus,
        images: Catalog,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                dir,
                limits,
                events,
                state: Mutex::new(State { catalog: images, ..State::default() }),
                importing: Arc::new(Semaphore::new(limits.imports.max(1))),
                users: OnceLock::new(),
                inspector: OnceLock::new(),
            }),
        }
    }

    /// Says whom to ask before an image is deleted; once, at start.
    pub fn set_users(&self, users: Arc<dyn ImageUsers>) {
        if self.shared.users.set(users).is_err() {
            tracing::error!("the users of images were set twice");
        }
    }

    /// What else is kept of an image that was deleted goes too. It is of no
    /// consequence when that fails.
    pub async fn forget(&self, record: &ImageRecord) {
        let Some(inspector) =
            self.shared.inspector.get().filter(|_| record.kind == ImageKind::Kernel)
        else {
            return;
        };
        if let Err(problem) = inspector.forget(&record.digest).await {
            tracing::warn!(image = %record.digest, "{problem:#}");
        }
    }

    /// Says who inspects kernels; once, at start.
    pub fn set_inspector(&self, inspector: Arc<dyn KernelInspector>) {
        if self.shared.inspector.set(inspector).is_err() {
            tracing::error!("the inspector of kernels was set twice");
        }
    }

    /// All images, the most recent import first.
    pub fn list(&self) -> Vec<pb::Image> {
        let mut records: Vec<_> = self.shared.state.lock().catalog.iter().cloned().collect();
        records.sort_by_key(|record| (std::cmp::Reverse(record.imported_ms), record.digest));
        records.iter().map(|record| self.message(record)).collect()
    }

    /// The image that `reference` means: an alias, a digest, or a part of one.
    pub fn resolve(&self, reference: &str) -> Result<ImageRecord, Problem> {
        self.shared.state.lock().catalog.resolve(reference).cloned()
    }

    /// As [`resolve`](Self::resolve), and keeps the image from being deleted
    /// until the hold is dropped: between choosing an image for a guest and the
    /// moment the guest is on record as its user.
    pub fn hold(&self, reference: &str) -> Result<ImageHold, Problem> {
        let mut state = self.shared.state.lock();
        let record = state.catalog.resolve(reference)?.clone();
        if state.going.contains(&record.digest) {
            let message = format!("the {} is being deleted", record.title());
            let object = format!("image {}", record.digest);
            return Err(Problem::aborted("IMAGE_GOING", message).object(object));
        }
        *state.holds.entry(record.digest).or_default() += 1;
        drop(state);
        Ok(ImageHold { store: self.clone(), record })
    }

    /// Opens an image's content for reading.
    pub fn open(&self, digest: &Digest) -> Result<File, Problem> {
        if self.shared.state.lock().catalog.get(digest).is_none() {
            return Err(self.resolve(&digest.to_string()).err().unwrap_or_else(|| {
                Problem::aborted("IMAGE_CHANGED", "the image appeared this moment")
            }));
        }
        let path = self.content_path(digest);
        File::open(&path).map_err(FileError::at("open", &path)).map_err(|error| {
            Problem::from_error(
                ProblemKind::Internal,
                "IMAGE_UNREADABLE",
                "the image's content cannot be read",
                &error,
            )
            .object(format!("image {digest}"))
            .hint("Import the image again.")
        })
    }

    pub fn message(&self, record: &ImageRecord) -> pb::Image {
        record.message(self.users_of(&record.digest))
    }

    /// Deletes an image that nobody uses. Waits for the disk.
    pub fn delete(&self, reference: &str, dry_run: bool) -> Result<ImageRecord, Problem> {
        let record = self.mark_as_going(reference)?;
        // Whoever held it before the mark is on record as its user by now, and
        // nobody can hold it since. Asked without our lock, as the users have
        // one of their own.
        let users = self.users_of(&record.digest);
        let mut state = self.shared.state.lock();
        state.going.remove(&record.digest);
        let object = format!("image {}", record.digest);
        if !users.is_empty() {
            return Err(Problem::failed_precondition(
                "IMAGE_IN_USE",
                format!("the {} is in use by {}", record.title(), users.join(", ")),
            )
            .object(object)
            .hint("Delete these guests first."));
        }
        if dry_run {
            return Ok(record);
        }
        let removed = remove_image(&self.shared.dir, &record.digest);
        // Without its record it is gone, even if the content could not be removed.
        if !self.record_path(&record.digest).exists() {
            state.catalog.remove(&record.digest);
        }
        drop(state);
        removed.map_err(|error| {
            Problem::from_error(
                ProblemKind::Internal,
                "IMAGE_DELETE_FAILED",
                format!("the {} cannot be deleted", record.title()),
                &error,
            )
            .object(object)
        })?;
        self.tell(&record, true);
        Ok(record)
    }

    fn mark_as_going(&self, reference: &str) -> Result<ImageRecord, Problem> {
        let mut state = self.shared.state.lock();
        let record = state.catalog.resolve(reference)?.clone();
        let object = format!("image {}", record.digest);
        if state.holds.contains_key(&record.digest) {
            let message = format!("a guest is being made from the {}", record.title());
            return Err(Problem::failed_precondition("IMAGE_IN_USE", message)
                .object(object)
                .hint("Wait for that, or cancel it."));
        }
        if !state.going.insert(record.digest) {
            let message = format!("the {} is being deleted", record.title());
            return Err(Problem::aborted("IMAGE_GOING", message).object(object));
        }
        Ok(record)
    }

    pub(super) fn tell(&self, record: &ImageRecord, deleted: bool) {
        let digest = record.digest.to_string();
        let what = if deleted { "deleted" } else { "imported" };
        let text = format!("{} {what}", record.title());
        let kind = event::Kind::Image(pb::ImageChanged { digest: digest.clone(), deleted });
        self.shared.events.publish(format!("image {digest}"), text, kind);
    }

    pub(super) fn content_path(&self, digest: &Digest) -> PathBuf {
        self.shared.dir.join(digest.to_string())
    }

    pub(super) fn record_path(&self, digest: &Digest) -> PathBuf {
        record_path(&self.shared.dir, digest)
    }

    /// Writes `record` and then takes it into the catalog.
    pub(super) fn put(&self, state: &mut State, record: ImageRecord) -> Result<(), FileError> {
        write_record(&self.shared.dir, &record)?;
        state.catalog.put(record);
        Ok(())
    }

    /// Takes in an image whose content is in `file`, at `path`: the record comes
    /// before the content, but gets its name after it.
    pub(super) fn put_new(
        &self,
        state: &mut State,
        record: ImageRecord,
        file: &File,
        path: &Path,
    ) -> Result<(), FileError> {
        let dir = &self.shared.dir;
        let record_path = self.record_path(&record.digest);
        let unfinished = durable::unfinished(&record_path)?;
        let kept = durable::write_beside(&record_path, encode(&record_path, &record)?.as_bytes())
            .and_then(|record_file| {
                durable::sync_dir(&index_dir(dir))?;
                durable::publish(file, path, &self.content_path(&record.digest))?;
                durable::publish(&record_file, &unfinished, &record_path)
            });
        match kept {
            Ok(()) => state.catalog.put(record),
            // As the next start would.
            Err(_) => drop(remove_unfinished(dir, &record.digest)),
        }
        kept
    }

    fn users_of(&self, digest: &Digest) -> Vec<String> {
        self.shared.users.get().map(|users| users.users_of(digest)).unwrap_or_default()
    }
}

impl std::fmt::Debug for ImageStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImageStore").field("dir", &self.shared.dir).finish_non_exhaustive()
    }
}

/// Keeps an image from being deleted.
#[derive(Debug)]
pub struct ImageHold {
    store: ImageStore,
    record: ImageRecord,
}

impl ImageHold {
    pub fn record(&self) -> &ImageRecord {
        &self.record
    }

    pub fn digest(&self) -> Digest {
        self.record.digest
    }
}

impl Drop for ImageHold {
    fn drop(&mut self) {
        let mut state = self.store.shared.state.lock();
        if let Some(count) = state.holds.get_mut(&self.record.digest) {
            *count -= 1;
            if *count == 0 {
                state.holds.remove(&self.record.digest);
            }
        }
    }
}

pub(super) fn index_dir(dir: &Path) -> PathBuf {
    dir.join("index")
}

fn record_path(dir: &Path, digest: &Digest) -> PathBuf {
    index_dir(dir).join(format!("{digest}.toml"))
}

pub(super) fn write_record(dir: &Path, record: &ImageRecord) -> Result<(), FileError> {
    let path = record_path(dir, &record.digest);
    durable::write_whole(&path, encode(&path, record)?.as_bytes())
}

fn encode(path: &Path, record: &ImageRecord) -> Result<String, FileError> {
    toml::to_string(record)
        .map_err(|error| FileError::at("encode", path)(std::io::Error::other(error)))
}

/// Removes an image: its record first, but that keeps an unfinished name until
/// the content is gone.
fn remove_image(dir: &Path, digest: &Digest) -> Result<(), FileError> {
    let record = record_path(dir, digest);
    std::fs::rename(&record, durable::unfinished(&record)?)
        .map_err(FileError::at("rename", &record))?;
    durable::sync_dir(&index_dir(dir))?;
    remove_unfinished(dir, digest)
}

/// Removes what belongs to an image that came or went. Where the record has its
/// name, it is only an update of that which was not finished.
pub(super) fn remove_unfinished(dir: &Path, digest: &Digest) -> Result<(), FileError> {
    let record = record_path(dir, digest);
    if !record.exists() {
        durable::remove(&dir.join(digest.to_string()))?;
    }
    durable::remove(&durable::unfinished(&record)?)
}

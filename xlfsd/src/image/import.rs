//! How an image comes in: streamed to an unfinished file while it is hashed,
//! flushed, given its name, and only then put on record. A root file system that
//! comes as an archive becomes a disk in between (`rootfs`).

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::record::{check_alias, note};
use super::rootfs::{Archive, RootfsError};
use super::{Digest, ImageKind, ImageRecord, ImageStore};
use crate::durable::{FileError, UNFINISHED};
use crate::problem::{FieldProblem, Problem, ProblemKind};
use crate::size::ByteSize;

/// The pieces that are looked at for zeros, in bytes: a file system's block.
const HOLE: usize = 4096;

/// What is known before the content comes.
#[derive(Debug, Clone)]
pub struct ImportHeader {
    pub kind: ImageKind,
    pub alias: Option<String>,
    pub origin: String,
    pub expected_digest: Option<Digest>,
    /// Check everything, keep nothing.
    pub dry_run: bool,
}

/// The outcome of an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    pub record: ImageRecord,
    /// False when the store had it already, under this alias too.
    pub changed: bool,
}

/// An import that goes on. Dropping it leaves nothing behind.
#[derive(Debug)]
pub struct Import {
    store: ImageStore,
    header: ImportHeader,
    content: Option<Content>,
    _permit: OwnedSemaphorePermit,
}

/// What has come in so far. Its file goes with it unless it gets a name.
#[derive(Debug)]
struct Content {
    hasher: Sha256,
    size: u64,
    /// None on a dry run.
    file: Option<(File, PathBuf)>,
}

impl Drop for Content {
    fn drop(&mut self) {
        if let Some((_, path)) = &self.file
            && let Err(error) = fs::remove_file(path)
        {
            tracing::warn!(path = %path.display(), %error, "an unfinished import stays until the next start");
        }
    }
}

impl ImageStore {
    /// Begins an import; waits while too many others go on.
    pub async fn import(&self, header: ImportHeader) -> Result<Import, Problem> {
        if let Some(alias) = &header.alias {
            check_alias(alias)?;
        }
        let permit = self.shared.importing.clone().acquire_owned().await;
        let permit = permit.map_err(|_| Problem::unavailable("STOPPING", "xlfsd is stopping"))?;
        let file = match header.dry_run {
            true => None,
            false => Some(self.create_unfinished().map_err(|error| storage_problem(&error))?),
        };
        let content = Content { hasher: Sha256::new(), size: 0, file };
        Ok(Import { store: self.clone(), header, content: Some(content), _permit: permit })
    }

    fn create_unfinished(&self) -> Result<(File, PathBuf), FileError> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = self.shared.dir.join(format!("{UNFINISHED}{}-{number}", std::process::id()));
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o400);
        let file = options.open(&path).map_err(FileError::at("create", &path))?;
        Ok((file, path))
    }
}

impl Import {
    /// Takes the next part of the content.
    pub async fn write(&mut self, chunk: impl AsRef<[u8]> + Send + 'static) -> Result<(), Problem> {
        let Some(mut content) = self.content.take() else {
            return Err(Problem::internal("the import has failed already"));
        };
        let limit = self.store.shared.limits.of(self.header.kind);
        let size = content.size.saturating_add(chunk.as_ref().len() as u64);
        if size > limit.0 {
            return Err(Problem::resource_exhausted(
                "IMAGE_TOO_LARGE",
                format!("the {} is larger than {limit}", self.header.kind.as_str()),
            )
            .hint("The limits are set in xlfsd's configuration, under [images]."));
        }
        // Hashing and writing a megabyte takes milliseconds: not on a thread
        // that also answers others.
        let content = blocking(move || {
            content.hasher.update(chunk.as_ref());
            content.size = size;
            if let Some((file, path)) = &mut content.file {
                write_sparse(file, chunk.as_ref()).map_err(FileError::at("write", path))?;
            }
            Ok(content)
        });
        self.content = Some(content.await?.map_err(|error: FileError| storage_problem(&error))?);
        Ok(())
    }

    /// Checks the whole and keeps it.
    pub async fn finish(mut self) -> Result<Imported, Problem> {
        let Some(mut content) = self.content.take() else {
            return Err(Problem::internal("the import has failed already"));
        };
        if content.size == 0 {
            return Err(Problem::invalid_field("EMPTY_IMAGE", "chunk", "the image is empty")
                .hint("Nothing was sent: see whether the file was copied whole."));
        }
        let digest = Digest::new(std::mem::take(&mut content.hasher).finalize().into());
        if let Some(expected) = self.header.expected_digest.filter(|expected| *expected != digest) {
            let description = format!("the content has the digest {digest}, not {expected}");
            let fields = vec![FieldProblem::new("header.expected_digest", &description)];
            return Err(Problem::invalid("DIGEST_MISMATCH", description, fields)
                .object(format!("image {expected}"))
                .hint("The file was changed or damaged on its way: get it again."));
        }
        let known = self.store.shared.state.lock().catalog.get(&digest).cloned();
        let mut summary = match &known {
            Some(record) => record.summary.clone(),
            None => self.inspect(&digest, &content).await?,
        };
        if known.is_none() && self.header.kind == ImageKind::Disk {
            let made;
            (content, made) = self.unfold(content, digest).await?;
            summary = made.unwrap_or(summary);
        }
        let Self { store, header, _permit: permit, .. } = self;
        let imported = blocking(move || {
            let imported = store.keep(&header, content, digest, summary);
            drop(permit);
            imported
        });
        imported.await?
    }

    /// Makes a disk of a root file system that came as an archive, and answers
    /// what is to be said about it. Other content stays as it is.
    async fn unfold(
        &self,
        content: Content,
        digest: Digest,
    ) -> Result<(Content, Option<String>), Problem> {
        let (store, limit) = (self.store.clone(), self.store.shared.limits.disk);
        let cancel = CancellationToken::new();
        // An importer who goes away ends the work too.
        let _guard = cancel.clone().drop_guard();
        let work = move || {
            let Some((file, path)) = &content.file else { return Ok((content, None)) };
            let read = |error| storage_problem(&FileError::at("read", path)(error));
            // A hole at the end is not part of the file yet.
            file.set_len(content.size).map_err(read)?;
            let archive = Archive::open(file.try_clone().map_err(read)?).map_err(read)?;
            let Some(archive) = archive else { return Ok((content, None)) };
            let (image, place) =
                store.create_unfinished().map_err(|error| storage_problem(&error))?;
            let mut disk =
                Content { hasher: Sha256::new(), size: 0, file: Some((image, place.clone())) };
            let Some((image, _)) = &disk.file else { return Ok((content, None)) };
            let made = archive.convert(image, &digest, limit.0, &cancel);
            let made = made.map_err(|error| archive_problem(error, &place, limit))?;
            disk.size = made.size;
            Ok((disk, Some(made.summary)))
        };
        blocking(work).await?
    }

    /// Asks the inspector, if there is one, about a kernel that is new here.
    async fn inspect(&self, digest: &Digest, content: &Content) -> Result<String, Problem> {
        let inspector = self.store.shared.inspector.get();
        let (Some(inspector), Some((_, path)), ImageKind::Kernel) =
            (inspector, &content.file, self.header.kind)
        else {
            return Ok(String::new());
        };
        let file = File::open(path).map_err(FileError::at("open", path));
        let file = file.map_err(|error| storage_problem(&error))?;
        match inspector.inspect(digest, file).await {
            Ok(summary) => Ok(note(&summary)),
            Err(problem) if problem.kind.code() == tonic::Code::InvalidArgument => Err(problem),
            Err(problem) => {
                let object = format!("image {}", self.header.origin);
                let text = format!("the kernel could not be inspected: {problem:#}");
                self.store.shared.events.warn(object, "KERNEL_NOT_INSPECTED", text);
                Ok(String::new())
            }
        }
    }
}

impl ImageStore {
    /// The last part of an import, under the lock: no delete and no other
    /// import of the same image comes between.
    fn keep(
        &self,
        header: &ImportHeader,
        mut content: Content,
        digest: Digest,
        summary: String,
    ) -> Result<Imported, Problem> {
        if let Some((file, path)) = &content.file {
            // A hole at the end was skipped, and is not part of the file yet.
            let sized = file.set_len(content.size);
            // The long wait for the disk comes before the lock.
            let flushed =
                sized.and_then(|()| file.sync_all()).map_err(FileError::at("flush", path));
            flushed.map_err(|error| storage_problem(&error))?;
        }
        let mut state = self.shared.state.lock();
        let now = now_ms();
        let known = state.catalog.get(&digest).cloned();
        let mut changed = known.is_none();
        let mut record = known.clone().unwrap_or_else(|| ImageRecord {
            format: ImageRecord::FORMAT,
            digest,
            kind: header.kind,
            size: content.size,
            imported_ms: now,
            origin: note(&header.origin),
            summary,
            aliases: Default::default(),
        });
        if record.kind != header.kind {
            return Err(Problem::failed_precondition(
                "OTHER_IMAGE_KIND",
                format!("the same content is in the store as a {}", record.kind.as_str()),
            )
            .object(format!("image {digest}"))
            .hint("Check which file this is; or delete the image first."));
        }
        let before = header.alias.as_ref().and_then(|alias| {
            state.catalog.by_alias(alias).filter(|before| before.digest != digest).cloned()
        });
        if let Some(alias) = &header.alias
            && (before.is_some() || !record.aliases.contains_key(alias))
        {
            // Later than the claim it replaces, even when the clock went back.
            let claimed = before.as_ref().and_then(|before| before.aliases.get(alias));
            record.aliases.insert(alias.clone(), now.max(claimed.map_or(0, |at| at + 1)));
            changed = true;
        }
        if header.dry_run || !changed {
            return Ok(Imported { record, changed });
        }
        let kept = match &content.file {
            Some((file, path)) if known.is_none() => {
                let kept = self.put_new(&mut state, record.clone(), file, path);
                if !path.exists() {
                    content.file = None;
                }
                kept
            }
            _ => self.put(&mut state, record.clone()),
        };
        kept.map_err(|error| storage_problem(&error))?;
        if let (Some(mut before), Some(alias)) = (before, &header.alias) {
            before.aliases.remove(alias);
            // If this fails, the later claim holds all the same.
            if let Err(error) = self.put(&mut state, before) {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(alias, error, "the alias stays on record at its former image too");
            }
        }
        drop(state);
        self.tell(&record, false);
        Ok(Imported { record, changed })
    }
}

/// Writes a part where the last one ended. Zeros become holes: most of a disk's
/// image is empty, and need not be stored or copied.
fn write_sparse(file: &mut File, part: &[u8]) -> std::io::Result<()> {
    for piece in part.chunks(HOLE) {
        if piece.iter().all(|byte| *byte == 0) {
            file.seek(SeekFrom::Current(piece.len() as i64))?;
        } else {
            file.write_all(piece)?;
        }
    }
    Ok(())
}

fn storage_problem(error: &FileError) -> Problem {
    let (kind, reason) = match error.source.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            (ProblemKind::ResourceExhausted, "DISK_FULL")
        }
        _ => (ProblemKind::Internal, "IMAGE_STORE_FAILED"),
    };
    Problem::from_error(kind, reason, "the image cannot be stored", error)
        .hint("Look at the disk that holds xlfsd's state folder.")
}

fn archive_problem(error: RootfsError, place: &Path, limit: ByteSize) -> Problem {
    match error {
        RootfsError::Write(source) => storage_problem(&FileError::at("write", place)(source)),
        RootfsError::TooLarge(_) => Problem::resource_exhausted(
            "IMAGE_TOO_LARGE",
            format!("the disk that the archive makes is larger than {limit}"),
        )
        .hint("The limits are set in xlfsd's configuration, under [images]."),
        RootfsError::Cancelled => Problem::aborted("IMPORT_CANCELLED", "the import was given up"),
        error => Problem::from_error(
            ProblemKind::InvalidArgument { fields: Vec::new() },
            "BAD_ARCHIVE",
            "no disk can be made of the archive",
            &error,
        )
        .hint("Make it anew with GNU tar, from the root file system's top folder."),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        Problem::from_error(ProblemKind::Internal, "INTERNAL", "the import came to a halt", &error)
    })
}

fn now_ms() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests;

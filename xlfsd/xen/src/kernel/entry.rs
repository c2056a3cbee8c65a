//! One entry of the cache on disk: making it, loading it, removing it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use super::cache::{CachedKernel, Error};
use super::digest::Digest;
use super::limits::Limits;
use super::plan::KernelPlan;

/// What the names of unfinished entries begin with.
pub(super) const NEW: &str = ".new-";
/// What the names of entries on their way out begin with.
pub(super) const OLD: &str = ".old-";

const PLAN: &str = "plan.json";
const PAYLOAD: &str = "payload";
/// Goes up when a plan of an earlier version must not be used any more.
const VERSION: u32 = 2;
/// Longest plan file that is read.
const PLAN_BYTES: u64 = 64 * 1024;

/// The plan file.
#[derive(Debug, Serialize, Deserialize)]
struct Sealed {
    /// The digest of `record`, written out again as JSON.
    checksum: Digest,
    record: Record,
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    version: u32,
    image: Digest,
    limits: Limits,
    plan: KernelPlan,
}

impl Record {
    fn checksum(&self) -> io::Result<Digest> {
        Ok(Digest::of_bytes(&serde_json::to_vec(self)?))
    }
}

/// Makes a directory that is nobody else's business.
pub(super) fn make_dir(dir: &Path) -> Result<(), Error> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(Error::io("make the directory", dir))
}

fn sync_dir(dir: &Path) -> Result<(), Error> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(Error::io("sync", dir))
}

/// Loads the entry of `digest` if there is a good one. A bad one is removed.
pub(super) fn load(
    dir: &Path,
    digest: &Digest,
    limits: &Limits,
    image: &File,
) -> Result<Option<CachedKernel>, Error> {
    let path = dir.join(digest.as_str());
    match read(&path, digest, limits, image) {
        Ok(kernel) => Ok(Some(kernel)),
        Err(Bad::Absent) => Ok(None),
        Err(Bad::Outdated) => {
            tracing::debug!(%digest, "kernel plan was made under other limits; parsing again");
            remove(dir, digest).map(|_| None)
        }
        Err(Bad::Corrupt(reason)) => {
            tracing::warn!(%digest, %reason, "cached kernel is corrupt; parsing again");
            remove(dir, digest).map(|_| None)
        }
    }
}

/// Why an entry cannot be used.
enum Bad {
    Absent,
    Outdated,
    Corrupt(String),
}

impl Bad {
    fn corrupt(reason: impl std::fmt::Display) -> Self {
        Self::Corrupt(reason.to_string())
    }
}

fn read(path: &Path, digest: &Digest, limits: &Limits, image: &File) -> Result<CachedKernel, Bad> {
    if let Err(e) = fs::symlink_metadata(path) {
        let absent = e.kind() == io::ErrorKind::NotFound;
        return Err(if absent { Bad::Absent } else { Bad::corrupt(e) });
    }
    let mut bytes = Vec::new();
    File::open(path.join(PLAN))
        .and_then(|file| file.take(PLAN_BYTES).read_to_end(&mut bytes))
        .map_err(Bad::corrupt)?;
    let Sealed { checksum, record } = serde_json::from_slice(&bytes).map_err(Bad::corrupt)?;
    if record.checksum().map_err(Bad::corrupt)? != checksum {
        return Err(Bad::corrupt("the plan's checksum is wrong"));
    }
    if record.image != *digest {
        return Err(Bad::corrupt("the plan is of another image"));
    }
    if record.version != VERSION || record.limits != *limits {
        return Err(Bad::Outdated);
    }
    let payload = if record.plan.payload_is_image() {
        image.try_clone()
    } else {
        File::open(path.join(PAYLOAD))
    };
    let payload = payload.map_err(Bad::corrupt)?;
    let size = payload.metadata().map_err(Bad::corrupt)?.len();
    record.plan.validate(size, limits).map_err(Bad::corrupt)?;
    Ok(CachedKernel { digest: digest.clone(), plan: record.plan, payload })
}

/// Removes an entry: out of sight by one rename, then piece by piece. Says
/// whether it was there.
pub(super) fn remove(dir: &Path, digest: &Digest) -> Result<bool, Error> {
    let (path, old) = (dir.join(digest.as_str()), dir.join(format!("{OLD}{digest}")));
    remove_all(&old)?;
    match fs::rename(&path, &old) {
        Ok(()) => {
            sync_dir(dir)?;
            remove_all(&old)?;
            Ok(true)
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(Error::io("rename", &path)(e)),
    }
}

/// Removes a file or a directory with all in it, or nothing.
fn remove_all(path: &Path) -> Result<(), Error> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(e) => Err(e),
    };
    match removed {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path)(e)),
        _ => Ok(()),
    }
}

/// Tells drafts apart: one whose parse was cancelled may still be going away
/// while the next one for its digest begins.
static DRAFTS: AtomicU64 = AtomicU64::new(0);

/// An entry under way, under a name that [`load`] does not look at. It goes
/// away when it is dropped unfinished.
#[derive(Debug)]
pub(super) struct Draft {
    cache: PathBuf,
    dir: PathBuf,
    digest: Digest,
    image: File,
    payload: File,
}

impl Draft {
    /// Begins the entry of `digest`, the digest of `image`, with an empty
    /// payload.
    pub(super) fn begin(cache: &Path, digest: &Digest, image: File) -> Result<Self, Error> {
        let number = DRAFTS.fetch_add(1, Ordering::Relaxed);
        let dir = cache.join(format!("{NEW}{digest}-{number}"));
        remove_all(&dir)?;
        make_dir(&dir)?;
        let path = dir.join(PAYLOAD);
        let payload = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(Error::io("make", &path))?;
        Ok(Self { cache: cache.to_owned(), dir, digest: digest.clone(), image, payload })
    }

    /// The image and the empty payload, for the worker.
    pub(super) fn files(&self) -> Result<(File, File), Error> {
        let files = self.image.try_clone().and_then(|i| Ok((i, self.payload.try_clone()?)));
        files.map_err(Error::io("duplicate the files of", &self.dir))
    }

    /// Completes the entry and puts it in its place.
    pub(super) fn finish(self, plan: KernelPlan, limits: &Limits) -> Result<CachedKernel, Error> {
        let path = self.dir.join(PAYLOAD);
        if plan.payload_is_image() {
            fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        } else {
            self.payload.sync_all().map_err(Error::io("sync", &path))?;
        }
        let image = self.digest.clone();
        let record = Record { version: VERSION, image, limits: *limits, plan };
        let path = self.dir.join(PLAN);
        seal(&path, &record).map_err(Error::io("write", &path))?;
        sync_dir(&self.dir)?;

        let place = self.cache.join(self.digest.as_str());
        fs::rename(&self.dir, &place).map_err(Error::io("make", &place))?;
        sync_dir(&self.cache)?;

        // The handle given away is one that cannot write.
        let path = place.join(PAYLOAD);
        let payload = if record.plan.payload_is_image() {
            self.image.try_clone().map_err(Error::io("duplicate the image of", &place))?
        } else {
            File::open(&path).map_err(Error::io("open", &path))?
        };
        Ok(CachedKernel { digest: self.digest.clone(), plan: record.plan, payload })
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // A finished draft has another name by now.
        if let Err(error) = remove_all(&self.dir) {
            tracing::warn!(%error, "an unfinished cache entry stays until the next start");
        }
    }
}

fn seal(path: &Path, record: &Record) -> io::Result<()> {
    #[derive(Serialize)]
    struct Seal<'a> {
        checksum: Digest,
        record: &'a Record,
    }
    let sealed = serde_json::to_vec(&Seal { checksum: record.checksum()?, record })?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(&sealed)?;
    file.sync_all()
}

//! What every pool can do, whatever it is made of.

use std::fmt;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::path::PathBuf;

use uuid::Uuid;
use xlfs_xen::block::BlockNode;

use super::PoolKind;
use super::copy::CopyError;
use crate::durable::FileError;
use crate::problem::{Problem, ProblemKind};
use crate::size::ByteSize;

/// A place for volumes. Sizes are in bytes.
///
/// The caller names volumes by UUIDs that it never uses twice, works on a
/// volume from one thread at a time, and where it says so sees to it that no
/// running guest writes the volume. The callee leaves a pool whole: an
/// operation that fails, is cancelled or is killed leaves a volume as it was,
/// or nothing that outlives the next opening of the pool.
pub trait Pool: Send + Sync + fmt::Debug {
    /// As in the configuration.
    fn name(&self) -> &str;

    fn kind(&self) -> PoolKind;

    /// What an operator wants to know about it.
    fn about(&self) -> PoolAbout;

    /// Makes a volume of at least `size` bytes that begins with the content of
    /// `source` (all of it, from its start) and reads as zeros after that.
    /// Answers its size, which the pool may have rounded up.
    ///
    /// VOLUME_TOO_SMALL where `source` is larger, POOL_FULL before anything is
    /// written where that can be known, VOLUME_EXISTS.
    fn create(
        &self,
        id: Uuid,
        size: u64,
        source: Option<&File>,
        watch: Watch<'_>,
    ) -> Result<u64, Problem>;

    /// Makes the volume `to` with the content of `from`, which nobody writes
    /// meanwhile. The two are independent after it. Answers its size.
    fn duplicate(&self, from: Uuid, to: Uuid, watch: Watch<'_>) -> Result<u64, Problem>;

    /// Makes a volume that is not attached at least `size` bytes large; what is
    /// added reads as zeros. Answers its size. VOLUME_SHRINKS where it is larger.
    fn grow(&self, id: Uuid, size: u64, watch: Watch<'_>) -> Result<u64, Problem>;

    /// Removes a volume that is not attached. Whether it was there.
    fn remove(&self, id: Uuid) -> Result<bool, Problem>;

    /// The volumes that are there, also those that nobody has a record of.
    fn list(&self) -> Result<Vec<PoolVolume>, Problem>;

    fn space(&self) -> Result<PoolSpace, Problem>;

    /// Whether something in Dom0 has the device of a volume open. A pool of files
    /// cannot tell.
    fn is_open(&self, _id: Uuid) -> Result<bool, Problem> {
        Ok(false)
    }

    /// How the volume is attached to a guest. NO_SUCH_VOLUME.
    fn device(&self, id: Uuid) -> Result<VolumeDevice, Problem>;
}

/// A volume as its pool sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolVolume {
    pub id: Uuid,
    /// Bytes that a guest sees.
    pub size: u64,
    /// Bytes that it takes from the pool. Copies that share blocks count each.
    pub allocated: u64,
}

/// What a pool is made of, and what that is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolAbout {
    /// The folder, or the volume group and its thin pool.
    pub path: String,
    /// Volumes take space as they are written.
    pub thin: bool,
    pub copies: Copies,
}

/// How a volume is copied within its pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copies {
    /// Blocks are shared until one of the two is written.
    Reflink,
    /// The same, by a snapshot of a thin volume.
    ThinSnapshot,
    /// All data is read and written.
    Full,
}

/// The room in a pool, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolSpace {
    pub total: u64,
    /// What new volumes may still take.
    pub free: u64,
}

/// What stands for a volume in Dom0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VolumeDevice {
    /// A regular file, which needs a loop device (`xlfs_xen::loopdev`).
    File(PathBuf),
    /// A block device, for the back end as it is.
    Block(BlockNode),
}

/// Who watches a long operation: asked every few megabytes whether to stop,
/// and told how many bytes of the volume are done.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    cancelled: &'a dyn Fn() -> bool,
    progress: &'a dyn Fn(u64),
}

impl<'a> Watch<'a> {
    pub fn new(cancelled: &'a dyn Fn() -> bool, progress: &'a dyn Fn(u64)) -> Self {
        Self { cancelled, progress }
    }

    /// Nobody asks to stop, and nobody wants to know.
    pub fn nobody() -> Watch<'static> {
        Watch { cancelled: &|| false, progress: &|_| {} }
    }

    pub fn is_cancelled(&self) -> bool {
        (self.cancelled)()
    }

    pub fn done(&self, bytes: u64) {
        (self.progress)(bytes);
    }
}

impl fmt::Debug for Watch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

/// The bytes of a file or a block device.
pub(super) fn length(file: &File) -> io::Result<u64> {
    let mut file = file;
    file.seek(SeekFrom::End(0))
}

/// The size of a volume that is asked for with `size` bytes and gets `content`
/// bytes, in whole `grain`s.
pub(super) fn whole_size(size: u64, content: u64, grain: u64) -> Result<u64, Problem> {
    let wrong = |reason, text: String| Err(Problem::invalid_field(reason, "size", &text));
    if size < content {
        let (size, content) = (exact(size), exact(content));
        let text = format!("{size} is smaller than the image, which has {content}");
        return wrong("VOLUME_TOO_SMALL", text);
    }
    if size == 0 {
        return wrong("VOLUME_TOO_SMALL", "a volume cannot be empty".to_owned());
    }
    // Offsets of files are signed numbers.
    match size.checked_next_multiple_of(grain).filter(|size| i64::try_from(*size).is_ok()) {
        Some(size) => Ok(size),
        None => wrong("VOLUME_TOO_LARGE", format!("{} is beyond any disk", ByteSize(size))),
    }
}

/// What a volume becomes that has `now` bytes and is to have `wanted`.
pub(super) fn grown_size(now: u64, wanted: u64, grain: u64) -> Result<u64, Problem> {
    if wanted < now {
        let (wanted, now) = (exact(wanted), exact(now));
        let text = format!("{wanted} is less than the volume has, {now}: volumes only grow");
        return Err(Problem::invalid_field("VOLUME_SHRINKS", "size", &text));
    }
    whole_size(wanted, now, grain)
}

/// Where two sizes look the same when rounded, the difference must still show.
fn exact(bytes: u64) -> String {
    match ByteSize(bytes).to_string() {
        text if text.ends_with(" B") => text,
        text => format!("{text} ({bytes} bytes)"),
    }
}

/// What failed, for the problems of one pool.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trouble<'a> {
    pub(super) pool: &'a str,
    /// What an operator can do about a full pool.
    pub(super) when_full: &'a str,
}

impl Trouble<'_> {
    fn object(&self) -> String {
        format!("pool {}", self.pool)
    }

    pub(super) fn full(&self, needed: u64, free: u64) -> Problem {
        let (needed, free) = (ByteSize(needed), ByteSize(free));
        let message = format!("the pool {} is full: {needed} needed, {free} free", self.pool);
        Problem::resource_exhausted("POOL_FULL", message).object(self.object()).hint(self.when_full)
    }

    /// It ran full in spite of what was asked before.
    fn ran_full(&self, error: &(dyn std::error::Error + 'static)) -> Problem {
        let message = format!("the pool {} ran full", self.pool);
        Problem::from_error(ProblemKind::ResourceExhausted, "POOL_FULL", message, error)
            .object(self.object())
            .hint(self.when_full)
    }

    /// `what` was to be done, such as "remove the volume x".
    pub(super) fn file(&self, what: &str, error: &FileError) -> Problem {
        match is_full(&error.source) {
            true => self.ran_full(error).context(format!("cannot {what}")),
            false => self.failed(what, error),
        }
    }

    pub(super) fn copy(&self, what: &str, error: &CopyError) -> Problem {
        match error {
            CopyError::Cancelled => Problem::cancelled(format!("asked to stop: {what}")),
            CopyError::Write { source, .. } if is_full(source) => {
                self.ran_full(error).context(format!("cannot {what}"))
            }
            _ => self.failed(what, error),
        }
    }

    pub(super) fn failed(&self, what: &str, error: &(dyn std::error::Error + 'static)) -> Problem {
        let message = format!("cannot {what} in the pool {}", self.pool);
        Problem::from_error(ProblemKind::Internal, "POOL_FAILED", message, error)
            .object(self.object())
            .hint("Look at the disk below the pool and at the kernel's log.")
    }

    pub(super) fn no_such(&self, id: Uuid) -> Problem {
        let message = format!("the pool {} has no volume {id}", self.pool);
        Problem::not_found("NO_SUCH_VOLUME", message)
            .object(format!("volume {id}"))
            .hint("It was removed behind xlfsd's back, or the pool's disk is not mounted.")
    }

    pub(super) fn exists(&self, id: Uuid) -> Problem {
        let message = format!("the pool {} has a volume {id} already", self.pool);
        Problem::already_exists("VOLUME_EXISTS", message).object(format!("volume {id}"))
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_rounded_up_and_never_below_the_content() {
        let reason = |size, content| whole_size(size, content, 4096).unwrap_err().reason;
        assert_eq!(whole_size(1, 0, 4096), Ok(4096));
        assert_eq!(whole_size(8192, 8192, 4096), Ok(8192));
        assert_eq!(whole_size(5000, 5000, 4096), Ok(8192));
        assert_eq!(reason(0, 0), "VOLUME_TOO_SMALL");
        assert_eq!(reason(8191, 8192), "VOLUME_TOO_SMALL");
        assert_eq!(reason(u64::MAX, 0), "VOLUME_TOO_LARGE");
        assert_eq!(reason(1 << 63, 0), "VOLUME_TOO_LARGE");
        assert_eq!(grown_size(4096, 4096, 4096), Ok(4096));
        assert_eq!(grown_size(8192, 4096, 4096).unwrap_err().reason, "VOLUME_SHRINKS");
    }

    #[test]
    fn sizes_that_differ_by_a_byte_look_different() {
        let problem = whole_size((1 << 30) - 1, 1 << 30, 512).unwrap_err();
        assert!(problem.message.contains("1073741823") && problem.message.contains("1073741824"));
    }
}

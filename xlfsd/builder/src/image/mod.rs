//! Images: packages' outputs and a few files of their own composed into one
//! tree, and what is made out of that tree. All without root, and the same
//! bytes for the same tree.
//!
//! `compose` goes from a recipe to a published image. `inputs` takes what the one who
//! builds gives, `contents` composes the tree, `runnable` holds its programs (`elf`)
//! against it, `ext4`, `cpio` and `archive` write it, `disk` makes a disk of such files
//! with the boot loader of `grub`, `bill` lists what is in it.

mod archive;
mod bill;
mod compose;
mod contents;
mod cpio;
mod disk;
mod elf;
mod ext4;
mod grub;
pub(crate) mod inputs;
mod runnable;
mod sparse;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::digest::Digest;
use crate::durable::FileError;
use crate::pattern::PatternError;
use crate::store::{ImageRecord, Store, StoreError};
use crate::tree::{Conflict, Node};

pub(crate) use compose::again;
pub use compose::{Parts, compose};
pub use inputs::{InputError, Inputs, MissingInput};

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ImageError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the packages of the image do not fit together")]
    Conflict(#[from] Conflict),
    #[error("a pattern of the image")]
    Pattern(#[from] PatternError),
    #[error(
        "the image's own file {path} is also {owner}'s (say replace = true if it shall stand in for that)"
    )]
    OwnFile { path: String, owner: String },
    #[error("{path} is the input {input:?}, which was not given")]
    NoInput { path: String, input: String },
    #[error("permission: the image has no file or folder {path:?}")]
    NoSuchFile { path: String },
    #[error("{path} (of {owner}) must not be in the image")]
    Forbidden { path: String, owner: String },
    #[error(
        "programs that cannot start in the image: {}. Add the packages that bring what is \
         missing (their recipes belong into depends.run), or link statically",
        list.join("; ")
    )]
    Unrunnable { list: Vec<String> },
    #[error("{file}: its content has {found} bytes, more than max_content allows ({allowed})")]
    TooLarge { file: String, found: u64, allowed: u64 },
    #[error("{file}: the image has no file {path:?} to copy")]
    NothingToCopy { file: String, path: String },
    #[error("{file}: {path} is too large for this format ({size} bytes)")]
    Unfit { file: String, path: String, size: u64 },
    #[error("{file}: the folder {root:?}, of which it is to be made, is not in the image")]
    NoRoot { file: String, root: String },
    #[error(
        "{file}: the partition {partition} has {size} bytes, but what goes into it has {content}"
    )]
    Partition { file: String, partition: String, content: u64, size: u64 },
    #[error("{file}: the boot loader cannot be used: {reason}")]
    Boot { file: String, reason: String },
    #[error("cannot write {file}")]
    Write {
        file: String,
        #[source]
        source: io::Error,
    },
    #[error("there is no {program} in /usr/sbin or /sbin: install e2fsprogs")]
    Missing { program: &'static str },
    #[error("{program} failed: {message}")]
    Program { program: &'static str, message: String },
}

/// Beside exported artifacts: the key of the image that they are of.
const EXPORTED: &str = ".image-key";

/// Copies an image's artifacts into a folder; what was copied there before and is of
/// the same image stays.
pub fn export(store: &Store, record: &ImageRecord, to: &Path) -> Result<Vec<PathBuf>, ImageError> {
    let at = |action, path: &Path| {
        let path = path.to_owned();
        move |source| ImageError::from(StoreError::from(FileError { action, path, source }))
    };
    fs::create_dir_all(to).map_err(at("make", to))?;
    let mark = to.join(EXPORTED);
    let key = record.key.to_string();
    let same = fs::read_to_string(&mark).is_ok_and(|found| found == key);
    if !same && mark.exists() {
        fs::remove_file(&mark).map_err(at("remove", &mark))?;
    }
    let mut written = Vec::new();
    for (name, digest) in &record.artifacts {
        let from = store.blob(digest, false)?;
        let path = to.join(name);
        if same && path.metadata().is_ok_and(|it| it.len() == digest.size) {
            written.push(path);
            continue;
        }
        let part = to.join(format!(".{name}.part"));
        let source = fs::File::open(&from).map_err(at("read", &from))?;
        let target = fs::File::create(&part).map_err(at("write", &part))?;
        target.set_len(digest.size).map_err(at("write", &part))?;
        sparse::copy(&source, &target, 0).map_err(at("write", &part))?;
        target.sync_all().map_err(at("flush", &part))?;
        fs::rename(&part, &path).map_err(at("write", &path))?;
        written.push(path);
    }
    fs::write(&mark, key).map_err(at("write", &mark))?;
    Ok(written)
}

/// A UUID that follows from the image's key, for one purpose.
fn uuid(key: &Digest, purpose: &str) -> uuid::Uuid {
    let hash = Sha256::digest(format!("{key} {purpose}"));
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    // RFC 9562's version 8: of our own making.
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// Permission bits of what stands at a path.
fn mode(node: &Node) -> u32 {
    match node {
        Node::Folder(attributes) => attributes.mode.unwrap_or(0o755),
        Node::File { executable, attributes, .. } => {
            attributes.mode.unwrap_or(if *executable { 0o755 } else { 0o644 })
        }
        Node::Link { .. } => 0o777,
    }
}

/// User and group of what stands at a path.
fn owner(node: &Node) -> (u32, u32) {
    match node {
        Node::Folder(attributes) | Node::File { attributes, .. } => {
            attributes.owner.unwrap_or_default()
        }
        Node::Link { .. } => (0, 0),
    }
}

//! Images: packages' outputs and a few files of their own composed into one
//! tree, and what is made out of that tree. All without root, and the same
//! bytes for the same tree.
//!
//! `inputs` takes what the one who builds gives, `contents` composes the tree, `runnable`
//! holds its programs against it, `ext4`, `cpio` and `archive` write it, `disk` makes a disk of such
//! files with the boot loader of `grub`, `bill` lists what is in it.

mod archive;
mod bill;
mod contents;
mod cpio;
mod disk;
mod elf;
mod ext4;
mod grub;
pub(crate) mod inputs;
mod runnable;
mod sparse;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::digest::Digest;
use crate::durable::FileError;
use crate::graph::OutputName;
use crate::pattern::{PatternError, Patterns};
use crate::recipe::check::parse_size;
use crate::recipe::{Artifact, ArtifactKind, Image, RecipeSet};
use crate::store::{ImageRecord, Record, Store, StoreError};
use crate::tree::{Conflict, Node, Tree};

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

/// Raised when the same image would come out as other bytes.
const FORMAT: u32 = 2;

/// Composes an image and publishes it; true if it was there already.
pub fn compose(
    store: &Store,
    set: &RecipeSet,
    image: &Image,
    layers: &[(OutputName, Arc<Tree>)],
    records: &BTreeMap<String, Arc<Record>>,
    inputs: &Inputs,
) -> Result<bool, ImageError> {
    let contents = contents::compose(store, set, image, layers, inputs)?;
    let inputs = own_inputs(image, inputs);
    let packages: BTreeMap<String, Digest> = layers
        .iter()
        .filter_map(|(output, _)| Some((output.package.clone(), records.get(&output.package)?)))
        .map(|(name, record)| (name, record.action.clone()))
        .collect();
    let root = contents.tree().digest();
    let epoch = set.file.source_date_epoch;
    let licences: Vec<_> = image.file.iter().map(|file| (&file.input, &file.licence)).collect();
    let text = format!(
        "{FORMAT} {epoch} {root} {packages:?} {inputs:?} {licences:?} {:?}",
        image.artifact
    );
    let key = Digest::of(text.as_bytes());
    if let Some(record) = store.image(&set.file.name, &image.name)?
        && record.key == key
    {
        return Ok(true);
    }
    runnable::check(store, &contents)?;
    let work = store.work_folder("image")?;
    let mut artifacts = BTreeMap::new();
    // Disks last: they are made of the others.
    let (disks, others): (Vec<_>, Vec<_>) =
        image.artifact.iter().partition(|artifact| artifact.kind.is_disk());
    for artifact in others.into_iter().chain(disks) {
        let path = work.path().join(&artifact.file);
        match artifact.kind.is_disk() {
            true => disk::write(store, contents.tree(), artifact, &artifacts, &key, &path)?,
            false => make(store, contents.tree(), artifact, epoch, &key, &path)?,
        }
        artifacts.insert(artifact.file.clone(), store.take_file(&path, false)?);
    }
    let list =
        bill::Contents { image, key: &key, epoch, contents: &contents, records, inputs: &inputs };
    for (name, bytes) in bill::all(&list, layers) {
        artifacts.insert(name.to_owned(), store.put_bytes(&bytes)?);
    }
    let import = |it: &Artifact| Some((it.file.clone(), it.import.clone()?));
    let imports = image.artifact.iter().filter_map(import).collect();
    let image = image.name.clone();
    let record = ImageRecord { image, key, packages, inputs, artifacts, imports };
    store.publish_image(&set.file.name, &record)?;
    Ok(false)
}

/// Those of the given inputs that the image takes.
fn own_inputs(image: &Image, given: &Inputs) -> Inputs {
    let taken = image.file.iter().filter_map(|file| file.input.as_ref());
    taken.filter_map(|name| Some((name.clone(), given.get(name)?.clone()))).collect()
}

/// Copies an image's artifacts into a folder.
pub fn export(store: &Store, record: &ImageRecord, to: &Path) -> Result<Vec<PathBuf>, ImageError> {
    let at = |action, path: &Path| {
        let path = path.to_owned();
        move |source| ImageError::from(StoreError::from(FileError { action, path, source }))
    };
    fs::create_dir_all(to).map_err(at("make", to))?;
    let mut written = Vec::new();
    for (name, digest) in &record.artifacts {
        let from = store.blob(digest, false)?;
        let path = to.join(name);
        let part = to.join(format!(".{name}.part"));
        let mut source = fs::File::open(&from).map_err(at("read", &from))?;
        let target = fs::File::create(&part).map_err(at("write", &part))?;
        target.set_len(digest.size).map_err(at("write", &part))?;
        sparse::copy(&mut source, &target, 0).map_err(at("write", &part))?;
        target.sync_all().map_err(at("flush", &part))?;
        fs::rename(&part, &path).map_err(at("write", &path))?;
        written.push(path);
    }
    Ok(written)
}

fn make(
    store: &Store,
    tree: &Tree,
    artifact: &Artifact,
    epoch: u64,
    key: &Digest,
    path: &Path,
) -> Result<(), ImageError> {
    let file = &artifact.file;
    let include = Patterns::new(&artifact.include)?;
    let exclude = Patterns::new(&artifact.exclude)?;
    let tree = tree.filter_leaves(|path| {
        (artifact.include.is_empty() || include.matches(path)) && !exclude.matches(path)
    });
    let tree = match artifact.root.as_deref() {
        None => tree,
        Some(root) => match tree.get(root) {
            Some(Node::Folder(_)) => tree.below(root),
            _ => return Err(ImageError::NoRoot { file: file.clone(), root: root.to_owned() }),
        },
    };
    if let Some(allowed) = artifact.max_content.as_deref().and_then(parse_size)
        && tree.content_size() > allowed
    {
        let found = tree.content_size();
        return Err(ImageError::TooLarge { file: file.clone(), found, allowed });
    }
    match artifact.kind {
        ArtifactKind::Ext4 => ext4::write(store, &tree, artifact, epoch, key, path),
        ArtifactKind::CpioGz => cpio::write(store, &tree, file, epoch, path),
        ArtifactKind::Tar => archive::write(store, &tree, file, epoch, path, false),
        ArtifactKind::TarGz => archive::write(store, &tree, file, epoch, path, true),
        ArtifactKind::Copy => {
            let from = artifact.from.as_deref().unwrap_or_default();
            match tree.get(from) {
                Some(Node::File { digest, .. }) => {
                    let bytes = store.read_blob(digest)?;
                    let write = |source| ImageError::Write { file: file.clone(), source };
                    fs::write(path, bytes).map_err(write)
                }
                _ => {
                    let (file, path) = (file.clone(), from.to_owned());
                    Err(ImageError::NothingToCopy { file, path })
                }
            }
        }
        // Made elsewhere, of other artifacts.
        ArtifactKind::Disk | ArtifactKind::DiskGz => Ok(()),
    }
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

//! From a set's image to its artifacts: the tree composed, held against what must
//! be true of it, written in every form, listed. The key says whether all of it is
//! there already; without one, it is made a second time to compare.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::contents::{self, Composed};
use super::{ImageError, Inputs, archive, bill, cpio, disk, ext4, runnable};
use crate::digest::Digest;
use crate::graph::OutputName;
use crate::pattern::Patterns;
use crate::recipe::check::parse_size;
use crate::recipe::{Artifact, ArtifactKind, Image, Place, RecipeSet};
use crate::store::{ImageRecord, Record, Store};
use crate::tree::{Node, Tree};

/// Raised when the same image would come out as other bytes.
const FORMAT: u32 = 3;

/// What an image is made from.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// The set that it is of.
    pub set: &'a RecipeSet,
    /// Its recipe.
    pub image: &'a Image,
    /// Outputs of packages.
    pub layers: &'a [(OutputName, Arc<Tree>)],
    /// How the packages were built.
    pub records: &'a BTreeMap<String, Arc<Record>>,
    /// What was given with the build.
    pub inputs: &'a Inputs,
}

/// Composes an image and publishes it; true if it was there already.
pub fn compose(store: &Store, parts: Parts<'_>) -> Result<bool, ImageError> {
    let plan = Plan::new(store, parts)?;
    if plan.published(store)?.is_some() {
        return Ok(true);
    }
    let record = plan.make(store)?;
    store.publish_image(&parts.set.file.name, &record)?;
    Ok(false)
}

/// Composes an image a second time and publishes nothing: names of the artifacts
/// that came out different; none if it was not composed before.
pub(crate) fn again(store: &Store, parts: Parts<'_>) -> Result<Option<Vec<String>>, ImageError> {
    let plan = Plan::new(store, parts)?;
    let Some(before) = plan.published(store)? else { return Ok(None) };
    let after = plan.make(store)?;
    let differs = |(name, digest): (String, Digest)| {
        (before.artifacts.get(&name) != Some(&digest)).then_some(name)
    };
    Ok(Some(after.artifacts.into_iter().filter_map(differs).collect()))
}

/// An image of which everything is known but its artifacts.
struct Plan<'a> {
    parts: Parts<'a>,
    contents: Composed,
    packages: BTreeMap<String, Digest>,
    records: BTreeMap<String, Arc<Record>>,
    inputs: Inputs,
    key: Digest,
}

impl<'a> Plan<'a> {
    fn new(store: &Store, parts: Parts<'a>) -> Result<Self, ImageError> {
        let Parts { set, image, layers, records, inputs } = parts;
        let contents = contents::compose(store, set, image, layers, inputs)?;
        let inputs = own_inputs(image, inputs);
        let own = layers.iter().filter_map(|(output, _)| records.get(&output.package));
        let records: BTreeMap<_, _> =
            own.map(|it| (it.package.clone(), Arc::new(as_recipes_say(set, it)))).collect();
        let packages = records.iter().map(|(name, it)| (name.clone(), it.action.clone())).collect();
        let root = contents.tree().digest();
        let epoch = set.file.source_date_epoch;
        let licences: Vec<_> = image.file.iter().map(|file| (&file.input, &file.licence)).collect();
        let listed: Vec<_> = records
            .values()
            .map(|it| (&it.action, &it.version, &it.licence, &it.homepage, &it.sources))
            .collect();
        let text = format!(
            "{FORMAT} {epoch} {root} {listed:?} {inputs:?} {licences:?} {:?}",
            image.artifact
        );
        let key = Digest::of(text.as_bytes());
        Ok(Self { parts, contents, packages, records, inputs, key })
    }

    /// Its record, if it was composed of the same and is whole.
    fn published(&self, store: &Store) -> Result<Option<ImageRecord>, ImageError> {
        let record = store.image(&self.parts.set.file.name, &self.parts.image.name)?;
        Ok(record.filter(|record| record.key == self.key))
    }

    fn make(self, store: &Store) -> Result<ImageRecord, ImageError> {
        let Self { parts, contents, packages, records, inputs, key } = self;
        let (image, epoch) = (parts.image, parts.set.file.source_date_epoch);
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
        let list = bill::Contents {
            image,
            key: &key,
            epoch,
            contents: &contents,
            records: &records,
            inputs: &inputs,
        };
        for (name, bytes) in bill::all(&list, parts.layers) {
            artifacts.insert(name.to_owned(), store.put_bytes(&bytes)?);
        }
        let import = |it: &Artifact| Some((it.file.clone(), it.import.clone()?));
        let imports = image.artifact.iter().filter_map(import).collect();
        let image = image.name.clone();
        Ok(ImageRecord { image, key, packages, inputs, artifacts, imports })
    }
}

/// A record as the bills of materials tell it. A result may be older than what its
/// recipe says of licence and homepage, and which place served a source is a matter of
/// that day: what is listed is the recipe's and the lock's.
fn as_recipes_say(set: &RecipeSet, record: &Record) -> Record {
    let mut record = record.clone();
    if let Some(package) = set.packages.get(&record.package) {
        record.version.clone_from(&package.version);
        record.licence.clone_from(&package.licence);
        record.homepage.clone_from(&package.homepage);
    }
    for source in &mut record.sources {
        let places = set.sources.get(&source.file).map(|it| it.places.as_slice());
        let places: Vec<String> = places.unwrap_or_default().iter().map(Place::to_string).collect();
        source.from = places.join(" or ");
    }
    record
}

/// Those of the given inputs that the image takes.
fn own_inputs(image: &Image, given: &Inputs) -> Inputs {
    let taken = image.file.iter().filter_map(|file| file.input.as_ref());
    taken.filter_map(|name| Some((name.clone(), given.get(name)?.clone()))).collect()
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

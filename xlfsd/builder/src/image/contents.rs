//! The tree of an image: packages' outputs, then its own files, folders and
//! links, then modes and owners.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use super::ImageError;
use super::inputs::Inputs;
use crate::digest::Digest;
use crate::durable::FileError;
use crate::graph::OutputName;
use crate::layout;
use crate::pattern::Patterns;
use crate::recipe::check::{parse_mode, parse_owner};
use crate::recipe::image::OwnFile;
use crate::recipe::{Image, RecipeSet};
use crate::store::{Store, StoreError};
use crate::tree::{Attributes, Merge, Node, Tree};

/// A composed tree, and whose each path is.
pub(super) struct Composed {
    tree: Tree,
    owners: BTreeMap<String, String>,
    inputs: BTreeMap<String, String>,
}

/// What owns the image's own files.
const OWN: &str = "the image";

impl Composed {
    pub(super) fn tree(&self) -> &Tree {
        &self.tree
    }

    pub(super) fn owner(&self, path: &str) -> &str {
        self.owners.get(path).map_or(OWN, String::as_str)
    }

    /// The name of the input that stands at the path.
    pub(super) fn input(&self, path: &str) -> Option<&str> {
        self.inputs.get(path).map(String::as_str)
    }
}

pub(super) fn compose(
    store: &Store,
    set: &RecipeSet,
    image: &Image,
    layers: &[(OutputName, Arc<Tree>)],
    inputs: &Inputs,
) -> Result<Composed, ImageError> {
    let exclude = Patterns::new(&image.exclude)?;
    let mut merge = Merge::default();
    for (output, layer) in layers {
        merge.add(&layer.filter_leaves(|path| !exclude.matches(path)), &output.package)?;
    }
    let mut owners: BTreeMap<String, String> = BTreeMap::new();
    for (path, _) in merge.tree().iter() {
        owners.insert(path.to_owned(), merge.owner(path).unwrap_or_default().to_owned());
    }
    let mut tree = merge.into_tree();
    layout::add_links(&mut tree);
    for item in &image.folder {
        if !matches!(tree.get(&item.path), Some(Node::Folder(_))) {
            tree.insert(&item.path, Node::Folder(Attributes::default()));
        }
        tree.set_attributes(&item.path, attributes(item.mode.as_deref(), item.owner.as_deref()));
    }
    let mut given = BTreeMap::new();
    for file in &image.file {
        if let (Some(owner), false) = (owners.get(&file.path), file.replace) {
            let (path, owner) = (file.path.clone(), owner.clone());
            return Err(ImageError::OwnFile { path, owner });
        }
        let digest = own_content(store, set, image, file, inputs)?;
        let attributes = attributes(file.mode.as_deref(), file.owner.as_deref());
        let executable = attributes.mode.is_some_and(|mode| mode & 0o111 != 0);
        tree.insert(&file.path, Node::File { digest, executable, attributes });
        owners.insert(file.path.clone(), OWN.to_owned());
        if let Some(input) = &file.input {
            given.insert(file.path.clone(), input.clone());
        }
    }
    for link in &image.link {
        if let Some(owner) = owners.get(&link.path) {
            let (path, owner) = (link.path.clone(), owner.clone());
            return Err(ImageError::OwnFile { path, owner });
        }
        tree.insert(&link.path, Node::Link { target: link.target.clone() });
    }
    for special in &image.permission {
        let wanted = attributes(special.mode.as_deref(), special.owner.as_deref());
        if !tree.set_attributes(&special.path, wanted) {
            return Err(ImageError::NoSuchFile { path: special.path.clone() });
        }
    }
    let composed = Composed { tree, owners, inputs: given };
    let forbid = Patterns::new(&image.forbid)?;
    if let Some((path, _)) = composed.tree.iter().find(|(path, _)| forbid.matches(path)) {
        let owner = composed.owner(path).to_owned();
        return Err(ImageError::Forbidden { path: path.to_owned(), owner });
    }
    Ok(composed)
}

fn own_content(
    store: &Store,
    set: &RecipeSet,
    image: &Image,
    file: &OwnFile,
    inputs: &Inputs,
) -> Result<Digest, ImageError> {
    if let Some(name) = &file.input {
        let missing = || ImageError::NoInput { path: file.path.clone(), input: name.clone() };
        return inputs.get(name).cloned().ok_or_else(missing);
    }
    if let Some(text) = &file.text {
        return Ok(store.put_bytes(text.as_bytes())?);
    }
    let folder = set.folder.join("images").join(&image.name);
    let path = folder.join(file.from.as_deref().unwrap_or_default());
    let bytes = fs::read(&path).map_err(FileError::at("read", &path)).map_err(StoreError::from)?;
    Ok(store.put_bytes(&bytes)?)
}

fn attributes(mode: Option<&str>, owner: Option<&str>) -> Attributes {
    Attributes { mode: mode.and_then(parse_mode), owner: owner.and_then(parse_owner) }
}

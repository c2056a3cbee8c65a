//! What an image's file must fulfil.

use std::collections::BTreeSet;
use std::path::Path;

use xlfs_mistakes::alias::wrong_alias;

use super::{
    NAME_RULE, RecipeError, licence, mode_and_owner, parse_size, patterns, permissions, references,
    relative, value,
};
use crate::recipe::image::{Artifact, ArtifactKind, Image, Import, ImportKind, OwnFile};
use crate::recipe::reference::is_name;
use crate::recipe::set::RecipeSet;

pub(super) fn check(set: &RecipeSet, image: &Image, wrong: &mut Vec<RecipeError>) {
    let of = image.name.as_str();
    if !is_name(of) {
        wrong.push(value(of, "name", of, NAME_RULE));
    }
    references(set, of, "packages", &image.packages, wrong);
    patterns(of, "exclude", &image.exclude, wrong);
    patterns(of, "forbid", &image.forbid, wrong);
    permissions(of, &image.permission, wrong);
    let folder = set.folder.join("images").join(of);
    for file in &image.file {
        own_file(of, file, &folder, wrong);
    }
    for item in &image.folder {
        relative(of, "folder.path", &item.path, wrong);
        mode_and_owner(of, "folder", item.mode.as_deref(), item.owner.as_deref(), wrong);
    }
    for link in &image.link {
        relative(of, "link.path", &link.path, wrong);
    }
    let (mut names, mut aliases) = (BTreeSet::new(), BTreeSet::new());
    for item in &image.artifact {
        if !names.insert(&item.file) {
            let reason = "is another artifact's name, too";
            wrong.push(value(of, "artifact.file", &item.file, reason));
        }
        artifact(of, item, wrong);
        if let Some(import) = &item.import {
            if !aliases.insert(&import.alias) {
                let reason = "is another artifact's alias, too";
                wrong.push(value(of, "artifact.import.alias", &import.alias, reason));
            }
            check_import(of, item, import, wrong);
        }
    }
}

/// The kinds of artifacts that each kind of the catalogue takes.
fn check_import(of: &str, artifact: &Artifact, import: &Import, wrong: &mut Vec<RecipeError>) {
    use ArtifactKind::{Copy, CpioGz, Ext4, Tar, TarGz};
    if let Some(reason) = wrong_alias(&import.alias) {
        wrong.push(value(of, "artifact.import.alias", &import.alias, reason));
    }
    let (fits, kinds) = match import.kind {
        ImportKind::Kernel => (artifact.kind == Copy, "a kernel is a copy"),
        ImportKind::Ramdisk => (artifact.kind == CpioGz, "a ramdisk is a cpio.gz"),
        ImportKind::Disk => {
            (matches!(artifact.kind, Ext4 | Tar | TarGz), "a disk is an ext4, tar or tar.gz")
        }
    };
    if !fits {
        wrong.push(value(of, "artifact.import.kind", &artifact.file, kinds));
    }
}

fn own_file(of: &str, file: &OwnFile, folder: &Path, wrong: &mut Vec<RecipeError>) {
    relative(of, "file.path", &file.path, wrong);
    mode_and_owner(of, "file", file.mode.as_deref(), file.owner.as_deref(), wrong);
    match (&file.text, &file.from, &file.input) {
        (Some(_), None, None) => {}
        (None, Some(from), None) => {
            relative(of, "file.from", from, wrong);
            if !folder.join(from).is_file() {
                let reason = format!("is not in {}", folder.display());
                wrong.push(value(of, "file.from", from, reason));
            }
        }
        (None, None, Some(input)) => {
            if !is_name(input) {
                wrong.push(value(of, "file.input", input, NAME_RULE));
            }
        }
        _ => wrong.push(value(of, "file", &file.path, "needs one of text, from and input")),
    }
    if let Some(text) = &file.licence {
        licence(of, "file.licence", text, wrong);
        if file.input.is_none() {
            let reason = "only a file that is an input has a licence of its own";
            wrong.push(value(of, "file.licence", text, reason));
        }
    }
}

fn artifact(of: &str, artifact: &Artifact, wrong: &mut Vec<RecipeError>) {
    let file = artifact.file.as_str();
    if file.is_empty() || file.contains('/') || file.starts_with('.') {
        wrong.push(value(of, "artifact.file", file, "must be the plain name of a file"));
    }
    patterns(of, "artifact.include", &artifact.include, wrong);
    patterns(of, "artifact.exclude", &artifact.exclude, wrong);
    for (key, text) in [("size", &artifact.size), ("max_content", &artifact.max_content)] {
        let auto = key == "size" && text.as_deref() == Some("auto");
        if let Some(text) = text
            && !auto
            && parse_size(text).is_none()
        {
            wrong.push(value(of, &format!("artifact.{key}"), text, "must be like \"64M\""));
        }
    }
    let ext4 = artifact.kind == ArtifactKind::Ext4;
    if ext4 != artifact.size.is_some() || (artifact.label.is_some() && !ext4) {
        let reason = "ext4 needs a size, and only it has one and a label";
        wrong.push(value(of, "artifact", file, reason));
    }
    if (artifact.kind == ArtifactKind::Copy) != artifact.from.is_some() {
        wrong.push(value(of, "artifact", file, "a copy needs from, and only it has it"));
    }
}

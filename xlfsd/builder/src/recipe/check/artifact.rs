//! What an artifact of an image must fulfil.

use std::collections::BTreeSet;

use xlfs_mistakes::alias::wrong_alias;

use super::{RecipeError, parse_size, patterns, relative, unknown, value};
use crate::recipe::artifact::{
    Artifact, ArtifactKind, Import, ImportKind, Partition, PartitionKind,
};
use crate::recipe::image::Image;

pub(super) fn check(image: &Image, artifact: &Artifact, wrong: &mut Vec<RecipeError>) {
    let of = image.name.as_str();
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
    if let Some(root) = &artifact.root {
        relative(of, "artifact.root", root, wrong);
    }
    if let Some(import) = &artifact.import {
        check_import(of, artifact, import, wrong);
    }
    disk(image, artifact, wrong);
}

/// The kinds of artifacts that each kind of the catalogue takes.
fn check_import(of: &str, artifact: &Artifact, import: &Import, wrong: &mut Vec<RecipeError>) {
    use ArtifactKind::{Copy, CpioGz, Disk, Ext4, Tar, TarGz};
    if let Some(reason) = wrong_alias(&import.alias) {
        wrong.push(value(of, "artifact.import.alias", &import.alias, reason));
    }
    let (fits, kinds) = match import.kind {
        ImportKind::Kernel => (artifact.kind == Copy, "a kernel is a copy"),
        ImportKind::Ramdisk => (artifact.kind == CpioGz, "a ramdisk is a cpio.gz"),
        ImportKind::Disk => {
            let disk = matches!(artifact.kind, Ext4 | Disk | Tar | TarGz);
            (disk, "a disk is an ext4, disk, tar or tar.gz")
        }
    };
    if !fits {
        wrong.push(value(of, "artifact.import.kind", &artifact.file, kinds));
    }
}

/// A disk is made of other artifacts and of its boot loader's files.
fn disk(image: &Image, artifact: &Artifact, wrong: &mut Vec<RecipeError>) {
    let (of, file) = (image.name.as_str(), artifact.file.as_str());
    let list = &artifact.partition;
    if !artifact.kind.is_disk() {
        if artifact.boot.is_some() || !list.is_empty() {
            wrong.push(value(of, "artifact", file, "only a disk has boot and partitions"));
        }
        return;
    }
    let of_tree = artifact.root.is_some() || artifact.max_content.is_some();
    if of_tree || !artifact.include.is_empty() || !artifact.exclude.is_empty() {
        let reason = "a disk is made of other artifacts: name the files there";
        wrong.push(value(of, "artifact", file, reason));
    }
    // The table that every firmware reads has room for 128.
    if list.is_empty() || list.len() > 128 {
        wrong.push(value(of, "artifact", file, "a disk has 1 to 128 partitions"));
    }
    let boot = list.iter().filter(|it| it.kind == PartitionKind::BiosBoot).count();
    if boot != usize::from(artifact.boot.is_some()) {
        let reason = "boot, and a partition of kind bios-boot for its core: one of each, or none";
        wrong.push(value(of, "artifact", file, reason));
    }
    for path in artifact.boot.iter().flat_map(|boot| [&boot.sector, &boot.core]) {
        relative(of, "artifact.boot", path, wrong);
    }
    let mut names = BTreeSet::new();
    for part in list {
        partition(image, part, wrong);
        if !names.insert(&part.name) {
            let reason = "is another partition's name, too";
            wrong.push(value(of, "artifact.partition.name", &part.name, reason));
        }
    }
}

fn partition(image: &Image, part: &Partition, wrong: &mut Vec<RecipeError>) {
    let (of, name) = (image.name.as_str(), part.name.as_str());
    // It becomes a word of a kernel's command line.
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > 36 || !name.chars().all(plain) {
        let reason = "must be letters, digits, '-', '_' and '.', at most 36";
        wrong.push(value(of, "artifact.partition.name", name, reason));
    }
    match &part.size {
        Some(text) if parse_size(text).is_none() => {
            wrong.push(value(of, "artifact.partition.size", text, "must be like \"64M\""));
        }
        None if part.from.is_none() => {
            wrong.push(value(of, "artifact.partition", name, "needs a size, or a content"));
        }
        _ => {}
    }
    let Some(from) = &part.from else { return };
    if part.kind == PartitionKind::BiosBoot {
        let reason = "holds the boot loader's core, and nothing else";
        wrong.push(value(of, "artifact.partition", name, reason));
    }
    match image.artifact.iter().find(|it| it.file == *from) {
        Some(Artifact { kind: ArtifactKind::Ext4 | ArtifactKind::Copy, .. }) => {}
        Some(_) => {
            let reason = "is no file system: a partition is made of an ext4 or a copy";
            wrong.push(value(of, "artifact.partition.from", from, reason));
        }
        None => {
            let known = image.artifact.iter().map(|it| it.file.as_str());
            wrong.push(unknown(of, "artifact.partition.from", "artifact", from, known));
        }
    }
}

//! What an image's file must fulfil.

use std::collections::BTreeSet;
use std::path::Path;

use super::{
    NAME_RULE, RecipeError, artifact, licence, mode_and_owner, patterns, permissions, references,
    relative, value,
};
use crate::recipe::image::{Image, OwnFile};
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
        if let Some(import) = &item.import
            && !aliases.insert(&import.alias)
        {
            let reason = "is another artifact's alias, too";
            wrong.push(value(of, "artifact.import.alias", &import.alias, reason));
        }
        artifact::check(image, item, wrong);
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

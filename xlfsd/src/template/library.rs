//! The folders that hold templates.
//!
//! Manifests are read whenever they are asked for: there are few, they are
//! small, and so there is nothing to reload after an edit.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::manifest::{FILE_NAME, is_template_name};
use super::{Template, TemplateError};
use crate::problem::{Problem, ProblemKind};
use xlfs_mistakes::suggest::did_you_mean;

/// The templates of this host.
#[derive(Debug, Clone)]
pub struct TemplateLibrary {
    dirs: Vec<PathBuf>,
}

/// A template that cannot be used, and why. The others are not affected.
#[derive(Debug)]
pub struct Broken {
    pub name: String,
    pub problem: Problem,
}

impl TemplateLibrary {
    /// Where two folders hold a template of one name, the later folder's is it.
    pub fn new(dirs: Vec<PathBuf>) -> Self {
        Self { dirs }
    }

    /// All templates, by name. Reads files; a broken one is listed as such.
    pub fn list(&self) -> Vec<Result<Template, Broken>> {
        let mut found = BTreeMap::new();
        for dir in &self.dirs {
            for path in template_dirs(dir) {
                if let Some(name) = path.file_name().and_then(|name| name.to_str()) {
                    found.insert(name.to_owned(), path.clone());
                }
            }
        }
        found
            .into_iter()
            .map(|(name, path)| {
                Template::read(&path)
                    .map_err(|error| Broken { problem: broken(&name, &error), name })
            })
            .collect()
    }

    /// The template `name`. Reads a file.
    pub fn get(&self, name: &str) -> Result<Template, Problem> {
        // A name is a path component from here on.
        let places = self.dirs.iter().rev().filter(|_| is_template_name(name));
        for place in places.map(|dir| dir.join(name)) {
            if fs::symlink_metadata(place.join(FILE_NAME)).is_ok() {
                return Template::read(&place).map_err(|error| broken(name, &error));
            }
        }
        let shown: String = name.chars().take(80).collect();
        let known: Vec<String> = self
            .list()
            .into_iter()
            .map(|entry| entry.map_or_else(|broken| broken.name, |template| template.name))
            .collect();
        let suggestion = did_you_mean(&shown, known.iter().map(String::as_str));
        let hint = match known.is_empty() {
            false => format!("There are {}.", known.join(", ")),
            true => {
                let dirs: Vec<_> = self.dirs.iter().map(|dir| dir.display().to_string()).collect();
                format!("There are none in {}.", dirs.join(", "))
            }
        };
        Err(Problem::not_found(
            "NO_SUCH_TEMPLATE",
            format!("there is no template {shown:?}{suggestion}"),
        )
        .object(format!("template {shown}"))
        .hint(hint))
    }
}

fn broken(name: &str, error: &TemplateError) -> Problem {
    Problem::from_error(
        ProblemKind::FailedPrecondition,
        "BROKEN_TEMPLATE",
        format!("the template {name} cannot be used"),
        error,
    )
    .object(format!("template {name}"))
    .hint("Correct its manifest; xlfsd reads it anew each time.")
}

/// Folders with a manifest. A folder of templates that does not exist has none.
fn template_dirs(dir: &Path) -> Vec<PathBuf> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) => {
            if error.kind() != std::io::ErrorKind::NotFound {
                tracing::warn!(dir = %dir.display(), %error, "templates cannot be read");
            }
            return Vec::new();
        }
    };
    entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| fs::symlink_metadata(path.join(FILE_NAME)).is_ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(dir: &Path, name: &str, summary: &str) {
        fs::create_dir_all(dir.join(name)).unwrap();
        let text = format!(
            "name = {name:?}\nversion = '1'\nsummary = {summary:?}\n[image]\nkernel = 'k'\n"
        );
        fs::write(dir.join(name).join(FILE_NAME), text).unwrap();
    }

    fn library() -> (tempfile::TempDir, TemplateLibrary) {
        let root = tempfile::tempdir().unwrap();
        let dirs = ["shipped", "absent", "local"].map(|name| root.path().join(name));
        write(&dirs[0], "dns", "shipped");
        write(&dirs[0], "mail", "shipped");
        write(&dirs[2], "mail", "local");
        write(&dirs[2], "lapp", "local");
        fs::write(dirs[2].join("lapp").join(FILE_NAME), "nme = 1").unwrap();
        fs::create_dir(dirs[2].join("no-manifest")).unwrap();
        (root, TemplateLibrary::new(dirs.to_vec()))
    }

    #[test]
    fn later_folders_win_and_a_broken_template_hurts_no_other() {
        let (_root, library) = library();
        let seen: Vec<_> = library
            .list()
            .into_iter()
            .map(|entry| match entry {
                Ok(template) => format!("{} {}", template.name, template.summary),
                Err(broken) => format!("{} {}", broken.name, broken.problem.reason),
            })
            .collect();
        assert_eq!(seen, ["dns shipped", "lapp BROKEN_TEMPLATE", "mail local"]);
        assert_eq!(library.get("mail").unwrap().summary, "local");
        let problem = library.get("lapp").unwrap_err();
        assert!(problem.causes[0].contains("unknown key \"nme\""), "{problem:#}");
    }

    #[test]
    fn a_name_is_no_path_and_a_wrong_one_gets_a_suggestion() {
        let (root, library) = library();
        write(root.path(), "outside", "not a template of the library");
        for name in ["../outside", "", ".", "no-manifest", "MAIL"] {
            assert_eq!(library.get(name).unwrap_err().reason, "NO_SUCH_TEMPLATE", "{name}");
        }
        let problem = library.get("mial").unwrap_err();
        assert_eq!(problem.message, "there is no template \"mial\" (did you mean \"mail\"?)");
        assert_eq!(problem.hint.as_deref(), Some("There are dns, lapp, mail."));
    }
}

//! What the words of a recipe must fulfil, beyond their syntax: names exist,
//! paths stay inside, licences are SPDX expressions. Every mistake of a set is
//! found in one go.

mod artifact;
mod image;

use std::path::PathBuf;

use super::fragment::{self, FragmentError};
use super::lock::{Lock, Place};
use super::package::{OutputPatterns, Package, Permission, Rest};
use super::reference::{Reference, is_name};
use super::set::RecipeSet;
use super::text::TextError;
use crate::pattern;
use xlfs_mistakes::suggest::did_you_mean;

/// A mistake in a recipe.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// The file cannot be read, or is not what the format asks for.
    #[error(transparent)]
    Text(#[from] TextError),
    /// A file is not named as what is in it.
    #[error("{}: name is {name:?}, but the file is called {expected:?}", path.display())]
    WrongName {
        /// The file.
        path: PathBuf,
        /// What stands in it.
        name: String,
        /// What it is called.
        expected: String,
    },
    /// A kernel configuration fragment makes no sense.
    #[error("{}", path.display())]
    Fragment {
        /// The fragment.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: FragmentError,
    },
    /// A value is not allowed.
    #[error("{of}: {key} = {value:?}: {reason}")]
    Value {
        /// The package or image.
        of: String,
        /// The key.
        key: String,
        /// What stands there.
        value: String,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
    /// A name that does not exist.
    #[error("{of}: {key}: there is no {what} {name:?}{suggestion}")]
    Unknown {
        /// The package or image.
        of: String,
        /// The key.
        key: String,
        /// Kind of what is missing.
        what: &'static str,
        /// The name.
        name: String,
        /// `(did you mean ...?)`, or empty.
        suggestion: String,
    },
}

fn value(of: &str, key: &str, value: &str, reason: impl Into<String>) -> RecipeError {
    let (of, key, value) = (of.to_owned(), key.to_owned(), value.to_owned());
    RecipeError::Value { of, key, value, reason: reason.into() }
}

fn unknown<'a>(
    of: &str,
    key: &str,
    what: &'static str,
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> RecipeError {
    let suggestion = did_you_mean(name, known);
    let (of, key, name) = (of.to_owned(), key.to_owned(), name.to_owned());
    RecipeError::Unknown { of, key, what, name, suggestion }
}

/// Holds `set.toml` against itself.
pub(super) fn set_file(set: &RecipeSet) -> Result<(), RecipeError> {
    let file = &set.file;
    let known = || file.toolchains.keys().map(String::as_str);
    let folder = set.folder.canonicalize().unwrap_or_else(|_| set.folder.clone());
    if folder.file_name().is_some_and(|name| *name != *file.name) {
        let reason = "is not what the folder is called";
        return Err(value("set.toml", "name", &file.name, reason));
    }
    if !file.toolchains.contains_key(&file.toolchain) {
        return Err(unknown("set.toml", "toolchain", "toolchain", &file.toolchain, known()));
    }
    for (name, toolchain) in &file.toolchains {
        let of = format!("toolchains.{name}");
        if !is_name(name) {
            return Err(value("set.toml", &of, name, NAME_RULE));
        }
        let mut on = toolchain.on.as_deref();
        let mut depth = 0;
        while let Some(other) = on {
            let below = file.toolchains.get(other);
            let below = below.ok_or_else(|| unknown(&of, "on", "toolchain", other, known()))?;
            on = below.on.as_deref();
            depth += 1;
            if depth > file.toolchains.len() {
                return Err(value(&of, "on", other, "leads back to itself"));
            }
        }
    }
    let mut wrong = Vec::new();
    outputs("set.toml", &file.outputs, &mut wrong);
    wrong.into_iter().next().map_or(Ok(()), Err)
}

/// Holds `sources.lock` against itself.
pub(super) fn lock(lock: &Lock) -> Result<(), RecipeError> {
    let mut seen = std::collections::BTreeSet::new();
    for source in &lock.source {
        let of = "sources.lock";
        if !seen.insert(&source.file) {
            return Err(value(of, "file", &source.file, "stands there twice"));
        }
        if source.file.is_empty() || source.file.contains('/') || source.file.starts_with('.') {
            return Err(value(of, "file", &source.file, "must be the plain name of a file"));
        }
        let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        if source.sha256.len() != 64 || !source.sha256.chars().all(hex) {
            let reason = "must be 64 lower-case hexadecimal digits";
            return Err(value(&source.file, "sha256", &source.sha256, reason));
        }
        for place in &source.places {
            if let Place::Url(url) = place
                && !url.url.starts_with("https://")
                && !url.url.starts_with("http://")
            {
                return Err(value(&source.file, "url", &url.url, "must be http or https"));
            }
        }
    }
    Ok(())
}

/// Holds packages and images against the set; what is wrong is noted in it.
pub(super) fn all(set: &mut RecipeSet) {
    let mut wrong = Vec::new();
    for (name, package) in &set.packages {
        let mut found = Vec::new();
        check_package(set, package, &mut found);
        wrong.extend(found.into_iter().map(|error| (name.clone(), error)));
    }
    for (name, image) in &set.images {
        let mut found = Vec::new();
        image::check(set, image, &mut found);
        if set.packages.contains_key(name) {
            found.push(value(name, "name", name, "is the name of a package, too"));
        }
        wrong.extend(found.into_iter().map(|error| (name.clone(), error)));
    }
    for (name, toolchain) in &set.file.toolchains {
        let of = format!("toolchains.{name}");
        let mut found = Vec::new();
        references(set, &of, "packages", &toolchain.packages, &mut found);
        let instead: Vec<_> = toolchain.instead.values().cloned().collect();
        references(set, &of, "instead", &instead, &mut found);
        wrong.extend(found.into_iter().map(|error| (of.clone(), error)));
    }
    for (name, error) in wrong {
        set.problem(name, error);
    }
}

const NAME_RULE: &str = "must be lower-case letters, digits, '+', '-', '.' and '_', at most 64";

fn check_package(set: &RecipeSet, package: &Package, wrong: &mut Vec<RecipeError>) {
    let of = package.name.as_str();
    if !is_name(of) {
        wrong.push(value(of, "name", of, NAME_RULE));
    }
    if package.version.is_empty() || package.version.contains(['/', ' ', '\n']) {
        wrong.push(value(of, "version", &package.version, "must be a version"));
    }
    for (key, text) in [("summary", &package.summary), ("why", &package.why)] {
        if text.trim().is_empty() || (key == "summary" && text.trim().contains('\n')) {
            wrong.push(value(of, key, text, "must say something (summary: in one line)"));
        }
    }
    licence(of, "licence", &package.licence, wrong);
    if let Some(name) = &package.toolchain
        && !set.file.toolchains.contains_key(name)
    {
        let known = set.file.toolchains.keys().map(String::as_str);
        wrong.push(unknown(of, "toolchain", "toolchain", name, known));
    }
    if package.deadline == 0 {
        wrong.push(value(of, "deadline", "0", "must be at least one second"));
    }
    for source in &package.source {
        if !set.sources.contains_key(&source.file) {
            let known = set.sources.keys().map(String::as_str);
            wrong.push(unknown(of, "source", "file in sources.lock", &source.file, known));
        }
        if let Some(into) = &source.into {
            relative(of, "source.into", into, wrong);
        }
    }
    let files = set.files_of(of);
    for patch in &package.patches {
        relative(of, "patches", patch, wrong);
        if !files.join(patch).is_file() {
            wrong.push(value(of, "patches", patch, format!("is not in {}", files.display())));
        }
    }
    references(set, of, "depends.build", &package.depends.build, wrong);
    references(set, of, "depends.run", &package.depends.run, wrong);
    if package.depends.build.iter().any(|entry| entry.split(':').next() == Some(of)) {
        wrong.push(value(of, "depends.build", of, "is this package itself"));
    }
    outputs(of, &package.outputs, wrong);
    permissions(of, &package.permission, wrong);
    for name in package.env.keys() {
        if !is_variable(name) {
            wrong.push(value(
                of,
                "env",
                name,
                "is no name of a variable, or one of the builder's own",
            ));
        }
    }
    if let Some(kernel) = &package.kernel {
        // Kconfig's modes that read KCONFIG_ALLCONFIG; tinyconfig has one of its own.
        let alike = ["allnoconfig", "allyesconfig", "allmodconfig", "alldefconfig"];
        if kernel.rest == Rest::Base && !alike.contains(&kernel.base.as_str()) {
            let reason = format!("needs one of these bases: {}", alike.join(", "));
            wrong.push(value(of, "kernel.rest", "base", reason));
        }
        let mut all = Vec::new();
        for name in &kernel.fragments {
            match set.fragments.get(name) {
                Some((_, settings)) => all.push((name.as_str(), settings.as_slice())),
                None => {
                    let known = set.fragments.keys().map(String::as_str);
                    wrong.push(unknown(of, "kernel.fragments", "fragment", name, known));
                }
            }
        }
        if let Err((name, source)) = fragment::agree(all) {
            let path = set.folder.join("kernel").join(format!("{name}.config"));
            wrong.push(RecipeError::Fragment { path, source });
        }
    }
}

fn licence(of: &str, key: &str, text: &str, wrong: &mut Vec<RecipeError>) {
    if let Err(error) = spdx::Expression::parse(text) {
        let reason = format!("is no SPDX expression ({})", error.reason);
        wrong.push(value(of, key, text, reason));
    }
}

fn references(
    set: &RecipeSet,
    of: &str,
    key: &str,
    entries: &[String],
    wrong: &mut Vec<RecipeError>,
) {
    for entry in entries {
        let Some(reference) = Reference::parse(entry) else {
            wrong.push(value(of, key, entry, "must be a package or package:output"));
            continue;
        };
        let Some(package) = set.packages.get(&reference.package) else {
            // A recipe that cannot be read has problems of its own.
            if !set.problems.contains_key(&reference.package) {
                let known = set.packages.keys().map(String::as_str);
                wrong.push(unknown(of, key, "package", &reference.package, known));
            }
            continue;
        };
        if let Some(output) = &reference.output
            && !set.outputs_of(package).any(|known| known == output)
        {
            let known: Vec<_> = set.outputs_of(package).collect();
            wrong.push(unknown(of, key, "output", entry, known));
        }
    }
}

fn outputs(of: &str, table: &OutputPatterns, wrong: &mut Vec<RecipeError>) {
    for (name, list) in table {
        if !is_name(name) {
            wrong.push(value(of, "outputs", name, NAME_RULE));
        }
        patterns(of, &format!("outputs.{name}"), list, wrong);
    }
}

fn patterns(of: &str, key: &str, list: &[String], wrong: &mut Vec<RecipeError>) {
    for text in list {
        if text.starts_with('/') {
            wrong.push(value(of, key, text, "must not begin with a slash"));
        } else if let Err(error) = pattern::Patterns::new(std::slice::from_ref(text)) {
            wrong.push(value(of, key, text, error.to_string()));
        }
    }
}

fn permissions(of: &str, list: &[Permission], wrong: &mut Vec<RecipeError>) {
    for item in list {
        relative(of, "permission.path", &item.path, wrong);
        mode_and_owner(of, "permission", item.mode.as_deref(), item.owner.as_deref(), wrong);
        if item.mode.is_none() && item.owner.is_none() {
            wrong.push(value(of, "permission", &item.path, "needs a mode or an owner"));
        }
    }
}

fn mode_and_owner(
    of: &str,
    key: &str,
    mode: Option<&str>,
    owner: Option<&str>,
    wrong: &mut Vec<RecipeError>,
) {
    if let Some(mode) = mode
        && parse_mode(mode).is_none()
    {
        wrong.push(value(of, &format!("{key}.mode"), mode, "must be octal, like \"0755\""));
    }
    if let Some(owner) = owner
        && parse_owner(owner).is_none()
    {
        let reason = "must be \"uid:gid\" in numbers";
        wrong.push(value(of, &format!("{key}.owner"), owner, reason));
    }
}

fn relative(of: &str, key: &str, path: &str, wrong: &mut Vec<RecipeError>) {
    let fine = |part: &str| !part.is_empty() && part != "." && part != "..";
    if !path.split('/').all(fine) || path.contains('\0') {
        let reason = "must be a path without a leading or trailing slash, \".\" and \"..\"";
        wrong.push(value(of, key, path, reason));
    }
}

fn is_variable(name: &str) -> bool {
    let own = ["SRC", "BUILD", "OUT", "SOURCES", "FILES", "JOBS", "MAKEFLAGS", "SOURCE_DATE_EPOCH"];
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(first) && name.chars().all(inner) && !own.contains(&name)
}

/// `"4755"` as a mode.
pub(crate) fn parse_mode(text: &str) -> Option<u32> {
    let digits = text.len() >= 3 && text.len() <= 5;
    u32::from_str_radix(text, 8).ok().filter(|mode| digits && *mode <= 0o7777)
}

/// `"0:42"` as user and group.
pub(crate) fn parse_owner(text: &str) -> Option<(u32, u32)> {
    let (user, group) = text.split_once(':')?;
    Some((user.parse().ok()?, group.parse().ok()?))
}

/// `"64M"` in bytes; K, M and G are powers of 1024.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let (digits, shift) = match text.as_bytes().last()? {
        b'K' => (text.get(..text.len() - 1)?, 10),
        b'M' => (text.get(..text.len() - 1)?, 20),
        b'G' => (text.get(..text.len() - 1)?, 30),
        _ => (text, 0),
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift).filter(|size| *size > 0)
}

//! A release set: the folder of recipes, read whole. A recipe with a mistake is
//! set aside with its problems and does not keep the others from being built.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::check::{self, RecipeError};
use super::fragment::{self, Setting};
use super::image::Image;
use super::lock::{Lock, LockedSource};
use super::package::Package;
use super::set_file::SetFile;
use super::text::{self, TextError};

/// Why there is no set at all.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The folder cannot be listed.
    #[error("cannot read the release set {}", path.display())]
    List {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// `set.toml` or `sources.lock` makes no sense.
    #[error("the release set {} cannot be used", path.display())]
    Text {
        /// The folder.
        path: PathBuf,
        /// The mistake.
        #[source]
        source: TextError,
    },
    /// `set.toml` or `sources.lock` contradicts itself.
    #[error("the release set {} cannot be used", path.display())]
    Check {
        /// The folder.
        path: PathBuf,
        /// The mistake.
        #[source]
        source: Box<RecipeError>,
    },
}

/// A folder of recipes that fit together.
#[derive(Debug)]
pub struct RecipeSet {
    /// Where it stands.
    pub folder: PathBuf,
    /// What holds for all of it.
    pub file: SetFile,
    /// By name; those with problems included, unless they cannot be read at all.
    pub packages: BTreeMap<String, Package>,
    /// By name.
    pub images: BTreeMap<String, Image>,
    /// By file name.
    pub sources: BTreeMap<String, LockedSource>,
    /// Kernel configuration fragments, by name: the text and what it sets.
    pub fragments: BTreeMap<String, (String, Vec<Setting>)>,
    /// Mistakes, by the name of what must not be built because of them.
    pub problems: BTreeMap<String, Vec<RecipeError>>,
}

impl RecipeSet {
    /// Reads and checks the set in `folder`.
    pub fn load(folder: &Path) -> Result<Self, LoadError> {
        let wrap = |source| LoadError::Text { path: folder.to_owned(), source };
        let path = folder.join("set.toml");
        let file: SetFile =
            text::read_text(&path).and_then(|text| text::parse(&path, &text)).map_err(wrap)?;
        let path = folder.join("sources.lock");
        let lock: Lock = if path.exists() {
            text::read_text(&path).and_then(|text| text::parse(&path, &text)).map_err(wrap)?
        } else {
            Lock::default()
        };
        let mut set = Self {
            folder: folder.to_owned(),
            file,
            packages: BTreeMap::new(),
            images: BTreeMap::new(),
            sources: BTreeMap::new(),
            fragments: BTreeMap::new(),
            problems: BTreeMap::new(),
        };
        check::set_file(&set).and_then(|()| check::lock(&lock)).map_err(|source| {
            LoadError::Check { path: folder.to_owned(), source: Box::new(source) }
        })?;
        set.sources = lock.source.into_iter().map(|one| (one.file.clone(), one)).collect();
        set.read_fragments()?;
        set.read_packages()?;
        set.read_images()?;
        check::all(&mut set);
        Ok(set)
    }

    /// The package's own folder of patches and files; it need not exist.
    pub fn files_of(&self, package: &str) -> PathBuf {
        self.folder.join(package)
    }

    /// The names of a package's outputs: its own, the set's, and `run`.
    pub fn outputs_of<'a>(&'a self, package: &'a Package) -> impl Iterator<Item = &'a str> {
        let own = package.outputs.keys();
        let common = self.file.outputs.keys().filter(|name| !package.outputs.contains_key(*name));
        own.chain(common).map(String::as_str).filter(|name| *name != "run").chain(["run"])
    }

    fn read_packages(&mut self) -> Result<(), LoadError> {
        for (stem, path) in list(&self.folder, "toml")? {
            if stem == "set" {
                continue;
            }
            match text::read_text(&path).and_then(|text| text::parse::<Package>(&path, &text)) {
                Ok(package) if package.name == stem => drop(self.packages.insert(stem, package)),
                Ok(package) => {
                    let error =
                        RecipeError::WrongName { path, name: package.name, expected: stem.clone() };
                    self.problem(stem, error);
                }
                Err(source) => self.problem(stem, source.into()),
            }
        }
        Ok(())
    }

    fn read_images(&mut self) -> Result<(), LoadError> {
        let folder = self.folder.join("images");
        if !folder.is_dir() {
            return Ok(());
        }
        for (stem, path) in list(&folder, "toml")? {
            match text::read_text(&path).and_then(|text| text::parse::<Image>(&path, &text)) {
                Ok(image) if image.name == stem => drop(self.images.insert(stem, image)),
                Ok(image) => {
                    let error =
                        RecipeError::WrongName { path, name: image.name, expected: stem.clone() };
                    self.problem(stem, error);
                }
                Err(source) => self.problem(stem, source.into()),
            }
        }
        Ok(())
    }

    fn read_fragments(&mut self) -> Result<(), LoadError> {
        let folder = self.folder.join("kernel");
        if !folder.is_dir() {
            return Ok(());
        }
        for (stem, path) in list(&folder, "config")? {
            let text = match text::read_text(&path) {
                Ok(text) => text,
                Err(source) => {
                    self.problem(format!("kernel/{stem}"), source.into());
                    continue;
                }
            };
            match fragment::parse(&text) {
                Ok(settings) => drop(self.fragments.insert(stem, (text, settings))),
                Err(source) => {
                    self.problem(format!("kernel/{stem}"), RecipeError::Fragment { path, source });
                }
            }
        }
        Ok(())
    }

    pub(crate) fn problem(&mut self, name: String, error: RecipeError) {
        self.problems.entry(name).or_default().push(error);
    }
}

/// Files of the folder with this extension, sorted: name without it, and path.
fn list(folder: &Path, extension: &str) -> Result<Vec<(String, PathBuf)>, LoadError> {
    let wrap = |source| LoadError::List { path: folder.to_owned(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(wrap)? {
        let path = entry.map_err(wrap)?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned);
        if let (Some(stem), true) = (stem, path.extension().is_some_and(|it| it == extension)) {
            found.push((stem, path));
        }
    }
    found.sort();
    Ok(found)
}

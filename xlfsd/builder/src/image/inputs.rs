//! Local inputs: files that the one who builds gives to an image (`input =` of a
//! file table), because no recipe makes them. Names are held against what the
//! images ask for before anything is built; contents go into the store when the
//! build starts, so that a file that changes meanwhile changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use xlfs_mistakes::suggest::did_you_mean;

use crate::digest::Digest;
use crate::durable::FileError;
use crate::recipe::RecipeSet;
use crate::store::{Store, StoreError};

/// Inputs by name: their contents in the store.
pub type Inputs = BTreeMap<String, Digest>;

/// An input that an image asks for and nobody gave.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MissingInput {
    /// The image.
    pub image: String,
    /// The input's name.
    pub input: String,
}

/// Why the given files do not do.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// One or more are missing.
    #[error("{}", told(list))]
    Missing {
        /// All of them.
        list: Vec<MissingInput>,
    },
    /// One is too much.
    #[error("no image of this build asks for an input {name:?}{suggestion}")]
    Unknown {
        /// As it was called.
        name: String,
        /// `(did you mean ...?)`, or empty.
        suggestion: String,
    },
    /// A file cannot be read.
    #[error("the input {name:?} cannot be used")]
    Read {
        /// The input.
        name: String,
        /// The system's reason.
        #[source]
        source: FileError,
    },
    /// It is a folder, a pipe or a device.
    #[error("the input {name:?} cannot be used: {} is no plain file", path.display())]
    NotAFile {
        /// The input.
        name: String,
        /// What was given.
        path: PathBuf,
    },
    /// The store does not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is missing, and what to do about it.
fn told(list: &[MissingInput]) -> String {
    let names: BTreeSet<&str> = list.iter().map(|it| it.input.as_str()).collect();
    let images: BTreeSet<&str> = list.iter().map(|it| it.image.as_str()).collect();
    let images = images.into_iter().collect::<Vec<_>>().join(" and ");
    let options: Vec<String> = names.iter().map(|name| format!("--input {name}=FILE")).collect();
    let names = names.into_iter().collect::<Vec<_>>().join(" and ");
    let options = options.join(" ");
    format!("{images} takes {names} from who builds it, which was not given: add {options}")
}

/// The inputs that these targets ask for, each with the images that do.
pub(crate) fn wanted(set: &RecipeSet, targets: &[String]) -> BTreeSet<MissingInput> {
    let images = targets.iter().filter_map(|name| set.images.get(name));
    let inputs = images.flat_map(|image| {
        let inputs = image.file.iter().filter_map(|file| file.input.clone());
        inputs.map(|input| MissingInput { image: image.name.clone(), input })
    });
    inputs.collect()
}

/// What is missing of `given`. A name that nobody asks for, and a file that
/// cannot be read, are errors.
pub(crate) fn missing(
    set: &RecipeSet,
    targets: &[String],
    given: &BTreeMap<String, PathBuf>,
) -> Result<Vec<MissingInput>, InputError> {
    let wanted = wanted(set, targets);
    for (name, path) in given {
        if !wanted.iter().any(|it| it.input == *name) {
            let known = wanted.iter().map(|it| it.input.as_str());
            let suggestion = did_you_mean(name, known);
            return Err(InputError::Unknown { name: name.clone(), suggestion });
        }
        readable(name, path)?;
    }
    Ok(wanted.into_iter().filter(|it| !given.contains_key(&it.input)).collect())
}

fn readable(name: &str, path: &Path) -> Result<(), InputError> {
    let wrap = |error| {
        let (name, source) = (name.to_owned(), FileError::at("read", path)(error));
        InputError::Read { name, source }
    };
    // Looked at first: to open a pipe would wait for somebody to write into it.
    if !std::fs::metadata(path).map_err(wrap)?.is_file() {
        return Err(InputError::NotAFile { name: name.to_owned(), path: path.to_owned() });
    }
    File::open(path).map(drop).map_err(wrap)
}

/// Takes the given files into the store. All that is asked for must be there.
pub(crate) fn take(
    store: &Store,
    set: &RecipeSet,
    targets: &[String],
    given: &BTreeMap<String, PathBuf>,
) -> Result<Inputs, InputError> {
    let list = missing(set, targets, given)?;
    if !list.is_empty() {
        return Err(InputError::Missing { list });
    }
    let taken =
        |(name, path): (&String, &PathBuf)| Ok((name.clone(), store.copy_file(path, false)?));
    given.iter().map(taken).collect()
}

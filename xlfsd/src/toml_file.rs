//! TOML files that people write: the configuration and the template manifests.
//! A key that is not known is an error that names the file, the line, the key
//! and the nearest known one, because a silently ignored key is a setting that
//! somebody believes to be in force.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use xlfs_mistakes::toml::{self, Mistake};

/// Larger files are a mistake, not a manifest.
const MAX_BYTES: u64 = 256 << 10;

/// Why a file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum TomlFileError {
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is larger than {} KiB", path.display(), MAX_BYTES >> 10)]
    TooLarge { path: PathBuf },
    #[error("{}:{line}: {message}", path.display())]
    Syntax { path: PathBuf, line: usize, message: String },
}

impl TomlFileError {
    /// Whether there is no such file.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Reads `path` as a `T`, which must refuse unknown keys (`deny_unknown_fields`).
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<T, TomlFileError> {
    let read_error = |source| TomlFileError::Read { path: path.to_owned(), source };
    let mut text = String::new();
    let file = File::open(path).map_err(read_error)?;
    file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(read_error)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(TomlFileError::TooLarge { path: path.to_owned() });
    }
    parse(path, &text)
}

/// As [`read`], from text that is at hand; `path` only names it in errors.
pub fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, TomlFileError> {
    toml::parse(text).map_err(|Mistake { line, message, .. }| TomlFileError::Syntax {
        path: path.to_owned(),
        line,
        message,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Sample {
        name: String,
        limits: Option<Limits>,
        colour: Option<Colour>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Limits {
        connections: Option<u32>,
        kernel: Option<u32>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Colour {
        Red,
        Green,
    }

    fn error(text: &str) -> String {
        parse::<Sample>(Path::new("a.toml"), text).unwrap_err().to_string()
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_the_nearest_known_one() {
        assert_eq!(
            error("name = 'x'\n\n[limits]\nconnection = 3\n"),
            "a.toml:4: unknown key \"connection\" (did you mean \"connections\"?); \
             known are connections, kernel"
        );
        assert_eq!(
            error("name = 'x'\ncolour = 'gren'\n"),
            "a.toml:2: unknown value \"gren\" (did you mean \"green\"?); known are red, green"
        );
    }

    #[test]
    fn other_mistakes_name_their_line() {
        assert!(error("name = 'x'\nname = 'y'\n").starts_with("a.toml:2: duplicate key"));
        assert!(error("name = \n").starts_with("a.toml:1: "));
        assert!(error("").starts_with("a.toml:1: missing field `name`"));
    }

    #[test]
    fn a_huge_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("huge.toml");
        std::fs::write(&path, vec![b'#'; MAX_BYTES as usize + 1]).unwrap();
        assert!(matches!(read::<Sample>(&path), Err(TomlFileError::TooLarge { .. })));
        assert!(read::<Sample>(&dir.path().join("none")).unwrap_err().is_not_found());
    }
}

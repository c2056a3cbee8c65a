//! Reading TOML that people write: every mistake is named with file, line and
//! column, and an unknown key with the nearest one that exists.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use xlfs_mistakes::toml::{self, Mistake};

/// Larger files are a mistake, not a recipe. A lock file of a big set has some 100 KiB.
const MAX_BYTES: u64 = 4 << 20;

/// Why a file of a release set cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Nobody writes files of this size by hand.
    #[error("{} is larger than {} MiB", path.display(), MAX_BYTES >> 20)]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It is not what the format asks for.
    #[error("{}:{line}:{column}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// In characters, counted from 1.
        column: usize,
        /// What is wrong there.
        message: String,
    },
}

/// Reads a text file of sane size.
pub(crate) fn read_text(path: &Path) -> Result<String, TextError> {
    let read_error = |source| TextError::Read { path: path.to_owned(), source };
    let mut text = String::new();
    let file = File::open(path).map_err(read_error)?;
    file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(read_error)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(TextError::TooLarge { path: path.to_owned() });
    }
    Ok(text)
}

/// Reads text as a `T`, which must refuse unknown keys (`deny_unknown_fields`);
/// `path` only names it in errors.
pub(crate) fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, TextError> {
    toml::parse(text).map_err(|Mistake { line, column, message }| TextError::Syntax {
        path: path.to_owned(),
        line,
        column,
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
        steps: Option<Steps>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Steps {
        configure: Option<String>,
        install: Option<String>,
    }

    fn error(text: &str) -> String {
        parse::<Sample>(Path::new("a.toml"), text).unwrap_err().to_string()
    }

    #[test]
    fn a_mistake_is_named_with_line_column_and_suggestion() {
        assert_eq!(
            error("name = 'x'\n\n[steps]\n  confgure = 'a'\n"),
            "a.toml:4:3: unknown key \"confgure\" (did you mean \"configure\"?); \
             known are configure, install"
        );
        assert!(
            error("name = 'é' 3\n").starts_with("a.toml:1:12: "),
            "{}",
            error("name = 'é' 3\n")
        );
        assert!(error("name = 'x'\nname = 'y'\n").starts_with("a.toml:2:1: duplicate key"));
        assert!(error("").starts_with("a.toml:1:1: missing field `name`"));
    }

    #[test]
    fn a_huge_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("huge.toml");
        std::fs::write(&path, vec![b'#'; MAX_BYTES as usize + 1]).unwrap();
        assert!(matches!(read_text(&path), Err(TextError::TooLarge { .. })));
    }
}

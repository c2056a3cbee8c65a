//! Where in a file a mistake stands that was found after reading: a name that does
//! not exist, a value that is not allowed. What is looked for is the value as it
//! is written, behind its key; a mistake that is not found so is told without a line.

use std::fs;
use std::path::{Path, PathBuf};

use super::check::RecipeError;
use super::fragment::FragmentError;
use super::set::RecipeSet;
use super::text::TextError;

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The file.
    pub path: PathBuf,
    /// Line and column (in characters), counted from 1.
    pub at: Option<(usize, usize)>,
}

/// Where the mistake stands; none if no file is to blame.
pub fn locate(set: &RecipeSet, error: &RecipeError) -> Option<Location> {
    locate_in(&set.folder, error)
}

/// As [`locate`], of a set that could not be read.
pub fn locate_in(folder: &Path, error: &RecipeError) -> Option<Location> {
    match error {
        RecipeError::Text(error) => Some(of_text(error)),
        RecipeError::WrongName { path, name, .. } => Some(search(path.clone(), "name", name)),
        RecipeError::Fragment { path, source } => {
            let line = match source {
                FragmentError::NotAnOption { line, .. } | FragmentError::NoReason { line, .. } => {
                    Some((*line, 1))
                }
                _ => None,
            };
            Some(Location { path: path.clone(), at: line })
        }
        RecipeError::Value { of, key, value, .. } => Some(search(file(folder, of)?, key, value)),
        RecipeError::Unknown { of, key, name, .. } => Some(search(file(folder, of)?, key, name)),
    }
}

/// Where a mistake of the format stands.
pub fn of_text(error: &TextError) -> Location {
    match error {
        TextError::Read { path, .. } | TextError::TooLarge { path } => {
            Location { path: path.clone(), at: None }
        }
        TextError::Syntax { path, line, column, .. } => {
            Location { path: path.clone(), at: Some((*line, *column)) }
        }
    }
}

/// The file that is about this package, image, or part of the set.
fn file(folder: &Path, of: &str) -> Option<PathBuf> {
    if of == "set.toml" || of.starts_with("toolchains.") {
        return Some(folder.join("set.toml"));
    }
    let package = folder.join(format!("{of}.toml"));
    let image = folder.join("images").join(format!("{of}.toml"));
    // Entries of the lock go by the names of their files.
    let lock = folder.join("sources.lock");
    [package, image, lock].into_iter().find(|path| path.is_file())
}

fn search(path: PathBuf, key: &str, value: &str) -> Location {
    let text = fs::read_to_string(&path).unwrap_or_default();
    let at = find(&text, key, value);
    Location { path, at }
}

/// The value in quotes behind its key or, failing that, the key.
fn find(text: &str, key: &str, value: &str) -> Option<(usize, usize)> {
    let last = key.rsplit('.').next().unwrap_or(key);
    let lines: Vec<(usize, &str)> = (1..).zip(text.lines()).collect();
    let is_key = |line: &str| {
        let line = line.trim_start().trim_start_matches('[');
        let rest = line.strip_prefix(last).or_else(|| line.split_once(last).map(|it| it.1));
        !line.starts_with('#')
            && rest.is_some_and(|it| it.trim_start().starts_with(['=', ']', '.']))
    };
    let quoted = |line: &str| {
        let spellings = [
            format!("\"{value}\""),
            format!("'{value}'"),
            // A package with one of its outputs.
            format!("\"{value}:"),
            format!("{{ {value} ="),
        ];
        let at = spellings.iter().find_map(|it| line.find(it.as_str()))?;
        Some(line.get(..at)?.chars().count() + 1)
    };
    let first = lines.iter().position(|(_, line)| is_key(line)).unwrap_or_default();
    let behind = lines.iter().skip(first).chain(lines.iter().take(first));
    let mut found = behind.filter(|(_, line)| !line.trim_start().starts_with('#'));
    let place = found.find_map(|(number, line)| Some((*number, quoted(line)?)));
    place.or_else(|| {
        let (number, line) = lines.iter().find(|(_, line)| is_key(line))?;
        Some((*number, line.len() - line.trim_start().len() + 1))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "name = \"zlib\"\n# build = [\"glib\"]\n[depends]\n  build = [\n    \"gcc\",\n    \
                        \"glib\", \"make:dev\"]\nrun = [\"glib\"]\n[outputs]\ndev = [\"/usr\"]\n";

    #[test]
    fn a_value_is_found_behind_its_key() {
        assert_eq!(find(TEXT, "depends.build", "glib"), Some((6, 5)));
        assert_eq!(find(TEXT, "depends.run", "glib"), Some((7, 8)));
        assert_eq!(find(TEXT, "depends.build", "make"), Some((6, 13)));
        assert_eq!(find(TEXT, "outputs.dev", "/usr"), Some((9, 8)));
        assert_eq!(find(TEXT, "depends.run", "elsewhere"), Some((7, 1)));
        assert_eq!(find(TEXT, "patches", "elsewhere"), None);
    }
}

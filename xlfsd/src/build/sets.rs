//! The release sets of this host: folders with a `set.toml` in the configured
//! folders.

use std::collections::BTreeMap;
use std::path::PathBuf;

use xlfs_builder::recipe::RecipeSet;

use super::config::BuilderConfig;
use super::problem;
use crate::problem::Problem;

/// Where each set is, by its name.
pub(super) fn all(config: &BuilderConfig) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    for folder in &config.recipes {
        // A folder that is not there has no sets.
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if let (true, Some(name)) =
                (path.join("set.toml").is_file(), entry.file_name().to_str())
            {
                found.insert(name.to_owned(), path);
            }
        }
    }
    found
}

/// The set that is meant when none is named.
pub(super) fn default_name<'a>(
    config: &'a BuilderConfig,
    all: &'a BTreeMap<String, PathBuf>,
) -> Option<&'a str> {
    if !config.set.is_empty() {
        return Some(&config.set);
    }
    let mut names = all.keys();
    names.next().filter(|_| names.next().is_none()).map(String::as_str)
}

/// The name and folder of the set that a request means.
pub(super) fn choose(config: &BuilderConfig, asked: &str) -> Result<(String, PathBuf), Problem> {
    let all = all(config);
    let folders = || {
        let list: Vec<_> = config.recipes.iter().map(|it| it.display().to_string()).collect();
        list.join(", ")
    };
    if all.is_empty() {
        return Err(Problem::failed_precondition(
            "NO_RECIPES",
            format!("this host has no release set of recipes in {}", folders()),
        )
        .hint("Put one there (a folder with set.toml), or set builder.recipes in xlfsd.toml."));
    }
    let name = match asked {
        "" => default_name(config, &all),
        asked => Some(asked),
    };
    let names = || all.keys().cloned().collect::<Vec<_>>().join(", ");
    let Some(name) = name else {
        return Err(Problem::failed_precondition(
            "WHICH_SET",
            format!("this host has several release sets: {}", names()),
        )
        .hint("Name one (--set), or set builder.set in xlfsd.toml."));
    };
    match all.get(name) {
        Some(path) => Ok((name.to_owned(), path.clone())),
        None => Err(Problem::not_found(
            "NO_SUCH_SET",
            format!("there is no release set {:?} in {}", short(name), folders()),
        )
        .object(format!("set {}", short(name)))
        .hint(format!("There are: {}.", names()))),
    }
}

/// Reads a set.
pub(super) fn load(config: &BuilderConfig, asked: &str) -> Result<RecipeSet, Problem> {
    let (_, path) = choose(config, asked)?;
    RecipeSet::load(&path).map_err(|error| problem::of_set(&error))
}

/// A name as it came, for a message.
pub(super) fn short(name: &str) -> String {
    name.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(sets: &[&str]) -> (tempfile::TempDir, BuilderConfig) {
        let dir = tempfile::tempdir().unwrap();
        for set in sets {
            std::fs::create_dir_all(dir.path().join(set)).unwrap();
            std::fs::write(dir.path().join(set).join("set.toml"), "").unwrap();
        }
        let recipes = vec!["/nonexistent".into(), dir.path().to_owned()];
        (dir, BuilderConfig { recipes, ..BuilderConfig::default() })
    }

    #[test]
    fn a_set_is_the_only_one_or_named() {
        let (_dir, config) = host(&["12"]);
        assert_eq!(choose(&config, "").unwrap().0, "12");
        let problem = choose(&config, "13").unwrap_err();
        assert_eq!(problem.reason, "NO_SUCH_SET");
        assert_eq!(problem.hint.as_deref(), Some("There are: 12."));

        let (_dir, mut config) = host(&["12", "13"]);
        assert_eq!(choose(&config, "").unwrap_err().reason, "WHICH_SET");
        assert_eq!(choose(&config, "13").unwrap().0, "13");
        config.set = "12".to_owned();
        assert_eq!(choose(&config, "").unwrap().0, "12");

        let (_dir, config) = host(&[]);
        assert_eq!(choose(&config, "").unwrap_err().reason, "NO_RECIPES");
    }
}

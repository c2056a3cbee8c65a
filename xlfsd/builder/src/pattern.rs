//! Patterns over paths of a tree: `*` stays within one folder, `**` does not.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// A pattern that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the pattern cannot be read: {reason}")]
pub struct PatternError {
    /// What is wrong with it.
    reason: String,
}

/// A list of patterns.
#[derive(Debug, Clone)]
pub struct Patterns {
    set: GlobSet,
}

impl Patterns {
    /// Reads them.
    pub fn new(list: &[String]) -> Result<Self, PatternError> {
        let wrong = |error: globset::Error| PatternError { reason: error.kind().to_string() };
        let mut builder = GlobSetBuilder::new();
        for text in list {
            let glob = GlobBuilder::new(text).literal_separator(true).build().map_err(wrong)?;
            builder.add(glob);
        }
        Ok(Self { set: builder.build().map_err(wrong)? })
    }

    /// Whether one of them matches the path (without a leading slash).
    pub fn matches(&self, path: &str) -> bool {
        self.set.is_match(path)
    }

    /// Positions in the list of those that match.
    pub fn which(&self, path: &str) -> Vec<usize> {
        self.set.matches(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_star_stays_in_its_folder() {
        let list = ["usr/include/**", "usr/lib/*.{a,la}"].map(str::to_owned);
        let patterns = Patterns::new(&list).unwrap();
        for path in ["usr/include/x/y.h", "usr/lib/libz.a", "usr/lib/libz.la"] {
            assert!(patterns.matches(path), "{path}");
        }
        for path in ["usr/lib/x/libz.a", "usr/lib/libz.so", "usr/includes/x"] {
            assert!(!patterns.matches(path), "{path}");
        }
        assert!(Patterns::new(&["a[".to_owned()]).is_err());
    }
}

//! Entries of dependency lists: `package` or `package:output`.

use std::fmt;

/// A package, or one output of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// The package.
    pub package: String,
    /// The output; none: what the place where it stands takes by default.
    pub output: Option<String>,
}

impl Reference {
    /// Reads `package` or `package:output`; none for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let (package, output) = match text.split_once(':') {
            Some((package, output)) => (package, Some(output)),
            None => (text, None),
        };
        (is_name(package) && output.is_none_or(is_name))
            .then(|| Self { package: package.to_owned(), output: output.map(str::to_owned) })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.output {
            Some(output) => write!(f, "{}:{output}", self.package),
            None => f.write_str(&self.package),
        }
    }
}

/// Whether the text may name a package, an output, an image or a toolchain:
/// it becomes the name of a file and a word of a command line.
pub fn is_name(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-._".contains(c);
    let first = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.len() <= 64 && text.starts_with(first) && text.chars().all(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_and_written() {
        for text in ["zlib", "gtk+2.0", "zlib:dev"] {
            assert_eq!(Reference::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "Zlib", "../x", "a:", ":dev", "a:b:c", "-a", "a b"] {
            assert_eq!(Reference::parse(text), None, "{text}");
        }
    }
}

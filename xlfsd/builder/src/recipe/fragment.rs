//! Kernel configuration fragments: `CONFIG_X=y` lines, each run of them with its
//! reason above.

use std::collections::BTreeMap;
use std::fmt;

/// One option's wanted value: `y`, `m`, a number, a quoted text, or `n` for
/// "is not set".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// With its prefix `CONFIG_`.
    pub option: String,
    /// As it stands behind the equals sign.
    pub value: String,
    /// Counted from 1.
    pub line: usize,
}

/// What is wrong with a fragment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FragmentError {
    /// Neither an option, nor a comment, nor empty.
    #[error(
        "line {line}: {text:?} is neither CONFIG_X=value, nor \"# CONFIG_X is not set\", nor a comment"
    )]
    NotAnOption {
        /// Counted from 1.
        line: usize,
        /// The line.
        text: String,
    },
    /// Nothing says why.
    #[error("line {line}: no comment above says why {option} is set")]
    NoReason {
        /// Counted from 1.
        line: usize,
        /// The first of the run.
        option: String,
    },
    /// Two lines want different values.
    #[error("line {line}: {0}", line = .0.line)]
    Contradiction(Box<Contradiction>),
}

/// Two lines that want different values of an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    /// Of the second one, counted from 1.
    pub line: usize,
    /// The option.
    pub option: String,
    /// What this line wants.
    pub value: String,
    /// What the other wants.
    pub other: String,
    /// The other fragment; none: this one.
    pub of: Option<String>,
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { option, value, other, of, .. } = self;
        write!(f, "{option}={value} contradicts {option}={other}{}", place(of))
    }
}

fn place(of: &Option<String>) -> String {
    of.as_ref().map(|name| format!(" of the fragment {name:?}")).unwrap_or_default()
}

/// Reads a fragment.
pub fn parse(text: &str) -> Result<Vec<Setting>, FragmentError> {
    let mut settings: Vec<Setting> = Vec::new();
    let mut reason = false;
    for (line, text) in (1..).zip(text.lines()) {
        let text = text.trim();
        let unset = text.strip_prefix("# ").and_then(|rest| rest.strip_suffix(" is not set"));
        let pair = unset.map(|option| (option, "n")).or_else(|| text.split_once('='));
        match pair.filter(|(option, _)| is_option(option)) {
            Some((option, value)) if !value.is_empty() => {
                let (option, value) = (option.to_owned(), value.to_owned());
                if !reason {
                    return Err(FragmentError::NoReason { line, option });
                }
                if let Some(other) = settings.iter().find(|other| other.option == option) {
                    let other = other.value.clone();
                    let found = Contradiction { line, option, value, other, of: None };
                    return Err(FragmentError::Contradiction(Box::new(found)));
                }
                settings.push(Setting { option, value, line });
            }
            _ if text.is_empty() => reason = false,
            _ if text.starts_with('#') => reason |= text.trim_start_matches('#').trim().len() > 1,
            _ => return Err(FragmentError::NotAnOption { line, text: text.to_owned() }),
        }
    }
    Ok(settings)
}

/// Holds the fragments of one kernel against each other.
pub fn agree<'a>(
    fragments: impl IntoIterator<Item = (&'a str, &'a [Setting])>,
) -> Result<(), (String, FragmentError)> {
    let mut seen: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    for (name, settings) in fragments {
        for setting in settings {
            match seen.get(setting.option.as_str()) {
                Some((other, of)) if *other != setting.value => {
                    let found = Contradiction {
                        line: setting.line,
                        option: setting.option.clone(),
                        value: setting.value.clone(),
                        other: (*other).to_owned(),
                        of: Some((*of).to_owned()),
                    };
                    return Err((name.to_owned(), FragmentError::Contradiction(Box::new(found))));
                }
                _ => drop(seen.insert(&setting.option, (&setting.value, name))),
            }
        }
    }
    Ok(())
}

fn is_option(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.strip_prefix("CONFIG_").is_some_and(|rest| !rest.is_empty() && rest.chars().all(allowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_need_a_reason() {
        let text = "# The console.\nCONFIG_HVC_XEN=y\n# CONFIG_VT is not set\n\n# More.\nCONFIG_NR_CPUS=32\n";
        let settings = parse(text).unwrap();
        let pairs: Vec<_> =
            settings.iter().map(|s| (s.option.as_str(), s.value.as_str())).collect();
        assert_eq!(pairs, [("CONFIG_HVC_XEN", "y"), ("CONFIG_VT", "n"), ("CONFIG_NR_CPUS", "32")]);
        let error = parse("# Why.\nCONFIG_A=y\n\nCONFIG_B=y\n").unwrap_err().to_string();
        assert_eq!(error, "line 4: no comment above says why CONFIG_B is set");
        assert!(matches!(parse("# x\nXEN=y\n"), Err(FragmentError::NotAnOption { line: 2, .. })));
    }

    #[test]
    fn fragments_must_agree() {
        let one = parse("# Why.\nCONFIG_A=y\n").unwrap();
        let two = parse("# Why.\nCONFIG_A=m\n").unwrap();
        assert_eq!(agree([("one", &one[..]), ("again", &one[..])]), Ok(()));
        let (name, error) = agree([("one", &one[..]), ("two", &two[..])]).unwrap_err();
        assert_eq!(name, "two");
        assert_eq!(
            error.to_string(),
            "line 2: CONFIG_A=m contradicts CONFIG_A=y of the fragment \"one\""
        );
    }
}

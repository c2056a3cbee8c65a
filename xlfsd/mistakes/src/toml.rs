//! Text of TOML, read as a type that refuses unknown keys: a silently ignored
//! key is a setting that somebody believes to be in force.

use serde::de::DeserializeOwned;

use crate::suggest::did_you_mean;

/// What is wrong with a text, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// One line, with the nearest known name where there is one.
    pub message: String,
}

/// Reads text as a `T`, which must refuse unknown keys (`deny_unknown_fields`).
///
/// # Errors
/// The first [`Mistake`] in it.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Mistake> {
    ::toml::from_str(text).map_err(|error| {
        let (line, column) = position(text, error.span().map_or(0, |span| span.start));
        Mistake { line, column, message: with_suggestion(error.message()) }
    })
}

/// Line and column, from 1, of a byte of the text.
fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
    (before.matches('\n').count() + 1, column)
}

/// serde words it "unknown field `x`, expected one of `a`, `b`" (and
/// "unknown variant ..." for values out of a list); a test holds us to that.
fn with_suggestion(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let what = match message {
        _ if message.starts_with("unknown field") => "unknown key",
        _ if message.starts_with("unknown variant") => "unknown value",
        _ => return message.replace('\n', " "),
    };
    let wrong = quoted.next().unwrap_or_default();
    let known: Vec<&str> = quoted.collect();
    let suggestion = did_you_mean(wrong, known.iter().copied());
    format!("{what} {wrong:?}{suggestion}; known are {}", known.join(", "))
}

//! The kernel's command line: words with places for parameters, filled so that
//! no value can leave its word.
//!
//! How the guest's kernel reads the line (Linux, `next_arg`): words end at
//! white space outside of double quotes; there is no escape, so a double quote
//! cannot be part of a value; a value that begins with a quote loses it and
//! the one at its end. White space is judged byte by byte as in Latin-1, where
//! 0xA0 is a space: that byte is also the second one of "à" in UTF-8, so a
//! value with any byte above 127 is quoted too.

use super::guest::{GuestFact, GuestFacts};

/// Bytes that a guest may get: Xen's `start_info` has 1024 with the NUL.
pub const MAX_COMMAND_LINE: usize = 1023;

/// What is wrong with a template's command line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandLineError {
    #[error("a double quote is not closed")]
    OpenQuote,
    #[error("\"${{\" is not closed")]
    OpenPlace,
    #[error(
        "${{{name}}} must come after \"=\" in its word: alone, its value could be any kernel parameter"
    )]
    PlaceWithoutKey { name: String },
    #[error("the name {key:?} of a kernel parameter must not hold a space")]
    SpaceInKey { key: String },
    #[error("the character {character:?} is not allowed")]
    Character { character: char },
    #[error("it has {length} bytes without any parameter, and {MAX_COMMAND_LINE} are allowed")]
    TooLong { length: usize },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Fact(GuestFact),
    Parameter(String),
}

/// A command line with places, split into words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct CommandLine {
    words: Vec<Vec<Piece>>,
    source: String,
}

impl CommandLine {
    pub(super) fn parse(source: &str) -> Result<Self, CommandLineError> {
        let mut words = Vec::new();
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut quoted = false;
        let mut in_word = false;
        let mut rest = source.chars();
        while let Some(character) = rest.next() {
            let place = rest.as_str().strip_prefix('{').filter(|_| character == '$');
            if let Some(after) = place {
                let (name, after) = after.split_once('}').ok_or(CommandLineError::OpenPlace)?;
                rest = after.chars();
                in_word = true;
                flush(&mut literal, &mut pieces);
                pieces.push(match GuestFact::parse(name) {
                    Some(fact) => Piece::Fact(fact),
                    None => Piece::Parameter(name.to_owned()),
                });
            } else if character == '"' {
                quoted = !quoted;
                in_word = true;
            } else if !quoted && matches!(character, ' ' | '\n' | '\t' | '\r') {
                // A manifest may spread a long line over several.
                flush(&mut literal, &mut pieces);
                if std::mem::take(&mut in_word) {
                    words.push(std::mem::take(&mut pieces));
                }
            } else if character.is_control() {
                return Err(CommandLineError::Character { character });
            } else {
                in_word = true;
                literal.push(character);
            }
        }
        if quoted {
            return Err(CommandLineError::OpenQuote);
        }
        flush(&mut literal, &mut pieces);
        if in_word {
            words.push(pieces);
        }
        words.iter().try_for_each(|word| check_word(word))?;
        let line = Self { words, source: source.trim().to_owned() };
        let length = line.bare_length();
        if length > MAX_COMMAND_LINE {
            return Err(CommandLineError::TooLong { length });
        }
        Ok(line)
    }

    /// As the manifest has it.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// The parameters that have a place, in the order of their places.
    pub(super) fn parameters(&self) -> impl Iterator<Item = &str> {
        self.words.iter().flatten().filter_map(|piece| match piece {
            Piece::Parameter(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Fills the places. A word whose parameter has no value is left out.
    pub(super) fn fill<'v>(
        &self,
        guest: &GuestFacts<'_>,
        value: impl Fn(&str) -> Option<&'v str>,
    ) -> String {
        let mut line = String::new();
        for word in &self.words {
            let filled: Option<String> = word
                .iter()
                .map(|piece| match piece {
                    Piece::Literal(text) => Some(text.clone()),
                    Piece::Fact(fact) => Some(fact.of(guest)),
                    Piece::Parameter(name) => value(name).map(str::to_owned),
                })
                .collect();
            if let Some(word) = filled {
                if !line.is_empty() {
                    line.push(' ');
                }
                line.push_str(&quote(&word));
            }
        }
        line
    }

    /// Bytes of the words that stand there whatever the parameters are.
    fn bare_length(&self) -> usize {
        let literal = |piece: &Piece| match piece {
            Piece::Literal(text) => text.len(),
            _ => 0,
        };
        self.words.iter().map(|word| word.iter().map(literal).sum::<usize>() + 1).sum()
    }
}

fn flush(literal: &mut String, pieces: &mut Vec<Piece>) {
    if !literal.is_empty() {
        pieces.push(Piece::Literal(std::mem::take(literal)));
    }
}

/// Before the first place there must be a key and its "=".
fn check_word(word: &[Piece]) -> Result<(), CommandLineError> {
    let mut key = None;
    for piece in word {
        match piece {
            Piece::Literal(text) if key.is_none() => {
                key = text.split_once('=').map(|(key, _)| key.to_owned());
            }
            Piece::Parameter(name) if key.is_none() => {
                return Err(CommandLineError::PlaceWithoutKey { name: name.clone() });
            }
            _ => {}
        }
    }
    match key {
        Some(key) if needs_quotes(&key) => Err(CommandLineError::SpaceInKey { key }),
        _ => Ok(()),
    }
}

fn needs_quotes(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_whitespace() || byte == 0x0b || !byte.is_ascii())
}

/// `key=a b` as `key="a b"`: the kernel takes quotes away around a whole value only.
fn quote(word: &str) -> String {
    if !needs_quotes(word) {
        return word.to_owned();
    }
    match word.split_once('=') {
        Some((key, value)) => format!("{key}=\"{value}\""),
        None => format!("\"{word}\""),
    }
}

/// Why `value` cannot stand on a kernel's command line, if so.
pub(super) fn forbidden_in_value(value: &str) -> Option<String> {
    if value.contains('"') {
        return Some("must not contain a double quote: it goes on the kernel's command line, which knows no way to write one".to_owned());
    }
    let control = value.chars().find(|character| character.is_control())?;
    Some(format!(
        "must not contain the control character {control:?}: it goes on the kernel's command line"
    ))
}

#[cfg(test)]
mod tests;

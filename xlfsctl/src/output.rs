//! What is printed: text for people, or a document (JSON, YAML) for programs.
//! Results go to standard output; notes, progress and failures to standard
//! error.

pub(crate) mod facts;
pub(crate) mod failure;
pub(crate) mod guest_text;
pub(crate) mod table;
pub(crate) mod text;
pub(crate) mod time;
pub(crate) mod view;

use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;

use crate::cli::{Format, Global};
use crate::errors::Failure;
use crate::exit::Exit;

/// Columns of a terminal that does not tell its size.
pub(crate) const DEFAULT_WIDTH: usize = 80;

/// How and where to print.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) format: Format,
    pub(crate) quiet: bool,
    /// Columns, where standard output is a terminal.
    pub(crate) width: Option<usize>,
    pub(crate) colour: bool,
}

impl Output {
    pub(crate) fn new(global: &Global) -> Output {
        let stdout = io::stdout();
        let terminal = stdout.is_terminal();
        let width = terminal.then(|| columns(terminal_size::terminal_size_of(&stdout)));
        Output { format: global.output, quiet: global.quiet, width, colour: terminal && wanted() }
    }

    /// True when a person reads along.
    pub(crate) fn is_table(&self) -> bool {
        self.format == Format::Table
    }

    /// Prints text as it is.
    pub(crate) fn text(&self, text: &str) -> Result<(), Failure> {
        self.bytes(text.as_bytes())
    }

    /// Writes bytes as they are.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Ok(()) => Ok(()),
            // The reader has seen enough, as in `xlfsctl list | head`.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::told(Exit::Ok)),
            Err(error) => Err(Failure::io("cannot write to standard output", &error)),
        }
    }

    /// Prints the one document of a command.
    pub(crate) fn document<T: Serialize>(&self, view: &T) -> Result<(), Failure> {
        let text = match self.format {
            Format::Yaml => yaml(view)?,
            Format::Json | Format::Table => {
                let json = serde_json::to_string_pretty(view);
                json.map_err(unprintable)? + "\n"
            }
        };
        self.text(&text)
    }

    /// Prints one of many documents: a line of JSON, or a YAML document.
    pub(crate) fn next_document<T: Serialize>(&self, view: &T) -> Result<(), Failure> {
        let text = match self.format {
            Format::Yaml => format!("---\n{}", yaml(view)?),
            Format::Json | Format::Table => {
                serde_json::to_string(view).map_err(unprintable)? + "\n"
            }
        };
        self.text(&text)
    }

    /// Tells a person something that is not the result, wrapped and made
    /// harmless.
    pub(crate) fn note(&self, text: &str) {
        if self.is_table() && !self.quiet {
            to_stderr(&text::hanging("", text, stderr_width()));
        }
    }
}

/// Writes to standard error. When even that fails there is nobody to tell.
pub(crate) fn to_stderr(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

/// The columns of standard error, for progress and failures.
pub(crate) fn stderr_width() -> usize {
    columns(terminal_size::terminal_size_of(io::stderr()))
}

fn columns(size: Option<(terminal_size::Width, terminal_size::Height)>) -> usize {
    // A serial line says 0x0.
    size.map(|(width, _)| usize::from(width.0))
        .filter(|width| *width >= 20)
        .unwrap_or(DEFAULT_WIDTH)
}

/// Whether colour is welcome on a terminal: see no-color.org.
fn wanted() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !set("NO_COLOR") && std::env::var_os("TERM").is_some_and(|term| term != "dumb")
}

fn yaml<T: Serialize>(view: &T) -> Result<String, Failure> {
    serde_saphyr::to_string(view).map_err(unprintable)
}

fn unprintable(error: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Failed, "cannot print the answer").cause(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words that old YAML readers take for something else must come quoted.
    #[test]
    fn yaml_keeps_strings_strings() {
        for word in ["on", "no", "0123", "1e3", "12:30:00", "2026-11-22", "null", "~", "", "="] {
            let text = yaml(&vec![word]).expect("yaml");
            let quoted = text.contains('"') || text.contains('\'');
            assert!(quoted, "{word} came out as {text}");
        }
    }
}

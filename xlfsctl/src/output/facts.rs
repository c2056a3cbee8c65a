//! A list of labelled facts about one thing, for the `show` commands: labels on
//! the left, values wrapped beside them.

use super::Output;
use super::text::hanging;

/// Columns of the label and the blanks around it.
const LABEL: usize = 14;

/// Labelled values under a heading.
#[derive(Debug)]
pub(crate) struct Facts {
    width: usize,
    text: String,
}

impl Facts {
    pub(crate) fn new(output: &Output, heading: &str) -> Facts {
        let width = output.width.unwrap_or(super::DEFAULT_WIDTH);
        Facts { width, text: hanging("", heading, width) }
    }

    /// Adds a fact, unless there is nothing to say.
    pub(crate) fn fact(&mut self, label: &str, value: impl AsRef<str>) {
        let value = value.as_ref();
        if !value.is_empty() {
            let label = format!("{label:<LABEL$}");
            self.text.push_str(&hanging(&label, value, self.width));
        }
    }

    /// Adds several values, one a line, of which only the first is labelled.
    pub(crate) fn many(&mut self, label: &str, values: impl IntoIterator<Item = String>) {
        for (number, value) in values.into_iter().enumerate() {
            self.fact(if number == 0 { label } else { "" }, value);
        }
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }
}

//! Prints a [`Failure`] on standard error: as text, or as a document.

use serde::Serialize;

use super::text::{hanging, plain};
use super::{stderr_width, to_stderr, yaml};
use crate::cli::Format;
use crate::errors::Failure;

/// A failure as a document. Tasks that failed carry the same.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FailureView {
    pub(crate) code: &'static str,
    pub(crate) exit_code: u8,
    pub(crate) message: String,
    pub(crate) reason: Option<String>,
    pub(crate) step: Option<String>,
    pub(crate) object: Option<String>,
    pub(crate) causes: Vec<String>,
    pub(crate) hint: Option<String>,
    pub(crate) fields: Vec<FieldView>,
    pub(crate) leftovers: Vec<String>,
    pub(crate) task_id: Option<String>,
}

/// A field of a request that was refused.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FieldView {
    pub(crate) field: String,
    pub(crate) problem: String,
}

/// What standard error gets: the failure under one key.
#[derive(Debug, Serialize)]
pub(crate) struct FailureDocument {
    pub(crate) error: FailureView,
}

impl From<&Failure> for FailureView {
    fn from(failure: &Failure) -> FailureView {
        let fields = failure.fields.iter();
        FailureView {
            code: failure.exit().word(),
            exit_code: failure.exit().code(),
            message: failure.message.clone(),
            reason: failure.reason.clone(),
            step: failure.step.clone(),
            object: failure.object.clone(),
            causes: failure.causes.clone(),
            hint: failure.hint.clone(),
            fields: fields
                .map(|(field, problem)| FieldView {
                    field: field.clone(),
                    problem: problem.clone(),
                })
                .collect(),
            leftovers: failure.leftovers.clone(),
            task_id: failure.task_id.clone(),
        }
    }
}

/// Prints the failure, unless it was told already.
pub(crate) fn report(format: Format, failure: &Failure) {
    if failure.is_told() {
        return;
    }
    let document = || FailureDocument { error: failure.into() };
    let text = match format {
        Format::Table => as_text(failure, stderr_width()),
        Format::Json => serde_json::to_string(&document())
            .map_or_else(|_| as_text(failure, stderr_width()), |json| json + "\n"),
        Format::Yaml => yaml(&document())
            .map_or_else(|_| as_text(failure, stderr_width()), |yaml| format!("---\n{yaml}")),
    };
    to_stderr(&text);
}

/// A headline, then a labelled line for each thing that is known.
fn as_text(failure: &Failure, width: usize) -> String {
    let mut out = hanging("xlfsctl: ", &failure.message, width);
    let mut line = |label: &str, text: &str| {
        out.push_str(&hanging(&format!("  {:<8}", format!("{label}:")), text, width));
    };
    match (&failure.step, &failure.object) {
        (Some(step), Some(object)) => line("step", &format!("{step} ({object})")),
        (Some(step), None) => line("step", step),
        // "there is no task 7" need not be followed by "object: task 7".
        (None, Some(object)) if !says(failure, last_word(object)) => line("object", object),
        (None, _) => {}
    }
    for cause in &failure.causes {
        line("cause", cause);
    }
    for (field, problem) in failure.fields.iter().filter(|(_, problem)| !says(failure, problem)) {
        line("field", &format!("{}: {problem}", plain(field)));
    }
    for left in &failure.leftovers {
        line("left", left);
    }
    if let Some(id) = &failure.task_id {
        line("task", id);
    }
    if let Some(hint) = &failure.hint {
        line("hint", hint);
    }
    out
}

/// Whether the headline holds the text already.
fn says(failure: &Failure, text: &str) -> bool {
    failure.message.contains(text)
}

fn last_word(text: &str) -> &str {
    text.rsplit(' ').next().unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn every_part_has_a_line() {
        let mut failure = Failure::new(Exit::Exhausted, "cannot create guest \"web\": no memory")
            .cause("the hypervisor has 180 MiB free, 64 MiB of them reserved")
            .hint("lower --memory, or stop a guest: xlfsctl list");
        failure.step = Some("reserve-memory".to_owned());
        failure.object = Some("256 MiB".to_owned());
        let expected = "\
xlfsctl: cannot create guest \"web\": no memory
  step:   reserve-memory (256 MiB)
  cause:  the hypervisor has 180 MiB free, 64 MiB of them reserved
  hint:   lower --memory, or stop a guest: xlfsctl list
";
        assert_eq!(as_text(&failure, 80), expected);
    }

    #[test]
    fn nothing_is_said_twice() {
        let mut failure = Failure::new(Exit::NotFound, "there is no task \"7\"");
        failure.object = Some("task 7".to_owned());
        failure.fields.push(("id".to_owned(), "there is no task".to_owned()));
        assert_eq!(as_text(&failure, 80).lines().count(), 1);
        failure.object = Some("domain 9".to_owned());
        failure.fields.push(("name".to_owned(), "too long".to_owned()));
        let text = as_text(&failure, 80);
        assert!(text.contains("object: domain 9") && text.contains("name: too long"), "{text}");
    }

    #[test]
    fn escapes_in_a_cause_do_not_reach_the_terminal() {
        let failure = Failure::new(Exit::Failed, "bad\x1b[2J").cause("kernel says \x07");
        assert!(!as_text(&failure, 80).contains(['\x1b', '\x07']));
    }
}

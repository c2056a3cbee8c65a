//! Failures as a user sees them: what failed, at which step, why, and what to
//! do. They come from a gRPC status with details, from a task that failed, or
//! from this side (a file, the terminal). [`crate::output::failure`] prints
//! them.

use std::error::Error as _;
use std::io;
use std::ops::{Deref, DerefMut};

use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use xlfs_proto::ERROR_DOMAIN;
use xlfs_proto::v1::TaskError;

use crate::exit::Exit;

/// A failure on its way to the user; boxed, because there is much to say and
/// most calls go well.
#[derive(Clone, Debug)]
pub(crate) struct Failure(Box<Report>);

/// Everything that is known about a failure. The headline is `message`; the
/// rest is empty where it does not apply.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    exit: Option<Exit>,
    pub(crate) message: String,
    /// Stable and UPPER_SNAKE_CASE, for programs.
    pub(crate) reason: Option<String>,
    pub(crate) step: Option<String>,
    pub(crate) object: Option<String>,
    /// Outermost first.
    pub(crate) causes: Vec<String>,
    pub(crate) hint: Option<String>,
    /// Fields of the request that were refused: name, why.
    pub(crate) fields: Vec<(String, String)>,
    /// What an undo had to leave behind.
    pub(crate) leftovers: Vec<String>,
    pub(crate) task_id: Option<String>,
}

impl Deref for Failure {
    type Target = Report;

    fn deref(&self) -> &Report {
        &self.0
    }
}

impl DerefMut for Failure {
    fn deref_mut(&mut self) -> &mut Report {
        &mut self.0
    }
}

impl From<Report> for Failure {
    fn from(report: Report) -> Failure {
        Failure(Box::new(report))
    }
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Failure {
        Report { exit: Some(exit), message: message.into(), ..Report::default() }.into()
    }

    /// A failure that was told already, or need not be: only the exit counts.
    pub(crate) fn told(exit: Exit) -> Failure {
        Report { exit: Some(exit), ..Report::default() }.into()
    }

    /// A failed operation on a file or a descriptor of this side.
    pub(crate) fn io(message: impl Into<String>, error: &io::Error) -> Failure {
        let exit = match error.kind() {
            io::ErrorKind::NotFound => Exit::NotFound,
            io::ErrorKind::PermissionDenied => Exit::Denied,
            _ => Exit::Failed,
        };
        Failure::new(exit, message).cause(error.to_string())
    }

    /// Adds a cause behind those that are there.
    pub(crate) fn cause(mut self, cause: impl Into<String>) -> Failure {
        self.causes.push(cause.into());
        self
    }

    /// Says what to do, unless that is said already.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint.get_or_insert(hint.into());
        self
    }

    /// Puts what was tried in front of the message, unless xlfsd did that.
    pub(crate) fn context(mut self, tried: &str) -> Failure {
        let says_so = self.message.to_lowercase().starts_with("cannot ");
        if !says_so && !self.message.is_empty() {
            self.message = format!("{tried}: {}", self.message);
        }
        self
    }

    pub(crate) fn exit(&self) -> Exit {
        self.exit.unwrap_or(Exit::Failed)
    }

    /// True for [`Failure::told`]: nothing is to be printed.
    pub(crate) fn is_told(&self) -> bool {
        self.message.is_empty()
    }

    /// The failure of a task.
    pub(crate) fn from_task(error: &TaskError, task_id: &str) -> Failure {
        let exit = match exit_for(Code::from(error.code), Some(&error.reason)) {
            // A task that failed did not succeed, whatever its code says.
            Exit::Ok => Exit::Failed,
            exit => exit,
        };
        let report = Report {
            exit: Some(exit),
            message: error.message.clone(),
            reason: filled(&error.reason),
            step: filled(&error.step),
            object: filled(&error.object),
            causes: without_echo(&error.message, &error.causes),
            hint: filled(&error.hint),
            fields: Vec::new(),
            leftovers: error.leftovers.clone(),
            task_id: filled(task_id),
        };
        report.into()
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Failure {
        if let Some(lost) = lost_connection(&status) {
            return lost;
        }
        let info = status.get_details_error_info().filter(|info| info.domain == ERROR_DOMAIN);
        let known = |key: &str| {
            info.as_ref().and_then(|info| info.metadata.get(key)).and_then(|text| filled(text))
        };
        let causes = status.get_details_debug_info().map(|debug| debug.stack_entries);
        let fields = status.get_details_bad_request().map(|bad| {
            bad.field_violations.into_iter().map(|one| (one.field, one.description)).collect()
        });
        let reason = info.as_ref().and_then(|info| filled(&info.reason));
        let leftovers = known("leftovers").into_iter();
        let mut report = Report {
            exit: Some(exit_for(status.code(), reason.as_deref())),
            message: status.message().to_owned(),
            step: known("step"),
            object: known("object"),
            hint: known("hint"),
            causes: without_echo(status.message(), &causes.unwrap_or_default()),
            fields: fields.unwrap_or_default(),
            leftovers: leftovers.flat_map(|all| split_leftovers(&all)).collect(),
            reason,
            ..Report::default()
        };
        if report.message.is_empty() {
            report.message = status.code().description().to_owned();
        }
        let mut failure = Failure::from(report);
        if status.code() == Code::Unimplemented {
            failure =
                failure.hint("xlfsctl and xlfsd are of different versions: xlfsctl host info");
        }
        failure
    }
}

/// The exit for a code with its reason: UNAVAILABLE alone does not tell Xen from
/// xlfsd.
fn exit_for(code: Code, reason: Option<&str>) -> Exit {
    let xen = reason.is_some_and(|reason| reason.contains("HYPERVISOR") || reason.contains("XEN"));
    match (code, xen) {
        (Code::Unavailable, true) => Exit::NoHypervisor,
        (code, _) => Exit::from_grpc(code),
    }
}

/// Metadata holds one text; xlfsd puts `; ` between several leftovers.
fn split_leftovers(all: &str) -> Vec<String> {
    all.split("; ").map(str::to_owned).collect()
}

/// The failure for a status that tonic made up because the connection failed.
/// xlfsd's own statuses have no source, and an ErrorInfo when UNAVAILABLE.
fn lost_connection(status: &Status) -> Option<Failure> {
    let transport = status.source().is_some();
    let bare = status.code() == Code::Unavailable && status.get_details_error_info().is_none();
    if !transport && !bare {
        return None;
    }
    let mut failure = Failure::new(Exit::Unreachable, "the connection to xlfsd was lost");
    if !status.message().is_empty() {
        failure = failure.cause(status.message());
    }
    let mut source = status.source();
    while let Some(error) = source {
        let text = error.to_string();
        if failure.causes.last() != Some(&text) {
            failure = failure.cause(text);
        }
        source = error.source();
    }
    Some(failure.hint("see whether xlfsd still runs, and its log for why it ended"))
}

/// The text, unless it is empty: proto3 has no other way to say "none".
pub(crate) fn filled(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// The causes, without a first one that only repeats the message.
fn without_echo(message: &str, causes: &[String]) -> Vec<String> {
    let skip = usize::from(causes.first().is_some_and(|first| message.ends_with(first.as_str())));
    causes.iter().skip(skip).cloned().collect()
}

/// Adds what was tried to an error on its way up.
pub(crate) trait Context<T> {
    fn context(self, tried: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: Into<Failure>> Context<T> for Result<T, E> {
    fn context(self, tried: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| error.into().context(&tried()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic_types::{ErrorDetails, FieldViolation};

    use super::*;

    fn detailed(code: Code, reason: &str, message: &str) -> Status {
        let mut details = ErrorDetails::new();
        let metadata = HashMap::from([
            ("step".to_owned(), "reserve-memory".to_owned()),
            ("object".to_owned(), "256 MiB".to_owned()),
            ("hint".to_owned(), "lower --memory".to_owned()),
            ("leftovers".to_owned(), "domain 7; loop device 3".to_owned()),
        ]);
        details.set_error_info(reason, ERROR_DOMAIN, metadata);
        details.set_debug_info(vec!["180 MiB are free".to_owned()], "");
        details.set_bad_request(vec![FieldViolation::new("memory_mib", "too much")]);
        Status::with_error_details(code, message, details)
    }

    #[test]
    fn details_of_a_status_are_read() {
        let failure = Failure::from(detailed(
            Code::ResourceExhausted,
            "MEMORY_EXHAUSTED",
            "not enough memory",
        ))
        .context("cannot create guest \"web\"");
        assert_eq!(failure.exit(), Exit::Exhausted);
        assert_eq!(failure.message, "cannot create guest \"web\": not enough memory");
        assert_eq!(failure.step.as_deref(), Some("reserve-memory"));
        assert_eq!(failure.object.as_deref(), Some("256 MiB"));
        assert_eq!(failure.hint.as_deref(), Some("lower --memory"));
        assert_eq!(failure.leftovers, ["domain 7", "loop device 3"]);
        assert_eq!(failure.causes, ["180 MiB are free"]);
        assert_eq!(failure.fields, [("memory_mib".to_owned(), "too much".to_owned())]);
        assert_eq!(failure.reason.as_deref(), Some("MEMORY_EXHAUSTED"));
    }

    #[test]
    fn a_message_that_says_what_was_tried_is_kept() {
        let failure =
            Failure::new(Exit::Failed, "Cannot do it").context("cannot start guest \"a\"");
        assert_eq!(failure.message, "Cannot do it");
    }

    #[test]
    fn unavailable_is_xen_or_the_daemon() {
        let unavailable = |reason: &str| Failure::from(detailed(Code::Unavailable, reason, "no"));
        assert_eq!(unavailable("NO_HYPERVISOR").exit(), Exit::NoHypervisor);
        assert_eq!(unavailable("XEN_TOO_OLD").exit(), Exit::NoHypervisor);
        assert_eq!(unavailable("STOPPING").exit(), Exit::Unreachable);
        let lost = Failure::from(Status::unavailable("tcp connect error"));
        assert_eq!(lost.exit(), Exit::Unreachable);
        assert!(lost.hint.is_some());
    }

    #[test]
    fn a_cause_that_echoes_the_message_is_left_out() {
        let causes = ["disk full".to_owned(), "ENOSPC".to_owned()];
        assert_eq!(without_echo("cannot import: disk full", &causes), ["ENOSPC"]);
        assert_eq!(without_echo("cannot import", &causes).len(), 2);
    }

    #[test]
    fn a_failed_task_never_exits_with_success() {
        let error = TaskError { code: 0, message: "odd".to_owned(), ..TaskError::default() };
        assert_eq!(Failure::from_task(&error, "7").exit(), Exit::Failed);
    }
}

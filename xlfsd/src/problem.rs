//! The one error type of the daemon's upper half.
//!
//! Modules that do the work have error enums of their own; where such an error
//! is about to reach a person (as a failed call, a failed task or a line in the
//! log) it becomes a [`Problem`], which always says what failed, on what, why,
//! and where possible what to do. The conversions to gRPC, and the limits that
//! keep the details inside of what clients accept as trailers, stand in
//! `api::status`.

use std::error::Error;
use std::fmt;
use std::ops::{Deref, DerefMut};

/// What kind of failure it is; decides the gRPC status code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProblemKind {
    /// The object that was named does not exist.
    NotFound,
    /// An object of that name exists already.
    AlreadyExists,
    /// The request makes no sense, whatever the state; each wrong field is named.
    InvalidArgument {
        /// Every field that is wrong, not only the first.
        fields: Vec<FieldProblem>,
    },
    /// The request makes sense, but not in the present state.
    FailedPrecondition,
    /// Memory, disk space or another budget is used up.
    ResourceExhausted,
    /// It took longer than allowed.
    DeadlineExceeded,
    /// The caller asked to stop.
    Cancelled,
    /// Something else got in the way; trying again may help.
    Aborted,
    /// A service that is needed cannot be reached now.
    Unavailable,
    /// A defect of xlfsd or of the machine.
    Internal,
}

/// One wrong field of a request or of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldProblem {
    /// Path of the field, such as `parameters.hostname`.
    pub field: String,
    /// What is wrong with it and what is allowed.
    pub description: String,
}

impl FieldProblem {
    pub fn new(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self { field: field.into(), description: description.into() }
    }
}

/// A failure as a person gets to see it. One pointer wide, so that results stay small.
#[derive(Clone, PartialEq, Eq)]
pub struct Problem(Box<ProblemDetail>);

/// The parts of a [`Problem`]; reached through it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProblemDetail {
    pub kind: ProblemKind,
    /// Stable, UPPER_SNAKE_CASE: what programs look at.
    pub reason: &'static str,
    /// One sentence: what failed and why. Never repeats the causes.
    pub message: String,
    /// The step of a task in which it happened.
    pub step: Option<String>,
    /// What it happened to, such as `domain web`.
    pub object: Option<String>,
    /// The chain of causes, outermost first.
    pub causes: Vec<String>,
    /// What to do now.
    pub hint: Option<String>,
    /// What the undo had to leave behind.
    pub leftovers: Vec<String>,
}

impl Problem {
    pub fn new(kind: ProblemKind, reason: &'static str, message: impl Into<String>) -> Self {
        Self(Box::new(ProblemDetail {
            kind,
            reason,
            message: message.into(),
            step: None,
            object: None,
            causes: Vec::new(),
            hint: None,
            leftovers: Vec::new(),
        }))
    }

    /// Takes `error` and everything below it in its chain of sources as the causes.
    pub fn from_error(
        kind: ProblemKind,
        reason: &'static str,
        message: impl Into<String>,
        error: &(dyn Error + 'static),
    ) -> Self {
        Self::new(kind, reason, message).cause(error)
    }

    pub fn not_found(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(ProblemKind::NotFound, reason, message)
    }

    pub fn already_exists(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(ProblemKind::AlreadyExists, reason, message)
    }

    /// `fields` holds every field that is wrong.
    pub fn invalid(
        reason: &'static str,
        message: impl Into<String>,
        fields: Vec<FieldProblem>,
    ) -> Self {
        Self::new(ProblemKind::InvalidArgument { fields }, reason, message)
    }

    /// For a request with a single wrong field; the message names it.
    pub fn invalid_field(reason: &'static str, field: &str, description: &str) -> Self {
        Self::invalid(
            reason,
            format!("{field}: {description}"),
            vec![FieldProblem::new(field, description)],
        )
    }

    pub fn failed_precondition(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(ProblemKind::FailedPrecondition, reason, message)
    }

    pub fn resource_exhausted(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(ProblemKind::ResourceExhausted, reason, message)
    }

    pub fn deadline_exceeded(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(ProblemKind::DeadlineExceeded, reason, message)
    }

    pub fn cancelled(message: impl Into<String>) -> Self {
        Self::new(ProblemKind::Cancelled, "CANCELLED", message)
    }

    pub fn aborted(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(ProblemKind::Aborted, reason, message)
    }

    pub fn unavailable(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(ProblemKind::Unavailable, reason, message)
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ProblemKind::Internal, "INTERNAL", message)
    }

    #[must_use]
    pub fn step(mut self, step: impl Into<String>) -> Self {
        self.step = Some(step.into());
        self
    }

    #[must_use]
    pub fn object(mut self, object: impl Into<String>) -> Self {
        self.object = Some(object.into());
        self
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub fn leftover(mut self, leftover: impl Into<String>) -> Self {
        self.leftovers.push(leftover.into());
        self
    }

    /// Adds `error` and its chain of sources below the causes there are.
    #[must_use]
    pub fn cause(mut self, error: &(dyn Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            self.causes.push(error.to_string());
            next = error.source();
        }
        self
    }

    /// Puts `self` under a new sentence: what failed because of it. Kind and
    /// reason stay, so that programs still see what really happened.
    #[must_use]
    pub fn context(mut self, message: impl Into<String>) -> Self {
        let inner = std::mem::replace(&mut self.message, message.into());
        self.causes.insert(0, inner);
        self
    }

    pub fn is_cancelled(&self) -> bool {
        self.kind == ProblemKind::Cancelled
    }

    /// The wrong fields of an INVALID_ARGUMENT; empty for the other kinds.
    pub fn fields(&self) -> &[FieldProblem] {
        match &self.kind {
            ProblemKind::InvalidArgument { fields } => fields,
            _ => &[],
        }
    }
}

impl Deref for Problem {
    type Target = ProblemDetail;

    fn deref(&self) -> &ProblemDetail {
        &self.0
    }
}

impl DerefMut for Problem {
    fn deref_mut(&mut self) -> &mut ProblemDetail {
        &mut self.0
    }
}

/// The message; with `{:#}` all the rest in the same line, for logs.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if !f.alternate() {
            return Ok(());
        }
        for field in self.fields() {
            // A problem with one field names it in its message already.
            if !self.message.contains(&field.description) {
                write!(f, "; {}: {}", field.field, field.description)?;
            }
        }
        if let Some(step) = &self.step {
            write!(f, "; in step {step}")?;
        }
        for cause in &self.causes {
            write!(f, "; because: {cause}")?;
        }
        for leftover in &self.leftovers {
            write!(f, "; left behind: {leftover}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "; hint: {hint}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The causes are text by now: there is no source to walk to.
impl Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read the record")]
    struct Outer {
        #[source]
        source: std::io::Error,
    }

    #[test]
    fn takes_the_whole_chain_of_sources() {
        let error = Outer { source: std::io::Error::other("disk on fire") };
        let problem = Problem::from_error(ProblemKind::Internal, "BAD", "it failed", &error);
        assert_eq!(problem.causes, ["cannot read the record", "disk on fire"]);
        assert_eq!(problem.to_string(), "it failed");
    }

    #[test]
    fn context_keeps_kind_and_reason() {
        let problem = Problem::not_found("NO_SUCH_IMAGE", "there is no image x")
            .context("cannot start the guest web");
        assert_eq!(problem.reason, "NO_SUCH_IMAGE");
        assert_eq!(problem.kind, ProblemKind::NotFound);
        assert_eq!(problem.message, "cannot start the guest web");
        assert_eq!(problem.causes, ["there is no image x"]);
    }

    #[test]
    fn one_line_says_everything() {
        let line = format!(
            "{:#}",
            Problem::aborted("X", "it failed")
                .step("create-domain")
                .cause(&std::io::Error::other("no luck"))
                .leftover("file /a")
                .hint("try again")
        );
        assert_eq!(
            line,
            "it failed; in step create-domain; because: no luck; left behind: file /a; hint: try again"
        );
    }

    #[test]
    fn a_result_stays_small() {
        assert_eq!(size_of::<Result<(), Problem>>(), size_of::<usize>());
    }
}

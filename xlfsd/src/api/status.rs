//! Problems as gRPC says them: a status with the details that common.proto
//! describes, and the same as the error of a task.
//!
//! Details travel in trailers, and clients cap those: 8 KiB with gRPC's C core
//! (and so in Python). Everything here is cut to stay well below, whatever
//! went into the problem.

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use xlfs_proto::ERROR_DOMAIN;
use xlfs_proto::v1 as pb;

use crate::problem::{Problem, ProblemKind};

/// Bytes of all details together, before they are encoded as base64.
const BUDGET: usize = 3000;
/// Bytes of one text within that.
const MAX_TEXT: usize = 400;

impl ProblemKind {
    pub fn code(&self) -> Code {
        match self {
            Self::NotFound => Code::NotFound,
            Self::AlreadyExists => Code::AlreadyExists,
            Self::InvalidArgument { .. } => Code::InvalidArgument,
            Self::FailedPrecondition => Code::FailedPrecondition,
            Self::ResourceExhausted => Code::ResourceExhausted,
            Self::DeadlineExceeded => Code::DeadlineExceeded,
            Self::Cancelled => Code::Cancelled,
            Self::Aborted => Code::Aborted,
            Self::Unavailable => Code::Unavailable,
            Self::Internal => Code::Internal,
        }
    }
}

/// Hands out texts until the budget is used up.
struct Clipper {
    left: usize,
}

impl Clipper {
    /// None for an empty text, and once there is no room for a useful part.
    fn clip(&mut self, text: &str) -> Option<String> {
        const ELLIPSIS: &str = "…";
        const USEFUL: usize = 16;
        let max = MAX_TEXT.min(self.left);
        if text.is_empty() || (text.len() > max && max < USEFUL) {
            return None;
        }
        let clipped = if text.len() <= max {
            text.to_owned()
        } else {
            let end = text.floor_char_boundary(max - ELLIPSIS.len());
            format!("{}{ELLIPSIS}", &text[..end])
        };
        self.left -= clipped.len();
        Some(clipped)
    }

    fn clip_all<'a>(&mut self, texts: impl IntoIterator<Item = &'a String>) -> Vec<String> {
        texts.into_iter().map_while(|text| self.clip(text)).collect()
    }
}

impl From<Problem> for Status {
    fn from(problem: Problem) -> Self {
        if problem.kind == ProblemKind::Internal {
            // The caller can do nothing about it; the operator can.
            tracing::error!(reason = problem.reason, "{problem:#}");
        }
        let mut clipper = Clipper { left: BUDGET };
        let message = clipper.clip(&problem.message).unwrap_or_default();
        let mut metadata = HashMap::new();
        let leftovers = problem.leftovers.join("; ");
        for (key, text) in [
            ("step", problem.step.as_deref()),
            ("object", problem.object.as_deref()),
            ("hint", problem.hint.as_deref()),
            ("leftovers", Some(leftovers.as_str())),
        ] {
            if let Some(text) = text.and_then(|text| clipper.clip(text)) {
                metadata.insert(key.to_owned(), text);
            }
        }
        let mut details = ErrorDetails::new();
        details.set_error_info(problem.reason, ERROR_DOMAIN, metadata);
        for wrong in problem.fields() {
            // Each violation costs a few bytes of its own.
            clipper.left = clipper.left.saturating_sub(16);
            let clipped = clipper.clip(&wrong.field).zip(clipper.clip(&wrong.description));
            let Some((field, description)) = clipped else { break };
            details.add_bad_request_violation(field, description);
        }
        let causes = clipper.clip_all(&problem.causes);
        if !causes.is_empty() {
            details.set_debug_info(causes, "");
        }
        Status::with_error_details(problem.kind.code(), message, details)
    }
}

impl From<&Problem> for pb::TaskError {
    /// With more room than a status has, as a task is an ordinary message.
    fn from(problem: &Problem) -> Self {
        let mut clipper = Clipper { left: 8 * BUDGET };
        let mut clip = |text: Option<&str>| clipper.clip(text?);
        let message = clip(Some(&problem.message)).unwrap_or_default();
        let step = clip(problem.step.as_deref()).unwrap_or_default();
        let object = clip(problem.object.as_deref()).unwrap_or_default();
        let hint = clip(problem.hint.as_deref()).unwrap_or_default();
        Self {
            code: problem.kind.code().into(),
            message,
            reason: problem.reason.to_owned(),
            step,
            object,
            causes: clipper.clip_all(&problem.causes),
            hint,
            leftovers: clipper.clip_all(&problem.leftovers),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::FieldProblem;

    #[test]
    fn the_details_are_what_the_contract_says() {
        let problem = Problem::resource_exhausted("MEMORY_EXHAUSTED", "not enough memory")
            .step("reserve-memory")
            .object("domain web")
            .hint("Stop a guest.")
            .leftover("/run/x")
            .cause(&std::io::Error::other("12 MiB free"));
        let status = Status::from(problem.clone());
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(status.message(), "not enough memory");
        let details = status.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("MEMORY_EXHAUSTED", "xlfs"));
        assert_eq!(info.metadata["step"], "reserve-memory");
        assert_eq!(info.metadata["object"], "domain web");
        assert_eq!(info.metadata["hint"], "Stop a guest.");
        assert_eq!(info.metadata["leftovers"], "/run/x");
        assert_eq!(details.debug_info().unwrap().stack_entries, ["12 MiB free"]);
        assert!(details.bad_request().is_none());

        let error = pb::TaskError::from(&problem);
        assert_eq!(error.code, Code::ResourceExhausted as i32);
        assert_eq!(error.causes, ["12 MiB free"]);
        assert_eq!((error.step.as_str(), error.hint.as_str()), ("reserve-memory", "Stop a guest."));
        assert_eq!(error.leftovers, ["/run/x"]);
    }

    #[test]
    fn every_wrong_field_is_named() {
        let fields = vec![FieldProblem::new("a", "too short"), FieldProblem::new("b", "unknown")];
        let status = Status::from(Problem::invalid("BAD_PARAMETERS", "2 are wrong", fields));
        let violations = status.get_error_details().bad_request().unwrap().field_violations.clone();
        assert_eq!(violations.len(), 2);
        assert_eq!(violations[1].field, "b");
    }

    #[test]
    fn a_huge_problem_fits_into_trailers() {
        let long = "ä\u{1}".repeat(5000);
        let fields = (0..500).map(|i| FieldProblem::new(format!("field{i}"), &long)).collect();
        let mut problem =
            Problem::invalid("X", &long, fields).step(&long).object(&long).hint(&long);
        problem.causes = vec![long.clone(); 100];
        problem.leftovers = vec![long; 100];
        let status = Status::from(problem.clone());
        assert!(status.details().len() < 4000, "{}", status.details().len());
        let mut headers = Default::default();
        status.add_header(&mut headers).unwrap();
        let size: usize =
            headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        assert!(size < 7500, "{size}");
        assert!(
            status
                .get_error_details()
                .bad_request()
                .is_some_and(|b| !b.field_violations.is_empty())
        );
        let error = pb::TaskError::from(&problem);
        assert!(prost::Message::encoded_len(&error) < 9 * BUDGET);
        assert!(!error.causes.is_empty());
    }
}

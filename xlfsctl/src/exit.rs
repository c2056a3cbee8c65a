//! The exit codes: one small, stable table that scripts can rely on. The man
//! page and docs/cli.md are checked against it; [`crate::errors`] decides which
//! one a failure gets.

use tonic::Code;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Ok,
    Failed,
    Usage,
    NotFound,
    AlreadyExists,
    WrongState,
    Exhausted,
    Deadline,
    Cancelled,
    Unreachable,
    Invalid,
    NoHypervisor,
    Denied,
    /// Ended by this signal: 128 and its number, as a shell reports it.
    Signal(u8),
}

/// A row of the table: the exit, its word in JSON, what it means.
pub(crate) struct Meaning {
    pub(crate) exit: Exit,
    pub(crate) word: &'static str,
    pub(crate) text: &'static str,
}

/// Every exit that has a number of its own, in the order of the numbers.
pub(crate) const MEANINGS: [Meaning; 13] = [
    row(Exit::Ok, "ok", "It is done, or was so already."),
    row(Exit::Failed, "failed", "The operation failed; the error says why."),
    row(Exit::Usage, "usage", "The command line makes no sense."),
    row(Exit::NotFound, "not_found", "There is no such guest, template, image, task or file."),
    row(Exit::AlreadyExists, "already_exists", "Something of that name exists already."),
    row(Exit::WrongState, "failed_precondition", "It is not possible in the present state."),
    row(Exit::Exhausted, "resource_exhausted", "Memory, disk or another resource is short."),
    row(Exit::Deadline, "deadline_exceeded", "The time was up."),
    row(Exit::Cancelled, "cancelled", "The task was cancelled, or had to give way."),
    row(Exit::Unreachable, "unreachable", "xlfsd cannot be reached, or cannot serve now."),
    row(
        Exit::Invalid,
        "invalid_argument",
        "xlfsd refused a value, or a file is not what it should be.",
    ),
    row(
        Exit::NoHypervisor,
        "no_hypervisor",
        "The host does not run on Xen, or Xen does not answer.",
    ),
    row(Exit::Denied, "permission_denied", "It is not allowed."),
];

const fn row(exit: Exit, word: &'static str, text: &'static str) -> Meaning {
    Meaning { exit, word, text }
}

impl Exit {
    /// The number that the shell sees.
    pub(crate) fn code(self) -> u8 {
        match self {
            Exit::Ok => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::NotFound => 3,
            Exit::AlreadyExists => 4,
            Exit::WrongState => 5,
            Exit::Exhausted => 6,
            Exit::Deadline => 7,
            Exit::Cancelled => 8,
            Exit::Unreachable => 9,
            Exit::Invalid => 10,
            Exit::NoHypervisor => 11,
            Exit::Denied => 12,
            Exit::Signal(number) => 128u8.saturating_add(number),
        }
    }

    /// The word that stands for it in JSON and YAML.
    pub(crate) fn word(self) -> &'static str {
        MEANINGS.iter().find(|meaning| meaning.exit == self).map_or("signal", |found| found.word)
    }

    /// The exit for a gRPC code that xlfsd itself sent, in a status or in a
    /// task's error.
    pub(crate) fn from_grpc(code: Code) -> Exit {
        match code {
            Code::Ok => Exit::Ok,
            Code::NotFound => Exit::NotFound,
            Code::AlreadyExists => Exit::AlreadyExists,
            Code::FailedPrecondition => Exit::WrongState,
            Code::ResourceExhausted => Exit::Exhausted,
            Code::DeadlineExceeded => Exit::Deadline,
            Code::Cancelled | Code::Aborted => Exit::Cancelled,
            Code::InvalidArgument | Code::OutOfRange => Exit::Invalid,
            Code::Unavailable => Exit::Unreachable,
            Code::PermissionDenied | Code::Unauthenticated => Exit::Denied,
            Code::Unknown | Code::Unimplemented | Code::Internal | Code::DataLoss => Exit::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_the_table_and_words_are_unique() {
        for (number, meaning) in MEANINGS.iter().enumerate() {
            assert_eq!(usize::from(meaning.exit.code()), number, "{}", meaning.word);
        }
        let mut words: Vec<_> = MEANINGS.iter().map(|meaning| meaning.word).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), MEANINGS.len());
    }

    #[test]
    fn signals_are_counted_from_128() {
        assert_eq!(Exit::Signal(2).code(), 130);
        assert_eq!(Exit::Signal(15).code(), 143);
    }
}

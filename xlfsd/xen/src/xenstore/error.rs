//! What can go wrong, and what the caller may conclude from it.
//!
//! The question that matters after a failure is "has it happened?". An answer of xenstored
//! ([`ErrorKind::Refused`]) and the checks made before anything is sent mean no; a time-out or a
//! lost connection says so itself, in its field `sent`.

use std::fmt;
use std::time::Duration;

/// Which operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is the request of the same name")]
pub enum Op {
    Connect,
    Read,
    Directory,
    Write,
    Mkdir,
    Rm,
    GetPerms,
    SetPerms,
    Watch,
    Unwatch,
    Introduce,
    Release,
    IsIntroduced,
    DomainPath,
    Transaction,
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Op::Connect => "connect",
            Op::Read => "read",
            Op::Directory => "directory",
            Op::Write => "write",
            Op::Mkdir => "mkdir",
            Op::Rm => "rm",
            Op::GetPerms => "get permissions of",
            Op::SetPerms => "set permissions of",
            Op::Watch => "watch",
            Op::Unwatch => "unwatch",
            Op::Introduce => "introduce",
            Op::Release => "release",
            Op::IsIntroduced => "ask whether introduced:",
            Op::DomainPath => "ask for the path of",
            Op::Transaction => "transaction",
        })
    }
}

/// An operation on xenstore that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("xenstore: cannot {op} {path}: {kind}")]
pub struct Error {
    /// What was tried.
    pub op: Op,
    /// On what: a path, or `domain 3`.
    pub path: String,
    /// Why it failed.
    pub kind: ErrorKind,
}

/// Why an operation failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ErrorKind {
    /// xenstored answered with an error; nothing was changed.
    #[error("{0}")]
    Refused(Code),
    /// The connection was lost, or could not be made.
    #[error("the connection to xenstored was lost ({why}); {}", happened(*sent))]
    Disconnected {
        /// Whether the request had been sent: then it may have been carried out.
        sent: bool,
        /// What ended the connection.
        why: String,
    },
    /// No answer came in time.
    #[error("no answer from xenstored within {}; {}", Seconds(*after), happened(*sent))]
    TimedOut {
        /// Whether the request had been sent: then it may still be carried out.
        sent: bool,
        /// The deadline that passed.
        after: Duration,
    },
    /// The request does not fit into a message.
    #[error("the request needs {len} bytes, a message holds {limit}; use a shorter path or value")]
    TooLong {
        /// Bytes of payload the request needs.
        len: usize,
        /// Bytes of payload the transport can carry.
        limit: usize,
    },
    /// The path cannot be one; nothing was sent.
    #[error("this is no valid path: {why}")]
    BadPath {
        /// What is wrong with it.
        why: &'static str,
    },
    /// An argument cannot be right; nothing was sent.
    #[error("{why}")]
    BadArgument {
        /// What is wrong with it.
        why: &'static str,
    },
    /// The answer makes no sense.
    #[error("xenstored's answer cannot be understood: {why}")]
    BadReply {
        /// What is wrong with it.
        why: String,
    },
    /// The value is longer than the caller takes.
    #[error("the value has {len} bytes, at most {limit} are accepted")]
    ValueTooLong {
        /// Bytes of the value.
        len: usize,
        /// The caller's limit.
        limit: usize,
    },
    /// The value is no text.
    #[error("the value is not UTF-8")]
    NotText,
    /// The node kept changing while its children were listed.
    #[error("the directory changed {attempts} times while it was read")]
    Unstable {
        /// How often it was tried.
        attempts: u32,
    },
    /// A transaction met other writers each time it was tried.
    #[error("{attempts} attempts met other writers; nothing was changed")]
    Conflict {
        /// How often it was tried.
        attempts: u32,
    },
    /// The client's driver has ended (the runtime is shutting down).
    #[error("the xenstore client has been closed")]
    Closed,
}

impl Error {
    /// The code xenstored answered with, if it answered.
    pub fn code(&self) -> Option<&Code> {
        match &self.kind {
            ErrorKind::Refused(code) => Some(code),
            _ => None,
        }
    }

    /// Whether xenstored said that the node does not exist.
    pub fn is_not_found(&self) -> bool {
        self.code() == Some(&Code::NoEntry)
    }

    /// Whether the operation may have been carried out in spite of the error.
    pub fn may_have_happened(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::Disconnected { sent: true, .. } | ErrorKind::TimedOut { sent: true, .. }
        )
    }
}

fn happened(sent: bool) -> &'static str {
    if sent { "the request may or may not have been carried out" } else { "nothing was sent" }
}

struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.0.as_secs_f64())
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal $meaning:literal,)*) => {
        /// An errno's name, as xenstored sends it (`xsd_errors` in `io/xs_wire.h`; EQUOTA is
        /// oxenstored's own).
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)*
            /// A name that is not in the header file.
            Other(String),
        }

        impl Code {
            /// Reads the payload of an ERROR message.
            pub(super) fn parse(payload: &[u8]) -> Code {
                let name = super::wire::strings(payload).next().unwrap_or_default();
                match name {
                    $(name if name == $text.as_bytes() => Code::$name,)*
                    _ => {
                        let name: String =
                            String::from_utf8_lossy(name).escape_default().take(64).collect();
                        Code::Other(name)
                    }
                }
            }

            /// The name on the wire, such as `ENOENT`.
            pub fn name(&self) -> &str {
                match self { $(Code::$name => $text,)* Code::Other(name) => name }
            }
        }

        impl fmt::Display for Code {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Code::$name => f.write_str(concat!($meaning, " (", $text, ")")),)*
                    Code::Other(name) => write!(f, "xenstored says {name:?}"),
                }
            }
        }
    };
}

codes! {
    /// EINVAL
    Invalid = "EINVAL" "xenstored does not accept the request",
    /// EACCES
    Access = "EACCES" "permission denied",
    /// EEXIST
    Exists = "EEXIST" "it exists already",
    /// EISDIR
    IsDirectory = "EISDIR" "it is a directory",
    /// ENOENT
    NoEntry = "ENOENT" "it does not exist",
    /// ENOMEM
    NoMemory = "ENOMEM" "xenstored has no memory left",
    /// ENOSPC
    NoSpace = "ENOSPC" "a quota of xenstored is used up",
    /// EIO
    Io = "EIO" "xenstored failed to read or write its database",
    /// ENOTEMPTY
    NotEmpty = "ENOTEMPTY" "it has children",
    /// ENOSYS
    NotSupported = "ENOSYS" "this xenstored does not know the request",
    /// EROFS
    ReadOnly = "EROFS" "it is read-only",
    /// EBUSY
    Busy = "EBUSY" "it is busy",
    /// EAGAIN
    Again = "EAGAIN" "another writer came in between",
    /// EISCONN
    Connected = "EISCONN" "the domain is introduced already",
    /// E2BIG
    TooBig = "E2BIG" "the answer does not fit into a message, or there are too many of them",
    /// EPERM
    NotPermitted = "EPERM" "only the owner may do this",
    /// EQUOTA
    Quota = "EQUOTA" "a quota of xenstored is used up",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_with_and_without_their_nul() {
        assert_eq!(Code::parse(b"ENOENT\0"), Code::NoEntry);
        assert_eq!(Code::parse(b"EQUOTA"), Code::Quota);
        assert_eq!(Code::parse(b"EWHAT\0"), Code::Other("EWHAT".into()));
        assert_eq!(Code::parse(b""), Code::Other(String::new()));
    }

    #[test]
    fn a_hostile_code_is_short_and_printable() {
        let Code::Other(name) = Code::parse(&[0xff; 4096]) else { panic!("not a known code") };
        assert!(name.len() <= 64 && name.is_ascii());
    }

    #[test]
    fn an_error_tells_the_whole_story() {
        let error = |kind| Error { op: Op::Write, path: "/a".into(), kind }.to_string();
        assert_eq!(
            error(ErrorKind::Refused(Code::NoSpace)),
            "xenstore: cannot write /a: a quota of xenstored is used up (ENOSPC)"
        );
        assert_eq!(
            error(ErrorKind::TimedOut { sent: true, after: Duration::from_millis(1500) }),
            "xenstore: cannot write /a: no answer from xenstored within 1.5 s; \
             the request may or may not have been carried out"
        );
        assert_eq!(
            error(ErrorKind::Disconnected { sent: false, why: "end of file".into() }),
            "xenstore: cannot write /a: the connection to xenstored was lost (end of file); \
             nothing was sent"
        );
    }
}

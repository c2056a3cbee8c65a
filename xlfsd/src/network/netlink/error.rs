//! What can go wrong between the daemon and the kernel's network.

use std::io;

use crate::network::LinkName;
use crate::problem::{Problem, ProblemKind};

/// A request to the kernel failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    #[error("cannot open a netlink socket")]
    Socket {
        #[source]
        source: io::Error,
    },
    #[error("the kernel does not {what} {link}")]
    Refused {
        what: &'static str,
        link: LinkName,
        #[source]
        source: io::Error,
    },
    #[error("the kernel gives no useful answer to the request to {what} {link}: {answer}")]
    Senseless { what: &'static str, link: LinkName, answer: String },
    #[error("the kernel did not answer within {seconds} s to the request to {what} {link}")]
    NoAnswer { what: &'static str, link: LinkName, seconds: u64 },
    #[error("cannot write {value} to {path}")]
    Sysctl {
        path: String,
        value: &'static str,
        #[source]
        source: io::Error,
    },
}

impl LinkError {
    pub(super) fn errno(&self) -> Option<nix::errno::Errno> {
        match self {
            Self::Refused { source, .. } => source.raw_os_error().map(nix::errno::Errno::from_raw),
            _ => None,
        }
    }

    /// As a person gets to see it: `message` is what failed because of it.
    pub(super) fn problem(&self, message: impl Into<String>) -> Problem {
        use nix::errno::Errno;
        match self.errno() {
            Some(Errno::EPERM) => {
                Problem::from_error(ProblemKind::FailedPrecondition, "NOT_PERMITTED", message, self)
                    .hint("xlfsd must run as root, or with CAP_NET_ADMIN.")
            }
            // It went away between two requests: its domain is ending.
            Some(Errno::ENODEV) => {
                Problem::from_error(ProblemKind::Aborted, "LINK_GONE", message, self)
            }
            _ => Problem::from_error(ProblemKind::Internal, "NETWORK_FAILED", message, self),
        }
    }
}

//! What a failed hypercall tells.

use std::fmt;

use nix::errno::Errno;

/// A domain's number. 0 is Dom0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DomainId(pub u16);

impl fmt::Display for DomainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A hypercall that failed: which, on what, how, and in which interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HypercallError {
    /// Such as "domctl".
    pub call: &'static str,
    /// Such as "createdomain".
    pub operation: &'static str,
    /// The domain that it was about.
    pub domain: Option<DomainId>,
    /// What came back.
    pub errno: Errno,
    /// The hypervisor's version.
    pub xen: String,
    /// The version of the interface, for domctl and sysctl.
    pub interface: Option<u32>,
}

impl fmt::Display for HypercallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hypercall {} {}", self.call, self.operation)?;
        if let Some(domain) = self.domain {
            write!(f, " on domain {domain}")?;
        }
        write!(f, " failed: {} ({})", self.meaning(), self.errno)?;
        write!(f, " [Xen {}", self.xen)?;
        if let Some(interface) = self.interface {
            write!(f, ", {} interface {interface}", self.call)?;
        }
        write!(f, "]")
    }
}

impl std::error::Error for HypercallError {}

impl HypercallError {
    /// In the words of the interface, where these are clearer than the errno's.
    fn meaning(&self) -> &'static str {
        match (self.operation, self.errno) {
            (_, Errno::ESRCH) => "no such domain",
            (_, Errno::EACCES) => "the hypervisor refuses this version of the interface",
            (_, Errno::EPERM) => "only a privileged domain may do this",
            (_, Errno::ENOSYS) => "this hypervisor does not have it",
            ("createdomain", Errno::EEXIST) => "the domain id is taken",
            (_, Errno::ENOMEM) => "the hypervisor is out of memory",
            (_, Errno::EFAULT) => "an argument is not in resident memory",
            (_, Errno::EINVAL) => "the hypervisor rejects an argument",
            (_, Errno::EBUSY) => "it is in use",
            (_, Errno::E2BIG) => "it is larger than a limit",
            (_, Errno::ENOSPC) => "a table of the hypervisor is full",
            _ => "unexpected error",
        }
    }

    /// True when the domain does not exist (any more).
    #[must_use]
    pub fn is_no_domain(&self) -> bool {
        self.errno == Errno::ESRCH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_everything() {
        let error = HypercallError {
            call: "domctl",
            operation: "max_mem",
            domain: Some(DomainId(7)),
            errno: Errno::EINVAL,
            xen: "4.17.7".into(),
            interface: Some(21),
        };
        assert_eq!(
            error.to_string(),
            "hypercall domctl max_mem on domain 7 failed: the hypervisor rejects an argument \
             (EINVAL: Invalid argument) [Xen 4.17.7, domctl interface 21]"
        );
    }
}

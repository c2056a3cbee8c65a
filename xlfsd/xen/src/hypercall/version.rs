//! `xen_version`: the one interface that never changes. Source: public/version.h.

use std::fmt;

use super::HypercallError;
use crate::abi::numbers::{
    HYPERVISOR_XEN_VERSION, XENVER_CAPABILITIES, XENVER_COMMANDLINE, XENVER_EXTRAVERSION,
    XENVER_VERSION,
};
use crate::privcmd::Privcmd;

/// `xen_capabilities_info_t` and `xen_commandline_t` have this many bytes, the
/// extra version 16.
const TEXT: usize = 1024;

/// What the hypervisor says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// 4, for a decade.
    pub major: u32,
    /// The release line.
    pub minor: u32,
    /// The rest, such as ".7" or "-unstable".
    pub extra: String,
    /// The kinds of guests it runs, such as "xen-3.0-x86_64 hvm-3.0-x86_64".
    pub capabilities: String,
    /// What the boot loader passed to it.
    pub command_line: String,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}{}", self.major, self.minor, self.extra)
    }
}

pub(super) fn read(privcmd: &Privcmd) -> Result<Version, HypercallError> {
    // SAFETY: this operation takes no argument.
    let number = unsafe { privcmd.hypercall(HYPERVISOR_XEN_VERSION, [XENVER_VERSION, 0, 0, 0, 0]) }
        .map_err(|errno| error("version", errno))? as u32;
    Ok(Version {
        major: number >> 16,
        minor: number & 0xffff,
        extra: text(privcmd, "extraversion", XENVER_EXTRAVERSION)?,
        capabilities: text(privcmd, "capabilities", XENVER_CAPABILITIES)?,
        // Not every release and policy lets this be read.
        command_line: text(privcmd, "commandline", XENVER_COMMANDLINE).unwrap_or_default(),
    })
}

fn text(
    privcmd: &Privcmd,
    operation: &'static str,
    command: u64,
) -> Result<String, HypercallError> {
    let buffer = privcmd.buffer(TEXT).map_err(|errno| error(operation, errno))?;
    // SAFETY: each of these writes at most TEXT bytes into the buffer.
    unsafe { privcmd.hypercall(HYPERVISOR_XEN_VERSION, [command, buffer.address(), 0, 0, 0]) }
        .map_err(|errno| error(operation, errno))?;
    Ok(c_string(&buffer))
}

fn c_string(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).trim().to_owned()
}

fn error(operation: &'static str, errno: nix::errno::Errno) -> HypercallError {
    HypercallError {
        call: "xen_version",
        operation,
        domain: None,
        errno,
        xen: "of unknown version".into(),
        interface: None,
    }
}

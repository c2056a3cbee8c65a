//! Giving up everything but three descriptors.
//!
//! In order: descriptors, root directory, resource limits, user and groups,
//! privileges of later `exec`s, and last the system calls. Each step works
//! without unsafe code, because the process does it to itself after `exec`
//! and before it has a second thread. If one fails, the worker must not look
//! at the image.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;

use nix::libc;
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Gid, Uid};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};
use serde::{Deserialize, Serialize};

use crate::kernel::limits::Limits;

/// The user and group that own nothing, by the kernel's own convention.
const NOBODY: u32 = 65534;
/// Address space for the program itself, its heap and its buffers.
const PROGRAM_BYTES: u64 = 128 << 20;

/// A step on the way down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Reading the order on the command line.
    Order,
    /// Looking at descriptors 0 and 1.
    Files,
    /// Closing all other descriptors.
    Descriptors,
    /// Entering an empty root directory.
    Root,
    /// Setting the resource limits.
    ResourceLimits,
    /// Becoming nobody.
    User,
    /// Forbidding new privileges and core dumps.
    NoNewPrivileges,
    /// Filtering the system calls.
    SystemCalls,
}

impl Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Order => "reading its order",
            Self::Files => "looking at its files",
            Self::Descriptors => "closing other descriptors",
            Self::Root => "entering an empty root directory",
            Self::ResourceLimits => "setting resource limits",
            Self::User => "becoming nobody",
            Self::NoNewPrivileges => "forbidding new privileges",
            Self::SystemCalls => "filtering system calls",
        })
    }
}

/// A step that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{step} failed: {reason}")]
pub struct ConfineError {
    /// The step.
    pub step: Step,
    /// The operating system's reason.
    pub reason: String,
}

impl ConfineError {
    pub(super) fn new(step: Step, reason: &dyn Display) -> Self {
        Self { step, reason: reason.to_string() }
    }
}

/// Gives up everything but the descriptors 0 to 2, memory for `limits` and
/// `cpu_seconds` of processor time. There is no way back. A process that is
/// not root keeps its user and its root directory; neither is of use to it,
/// for it can no longer open anything.
///
/// The process must have one thread only.
///
/// # Errors
/// The step that failed; the process is then in between, and must end.
pub fn confine(limits: &Limits, cpu_seconds: u64) -> Result<(), ConfineError> {
    fn at<T, E: Display>(step: Step, result: Result<T, E>) -> Result<T, ConfineError> {
        result.map_err(|e| ConfineError::new(step, &e))
    }
    at(Step::Descriptors, close_descriptors())?;
    let root = Uid::effective().is_root();
    if root {
        at(Step::Root, enter_empty_root())?;
    }
    at(Step::ResourceLimits, limit_resources(limits, cpu_seconds))?;
    if root {
        at(Step::User, become_nobody())?;
    }
    at(Step::NoNewPrivileges, prctl::set_no_new_privs())?;
    at(Step::NoNewPrivileges, prctl::set_dumpable(false))?;
    at(Step::SystemCalls, filter_system_calls())
}

/// Closes what a careless part of the daemon let through its `exec`.
fn close_descriptors() -> std::io::Result<()> {
    let open: Vec<i32> = std::fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    for fd in open.into_iter().filter(|fd| *fd > 2) {
        // One of them was the directory itself, closed by now: no error.
        let _ = nix::unistd::close(fd);
    }
    Ok(())
}

/// Makes a directory that has no name any more the root directory: nothing is
/// in it, and nothing can be made in it.
fn enter_empty_root() -> std::io::Result<()> {
    let name = format!("xlfs-kernel-worker-{}", std::process::id());
    let made = ["/run", "/tmp", "/"]
        .iter()
        .map(|parent| Path::new(parent).join(&name))
        .find(|path| nix::unistd::mkdir(path, nix::sys::stat::Mode::S_IXUSR).is_ok());
    let path =
        made.ok_or_else(|| std::io::Error::other("no directory can be made in /run, /tmp or /"))?;
    let entered = nix::unistd::chdir(&path);
    // Unnamed even if entering it failed.
    std::fs::remove_dir(&path)?;
    entered?;
    nix::unistd::chroot(".")?;
    Ok(())
}

fn limit_resources(limits: &Limits, cpu_seconds: u64) -> nix::Result<()> {
    // A decoder holds its window twice while it makes it larger.
    let memory = limits.decoder_bytes.saturating_mul(2).saturating_add(PROGRAM_BYTES);
    for (resource, limit) in [
        (Resource::RLIMIT_AS, memory),
        (Resource::RLIMIT_FSIZE, limits.payload_bytes),
        (Resource::RLIMIT_NOFILE, 3),
        (Resource::RLIMIT_NPROC, 0),
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_MEMLOCK, 0),
    ] {
        setrlimit(resource, limit, limit)?;
    }
    // The soft limit ends it with a signal that says so, the hard one with SIGKILL.
    setrlimit(Resource::RLIMIT_CPU, cpu_seconds, cpu_seconds.saturating_add(1))
}

fn become_nobody() -> nix::Result<()> {
    let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    nix::unistd::setgroups(&[])?;
    nix::unistd::setresgid(gid, gid, gid)?;
    nix::unistd::setresuid(uid, uid, uid)?;
    // It must not be possible to go back.
    match nix::unistd::setuid(Uid::from_raw(0)) {
        Ok(()) => Err(nix::errno::Errno::ENOTRECOVERABLE),
        Err(_) => Ok(()),
    }
}

/// Installs the filter: what is not listed kills the process.
fn filter_system_calls() -> Result<(), String> {
    let filter = filter().map_err(|e| e.to_string())?;
    seccompiler::apply_filter(&filter).map_err(|e| e.to_string())
}

fn filter() -> Result<BpfProgram, seccompiler::BackendError> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    SeccompFilter::new(rules()?, SeccompAction::KillProcess, SeccompAction::Allow, arch)?.try_into()
}

/// What may be called, and with which arguments.
fn rules() -> Result<BTreeMap<i64, Vec<SeccompRule>>, seccompiler::BackendError> {
    let not_executable = || SeccompCmpOp::MaskedEq(libc::PROT_EXEC as u64);
    let anonymous = || SeccompCmpOp::MaskedEq(libc::MAP_ANONYMOUS as u64);
    let is = || SeccompCmpOp::Eq;
    let own_pid = u64::from(std::process::id());

    let mut rules = BTreeMap::from([
        // The image and the payload are read, payload and reply are written.
        (libc::SYS_pread64, vec![one(0, is(), 0)?, one(0, is(), 1)?]),
        (libc::SYS_write, vec![one(0, is(), 1)?, one(0, is(), 2)?]),
        // Memory, never executable and never a file.
        (
            libc::SYS_mmap,
            vec![SeccompRule::new(vec![
                condition(2, not_executable(), 0)?,
                condition(3, anonymous(), libc::MAP_ANONYMOUS as u64)?,
            ])?],
        ),
        (libc::SYS_mprotect, vec![one(2, not_executable(), 0)?]),
        // abort() raises SIGABRT in this process, and in no other.
        (libc::SYS_tgkill, vec![one(0, is(), own_pid)?]),
        (libc::SYS_tkill, vec![one(0, is(), own_pid)?]),
    ]);
    for call in [
        libc::SYS_brk,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_madvise,
        libc::SYS_futex,
        libc::SYS_getrandom,
        libc::SYS_clock_gettime,
        libc::SYS_sched_yield,
        libc::SYS_restart_syscall,
        libc::SYS_rt_sigreturn,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_sigaltstack,
        libc::SYS_getpid,
        libc::SYS_gettid,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ] {
        rules.insert(call, Vec::new());
    }
    Ok(rules)
}

fn condition(
    argument: u8,
    op: SeccompCmpOp,
    value: u64,
) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, op, value)
}

/// A rule of one condition.
fn one(
    argument: u8,
    op: SeccompCmpOp,
    value: u64,
) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(vec![condition(argument, op, value)?])
}

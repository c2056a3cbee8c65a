//! The builder's errors as a caller gets to see them: the right code, the whole
//! chain of causes, and what to do.

use std::error::Error;
use std::io;

use xlfs_builder::build::{BuildError, Cause};
use xlfs_builder::graph::GraphError;
use xlfs_builder::image::InputError;
use xlfs_builder::recipe::LoadError;
use xlfs_builder::sandbox::SandboxError;
use xlfs_builder::source::SourceError;
use xlfs_builder::store::StoreError;

use crate::problem::{Problem, ProblemKind};

/// An error of the builder, outside of a build that runs.
pub(super) fn of(error: &BuildError) -> Problem {
    match error {
        BuildError::Load(error) => of_set(error),
        BuildError::Graph(error) => of_graph(error),
        BuildError::Store(error) => of_store(error),
        BuildError::Sandbox(SandboxError::Missing) => no_sandbox(),
        BuildError::Sandbox(SandboxError::Silent { .. }) => {
            plain(ProblemKind::DeadlineExceeded, "STEP_SILENT", error)
        }
        BuildError::Source(error @ SourceError::Nowhere { .. }) => no_source(error),
        BuildError::NotBuilt { package } => {
            Problem::failed_precondition("NOT_BUILT", error.to_string())
                .object(format!("package {package}"))
                .hint(format!("Build it: xlfsctl build start {package}"))
        }
        BuildError::NoSuchStep { package, .. } => {
            Problem::not_found("NO_SUCH_STEP", error.to_string())
                .object(format!("package {package}"))
        }
        BuildError::Needs { package, .. } => {
            Problem::failed_precondition("NOT_BUILT", error.to_string())
                .object(format!("package {package}"))
                .hint(format!("Build it: xlfsctl build start {package}"))
        }
        BuildError::Remote(error) => plain(ProblemKind::Unavailable, "REMOTE_EXECUTOR", error)
            .hint("Look after the service, or take builder.remote out of xlfsd.toml."),
        BuildError::Host(_) => plain(ProblemKind::FailedPrecondition, "NO_HOST_TOOLCHAIN", error)
            .hint("Install what is missing, or build with another toolchain (--toolchain)."),
        BuildError::Input(error @ InputError::Missing { .. }) => {
            Problem::failed_precondition("MISSING_INPUT", error.to_string())
                .hint("Where an image asks for xlfsctl: set builder.xlfsctl in xlfsd.toml.")
        }
        BuildError::Input(InputError::Store(error)) => of_store(error),
        BuildError::Input(error) => {
            let kind = ProblemKind::InvalidArgument { fields: Vec::new() };
            plain(kind, "BAD_INPUT", error)
        }
        error if is_full(error) => full(error),
        error => plain(ProblemKind::FailedPrecondition, "BUILD_FAILED", error),
    }
}

/// A message and the chain below it, which is never said twice.
fn plain(kind: ProblemKind, reason: &'static str, error: &dyn Error) -> Problem {
    let problem = Problem::new(kind, reason, error.to_string());
    match error.source() {
        Some(source) => with_causes(problem, source),
        None => problem,
    }
}

fn with_causes(mut problem: Problem, error: &dyn Error) -> Problem {
    let mut next = Some(error);
    while let Some(error) = next {
        problem.causes.push(error.to_string());
        next = error.source();
    }
    problem
}

/// A release set that cannot be read.
pub(super) fn of_set(error: &LoadError) -> Problem {
    plain(ProblemKind::FailedPrecondition, "BROKEN_SET", error)
        .hint("Correct it; xlfsctl recipe check tells every mistake.")
}

fn of_graph(error: &GraphError) -> Problem {
    match error {
        GraphError::Unknown { name, .. } => {
            Problem::not_found("NO_SUCH_PACKAGE", error.to_string())
                .object(format!("package {name}"))
                .hint("List them: xlfsctl recipe list")
        }
        GraphError::Toolchain { name, .. } => {
            Problem::not_found("NO_SUCH_TOOLCHAIN", error.to_string())
                .object(format!("toolchain {name}"))
                .hint("See them: xlfsctl recipe list")
        }
        GraphError::Recipe { name, problems } => {
            let message = format!("the recipe of {name} has mistakes");
            let mut problem = Problem::failed_precondition("BROKEN_RECIPE", message)
                .object(format!("package {name}"))
                .hint("Correct them; xlfsctl recipe check says where they are.");
            problem.causes.clone_from(problems);
            problem
        }
        GraphError::Cycle { .. } => Problem::failed_precondition("CYCLE", error.to_string())
            .hint("Take one of these dependencies out of its recipe."),
    }
}

/// The store's errors.
pub(super) fn of_store(error: &StoreError) -> Problem {
    match error {
        StoreError::Busy { .. } => Problem::failed_precondition("STORE_BUSY", error.to_string())
            .hint("Try again when it has ended."),
        StoreError::Unreachable { .. } | StoreError::Format { .. } => {
            plain(ProblemKind::FailedPrecondition, "STORE_UNUSABLE", error)
                .hint("The store is builder.store in xlfsd.toml.")
        }
        error if is_full(error) => full(error),
        error => plain(ProblemKind::Internal, "STORE_FAILED", error)
            .hint("Look at the disk that holds the store."),
    }
}

/// No place has a source file.
pub(super) fn no_source(error: &SourceError) -> Problem {
    match error {
        SourceError::Nowhere { file, sha256, tried } => {
            let message = format!("no place has {file} (sha256 {sha256})");
            let mut problem = Problem::unavailable("NO_SOURCE", message)
                .object(format!("source {file}"))
                .hint("Get it by hand, then: xlfsctl source add FILE");
            problem.causes.clone_from(tried);
            problem
        }
        SourceError::Store { source, .. } => of_store(source),
    }
}

/// A host without bubblewrap.
pub(super) fn no_sandbox() -> Problem {
    Problem::failed_precondition("NO_SANDBOX", SandboxError::Missing.to_string())
        .hint("Or build on another machine with xlfs-build, and import the images.")
}

fn full(error: &dyn Error) -> Problem {
    plain(ProblemKind::ResourceExhausted, "DISK_FULL", error)
        .hint("Free some space, or run xlfsctl build gc; what is built is kept.")
}

fn is_full(error: &(dyn Error + 'static)) -> bool {
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    matches!(kind, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
        || error.source().is_some_and(is_full)
}

/// Why a build failed, as the error of its task.
pub(super) fn of_failures(first: (&str, &str, &str), others: usize, cause: Cause) -> Problem {
    let (package, step, reason) = first;
    let more = match others {
        0 => String::new(),
        1 => ", and another one failed".to_owned(),
        count => format!(", and {count} others failed"),
    };
    let message = format!("{package} failed{more}");
    let (kind, name, hint) = match cause {
        Cause::DiskFull => (
            ProblemKind::ResourceExhausted,
            "DISK_FULL",
            "Free some space, or run xlfsctl build gc, and start again.".to_owned(),
        ),
        Cause::Silent => {
            (ProblemKind::DeadlineExceeded, "STEP_SILENT", format!("xlfsctl build log {package}"))
        }
        Cause::NoSource => (
            ProblemKind::Unavailable,
            "NO_SOURCE",
            "Get it by hand, then: xlfsctl source add FILE".to_owned(),
        ),
        Cause::Machine => (
            ProblemKind::FailedPrecondition,
            "CANNOT_BUILD",
            "Mend what it says, and start again.".to_owned(),
        ),
        Cause::Recipe => (
            ProblemKind::FailedPrecondition,
            "BUILD_FAILED",
            format!("xlfsctl build log {package}"),
        ),
    };
    let mut problem = Problem::new(kind, name, message)
        .step(step)
        .object(format!("package {package}"))
        .hint(hint);
    problem.causes.push(reason.to_owned());
    problem
}

//! What `xlfsctl -o json` prints, as far as scenarios look at it. The schemas
//! are those of docs/cli.md.

use std::collections::BTreeMap;

use serde::Deserialize;

/// `list`.
#[derive(Debug, Clone, Deserialize)]
pub struct Domains {
    /// Guests by name, then the domains that others made.
    pub domains: Vec<Domain>,
    /// Why Xen cannot be asked.
    pub hypervisor_problem: Option<String>,
}

/// `show` and `wait`.
#[derive(Debug, Clone, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of docs/cli.md")]
pub struct Domain {
    pub name: String,
    pub uuid: Option<String>,
    pub managed: bool,
    pub state: String,
    pub domid: Option<u16>,
    pub memory_mib: u64,
    pub vcpus: u32,
    pub wanted_running: bool,
    pub last_end: Option<String>,
    pub restarts: u32,
    pub parameters: BTreeMap<String, String>,
    pub operations: Vec<OperationStatus>,
    pub task_id: Option<String>,
    pub problems: Vec<String>,
    pub console: Option<ConsoleStats>,
    pub disks: Vec<Disk>,
    pub nics: Vec<Nic>,
}

/// A network interface of a guest.
#[derive(Debug, Clone, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of docs/cli.md")]
pub struct Nic {
    pub name: String,
    pub mac: String,
    pub network: String,
}

/// A disk of a guest.
#[derive(Debug, Clone, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of docs/cli.md")]
pub struct Disk {
    pub name: String,
    pub size_bytes: u64,
    pub read_only: bool,
}

/// What may be done to a guest now.
#[derive(Debug, Clone, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of docs/cli.md")]
pub struct OperationStatus {
    pub operation: String,
    pub allowed: bool,
    pub reason: Option<String>,
}

/// Counters of a console.
#[derive(Debug, Clone, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of docs/cli.md")]
pub struct ConsoleStats {
    pub bytes: u64,
    pub dropped_bytes: u64,
    pub readers: u32,
    pub writer_attached: bool,
    pub protocol_errors: u64,
}

/// What a change did.
#[derive(Debug, Clone, Deserialize)]
pub struct Results {
    /// One for each name.
    pub results: Vec<Change>,
}

/// What it did to one guest.
#[derive(Debug, Clone, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of docs/cli.md")]
pub struct Change {
    pub name: String,
    pub operation: String,
    pub changed: bool,
    pub dry_run: bool,
    pub plan: Vec<Planned>,
    pub task: Option<Task>,
    pub generated: BTreeMap<String, String>,
}

/// A step that would be taken.
#[derive(Debug, Clone, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of docs/cli.md")]
pub struct Planned {
    pub name: String,
}

/// `task show`.
#[derive(Debug, Clone, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of docs/cli.md")]
pub struct Task {
    pub id: String,
    pub kind: String,
    pub object: Option<String>,
    pub state: String,
    pub steps: Vec<Step>,
    pub error: Option<Failure>,
}

/// A step of a task.
#[derive(Debug, Clone, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of docs/cli.md")]
pub struct Step {
    pub name: String,
    pub state: String,
    pub took_seconds: Option<f64>,
}

/// `task list`.
#[derive(Debug, Clone, Deserialize)]
pub struct Tasks {
    /// Newest first.
    pub tasks: Vec<Task>,
}

/// `image list`.
#[derive(Debug, Clone, Deserialize)]
pub struct Images {
    /// The images.
    pub images: Vec<Image>,
}

/// An image.
#[derive(Debug, Clone, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of docs/cli.md")]
pub struct Image {
    pub digest: String,
    pub kind: String,
    pub aliases: Vec<String>,
    pub summary: Option<String>,
}

/// `image import`.
#[derive(Debug, Clone, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of docs/cli.md")]
pub struct Import {
    pub image: Image,
    pub changed: bool,
}

/// What stands on standard error when a command fails.
#[derive(Debug, Clone, Deserialize)]
pub struct FailureDocument {
    /// The failure.
    pub error: Failure,
}

/// A failure.
#[derive(Debug, Clone, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of docs/cli.md")]
pub struct Failure {
    pub code: String,
    pub exit_code: i32,
    pub message: String,
    pub reason: Option<String>,
    pub step: Option<String>,
    pub object: Option<String>,
    pub causes: Vec<String>,
    pub hint: Option<String>,
    pub leftovers: Vec<String>,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}): {}", self.exit_code, self.code, self.message)?;
        for cause in &self.causes {
            write!(f, "; {cause}")?;
        }
        match &self.hint {
            Some(hint) => write!(f, " [{hint}]"),
            None => write!(f, " [no hint]"),
        }
    }
}

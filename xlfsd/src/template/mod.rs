//! What guests are made from: a folder per template with a manifest
//! `template.toml`, which names images and resources and declares parameters.
//! The format is described in docs/templates.md.
//!
//! Three steps, each in files of its own: `library` finds and reads the
//! manifests, `manifest` and the rooms of its sections (`parameter`,
//! `resources`, `end_policy`, `disk`, `network`, `first_boot`, `health`) check
//! what they say, and
//! [`Template::validate`] checks what a user gives for the parameters and makes
//! the kernel's command line of it (`command_line`).
//!
//! Parameters come from users and end on a kernel's command line, where a
//! space begins another kernel parameter. So a value is never pasted: the line
//! is split into words before anything is put in, and a value stays inside of
//! its word.

mod command_line;
mod disk;
mod end_policy;
mod first_boot;
mod guest;
mod health;
mod library;
mod manifest;
mod message;
mod network;
mod parameter;
mod resolve;
mod resources;

pub use command_line::MAX_COMMAND_LINE;
pub use disk::{Disk, Swap};
pub use end_policy::{EndAction, EndPolicy};
pub use first_boot::StepFileError;
pub use guest::GuestFacts;
pub use health::{HealthCheck, HealthKind};
pub use library::{Broken, TemplateLibrary};
pub use manifest::{Template, TemplateError};
pub use network::Network;
pub use parameter::{Parameter, ParameterType};
pub use resolve::{ResolvedParams, SECRET_MARKER};
pub use resources::Resources;

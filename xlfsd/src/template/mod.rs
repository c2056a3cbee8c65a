//! What guests are made from: a folder per template with a manifest
//! `template.toml`, which names images and resources and declares parameters.
//! The format is described in docs/templates.md.
//!
//! Three steps, each in a file of its own: `library` finds and reads the
//! manifests, `manifest` and `parameter` check what they say, and
//! [`Template::validate`] checks what a user gives for the parameters and makes
//! the kernel's command line of it (`command_line`).
//!
//! Parameters come from users and end on a kernel's command line, where a
//! space begins another kernel parameter. So a value is never pasted: the line
//! is split into words before anything is put in, and a value stays inside of
//! its word.

mod command_line;
mod guest;
mod library;
mod manifest;
mod parameter;
mod resolve;

pub use command_line::MAX_COMMAND_LINE;
pub use guest::GuestFacts;
pub use library::{Broken, TemplateLibrary};
pub use manifest::{EndAction, EndPolicy, Resources, Template, TemplateError};
pub use parameter::{Parameter, ParameterType};
pub use resolve::{ResolvedParams, SECRET_MARKER};

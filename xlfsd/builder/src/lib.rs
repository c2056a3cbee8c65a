//! The integrated builder: packages and images out of source, described by
//! recipes (see docs/recipes.md), built in sandboxes, kept by content.
//!
//! It knows nothing of Xen and of xlfsd: the daemon serves it over gRPC, and
//! the program `xlfs-build` drives it from a command line.

pub mod pattern;
pub mod recipe;
mod suggest;

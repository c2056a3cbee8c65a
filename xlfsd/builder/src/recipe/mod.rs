//! Recipes: what people write about packages, images and sources, read and
//! checked. The format is described in docs/recipes.md.
//!
//! `package`, `image`, `artifact`, `lock` and `set_file` are the files as they are written;
//! `set` reads a whole folder of them; `check` holds them against each other;
//! `reference` is what stands in lists of dependencies; `fragment` reads pieces of kernel
//! configurations; `text` names mistakes by line and column, `locate` finds the place of
//! those that are found later.

pub mod artifact;
pub mod check;
pub mod fragment;
pub mod image;
pub mod locate;
pub mod lock;
pub mod package;
pub mod reference;
pub mod set;
pub mod set_file;
mod text;

pub use artifact::{Artifact, ArtifactKind, Import, ImportKind};
pub use image::Image;
pub use lock::{LockedSource, Place};
pub use package::Package;
pub use reference::Reference;
pub use set::{LoadError, RecipeSet};
pub use set_file::{SetFile, Toolchain};
pub use text::TextError;

//! The image store: kernels and ramdisks by the SHA-256 of their content.
//!
//! ```text
//! <state>/images/<sha256>               the content, read-only
//! <state>/images/index/<sha256>.toml    its record: kind, aliases, origin
//! <state>/images/.unfinished-...        imports that go on; swept at start
//! ```
//!
//! An image exists when its record does. An import flushes the content before
//! it writes the record, a delete removes the record before the content: a
//! power cut leaves at most a content without a record, which the next start
//! puts aside.
//!
//! Templates name images by alias; a guest is bound to a digest, so a new
//! import of an alias never changes a guest that exists. Nothing here looks
//! into an image: what a kernel asks for is said by a [`KernelInspector`],
//! which does its parsing elsewhere, without privileges.

mod catalog;
mod digest;
mod import;
mod record;
mod start;
mod store;

pub use digest::{Digest, NotADigest};
pub use import::{Import, ImportHeader, Imported};
pub use record::{ImageKind, ImageRecord};
pub use store::{ImageHold, ImageLimits, ImageStore, ImageStoreError, ImageUsers, KernelInspector};

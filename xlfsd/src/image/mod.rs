//! The image store: kernels and ramdisks by the SHA-256 of their content.
//!
//! ```text
//! <state>/images/<sha256>               the content, read-only
//! <state>/images/index/<sha256>.toml    its record: kind, aliases, origin
//! <state>/images/index/.unfinished-...  the record of one that comes or goes
//! <state>/images/.unfinished-...        imports that go on; swept at start
//! ```
//!
//! An image exists when its record does. While an image comes or goes, its
//! record stands there under an unfinished name: first of all when it comes,
//! last of all when it goes. A daemon that finds one at its start removes what
//! belongs to it, so a kill at any point leaves nothing behind.
//!
//! Templates name images by alias; a guest is bound to a digest, so a new
//! import of an alias never changes a guest that exists. Nothing here looks
//! into an image: what a kernel asks for is said by a [`KernelInspector`],
//! which does its parsing elsewhere, without privileges.

mod catalog;
mod digest;
mod import;
mod record;
mod rootfs;
mod start;
mod store;

pub use digest::{Digest, NotADigest};
pub use import::{Import, ImportHeader, Imported};
pub use record::{ImageKind, ImageRecord};
pub use store::{ImageHold, ImageLimits, ImageStore, ImageStoreError, ImageUsers, KernelInspector};

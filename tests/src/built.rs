//! Images that the product's own builder makes from source, for scenarios that
//! boot them. The first time costs minutes (a kernel); then they lie in the store.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::lab::LabError;
use crate::product;

/// The release set of this repository.
fn recipes() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes/12")
}

/// Where results are kept between runs: what `XLFS_STORE` names, or a folder
/// beside the lab's cache.
pub fn store(cache: &Path) -> PathBuf {
    let named = std::env::var_os("XLFS_STORE").map(PathBuf::from);
    named.unwrap_or_else(|| cache.with_file_name("store"))
}

/// Builds images of release set 12 and copies the files of each into `to/IMAGE`. What the
/// builder tells goes to standard output, as a user would see it.
///
/// # Errors
/// The program is not built, or it failed; it has said why.
pub fn images(names: &[&str], toolchain: &str, cache: &Path, to: &Path) -> Result<(), BuiltError> {
    let mut command = Command::new(product::find("xlfs-build")?);
    command.arg("build").args(names).args(["--toolchain", toolchain]);
    command.arg("--recipes").arg(recipes()).arg("--store").arg(store(cache)).arg("-o").arg(to);
    let status = command.status().map_err(BuiltError::Start)?;
    let names = names.join(" ");
    if status.success() { Ok(()) } else { Err(BuiltError::Failed { names, status }) }
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum BuiltError {
    #[error("the builder's program cannot be found")]
    Program(#[from] LabError),
    #[error("the builder cannot be started")]
    Start(#[source] std::io::Error),
    #[error("building {names} failed ({status}); what the builder said stands above")]
    Failed { names: String, status: std::process::ExitStatus },
}

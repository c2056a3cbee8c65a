//! A kernel in the forms that guests' kernels come in: the ELF inside a bzImage,
//! and bzImages with the same ELF in each compression.
//!
//! Made from whatever bzImage the pieces name, and kept in the cache: packing
//! 60 MB takes a while.

pub mod bzimage;
pub mod compression;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use bzimage::{BzImage, BzImageError};
pub use compression::Compression;

/// Why a kernel does not come in the wanted form.
#[derive(Debug, Error)]
pub enum KernelError {
    /// The kernel cannot be read, or the result not be written.
    #[error("cannot {doing} {path}")]
    File {
        /// What was being done.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// It is no bzImage that we understand.
    #[error("cannot take {path} apart")]
    Image {
        /// The kernel.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: BzImageError,
    },
}

/// The ELF inside the bzImage (or the kernel itself, when it is one).
pub fn elf(kernel: &Path, cache: &Path) -> Result<PathBuf, KernelError> {
    cached(kernel, cache, "elf", |image| {
        if image.starts_with(b"\x7fELF") {
            Ok(image.to_vec())
        } else {
            BzImage::parse(image)?.unpack()
        }
    })
}

/// A bzImage with the same ELF, compressed so. What loads the ELF (Xen, or a
/// builder of PV domains) takes it like the original; it cannot start itself.
pub fn repacked(
    kernel: &Path,
    cache: &Path,
    compression: Compression,
) -> Result<PathBuf, KernelError> {
    cached(kernel, cache, compression.name(), |image| BzImage::parse(image)?.repack(compression))
}

fn cached(
    kernel: &Path,
    cache: &Path,
    form: &str,
    make: impl FnOnce(&[u8]) -> Result<Vec<u8>, BzImageError>,
) -> Result<PathBuf, KernelError> {
    let file = |doing, path: &Path| {
        let path = path.to_owned();
        move |source| KernelError::File { doing, path, source }
    };
    let image = fs::read(kernel).map_err(file("read", kernel))?;
    let folder = cache.join("kernels");
    let mut crc = flate2::Crc::new();
    crc.update(&image);
    let path = folder.join(format!("{:08x}-{}-{form}", crc.sum(), image.len()));
    if !path.is_file() {
        fs::create_dir_all(&folder).map_err(file("make", &folder))?;
        let made = make(&image)
            .map_err(|source| KernelError::Image { path: kernel.to_owned(), source })?;
        let mut new =
            tempfile::NamedTempFile::new_in(&folder).map_err(file("write to", &folder))?;
        io::Write::write_all(&mut new, &made).map_err(file("write", &path))?;
        new.persist(&path).map_err(|error| error.error).map_err(file("write", &path))?;
    }
    Ok(path)
}

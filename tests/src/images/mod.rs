//! Root images of guests that serve, made of Debian's binary packages: what a
//! user would have at hand before xlfs's own builder has made any.
//!
//! [`root`] makes one, once: `recipe` says what goes in and gives that a key,
//! `bootstrap` has mmdebstrap unpack it, and the script `tests/images/pack`
//! makes an ext4 image of the tree. Nothing of it touches the host. An image
//! knows of no template; it has the packages and xlfs-first-boot
//! (vm-templates/first-boot), which runs a template's steps.
//!
//! `tests/templates-in-chroot` tries the templates in these images without Xen.

mod bootstrap;
mod recipe;
mod sparse;

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use thiserror::Error;

use crate::pieces::apt::AptError;
use recipe::Recipe;

/// Which guest an image is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Apache httpd, PostgreSQL, PHP.
    Lapp,
    /// Postfix, Dovecot, OpenDKIM.
    Mail,
    /// BIND 9.
    Dns,
    /// No guest: programs that ask the guests, for Dom0 to mount.
    Clients,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Lapp, Self::Mail, Self::Dns, Self::Clients];

    /// The template's name; the image's alias is this and `-root`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lapp => "lapp",
            Self::Mail => "mail",
            Self::Dns => "dns",
            Self::Clients => "clients",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Why there is no image.
#[derive(Debug, Error)]
pub enum ImageError {
    /// apt does not say where packages come from.
    #[error("apt does not know where this machine's Debian packages come from")]
    Sources(#[from] AptError),
    /// Not a Debian release.
    #[error(
        "/etc/os-release names no Debian release (VERSION_CODENAME), so it is unknown whose packages to take"
    )]
    NoRelease,
    /// A program cannot be started.
    #[error("cannot run {program}: is it installed? (`make install-missing`)")]
    Start {
        /// The program.
        program: &'static str,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// It ran and failed.
    #[error("{doing} failed for {kind}; all it said is in {log}, at its end:\n{tail}")]
    Failed {
        /// What was done.
        doing: &'static str,
        /// For which image.
        kind: Kind,
        /// The whole output.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// A file of the cache.
    #[error("cannot {doing} {path}")]
    Cache {
        /// What was tried.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

/// The root image of `kind`: a sparse raw file with an ext4 file system, below
/// `cache`. Made if it is not there, which takes one to three minutes, and made
/// anew when anything that goes into it changes. Newer packages alone are no
/// such change: delete the file to have them.
pub fn root(cache: &Path, kind: Kind) -> Result<PathBuf, ImageError> {
    let folder = cache.join("images");
    fs::create_dir_all(&folder).map_err(at("make", &folder))?;
    let folder = folder.canonicalize().map_err(at("find", &folder))?;
    let recipe = Recipe::of(kind)?;
    let path = folder.join(format!("{kind}-root-{}.ext4", recipe.key()));
    // Two runs at once make an image once. The lock goes with the variable.
    let lock_path = folder.join(format!("{kind}.lock"));
    let file = File::create(&lock_path).map_err(at("open", &lock_path))?;
    let _lock = Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, errno)| at("lock", &lock_path)(errno.into()))?;
    if !path.is_file() {
        eprintln!("lab: making {}", path.display());
        bootstrap::make(&recipe, cache, &path)?;
        remove_older(&folder, kind, &path);
    }
    Ok(path)
}

/// Half a gigabyte each; whoever uses one has it open or has copied it.
fn remove_older(folder: &Path, kind: Kind, newest: &Path) {
    let prefix = format!("{kind}-root-");
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&prefix) && entry.path() != newest {
            // What cannot go is only in the way of nothing.
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn at(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ImageError {
    let path = path.to_owned();
    move |source| ImageError::Cache { doing, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_older_images_of_the_same_kind_go() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["lapp-root-1.ext4", "lapp-root-2.ext4", "mail-root-1.ext4", "lapp.lock"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        remove_older(folder.path(), Kind::Lapp, &folder.path().join("lapp-root-2.ext4"));
        let mut left: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["lapp-root-2.ext4", "lapp.lock", "mail-root-1.ext4"]);
    }
}

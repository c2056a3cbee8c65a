//! The programs under test, as cargo has built them for release.
//!
//! The lab does not build them: whoever runs it (the Makefile) does that first,
//! so that a scenario never waits for a compiler.

use std::path::{Path, PathBuf};

use crate::initramfs::dom0::Extra;
use crate::lab::LabError;

/// The daemon's place in Dom0.
pub const XLFSD: &str = "/usr/sbin/xlfsd";
/// Where the daemon looks for templates in Dom0.
pub const TEMPLATES: &str = "/usr/share/xlfs/templates";
/// The command line's place in Dom0.
pub const XLFSCTL: &str = "/usr/bin/xlfsctl";

/// Both programs, for [`Config::files`](crate::lab::Config::files).
pub fn files() -> Result<Vec<Extra>, LabError> {
    let place = |(name, to): (&str, &str)| Ok(Extra { from: find(name)?, to: to.to_owned() });
    [("xlfsd", XLFSD), ("xlfsctl", XLFSCTL)].into_iter().map(place).collect()
}

/// A program in `XLFS_LAB_PROGRAMS`, or else in the release folder beside the
/// one that this program was built into.
pub(crate) fn find(name: &str) -> Result<PathBuf, LabError> {
    let this = std::env::current_exe()
        .map_err(|source| LabError::Folder { path: "/proc/self/exe".into(), source })?;
    let folders = match std::env::var_os("XLFS_LAB_PROGRAMS") {
        Some(folder) => vec![PathBuf::from(folder)],
        None => release_folders(&this),
    };
    let found = folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| LabError::NotBuilt { name: name.to_owned(), folders })
}

/// `lab` stands in TARGET/debug or TARGET/release, a test one folder below.
fn release_folders(this: &Path) -> Vec<PathBuf> {
    this.ancestors().skip(2).take(2).map(|folder| folder.join("release")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_folder_is_found_from_a_program_and_from_a_test() {
        let release = PathBuf::from("/t/x86_64/release");
        for this in ["/t/x86_64/debug/lab", "/t/x86_64/release/lab", "/t/x86_64/debug/deps/e2e-1"] {
            assert!(release_folders(Path::new(this)).contains(&release), "{this}");
        }
    }
}

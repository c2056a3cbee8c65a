//! The boot partition, where GRUB's variables lie. It is mounted read-only, and
//! writable for the moment in which they change: a host that loses power has a clean
//! file system there, and GRUB reads no journals.

use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use nix::sys::statvfs::{FsFlags, statvfs};
use parking_lot::Mutex;

use super::Slot;
use super::environment::{Environment, EnvironmentError};
use crate::problem::Problem;

/// Where /etc/rc mounts it.
pub const MOUNTED: &str = "/run/xlfs/boot";

/// The slot that GRUB starts unless told otherwise.
const GOOD: &str = "good";
/// The slot that it starts once.
const TRY: &str = "try";
/// The slot that it started last because of `try`.
const TRIED: &str = "tried";

/// GRUB's variables on its partition.
#[derive(Debug)]
pub struct Loader {
    folder: PathBuf,
    writing: Mutex<()>,
}

/// What GRUB will do, and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intent {
    pub good: Slot,
    pub next_try: Option<Slot>,
    pub tried: Option<Slot>,
}

impl Loader {
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), writing: Mutex::new(()) }
    }

    /// What stands there now.
    pub fn intent(&self) -> Result<Intent, Problem> {
        let environment = Environment::read(&self.path()).map_err(|error| unreadable(&error))?;
        let slot = |name| environment.get(name).and_then(|letter| letter.parse().ok());
        // As grub.cfg has it: what is not b is a.
        let good = slot(GOOD).unwrap_or(Slot::A);
        Ok(Intent { good, next_try: slot(TRY).filter(|slot| *slot != good), tried: slot(TRIED) })
    }

    /// The slot is to be started once; None takes that back.
    pub fn set_try(&self, slot: Option<Slot>) -> Result<(), Problem> {
        self.change(|environment| environment.set(TRY, slot.map_or("", Slot::letter)))
    }

    /// The slot works: GRUB starts it from now on.
    pub fn set_good(&self, slot: Slot) -> Result<(), Problem> {
        self.change(|environment| {
            environment.set(GOOD, slot.letter());
            environment.set(TRY, "");
            environment.set(TRIED, "");
        })
    }

    /// Somebody has taken note of what was tried.
    pub fn forget_tried(&self) -> Result<(), Problem> {
        self.change(|environment| environment.set(TRIED, ""))
    }

    fn path(&self) -> PathBuf {
        self.folder.join("grub/grubenv")
    }

    fn change(&self, change: impl FnOnce(&mut Environment)) -> Result<(), Problem> {
        let _turn = self.writing.lock();
        let path = self.path();
        let before = Environment::read(&path).map_err(|error| unreadable(&error))?;
        let mut after = before.clone();
        change(&mut after);
        if after == before {
            return Ok(());
        }
        let locked = read_only(&self.folder)?;
        if locked {
            remount(&self.folder, false)?;
        }
        let written = after.write(&path).and_then(|()| Environment::read(&path));
        if locked && let Err(problem) = remount(&self.folder, true) {
            tracing::warn!("the boot partition stays writable: {problem:#}");
        }
        match written {
            Ok(found) if found == after => Ok(()),
            Ok(_) => Err(Problem::internal("GRUB's variables are not what was written")),
            Err(error) => Err(Problem::internal("GRUB's variables cannot be written")
                .cause(&error)
                .hint("The host starts the slot that is good so far.")),
        }
    }
}

fn unreadable(error: &EnvironmentError) -> Problem {
    Problem::failed_precondition("NO_BOOT_VARIABLES", "GRUB's variables cannot be read")
        .cause(error)
        .hint(format!(
            "The boot partition (label xlfs-boot) belongs on {MOUNTED}, with grub/grubenv in it; \
             /var/log/boot.log says how mounting it went. `grub-editenv {MOUNTED}/grub/grubenv \
             create` makes the file anew."
        ))
}

fn read_only(folder: &Path) -> Result<bool, Problem> {
    let found = statvfs(folder).map_err(|errno| {
        Problem::internal(format!("{} cannot be looked at", folder.display())).cause(&errno)
    })?;
    Ok(found.flags().contains(FsFlags::ST_RDONLY))
}

fn remount(folder: &Path, read_only: bool) -> Result<(), Problem> {
    let mut flags =
        MsFlags::MS_REMOUNT | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    flags.set(MsFlags::MS_RDONLY, read_only);
    let nothing: Option<&str> = None;
    mount(nothing, folder, nothing, flags, nothing).map_err(|errno| {
        let mode = if read_only { "read-only" } else { "writable" };
        Problem::internal(format!("{} cannot be made {mode}", folder.display())).cause(&errno)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loader(text: &str) -> (tempfile::TempDir, Loader) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("grub")).unwrap();
        let mut block = text.as_bytes().to_vec();
        block.resize(super::super::environment::SIZE, b'#');
        std::fs::write(dir.path().join("grub/grubenv"), block).unwrap();
        let loader = Loader::new(dir.path());
        (dir, loader)
    }

    #[test]
    fn a_trial_goes_through_the_variables() {
        let (_dir, loader) = loader("# GRUB Environment Block\nxen_options=dom0_mem=2G\n");
        let fresh = Intent { good: Slot::A, next_try: None, tried: None };
        assert_eq!(loader.intent().unwrap(), fresh);
        loader.set_try(Some(Slot::B)).unwrap();
        assert_eq!(loader.intent().unwrap(), Intent { next_try: Some(Slot::B), ..fresh });
        loader.set_try(None).unwrap();
        assert_eq!(loader.intent().unwrap(), fresh);
        loader.set_try(Some(Slot::B)).unwrap();
        loader.set_good(Slot::B).unwrap();
        assert_eq!(loader.intent().unwrap(), Intent { good: Slot::B, ..fresh });
        let kept = Environment::read(&loader.path()).unwrap();
        assert_eq!(kept.get("xen_options"), Some("dom0_mem=2G"), "what the operator set stays");
    }

    #[test]
    fn a_failed_trial_is_seen_once() {
        let (_dir, loader) = loader("# GRUB Environment Block\ngood=a\ntry=\ntried=b\n");
        assert_eq!(loader.intent().unwrap().tried, Some(Slot::B));
        loader.forget_tried().unwrap();
        assert_eq!(loader.intent().unwrap().tried, None);
    }

    #[test]
    fn a_damaged_block_is_told_and_left_alone() {
        let (dir, loader) = loader("damaged");
        assert_eq!(loader.intent().unwrap_err().reason, "NO_BOOT_VARIABLES");
        assert_eq!(loader.set_try(Some(Slot::B)).unwrap_err().reason, "NO_BOOT_VARIABLES");
        let bytes = std::fs::read(dir.path().join("grub/grubenv")).unwrap();
        assert!(bytes.starts_with(b"damaged#"));
    }
}

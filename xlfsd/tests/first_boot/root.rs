//! A guest's root in a folder, and boots of it.

use std::fs;
use std::io::{Cursor, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use xlfsd::seed::Seed;

const PROGRAM: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../vm-templates/first-boot/xlfs-first-boot");

pub(crate) fn parse<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

pub(crate) struct Guest {
    dir: tempfile::TempDir,
}

/// What one boot told.
pub(crate) struct Run {
    pub(crate) good: bool,
    pub(crate) console: String,
}

impl Run {
    pub(crate) fn last(&self) -> &str {
        self.console.lines().last().unwrap_or_default()
    }

    fn of(output: Output) -> Self {
        let console = [output.stdout, output.stderr].concat();
        Self { good: output.status.success(), console: String::from_utf8(console).unwrap() }
    }
}

impl Guest {
    /// With what every guest has, and three network cards.
    pub(crate) fn new() -> Self {
        let guest = Self { dir: tempfile::tempdir().unwrap() };
        guest.with(&[
            ("etc/shadow", "daemon:*:1:0:::::\nroot:!:1:0:::::\n"),
            ("usr/share/zoneinfo/Europe/Zurich", ""),
            ("sys/class/net/lo/address", "00:00:00:00:00:00\n"),
            ("sys/class/net/eth0/address", "00:16:3e:00:00:00\n"),
            ("sys/class/net/eth1/address", "00:16:3e:00:00:01\n"),
            ("sys/class/net/enX2/address", "00:16:3e:00:00:02\n"),
            ("proc/mounts", "none / tmpfs rw 0 0\n"),
            ("proc/swaps", "Filename\n"),
            ("root/.profile", ""),
        ]);
        let mode = fs::Permissions::from_mode(0o640);
        fs::set_permissions(guest.path("etc/shadow"), mode).unwrap();
        // Only looked for: nothing runs it here.
        guest.program("udhcpc", "#!/bin/sh\nexit 1\n");
        guest
    }

    pub(crate) fn with(&self, files: &[(&str, &str)]) {
        for (name, content) in files {
            let path = self.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("root").join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub(crate) fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.path(name)).unwrap().permissions().mode() & 0o7777
    }

    pub(crate) fn log(&self) -> String {
        self.read("var/log/xlfs-first-boot.log")
    }

    pub(crate) fn run(&self, seed: &Seed) -> Run {
        self.run_part(seed, None)
    }

    pub(crate) fn run_part(&self, seed: &Seed, part: Option<&str>) -> Run {
        self.boot(self.unpack(seed).to_str().unwrap(), part)
    }

    /// The files of the disk's image in a folder, as mounting it would show them.
    pub(crate) fn unpack(&self, seed: &Seed) -> PathBuf {
        let disk = self.dir.path().join("disk");
        if disk.exists() {
            fs::remove_dir_all(&disk).unwrap();
        }
        let image = Cursor::new(seed.image().unwrap());
        let volume = fatfs::FileSystem::new(image, fatfs::FsOptions::new()).unwrap();
        fs::create_dir(&disk).unwrap();
        for entry in volume.root_dir().iter().map(Result::unwrap) {
            let mut content = Vec::new();
            entry.to_file().read_to_end(&mut content).unwrap();
            fs::write(disk.join(entry.file_name()), content).unwrap();
        }
        disk
    }

    /// A disk of this guest, as a plain file.
    pub(crate) fn block_device(&self, name: &str, content: &[u8], read_only: &str) {
        self.with(&[(&format!("sys/class/block/{name}/ro"), read_only)]);
        fs::create_dir_all(self.path("dev")).unwrap();
        fs::write(self.path("dev").join(name), content).unwrap();
    }

    /// A program in the folder `programs`.
    pub(crate) fn program(&self, name: &str, text: &str) {
        let path = self.path("programs").join(name);
        self.with(&[(&format!("programs/{name}"), text)]);
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// One of the host's programs, in that folder.
    pub(crate) fn link_program(&self, name: &str) {
        let path = std::env::var_os("PATH").unwrap();
        let places = std::env::split_paths(&path).map(|dir| dir.join(name));
        let place = places.into_iter().find(|place| place.exists());
        let place = place.unwrap_or_else(|| panic!("{name} is missing"));
        std::os::unix::fs::symlink(place, self.path("programs").join(name)).unwrap();
    }

    /// The PATH with those before the host's.
    pub(crate) fn programs(&self) -> String {
        let inherited = std::env::var("PATH").unwrap_or_default();
        format!("{}:{inherited}", self.path("programs").display())
    }

    /// A folder with all that busybox can do.
    pub(crate) fn busybox(&self) -> PathBuf {
        let applets = self.dir.path().join("applets");
        fs::create_dir(&applets).unwrap();
        let installed = Command::new("busybox").args(["--install", "-s"]).arg(&applets).status();
        assert!(installed.expect("busybox is missing").success());
        applets
    }

    pub(crate) fn boot(&self, disk: &str, part: Option<&str>) -> Run {
        let mut command = Command::new("sh");
        command.arg(PROGRAM).args(part).env("XLFS_DISK", disk).env("PATH", self.programs());
        self.start(command)
    }

    /// With the programs in `path` (as PATH has it), and with the disk to be
    /// found by its label unless it is named.
    pub(crate) fn boot_on(&self, path: &str, shell: &Path, disk: Option<&str>) -> Run {
        let mut command = Command::new(shell);
        command.arg(PROGRAM).env("PATH", path);
        match disk {
            Some(disk) => command.env("XLFS_DISK", disk),
            None => command.env_remove("XLFS_DISK"),
        };
        self.start(command)
    }

    fn start(&self, mut command: Command) -> Run {
        let root = self.dir.path().join("root");
        Run::of(command.env("XLFS_ROOT", root).env("XLFS_WAIT", "0").output().unwrap())
    }
}

//! The machine: QEMU with the host's disk, its configuration disk, and one network
//! card of which only SSH's port leads anywhere, to 127.0.0.1.

use std::fs::{self, File};
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use fatfs::{FileSystem, FormatVolumeOptions, FsOptions};
use tempfile::TempDir;

use super::{SlotsError, check, system};
use crate::qemu::Qemu;

/// What a busy machine may need from the firmware to sshd.
const BOOT: Duration = Duration::from_secs(420);
const LIFE: Duration = Duration::from_secs(4 * 3600);
const PAUSE: Duration = Duration::from_millis(500);
/// Bytes of the configuration disk.
const CONFIGURATION: u64 = 1 << 20;

/// More disks: images to upgrade to, as /dev/vdc and on, read-only.
pub type Media = Vec<PathBuf>;

/// A host that runs.
#[derive(Debug)]
pub struct Machine {
    qemu: Qemu,
    port: u16,
    folder: TempDir,
}

impl Machine {
    /// Copies the disk, so that the given one stays as it is, and boots the copy.
    pub fn boot(disk: &Path, media: &Media, echo: bool) -> Result<Self, SlotsError> {
        let folder = tempfile::tempdir().map_err(system("make a folder"))?;
        let copy = folder.path().join("disk.img");
        run(Command::new("cp").arg("--sparse=always").arg(disk).arg(&copy))?;
        let key = folder.path().join("key");
        run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key))?;
        let public = fs::read_to_string(key.with_extension("pub")).map_err(system("read a key"))?;
        let settings = "hostname = \"host1.example.org\"\naddress = \"dhcp\"\n";
        let files = [("authorized_keys", public.as_str()), ("host.conf", settings)];
        let configuration = folder.path().join("configuration.img");
        write_configuration(&configuration, &files).map_err(system("write a disk"))?;
        // The port is free this moment; QEMU takes it the next.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let port = port.map_err(system("find a port"))?.port();
        let mut disks = vec![(copy.as_path(), false), (configuration.as_path(), true)];
        disks.extend(media.iter().map(|path| (path.as_path(), true)));
        let log = crate::pieces::default_cache().join("logs");
        fs::create_dir_all(&log).map_err(system("make the folder of logs"))?;
        let log = log.join(format!("slots-{}.log", std::process::id()));
        eprintln!("lab: console log {}", log.display());
        let qemu = Qemu::start(arguments(&disks, port), folder.path(), &log, echo, LIFE)?;
        Ok(Self { qemu, port, folder })
    }

    /// Where SSH is.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What Xen, GRUB and Dom0 printed.
    pub fn console(&self) -> String {
        self.qemu.console()
    }

    /// How often GRUB started this slot so far; `trial`: only by `try`.
    pub fn starts(&self, slot: &str, trial: bool) -> usize {
        let line = format!("xlfs: starting slot {slot}{}", if trial { " xlfs.try=1" } else { "" });
        self.console().matches(&line).count()
    }

    /// The command by which a person gets in.
    pub fn ssh(&self) -> Command {
        let mut ssh = Command::new("ssh");
        let key = self.folder.path().join("key");
        ssh.arg("-i").arg(key).args(["-p", &self.port.to_string()]);
        for option in [
            "BatchMode=yes",
            "ConnectTimeout=10",
            "ServerAliveInterval=5",
            "ServerAliveCountMax=6",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
        ] {
            ssh.args(["-o", option]);
        }
        ssh.arg("root@127.0.0.1");
        ssh
    }

    /// Runs a command and answers what it printed.
    pub fn sh(&self, command: &str) -> Result<String, SlotsError> {
        self.feed(command, Stdio::null())
    }

    /// The same, with a file as its standard input.
    pub fn put(&self, file: &Path, command: &str) -> Result<String, SlotsError> {
        let file = File::open(file).map_err(system(format!("open {}", file.display())))?;
        self.feed(command, Stdio::from(file))
    }

    fn feed(&self, command: &str, input: Stdio) -> Result<String, SlotsError> {
        let mut ssh = self.ssh();
        let output = ssh.arg(command).stdin(input).output().map_err(system("run ssh"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            let message = format!("{}: {said}", output.status);
            return Err(SlotsError::Command { command: command.to_owned(), message });
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Waits until `now` holds.
    pub fn until(
        &self,
        what: &str,
        patience: Duration,
        mut now: impl FnMut(&Self) -> bool,
    ) -> Result<Duration, SlotsError> {
        let start = Instant::now();
        loop {
            if now(self) {
                return Ok(start.elapsed());
            }
            check(self.qemu.ended().is_none(), || format!("the machine ended; no {what}"))?;
            check(start.elapsed() < patience, || {
                let console = self.console();
                let lines: Vec<_> = console.lines().rev().take(25).collect();
                let tail = lines.into_iter().rev().collect::<Vec<_>>().join("\n");
                format!("no {what} after {patience:?}; the end of the console:\n{tail}")
            })?;
            thread::sleep(PAUSE);
        }
    }

    /// Waits until this slot runs, its xlfsd answers, and that it is the one.
    pub fn up(&self, slot: &str) -> Result<Duration, SlotsError> {
        let command = format!("grep -qw xlfs.slot={slot} /proc/cmdline && xlfsctl host info");
        self.until(&format!("slot {slot} with xlfsd"), BOOT, |host| host.sh(&command).is_ok())
    }
}

/// QEMU's arguments. Unlike the other lab machines this one starts again when it is
/// reset: that is what is tested.
fn arguments(disks: &[(&Path, bool)], port: u16) -> Vec<String> {
    let fixed = "-nodefaults -nographic -vga std -accel tcg,thread=multi -serial stdio -monitor none \
                 -machine pc -cpu qemu64 -smp 2 -m 2048 -boot c \
                 -device virtio-net-pci,netdev=net";
    let mut arguments: Vec<String> = fixed.split_whitespace().map(str::to_owned).collect();
    arguments.extend([
        "-netdev".to_owned(),
        format!("user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22"),
    ]);
    for (number, (path, read_only)) in disks.iter().enumerate() {
        let file = path.to_string_lossy().replace(',', ",,");
        let access = if *read_only { "on" } else { "off" };
        let boot = if number == 0 { ",bootindex=0" } else { "" };
        arguments.extend([
            "-drive".to_owned(),
            format!("file={file},format=raw,if=none,id=disk{number},readonly={access}"),
            "-device".to_owned(),
            format!("virtio-blk-pci,drive=disk{number}{boot}"),
        ]);
    }
    arguments
}

/// A FAT volume labelled CIDATA.
fn write_configuration(path: &Path, files: &[(&str, &str)]) -> std::io::Result<()> {
    let disk = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
    disk.set_len(CONFIGURATION)?;
    let options = FormatVolumeOptions::new().volume_label(*b"CIDATA     ");
    fatfs::format_volume(&disk, options)?;
    let volume = FileSystem::new(&disk, FsOptions::new())?;
    for (name, text) in files {
        volume.root_dir().create_file(name)?.write_all(text.as_bytes())?;
    }
    volume.unmount()
}

pub(super) fn run(command: &mut Command) -> Result<(), SlotsError> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(system(format!("run {name}")))?;
    check(output.status.success(), || {
        format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim())
    })
}

/// SHA-256 of a file, in hexadecimal digits.
pub(super) fn digest(path: &Path) -> Result<String, SlotsError> {
    use sha2::{Digest as _, Sha256};
    let mut hash = Sha256::new();
    let mut file = File::open(path).map_err(system(format!("open {}", path.display())))?;
    std::io::copy(&mut file, &mut HashWriter(&mut hash)).map_err(system("read an image"))?;
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

struct HashWriter<'a>(&'a mut sha2::Sha256);

impl Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        sha2::Digest::update(self.0, bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

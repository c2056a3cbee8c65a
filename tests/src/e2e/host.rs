//! The host that scenarios share: the lab with xlfsd running in its Dom0, the
//! images of the template `minimal` imported, and its state known.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::documents::{Failure, FailureDocument, Import};
use super::{Outcome, ScenarioError, check};
use crate::dom0::{Dom0, Output, Process};
use crate::ext4;
use crate::initramfs::dom0::Programs;
use crate::lab::{Config, GuestFiles, boot};
use crate::look::Look;
use crate::product;
use crate::qemu::{Disk, Machine};

/// For anything that a busy machine may take minutes for.
pub const PATIENCE: Duration = Duration::from_secs(300);
/// Bytes of the disk under xlfsd's state folder; most of it is never written.
const STATE_SIZE: u64 = 8 << 30;
/// Where xlfsd writes its log in Dom0.
const LOG: &str = "/var/log/xlfsd.log";
/// Templates of this repository, in Dom0.
const TEMPLATES: &str = "/usr/share/xlfs/templates";
/// Templates of scenarios, in Dom0.
pub const OWN_TEMPLATES: &str = "/etc/xlfs/templates";

/// What a host has that not all have.
#[derive(Debug)]
pub struct Setup<'a> {
    /// In its log's name.
    pub name: &'a str,
    /// Templates of vm-templates beyond `minimal`.
    pub templates: &'a [&'a str],
    /// Disks of Dom0 beyond its first: /dev/vdb and so on.
    pub disks: Vec<Disk>,
    /// Programs that xlfsd runs.
    pub programs: Programs,
    /// What Dom0's shell does before xlfsd starts.
    pub prepare: &'a str,
    /// xlfsd's configuration.
    pub config: &'a str,
}

impl Default for Setup<'_> {
    /// The host that scenarios share.
    fn default() -> Self {
        Self {
            name: "e2e",
            templates: &[],
            disks: Vec::new(),
            programs: Programs { nft: true, ..Programs::default() },
            prepare: "true",
            config: include_str!("../../e2e/xlfsd.toml"),
        }
    }
}

/// A booted lab with xlfsd.
#[derive(Debug)]
pub struct Host {
    dom0: Dom0,
    daemon: RefCell<Option<Process>>,
    pid: Cell<i32>,
    /// Dom0's disk; QEMU has it open.
    _state: tempfile::NamedTempFile,
    /// How Dom0 is when nobody uses it.
    pub(super) clean: RefCell<Look>,
}

impl Host {
    /// Boots, starts xlfsd, imports the images.
    pub fn boot() -> Outcome<Self> {
        Self::boot_with(Setup::default())
    }

    /// The same with more, or with something else, in Dom0.
    pub fn boot_with(setup: Setup<'_>) -> Outcome<Self> {
        let mut config = Config::named(setup.name)
            .file(product::find("xlfsd")?, "/usr/sbin/xlfsd")
            .file(product::find("xlfsctl")?, "/usr/bin/xlfsctl")
            .file(
                source("vm-templates/minimal/template.toml"),
                format!("{TEMPLATES}/minimal/template.toml"),
            );
        for own in ["form", "tiny", "disks", "rooted", "built"] {
            let to = format!("{OWN_TEMPLATES}/{own}/template.toml");
            config = config.file(source(&format!("tests/e2e/{own}.toml")), to);
        }
        config.machine = Machine { memory: 3968, dom0_memory: 1536, ..Machine::default() };
        config.guest = Some(GuestFiles { devices: true, ..GuestFiles::default() });
        config.boot_deadline = Duration::from_secs(600);
        config.deadline = Duration::from_secs(2 * 3600);
        config.command_deadline = Duration::from_secs(600);
        config.programs = setup.programs;
        // Volumes and images are too large for Dom0's memory.
        let state = tempfile::NamedTempFile::new().map_err(|source| ScenarioError::Here {
            doing: "make a file for Dom0's disk",
            source,
        })?;
        ext4::make(state.path(), STATE_SIZE, None)?;
        config.machine.disks = vec![Disk { path: state.path().to_owned(), read_only: false }];
        config.machine.disks.extend(setup.disks);
        for template in setup.templates {
            let folder = source(&format!("vm-templates/{template}"));
            let read = |source| ScenarioError::Here { doing: "read a template's folder", source };
            for entry in std::fs::read_dir(&folder).map_err(read)? {
                let entry = entry.map_err(read)?;
                let name = entry.file_name().to_string_lossy().into_owned();
                config = config.file(entry.path(), format!("{TEMPLATES}/{template}/{name}"));
            }
        }
        let dom0 = boot(config)?;
        dom0.sh("modprobe ext4; mkdir -p /var/lib/xlfs && mount -t ext4 /dev/vda /var/lib/xlfs")?;
        dom0.sh(setup.prepare)?;
        let host = Self {
            dom0,
            _state: state,
            daemon: RefCell::default(),
            pid: Cell::default(),
            clean: RefCell::default(),
        };
        host.dom0.write("/etc/xlfs/xlfsd.toml", setup.config)?;
        host.start_daemon()?;
        host.import("/guest/vmlinuz", "kernel", "minimal-kernel")?;
        host.import("/guest/initramfs", "ramdisk", "minimal-ramdisk")?;
        host.import("/guest/initramfs-devices", "ramdisk", "devices-ramdisk")?;
        host.warm_up()?;
        Ok(host)
    }

    /// What is opened once and kept is opened now, so that the first scenario is
    /// weighed like any other.
    fn warm_up(&self) -> Outcome {
        self.create("warm-up", "--paused")?;
        self.act("delete warm-up --force")?;
        *self.clean.borrow_mut() = self.look()?;
        Ok(())
    }

    /// Dom0.
    pub fn dom0(&self) -> &Dom0 {
        &self.dom0
    }

    /// Starts xlfsd and waits until it serves.
    pub fn start_daemon(&self) -> Outcome {
        let line = format!(
            "exec /usr/sbin/xlfsd --templates {TEMPLATES} {OWN_TEMPLATES} \
             --log info,xlfsd=debug >>{LOG} 2>&1"
        );
        let process = self.dom0.spawn(["/bin/sh", "-c", &line])?;
        self.pid.set(process.pid());
        *self.daemon.borrow_mut() = Some(process);
        self.dom0.wait_until("xlfsd's first answer", PATIENCE, || {
            Ok(self.dom0.run(["xlfsctl", "list"])?.success().then_some(()))
        })?;
        Ok(())
    }

    /// Process id of xlfsd in Dom0.
    pub fn daemon_pid(&self) -> i32 {
        self.pid.get()
    }

    /// Whether xlfsd runs.
    pub fn daemon_runs(&self) -> Outcome<bool> {
        match self.daemon.borrow_mut().as_mut() {
            Some(process) => Ok(process.running()?),
            None => Ok(false),
        }
    }

    /// Sends xlfsd (and nothing that it started) a signal, and returns how it
    /// ended.
    pub fn end_daemon(&self, signal: &str) -> Outcome<Output> {
        self.dom0.ok(["kill", &format!("-{signal}"), &self.pid.get().to_string()])?;
        let process = self.daemon.borrow_mut().take();
        let process = process.ok_or_else(|| ScenarioError::Broken {
            expected: "xlfsd to end".into(),
            observed: "that it does not run".into(),
        })?;
        Ok(process.wait(PATIENCE)?)
    }

    /// The last lines of xlfsd's log.
    pub fn daemon_log(&self, lines: usize) -> String {
        match self.dom0.run(["tail", "-n", &lines.to_string(), LOG]) {
            Ok(output) => output.stdout,
            Err(error) => error.to_string(),
        }
    }

    /// Runs `xlfsctl -o json` with these words. Its failure is not an error.
    pub fn xlfsctl(&self, line: &str) -> Outcome<Output> {
        Ok(self.start(line)?.wait(Duration::from_secs(600))?)
    }

    /// Starts `xlfsctl -o json` with these words.
    pub fn start(&self, line: &str) -> Outcome<Process> {
        let words = ["xlfsctl", "-o", "json"].into_iter().chain(line.split_whitespace());
        Ok(self.dom0.command(words).spawn()?)
    }

    /// Runs an `xlfsctl` that must succeed.
    pub fn act(&self, line: &str) -> Outcome<Output> {
        let output = self.xlfsctl(line)?;
        succeeded(line, &output)?;
        Ok(output)
    }

    /// Runs an `xlfsctl` that must succeed, and reads the document it prints.
    pub fn ask<T: DeserializeOwned>(&self, line: &str) -> Outcome<T> {
        let output = self.act(line)?;
        parse(line, &output.stdout)
    }

    /// Runs an `xlfsctl` that must fail with this exit code, and reads why.
    pub fn refused(&self, line: &str, exit_code: i32) -> Outcome<Failure> {
        let output = self.xlfsctl(line)?;
        let expected = format!("`xlfsctl {line}` to fail with exit code {exit_code}");
        check(output.code == Some(exit_code), &expected, &output)?;
        let failure = failure_of(line, &output)?;
        check(failure.exit_code == exit_code, expected, &failure)?;
        // What xlfsd refuses has a reason; a mistake that xlfsctl finds by itself
        // says what it is.
        let told = failure.hint.is_some() || failure.reason.is_none();
        check(told, format!("a hint from `xlfsctl {line}`"), &failure)?;
        Ok(failure)
    }

    /// Imports an image under an alias.
    pub fn import(&self, path: &str, kind: &str, alias: &str) -> Outcome<Import> {
        self.ask(&format!("image import {path} --kind {kind} --alias {alias}"))
    }
}

/// Reads a document.
pub fn parse<T: DeserializeOwned>(line: &str, text: &str) -> Outcome<T> {
    serde_json::from_str(text).map_err(|source| ScenarioError::Schema {
        command: format!("xlfsctl {line}"),
        text: text.to_owned(),
        source,
    })
}

/// Checks that an `xlfsctl` did, and says what it complained of; its document on
/// standard output is long and says no more.
pub fn succeeded(line: &str, output: &Output) -> Outcome {
    let brief = Output { stdout: String::new(), ..output.clone() };
    check(output.success(), format!("`xlfsctl {line}` to succeed"), brief)
}

/// Why an `xlfsctl` failed: the last line on its standard error.
pub fn failure_of(line: &str, output: &Output) -> Outcome<Failure> {
    let text = output.stderr.trim_end().lines().last().unwrap_or_default();
    Ok(parse::<FailureDocument>(line, text)?.error)
}

/// A file of this repository.
fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

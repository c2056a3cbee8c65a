//! From a [`Config`] to a running [`Dom0`].

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;
use thiserror::Error;

use crate::dom0::{Dom0, Dom0Error};
use crate::initramfs::dom0::{self, Extra, Programs, TreeError};
use crate::initramfs::guest;
use crate::kernels::{self, Compression, KernelError};
use crate::pieces::{self, Choice, Pieces, PiecesError};
use crate::qemu::{Machine, Qemu, QemuError};
use crate::wire::PORT_NAME;

/// Why there is no running Dom0.
#[derive(Debug, Error)]
pub enum LabError {
    /// What is to be booted is not there.
    #[error("the lab's pieces are not complete")]
    Pieces(#[from] PiecesError),
    /// An initramfs.
    #[error("the file tree of Dom0 or of a guest is not complete")]
    Tree(#[from] TreeError),
    /// The guests' kernel, in one of its forms.
    #[error("the guests' kernel is not ready")]
    Kernel(#[from] KernelError),
    /// QEMU.
    #[error("the machine does not run")]
    Qemu(#[from] QemuError),
    /// The lab's own folder.
    #[error("cannot prepare {path}")]
    Folder {
        /// Where.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// No static `lab` binary to run in Dom0.
    #[error(
        "no `lab` binary beside {beside}: build it (cargo build -p xlfs-tests --bin lab) \
         or name it in XLFS_LAB_AGENT"
    )]
    NoAgent {
        /// The program that runs.
        beside: PathBuf,
    },
    /// A program under test is not there.
    #[error(
        "no {name} in {}: build it (cargo build --release -p {name})",
        folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(" or ")
    )]
    NotBuilt {
        /// The program.
        name: String,
        /// Where it was looked for.
        folders: Vec<PathBuf>,
    },
    /// The machine went off before the agent answered.
    #[error("the machine ended while booting; the end of {log}:\n{tail}")]
    Ended {
        /// The console's log.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// The agent did not answer in time.
    #[error("Dom0 was not up after {waited:?}; the end of {log}:\n{tail}")]
    Late {
        /// How long it had.
        waited: Duration,
        /// The console's log.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// The agent answered with something unexpected.
    #[error("the agent in Dom0 does not speak the lab's protocol")]
    Agent(#[source] Dom0Error),
}

/// What to boot.
#[derive(Debug, Clone)]
pub struct Config {
    /// In the log's name.
    pub name: String,
    /// Pieces other than the packages'.
    pub choice: Choice,
    /// The machine.
    pub machine: Machine,
    /// Files of the host that Dom0 shall have from the start.
    pub files: Vec<Extra>,
    /// Programs that are there too.
    pub programs: Programs,
    /// Whether init starts xenstored.
    pub start_xenstored: bool,
    /// Whether the console also goes to stderr.
    pub echo_console: bool,
    /// Guests' kernel and initramfs in Dom0; see [`GuestFiles`].
    pub guest: Option<GuestFiles>,
    /// How long the boot may take.
    pub boot_deadline: Duration,
    /// How long the machine may live, all in all.
    pub deadline: Duration,
    /// How long a command may run when it says nothing itself.
    pub command_deadline: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: "lab".to_owned(),
            choice: Choice::from_env(),
            machine: Machine::default(),
            files: Vec::new(),
            programs: Programs::default(),
            start_xenstored: true,
            echo_console: false,
            guest: None,
            boot_deadline: Duration::from_secs(240),
            deadline: Duration::from_secs(3600),
            command_deadline: Duration::from_secs(120),
        }
    }
}

impl Config {
    /// The default with a name for its log.
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Adds the programs under test: [`XLFSD`](crate::product::XLFSD) and
    /// [`XLFSCTL`](crate::product::XLFSCTL).
    pub fn product(mut self) -> Result<Self, LabError> {
        self.files.extend(crate::product::files()?);
        Ok(self)
    }

    /// Adds a file of the host.
    #[must_use]
    pub fn file(mut self, from: impl Into<PathBuf>, to: impl Into<String>) -> Self {
        self.files.push(Extra { from: from.into(), to: to.into() });
        self
    }
}

/// What Dom0 gets for starting guests: `/guest/initramfs`, and the kernel in
/// each form that is named: `/guest/vmlinuz` (as it is), `/guest/vmlinux` (its
/// ELF), `/guest/vmlinuz-xz` and so on (repacked). All of them fill Dom0's memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestFiles {
    /// What is in the initramfs.
    pub initramfs: guest::Options,
    /// Whether there is `/guest/initramfs-devices` too, with front ends for
    /// disks and network.
    pub devices: bool,
    /// Whether the kernel is there as it is.
    pub kernel: bool,
    /// Whether the kernel's ELF is there.
    pub elf: bool,
    /// Compressions that the kernel is there in.
    pub repacked: Vec<Compression>,
}

impl Default for GuestFiles {
    /// A small initramfs without devices, and the kernel as it is.
    fn default() -> Self {
        let initramfs = guest::Options::default();
        Self { initramfs, devices: false, kernel: true, elf: false, repacked: Vec::new() }
    }
}

impl GuestFiles {
    fn extras(&self, pieces: &Pieces) -> Result<Vec<Extra>, LabError> {
        let mut extras = vec![(guest::in_cache(pieces, &self.initramfs)?, "initramfs".to_owned())];
        if self.devices {
            let options = guest::Options { compress: true, ..guest::Options::with_devices() };
            extras.push((guest::in_cache(pieces, &options)?, "initramfs-devices".to_owned()));
        }
        if self.kernel {
            extras.push((pieces.guest_kernel.clone(), "vmlinuz".to_owned()));
        }
        if self.elf {
            let elf = kernels::elf(&pieces.guest_kernel, &pieces.cache)?;
            extras.push((elf, "vmlinux".to_owned()));
        }
        for compression in &self.repacked {
            let image = kernels::repacked(&pieces.guest_kernel, &pieces.cache, *compression)?;
            extras.push((image, format!("vmlinuz-{compression}")));
        }
        let place = |(from, name)| Extra { from, to: format!("/guest/{name}") };
        Ok(extras.into_iter().map(place).collect())
    }
}

/// Boots Xen and Dom0, and returns when the agent in Dom0 answers.
pub fn boot(config: Config) -> Result<Dom0, LabError> {
    let pieces = pieces::gather(&config.choice, false)?;
    let mut machine = config.machine.clone();
    if !config.start_xenstored {
        machine.dom0_arguments.push("xlfs.lab.xenstored=no".to_owned());
    }
    for disk in &mut machine.disks {
        let path = disk.path.clone();
        disk.path = path.canonicalize().map_err(|source| LabError::Folder { path, source })?;
    }
    let folder = run_folder(&pieces.cache)?;
    for (name, path) in [("xen", &pieces.hypervisor), ("vmlinuz", &pieces.dom0_kernel)] {
        let link = folder.path().join(name);
        std::os::unix::fs::symlink(path, &link)
            .map_err(|source| LabError::Folder { path: link, source })?;
    }
    let mut files = config.files.clone();
    if let Some(guest) = &config.guest {
        files.extend(guest.extras(&pieces)?);
    }
    let tree = dom0::tree(&pieces, &program()?, &files, config.programs)?;
    dom0::write(&tree, &folder.path().join("initramfs"))?;
    drop(tree);
    let log = log_path(&pieces.cache, &config.name)?;
    let prepared = |source| LabError::Folder { path: folder.path().to_owned(), source };
    let listener = listen(folder.path()).map_err(prepared)?;
    let until = Instant::now() + config.boot_deadline;
    let arguments = machine.arguments(PORT_NAME);
    let qemu = Qemu::start(arguments, folder.path(), &log, config.echo_console, config.deadline)?;
    let wait = Wait { qemu: &qemu, until, given: config.boot_deadline, log: &log };
    let stream = wait.for_connection(&listener).map_err(|error| match error {
        Waiting::Io(source) => prepared(source),
        Waiting::Over(over) => *over,
    })?;
    let link = crate::dom0::link::Link::new(stream).map_err(prepared)?;
    while !link.ready(Duration::from_millis(200)).map_err(LabError::Agent)? {
        wait.check()?;
    }
    Ok(Dom0::new(link, qemu, folder, pieces, log, config.command_deadline))
}

struct Wait<'a> {
    qemu: &'a Qemu,
    until: Instant,
    given: Duration,
    log: &'a Path,
}

enum Waiting {
    Io(io::Error),
    Over(Box<LabError>),
}

impl Wait<'_> {
    fn check(&self) -> Result<(), LabError> {
        let log = self.log.to_owned();
        if self.qemu.ended().is_some() {
            // Its last words may still be on their way into the log.
            thread::sleep(Duration::from_millis(200));
            return Err(LabError::Ended { log, tail: tail(&self.qemu.console()) });
        }
        if Instant::now() > self.until {
            let tail = tail(&self.qemu.console());
            return Err(LabError::Late { waited: self.given, log, tail });
        }
        Ok(())
    }

    fn for_connection(&self, listener: &UnixListener) -> Result<UnixStream, Waiting> {
        loop {
            match listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false).map_err(Waiting::Io)?;
                    return Ok(stream);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(Waiting::Io(error)),
            }
            self.check().map_err(|over| Waiting::Over(Box::new(over)))?;
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The last lines of a console.
pub(crate) fn tail(console: &str) -> String {
    let lines: Vec<_> = console.lines().collect();
    lines.iter().skip(lines.len().saturating_sub(25)).fold(String::new(), |mut text, line| {
        text.push_str(line.trim_end());
        text.push('\n');
        text
    })
}

/// A listening socket in the folder. Its address has room for 108 bytes only, so
/// the folder is named by a descriptor.
fn listen(folder: &Path) -> io::Result<UnixListener> {
    let handle = fs::File::open(folder)?;
    let path = format!("/proc/self/fd/{}/agent.sock", handle.as_raw_fd());
    let listener = UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// A folder of this run's own; those of runs that died are cleared away.
fn run_folder(cache: &Path) -> Result<TempDir, LabError> {
    let runs = cache.join("run");
    let failed = |source| LabError::Folder { path: runs.clone(), source };
    fs::create_dir_all(&runs).map_err(failed)?;
    for entry in fs::read_dir(&runs).map_err(failed)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.split('-').next().unwrap_or_default();
        if !Path::new("/proc").join(owner).exists() {
            // Another run may be clearing it too.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let prefix = format!("{}-", std::process::id());
    tempfile::Builder::new().prefix(&prefix).tempdir_in(&runs).map_err(failed)
}

fn log_path(cache: &Path, name: &str) -> Result<PathBuf, LabError> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let logs = cache.join("logs");
    fs::create_dir_all(&logs).map_err(|source| LabError::Folder { path: logs.clone(), source })?;
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    Ok(logs.join(format!("{name}-{seconds}-{}-{count}.log", std::process::id())))
}

/// The `lab` binary: this program, or its neighbour when a test runs.
pub(crate) fn program() -> Result<PathBuf, LabError> {
    if let Some(path) = std::env::var_os("XLFS_LAB_AGENT") {
        return Ok(path.into());
    }
    let this = std::env::current_exe()
        .map_err(|source| LabError::Folder { path: "/proc/self/exe".into(), source })?;
    let candidates = this.ancestors().take(3).map(|folder| folder.join("lab"));
    std::iter::once(this.clone())
        .filter(|path| path.file_name().is_some_and(|name| name == "lab"))
        .chain(candidates)
        .find(|path| path.is_file())
        .ok_or(LabError::NoAgent { beside: this })
}

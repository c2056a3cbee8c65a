//! The machine: one QEMU without KVM that boots Xen and Dom0, and that never
//! outlives the lab.
//!
//! It ends when its [`Qemu`] is dropped, when its deadline passes, and, by the
//! kernel's parent-death signal, when the lab itself dies of whatever cause.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use thiserror::Error;

/// Why the machine does not run.
#[derive(Debug, Error)]
pub enum QemuError {
    /// It cannot be started.
    #[error("cannot start qemu-system-x86_64 (Debian package qemu-system-x86)")]
    Start(#[source] io::Error),
    /// The log cannot be written.
    #[error("cannot write the console's log {path}")]
    Log {
        /// The log.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

/// What the machine is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// MiB of memory.
    pub memory: u32,
    /// CPUs.
    pub cpus: u32,
    /// QEMU's CPU model. Others than `qemu64` corrupt register state; see the README.
    pub cpu: String,
    /// QEMU's machine type.
    pub machine: String,
    /// Dom0's virtual CPUs. With one, a boot takes 5 to 7 s even on a busy
    /// machine; with two, up to 30 s: each change of kernel code (a loaded module)
    /// has one wait for the other many times.
    pub dom0_cpus: u32,
    /// MiB of memory that Dom0 gets.
    pub dom0_memory: u32,
    /// Added to Xen's command line.
    pub xen_arguments: Vec<String>,
    /// Added to Dom0's kernel command line.
    pub dom0_arguments: Vec<String>,
    /// Disks of Dom0, in order: /dev/vda, /dev/vdb.
    pub disks: Vec<Disk>,
    /// Whether Dom0 has a network card. What it reaches ends in QEMU.
    pub network: bool,
}

/// A raw disk image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The image's file.
    pub path: PathBuf,
    /// Whether Dom0 cannot write to it.
    pub read_only: bool,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            memory: 2048,
            cpus: 2,
            cpu: "qemu64".to_owned(),
            machine: "pc".to_owned(),
            dom0_cpus: 1,
            dom0_memory: 768,
            xen_arguments: Vec::new(),
            dom0_arguments: Vec::new(),
            disks: Vec::new(),
            network: false,
        }
    }
}

impl Machine {
    /// QEMU's arguments. It runs in a folder where `xen`, `vmlinuz` and
    /// `initramfs` stand: its -initrd takes no path with blanks or commas.
    pub fn arguments(&self, port_name: &str) -> Vec<String> {
        let mut arguments: Vec<String> = [
            "-nodefaults",
            "-nographic",
            "-no-reboot",
            "-accel",
            "tcg,thread=multi",
            "-serial",
            "stdio",
            "-monitor",
            "none",
            "-kernel",
            "xen",
            "-device",
            "virtio-serial-pci",
            "-chardev",
            "socket,id=agent,path=agent.sock",
        ]
        .map(str::to_owned)
        .into();
        let mut add = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        add("-machine", self.machine.clone());
        add("-cpu", self.cpu.clone());
        add("-smp", self.cpus.to_string());
        add("-m", self.memory.to_string());
        add("-append", self.xen_command_line());
        add("-initrd", format!("vmlinuz {},initramfs", self.dom0_command_line()));
        add("-device", format!("virtserialport,chardev=agent,name={port_name}"));
        for (number, disk) in self.disks.iter().enumerate() {
            // In QEMU's option syntax a comma is doubled.
            let file = disk.path.to_string_lossy().replace(',', ",,");
            let access = if disk.read_only { "on" } else { "off" };
            add(
                "-drive",
                format!("file={file},format=raw,if=none,id=disk{number},readonly={access}"),
            );
            add("-device", format!("virtio-blk-pci,drive=disk{number}"));
        }
        if self.network {
            add("-netdev", "user,id=net,restrict=on".to_owned());
            add("-device", "virtio-net-pci,netdev=net".to_owned());
        }
        arguments
    }

    /// Xen's command line. `noreboot` is not on it: QEMU would hang after a panic.
    pub fn xen_command_line(&self) -> String {
        let memory = format!("dom0_mem={0}M,max:{0}M", self.dom0_memory);
        let cpus = format!("dom0_max_vcpus={}", self.dom0_cpus);
        let mut words = vec!["console=com1", "com1=115200", &memory, &cpus];
        words.extend(self.xen_arguments.iter().map(String::as_str));
        words.join(" ")
    }

    /// Dom0's kernel command line; commas doubled, for QEMU's -initrd.
    fn dom0_command_line(&self) -> String {
        let mut words = vec!["console=hvc0", "quiet", "panic=5"];
        words.extend(self.dom0_arguments.iter().map(String::as_str));
        words.join(" ").replace(',', ",,")
    }
}

/// How the machine came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Xen switched the machine off or reset it.
    Off,
    /// Its deadline passed.
    Deadline,
    /// The lab ended it.
    Killed,
}

#[derive(Debug)]
struct Life {
    /// None once reaped: from then on the pid may be somebody else's.
    child: Option<Child>,
    end: Option<End>,
}

/// A running machine.
#[derive(Debug)]
pub struct Qemu {
    life: Arc<Mutex<Life>>,
    pid: Pid,
    log: PathBuf,
    watchdog: Option<Sender<()>>,
    waiter: Option<thread::JoinHandle<()>>,
    console: Option<thread::JoinHandle<()>>,
}

fn lock(life: &Mutex<Life>) -> MutexGuard<'_, Life> {
    life.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Qemu {
    /// Starts QEMU in `folder`, writes its console to `log` (and to stderr if
    /// `echo`), and ends it after `deadline`.
    pub fn start(
        arguments: Vec<String>,
        folder: &Path,
        log: &Path,
        echo: bool,
        deadline: Duration,
    ) -> Result<Self, QemuError> {
        let sink =
            File::create(log).map_err(|source| QemuError::Log { path: log.to_owned(), source })?;
        let life = Arc::new(Mutex::new(Life { child: None, end: None }));
        let (started, start) = channel();
        let (folder, shared) = (folder.to_owned(), life.clone());
        // The parent-death signal follows the thread that forks: this one lives
        // exactly as long as QEMU does.
        let waiter = thread::spawn(move || match spawn(&arguments, &folder) {
            Ok(mut child) => {
                let streams = (child.stdout.take(), child.stderr.take());
                let pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or_default());
                lock(&shared).child = Some(child);
                // The other end waits for exactly this.
                let _ = started.send(Ok((pid, streams)));
                reap(pid, &shared);
            }
            Err(error) => {
                let _ = started.send(Err(error));
            }
        });
        let (pid, (stdout, stderr)) = start
            .recv()
            .unwrap_or_else(|_| Err(io::Error::other("the starting thread died")))
            .map_err(QemuError::Start)?;
        let sink = Arc::new(Mutex::new(sink));
        let complaints = sink.clone();
        thread::spawn(move || copy_lines(stderr, &complaints, true));
        let console = thread::spawn(move || copy_lines(stdout, &sink, echo));
        let (watchdog, released) = channel::<()>();
        let watched = life.clone();
        thread::spawn(move || {
            if released.recv_timeout(deadline) == Err(RecvTimeoutError::Timeout) {
                end(pid, &watched, End::Deadline);
            }
        });
        Ok(Self {
            life,
            pid,
            log: log.to_owned(),
            watchdog: Some(watchdog),
            waiter: Some(waiter),
            console: Some(console),
        })
    }

    /// QEMU's process id.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// How it ended; none while it runs.
    pub fn ended(&self) -> Option<End> {
        let life = lock(&self.life);
        if life.child.is_some() { None } else { Some(life.end.unwrap_or(End::Off)) }
    }

    /// What Xen, Dom0 and the guests' consoles have printed so far.
    pub fn console(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Ends the machine and waits until it is gone.
    pub fn stop(&mut self) {
        end(self.pid, &self.life, End::Killed);
        self.watchdog = None;
        for thread in [self.waiter.take(), self.console.take()].into_iter().flatten() {
            // A thread that panicked has nothing left to wait for.
            let _ = thread.join();
        }
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        self.stop();
    }
}

fn spawn(arguments: &[String], folder: &Path) -> io::Result<Child> {
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--", "qemu-system-x86_64"])
        .args(arguments)
        .current_dir(folder)
        // Ctrl-C at the terminal is the lab's to handle.
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

/// Waits without reaping, then reaps under the lock, so that nobody signals a
/// pid that is no longer ours.
fn reap(pid: Pid, life: &Mutex<Life>) {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    while waitid(Id::Pid(pid), flags) == Err(nix::errno::Errno::EINTR) {}
    let mut life = lock(life);
    if let Some(mut child) = life.child.take() {
        let _ = child.wait();
    }
}

fn end(pid: Pid, life: &Mutex<Life>, why: End) {
    let mut life = lock(life);
    if life.child.is_some() {
        life.end.get_or_insert(why);
        // It may have ended this moment; then it is a zombie, and no harm done.
        let _ = kill(pid, Signal::SIGKILL);
    }
}

fn copy_lines(stream: Option<impl io::Read>, log: &Mutex<File>, echo: bool) {
    let Some(stream) = stream else { return };
    let mut lines = BufReader::new(stream);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        // A full disk loses the log, not the run.
        let _ = log.lock().unwrap_or_else(PoisonError::into_inner).write_all(&line);
        if echo {
            let _ = io::stderr().write_all(&line);
        }
        line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_lines_carry_what_was_asked() {
        let machine = Machine {
            dom0_memory: 512,
            xen_arguments: vec!["loglvl=all".to_owned()],
            dom0_arguments: vec!["a=b,c".to_owned()],
            disks: vec![Disk { path: "/x,y.img".into(), read_only: true }],
            ..Machine::default()
        };
        let xen = machine.xen_command_line();
        assert_eq!(
            xen,
            "console=com1 com1=115200 dom0_mem=512M,max:512M dom0_max_vcpus=1 loglvl=all"
        );
        let line = machine.arguments("port").join(" ");
        assert!(line.contains("vmlinuz console=hvc0 quiet panic=5 a=b,,c,initramfs"), "{line}");
        assert!(line.contains("file=/x,,y.img,format=raw,if=none,id=disk0,readonly=on"), "{line}");
        assert!(!line.contains("netdev") && !xen.contains("noreboot"), "{line}");
        let network = Machine { network: true, ..machine };
        assert!(network.arguments("port").join(" ").contains("user,id=net,restrict=on"));
    }
}

//! `lab`: the lab at the command line, and (as `lab agent`) its end in Dom0.

use std::error::Error;
use std::io::{self, Read, Write};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, Parser, Subcommand};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use xlfs_tests::agent;
use xlfs_tests::dom0::{Dom0, Stdin, Stream};
use xlfs_tests::e2e::{SCENARIOS, Scenario};
use xlfs_tests::initramfs::dom0::Extra;
use xlfs_tests::initramfs::guest;
use xlfs_tests::lab::{Config, GuestFiles, boot};
use xlfs_tests::pieces::{self, Choice};
use xlfs_tests::qemu::{Disk, Machine};

type Failure = Box<dyn Error + Send + Sync>;

/// Boots real Xen with a Dom0 under QEMU (no KVM, no root) and runs things in it.
#[derive(Debug, Parser)]
#[command(name = "lab", version)]
struct Line {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Boot, run a command in Dom0 as root, and exit as it does
    Run {
        #[command(flatten)]
        boot: Boot,
        /// Files to fetch afterwards, as DOM0PATH:LOCAL
        #[arg(long, value_name = "DOM0PATH:LOCAL", value_parser = pair)]
        get: Vec<(String, String)>,
        /// Pass this program's stdin on to the command
        #[arg(short = 'i', long)]
        stdin: bool,
        /// The command
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Boot, and give a shell in Dom0 on this terminal
    Shell {
        #[command(flatten)]
        boot: Boot,
    },
    /// Boot, and stay up (for --forward) until a signal comes
    Serve {
        #[command(flatten)]
        boot: Boot,
    },
    /// Fetch what is booted, and print where it is
    Pieces {
        #[command(flatten)]
        choice: ChoiceArgs,
        /// For programs
        #[arg(long)]
        json: bool,
        /// Ask apt for newer packages
        #[arg(long)]
        refresh: bool,
    },
    /// Run end-to-end scenarios (all, when none is named)
    E2e {
        /// List them instead
        #[arg(long)]
        list: bool,
        /// Their names
        names: Vec<String>,
    },
    /// The lab's end in Dom0
    #[command(hide = true)]
    Agent {
        #[command(subcommand)]
        verb: AgentVerb,
    },
}

#[derive(Debug, Subcommand)]
enum AgentVerb {
    Serve {
        /// The virtio-serial port, if not found by its name
        port: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
struct ChoiceArgs {
    /// The cache [default: target/lab]
    #[arg(long, env = "XLFS_LAB_CACHE")]
    cache: Option<PathBuf>,
    /// Packages of this Debian suite instead of the system's
    #[arg(long, env = "XLFS_LAB_SUITE")]
    suite: Option<String>,
    /// A hypervisor instead of the package's
    #[arg(long, env = "XLFS_LAB_HYPERVISOR", value_name = "PATH")]
    hypervisor: Option<PathBuf>,
    /// A kernel for Dom0 instead of the package's
    #[arg(long, env = "XLFS_LAB_DOM0_KERNEL", value_name = "PATH")]
    dom0_kernel: Option<PathBuf>,
    /// Its modules (a folder lib/modules/RELEASE)
    #[arg(long, env = "XLFS_LAB_DOM0_MODULES", value_name = "FOLDER")]
    dom0_modules: Option<PathBuf>,
    /// A kernel for guests instead of the package's
    #[arg(long, env = "XLFS_LAB_GUEST_KERNEL", value_name = "PATH")]
    guest_kernel: Option<PathBuf>,
    /// A xenstored instead of the package's
    #[arg(long, env = "XLFS_LAB_XENSTORED", value_name = "PATH")]
    xenstored: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Boot {
    #[command(flatten)]
    choice: ChoiceArgs,
    /// A file for Dom0, as LOCAL:DOM0PATH
    #[arg(long, value_name = "LOCAL:DOM0PATH", value_parser = pair)]
    put: Vec<(String, String)>,
    /// A raw disk image for Dom0 (/dev/vda, ...); FILE:ro for read-only
    #[arg(long, value_name = "FILE[:ro]")]
    disk: Vec<String>,
    /// Forward 127.0.0.1:HOSTPORT to a Unix socket in Dom0
    #[arg(long, value_name = "HOSTPORT:SOCKET", value_parser = port_pair)]
    forward_unix: Vec<(u16, String)>,
    /// Forward 127.0.0.1:HOSTPORT to an address that Dom0 reaches
    #[arg(long, value_name = "HOSTPORT:ADDRESS:PORT", value_parser = port_pair)]
    forward_tcp: Vec<(u16, String)>,
    /// Give Dom0 a network card (eth0, 10.0.2.15; leads nowhere)
    #[arg(long)]
    net: bool,
    /// MiB of memory
    #[arg(long, default_value_t = 2048)]
    memory: u32,
    /// MiB of memory for Dom0
    #[arg(long, default_value_t = 768)]
    dom0_memory: u32,
    /// CPUs
    #[arg(long, default_value_t = 2)]
    cpus: u32,
    /// Dom0's vCPUs (two make it slow on a busy machine)
    #[arg(long, default_value_t = 1)]
    dom0_cpus: u32,
    /// QEMU's CPU model
    #[arg(long, default_value = "qemu64")]
    cpu: String,
    /// QEMU's machine type
    #[arg(long, default_value = "pc")]
    machine: String,
    /// Words to add to Xen's command line
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    xen_arg: Vec<String>,
    /// Words to add to Dom0's kernel command line
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    dom0_arg: Vec<String>,
    /// Have xl, xenconsoled and xen-init-dom0 in Dom0 too
    #[arg(long)]
    xl: bool,
    /// Have a guest's kernel and initramfs in /guest (vmlinuz, vmlinux, initramfs)
    #[arg(long)]
    guest: bool,
    /// Do not start xenstored
    #[arg(long)]
    no_xenstored: bool,
    /// Show the machine's console on stderr
    #[arg(short, long)]
    verbose: bool,
    /// End the machine after this many seconds
    #[arg(long, default_value_t = 3600)]
    timeout: u64,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((from, to)) if !from.is_empty() && !to.is_empty() => Ok((from.into(), to.into())),
        _ => Err("two paths with a colon between them".to_owned()),
    }
}

fn port_pair(text: &str) -> Result<(u16, String), String> {
    let (port, target) = pair(text)?;
    Ok((port.parse().map_err(|_| format!("{port} is no port"))?, target))
}

impl ChoiceArgs {
    fn choice(self) -> Choice {
        Choice {
            cache: self.cache,
            suite: self.suite,
            hypervisor: self.hypervisor,
            dom0_kernel: self.dom0_kernel,
            dom0_modules: self.dom0_modules,
            guest_kernel: self.guest_kernel,
            xenstored: self.xenstored,
        }
    }
}

impl Boot {
    fn config(self, name: &str) -> Config {
        let disk = |text: String| match text.strip_suffix(":ro") {
            Some(path) => Disk { path: path.into(), read_only: true },
            None => Disk { path: text.into(), read_only: false },
        };
        let machine = Machine {
            memory: self.memory,
            cpus: self.cpus,
            cpu: self.cpu,
            machine: self.machine,
            dom0_cpus: self.dom0_cpus,
            dom0_memory: self.dom0_memory,
            xen_arguments: self.xen_arg,
            dom0_arguments: self.dom0_arg,
            disks: self.disk.into_iter().map(disk).collect(),
            network: self.net,
        };
        let files = self.put.into_iter().map(|(from, to)| Extra { from: from.into(), to });
        Config {
            name: name.to_owned(),
            choice: self.choice.choice(),
            machine,
            files: files.collect(),
            with_xl: self.xl,
            guest: self.guest.then(|| GuestFiles {
                initramfs: guest::Options::with_devices(),
                elf: true,
                ..GuestFiles::default()
            }),
            start_xenstored: !self.no_xenstored,
            echo_console: self.verbose,
            deadline: Duration::from_secs(self.timeout),
            ..Config::default()
        }
    }

    /// Boots, with the forwarded ports up. They last as long as the program.
    fn boot(mut self, name: &str) -> Result<Booted, Failure> {
        let forwards: Vec<_> =
            self.forward_unix.drain(..).chain(self.forward_tcp.drain(..)).collect();
        let dom0 = Booted(boot(self.config(name))?);
        end_with_signals(&dom0)?;
        eprintln!("lab: Dom0 is up; console log {}", dom0.log().display());
        for (port, target) in forwards {
            let forward = dom0.forward(port, &target)?;
            eprintln!("lab: {} leads to {target}", forward.address());
            std::mem::forget(forward);
        }
        Ok(dom0)
    }
}

/// A machine that is ended when this goes, whoever else still knows of it.
struct Booted(Dom0);

impl Deref for Booted {
    type Target = Dom0;

    fn deref(&self) -> &Dom0 {
        &self.0
    }
}

impl Drop for Booted {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// A signal ends QEMU first, then this program. (QEMU would die with this
/// program in any case; but its folder would stay.)
fn end_with_signals(dom0: &Dom0) -> Result<(), Failure> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let dom0 = dom0.clone();
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            dom0.stop();
            terminal::restore();
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}

fn main() -> ExitCode {
    match act(Line::parse().verb) {
        Ok(code) => code,
        Err(error) => {
            explain(error.as_ref());
            // Apart from what the command itself may return.
            ExitCode::from(125)
        }
    }
}

fn explain(error: &(dyn Error + 'static)) {
    eprintln!("lab: {error}");
    let mut cause = error.source();
    while let Some(next) = cause {
        eprintln!("  because {next}");
        cause = next.source();
    }
}

fn act(verb: Verb) -> Result<ExitCode, Failure> {
    match verb {
        Verb::Run { boot, get, stdin, command } => run(boot, &get, stdin, command),
        Verb::Shell { boot } => shell(boot),
        Verb::Serve { boot } => {
            let dom0 = boot.boot("serve")?;
            while dom0.ended().is_none() {
                thread::sleep(Duration::from_millis(500));
            }
            Ok(ExitCode::SUCCESS)
        }
        Verb::Pieces { choice, json, refresh } => show_pieces(&choice.choice(), json, refresh),
        Verb::E2e { list, names } => e2e(list, &names),
        Verb::Agent { verb: AgentVerb::Serve { port } } => {
            agent::serve(port.as_deref())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn run(
    boot: Boot,
    get: &[(String, String)],
    stdin: bool,
    command: Vec<String>,
) -> Result<ExitCode, Failure> {
    let dom0 = boot.boot("run")?;
    let order = dom0.command(command);
    let process = if stdin { order.open_stdin().spawn()? } else { order.spawn()? };
    if stdin {
        feed_from_stdin(process.stdin());
    }
    let output = process.stream(print)?;
    for (from, to) in get {
        dom0.get(from, Path::new(to))?;
    }
    Ok(ExitCode::from(u8::try_from(output.shell_status()).unwrap_or(u8::MAX)))
}

fn shell(boot: Boot) -> Result<ExitCode, Failure> {
    let dom0 = boot.boot("shell")?;
    let (columns, rows) = terminal::size();
    let term = std::env::var("TERM").unwrap_or_else(|_| "vt100".to_owned());
    let process = dom0
        .command(["/bin/sh", "-l"])
        .env("TERM", &term)
        .env("PS1", "dom0:\\w# ")
        .terminal(columns, rows)
        .spawn()?;
    terminal::make_raw();
    feed_from_stdin(process.stdin());
    let output = process.stream(print);
    terminal::restore();
    Ok(ExitCode::from(u8::try_from(output?.shell_status()).unwrap_or(u8::MAX)))
}

fn print(stream: Stream, bytes: &[u8]) {
    // A reader that has gone wants no more output.
    let _ = match stream {
        Stream::Stdout => io::stdout().write_all(bytes).and_then(|()| io::stdout().flush()),
        Stream::Stderr => io::stderr().write_all(bytes),
    };
}

fn feed_from_stdin(stdin: Stdin) {
    thread::spawn(move || {
        let mut chunk = [0; 4096];
        loop {
            let length = io::stdin().read(&mut chunk).unwrap_or(0);
            let part = chunk.get(..length).unwrap_or_default();
            let sent = if part.is_empty() { stdin.close() } else { stdin.write(part) };
            if sent.is_err() || part.is_empty() {
                return;
            }
        }
    });
}

fn show_pieces(choice: &Choice, json: bool, refresh: bool) -> Result<ExitCode, Failure> {
    let pieces = pieces::gather(choice, refresh)?;
    if json {
        println!("{}", serde_json::to_string_pretty(&pieces)?);
        return Ok(ExitCode::SUCCESS);
    }
    for (name, path) in [
        ("hypervisor", &pieces.hypervisor),
        ("dom0-kernel", &pieces.dom0_kernel),
        ("dom0-modules", &pieces.dom0_modules),
        ("guest-kernel", &pieces.guest_kernel),
        ("guest-modules", &pieces.guest_modules),
        ("busybox", &pieces.busybox),
        ("xenstored", &pieces.xenstored),
    ] {
        println!("{name:14}{}", path.display());
    }
    for path in &pieces.xl {
        println!("{:14}{}", "benchmark", path.display());
    }
    for (name, version) in &pieces.packages {
        println!("{:14}{name} {version}", "package");
    }
    Ok(ExitCode::SUCCESS)
}

fn e2e(list: bool, names: &[String]) -> Result<ExitCode, Failure> {
    if list {
        for scenario in SCENARIOS {
            println!("{:16}{}", scenario.name, scenario.about);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut chosen: Vec<&Scenario> = Vec::new();
    for name in names {
        let found = SCENARIOS.iter().find(|scenario| scenario.name == name);
        chosen.push(found.ok_or_else(|| format!("no scenario {name}; see lab e2e --list"))?);
    }
    if names.is_empty() {
        chosen = SCENARIOS.iter().collect();
    }
    let mut failed = 0;
    for scenario in chosen {
        let start = Instant::now();
        match (scenario.run)() {
            Ok(()) => println!("ok      {} ({:.1?})", scenario.name, start.elapsed()),
            Err(error) => {
                failed += 1;
                println!("FAILED  {} ({:.1?})", scenario.name, start.elapsed());
                explain(&error);
            }
        }
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The user's terminal, while a shell in Dom0 has it.
mod terminal {
    use std::io::{self, IsTerminal};
    use std::process::{Command, Stdio};
    use std::sync::Mutex;

    use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

    static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

    pub(super) fn make_raw() {
        let Ok(before) = tcgetattr(io::stdin()) else { return };
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        if let Ok(mut kept) = BEFORE.lock() {
            *kept = Some(before);
        }
        // A terminal that refuses is still usable, if awkward.
        let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, &raw);
    }

    pub(super) fn restore() {
        if let Ok(mut kept) = BEFORE.lock()
            && let Some(before) = kept.take()
        {
            let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, &before);
        }
    }

    /// Columns and rows. `stty` asks the kernel for us.
    pub(super) fn size() -> (u16, u16) {
        let asked = || {
            if !io::stdin().is_terminal() {
                return None;
            }
            let output = Command::new("stty").arg("size").stdin(Stdio::inherit()).output().ok()?;
            let text = String::from_utf8(output.stdout).ok()?;
            let mut numbers = text.split_whitespace().map(str::parse);
            let rows = numbers.next()?.ok()?;
            Some((numbers.next()?.ok()?, rows))
        };
        asked().unwrap_or((80, 25))
    }
}

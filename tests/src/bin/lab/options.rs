//! The command line, and the configuration that it stands for.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use xlfs_tests::images::Kind;
use xlfs_tests::initramfs::dom0::{Extra, Programs};
use xlfs_tests::initramfs::guest;
use xlfs_tests::kernels::Compression;
use xlfs_tests::lab::{Config, GuestFiles};
use xlfs_tests::pieces::Choice;
use xlfs_tests::qemu::{Disk, Machine};

/// Boots real Xen with a Dom0 under QEMU (no KVM, no root) and runs things in it.
#[derive(Debug, Parser)]
#[command(name = "lab", version)]
pub(crate) struct Line {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
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
    /// Make the root images of the templates' guests, and print where they are
    Images {
        /// The cache [default: target/lab]
        #[arg(long, env = "XLFS_LAB_CACHE")]
        cache: Option<PathBuf>,
        /// Which ones (all, when none is named)
        #[arg(value_parser = image_kind)]
        names: Vec<Kind>,
    },
    /// Run end-to-end scenarios (all, when none is named)
    E2e {
        /// List them instead
        #[arg(long)]
        list: bool,
        /// Their names
        names: Vec<String>,
    },
    /// Boot a host's own disk by GRUB, upgrade it, break it, see it come back
    Host {
        /// Its disk (dom0.img); it is not changed
        #[arg(long, value_name = "FILE")]
        disk: PathBuf,
        /// A slot's file system (dom0.ext4), of which broken ones are made
        #[arg(long, value_name = "FILE")]
        slot: PathBuf,
        /// Kernel and ramdisk of the template `minimal`
        #[arg(long, value_name = "FILE", num_args = 2)]
        guest: Vec<PathBuf>,
        /// Give a shell on the host instead
        #[arg(long)]
        shell: bool,
        /// Show the machine's console on stderr
        #[arg(short, long)]
        verbose: bool,
        /// Scenarios (all, when none is named)
        names: Vec<String>,
    },
    /// Show the daemon's main job, then give a shell in Dom0 on a terminal
    Demo,
    /// Measure xlfs beside xl, and print the table
    Bench,
    /// The lab's end in Dom0
    #[command(hide = true)]
    Agent {
        #[command(subcommand)]
        verb: AgentVerb,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum AgentVerb {
    Serve {
        /// The virtio-serial port, if not found by its name
        port: Option<PathBuf>,
    },
    /// Print what hypervisor, xenstored and kernel know, as JSON
    Look {
        /// A process to look at too
        #[arg(long)]
        daemon: Option<i32>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ChoiceArgs {
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
pub(crate) struct Boot {
    #[command(flatten)]
    choice: ChoiceArgs,
    /// A file for Dom0, as LOCAL:DOM0PATH
    #[arg(long, value_name = "LOCAL:DOM0PATH", value_parser = pair)]
    put: Vec<(String, String)>,
    /// Have xlfsd and xlfsctl in Dom0 (from cargo's release folder)
    #[arg(long)]
    pub(crate) product: bool,
    /// A raw disk image for Dom0 (/dev/vda, ...); FILE:ro for read-only
    #[arg(long, value_name = "FILE[:ro]")]
    disk: Vec<String>,
    /// Forward 127.0.0.1:HOSTPORT to a Unix socket in Dom0
    #[arg(long, value_name = "HOSTPORT:SOCKET", value_parser = port_pair)]
    pub(crate) forward_unix: Vec<(u16, String)>,
    /// Forward 127.0.0.1:HOSTPORT to an address that Dom0 reaches
    #[arg(long, value_name = "HOSTPORT:ADDRESS:PORT", value_parser = port_pair)]
    pub(crate) forward_tcp: Vec<(u16, String)>,
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
    /// Have nft and lvm in Dom0 too
    #[arg(long)]
    tools: bool,
    /// Have a guest's kernel and initramfs in /guest (vmlinuz, vmlinux, initramfs)
    #[arg(long)]
    guest: bool,
    /// Have the guest's kernel compressed so too, as /guest/vmlinuz-FORM
    #[arg(long, value_name = "FORM", value_parser = compression)]
    guest_form: Vec<Compression>,
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

fn image_kind(text: &str) -> Result<Kind, String> {
    let found = Kind::ALL.into_iter().find(|kind| kind.name() == text);
    found.ok_or_else(|| format!("one of {}", Kind::ALL.map(Kind::name).join(", ")))
}

fn compression(text: &str) -> Result<Compression, String> {
    let names = Compression::ALL.map(Compression::name);
    let found = Compression::ALL.into_iter().find(|one| one.name() == text);
    found.ok_or_else(|| format!("one of {}", names.join(", ")))
}

impl ChoiceArgs {
    pub(crate) fn choice(self) -> Choice {
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
    pub(crate) fn config(self, name: &str) -> Config {
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
            programs: Programs { xl: self.xl, nft: self.tools, lvm: self.tools },
            guest: (self.guest || !self.guest_form.is_empty()).then(|| GuestFiles {
                devices: true,
                initramfs: guest::Options::with_devices(),
                kernel: self.guest,
                elf: self.guest,
                repacked: self.guest_form,
            }),
            start_xenstored: !self.no_xenstored,
            echo_console: self.verbose,
            deadline: Duration::from_secs(self.timeout),
            ..Config::default()
        }
    }
}

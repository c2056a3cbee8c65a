//! xlfs beside xl: the same lab, the same guest, in one run.
//!
//! Beside them, volumes made of images (`volumes`), with cp for the other side.
//!
//! Wall times are those of the commands as their user waits for them, taken
//! inside Dom0. A guest is a 512 MiB PV domain without devices that is built
//! and left paused; in `devices`, one with a disk and an interface that runs. Each figure is the median of several; the two programs
//! take turns, so that a noisy host is noisy to both.

mod devices;
mod volumes;

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use crate::dom0::{Dom0, Dom0Error, Output};
use crate::initramfs::dom0::Programs;
use crate::lab::{Config, GuestFiles, LabError, boot};
use crate::product;
use crate::qemu::Disk;

/// Runs of each figure.
const ROUNDS: usize = 5;
/// Guests that are listed.
const MANY: usize = 20;
/// MiB of the guest that is created, and of each that is listed.
const MEMORY: u32 = 512;
const SMALL: u32 = 112;
/// Where xenstored writes down its requests, in Dom0.
const TRACE: &str = "/tmp/xenstored-trace.log";
/// Whether Dom0 loads programs at random addresses.
const RANDOMISE: &str = "/proc/sys/kernel/randomize_va_space";

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The machine did not come up.
    #[error("no Dom0")]
    Lab(#[from] LabError),
    /// A command in Dom0 failed.
    #[error("trouble in Dom0")]
    Dom0(#[from] Dom0Error),
    /// Something on this machine.
    #[error("cannot {doing}")]
    Here {
        /// What was being done.
        doing: &'static str,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// A file system for Dom0.
    #[error("no disk for Dom0")]
    Ext4(#[from] crate::ext4::Ext4Error),
    /// Something was not where it was expected.
    #[error("cannot find {what} in: {text}")]
    Missing {
        /// What was looked for.
        what: &'static str,
        /// Where.
        text: String,
    },
}

/// Times of one program.
#[derive(Debug, Default)]
struct Times(Vec<Duration>);

impl Times {
    fn take(&mut self, output: &Output) {
        self.0.push(output.took);
    }

    fn median(&mut self) -> f64 {
        self.0.sort();
        self.0.get(self.0.len() / 2).map_or(0.0, Duration::as_secs_f64)
    }

    fn range(&self) -> String {
        let ends = (self.0.iter().min(), self.0.iter().max());
        let (Some(low), Some(high)) = ends else { return "-".into() };
        format!("{:.2}-{:.2}", low.as_secs_f64(), high.as_secs_f64())
    }
}

/// Runs it all and returns the table, as Markdown.
///
/// # Errors
/// [`BenchError`]; a command that fails ends the run.
pub fn run() -> Result<String, BenchError> {
    let mut config = Config::named("bench").product()?;
    config.programs = Programs { xl: true, nft: false, lvm: true };
    let folder = tempfile::tempdir()
        .map_err(|source| BenchError::Here { doing: "make a folder for Dom0's disks", source })?;
    let disk = |path| Disk { path, read_only: false };
    config.machine.disks = volumes::disks(folder.path())?.map(disk).into();
    config.machine.memory = 6144;
    config.machine.dom0_memory = 1536;
    let manifest =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../vm-templates/minimal/template.toml");
    let place = format!("{}/minimal/template.toml", product::TEMPLATES);
    config = config.file(manifest, place);
    config.guest = Some(GuestFiles { elf: true, ..GuestFiles::default() });
    let dom0 = boot(config)?;
    prepare(&dom0)?;
    let mut table = String::from("| what | xlfs | xl | xlfs/xl |\n|---|---|---|---|\n");
    for (form, file) in [("ELF, 61 MB", "vmlinux"), ("bzImage, 8 MB", "vmlinuz")] {
        create(&dom0, form, file, &mut table)?;
    }
    // An emulator translates a program anew when it runs at another address.
    // Without randomised addresses that cost, which no real machine has, is
    // gone from both sides.
    dom0.write(RANDOMISE, "0")?;
    create(&dom0, "ELF, fixed addresses", "vmlinux", &mut table)?;
    dom0.write(RANDOMISE, "2")?;
    devices::create(&dom0, &mut table)?;
    list(&dom0, &mut table)?;
    costs(&dom0, &mut table)?;
    volumes::copies(&dom0, &mut table)?;
    Ok(table)
}

fn prepare(dom0: &Dom0) -> Result<(), BenchError> {
    dom0.sh("xenconsoled; xen-init-dom0 >/dev/null 2>&1; true")?;
    // xl's scripts look at their standard input by its name.
    dom0.sh("ln -sf /proc/self/fd /dev/fd; ln -sf fd/0 /dev/stdin")?;
    dom0.sh(volumes::PREPARE)?;
    dom0.write("/etc/xlfs/xlfsd.toml", volumes::CONFIG)?;
    dom0.spawn(["xlfsd", "--templates", product::TEMPLATES])?;
    dom0.wait_until("xlfsd", Duration::from_secs(60), || {
        Ok(dom0.run(["xlfsctl", "list"])?.success().then_some(()))
    })?;
    let ramdisk = "xlfsctl -q image import /guest/initramfs --kind ramdisk --alias minimal-ramdisk";
    dom0.ok(["sh", "-c", ramdisk])?;
    Ok(())
}

fn xl_config(dom0: &Dom0, name: &str, file: &str, memory: u32) -> Result<String, BenchError> {
    let path = format!("/tmp/{name}.cfg");
    let text = format!(
        "name=\"{name}\"\ntype=\"pv\"\nkernel=\"/guest/{file}\"\nramdisk=\"/guest/initramfs\"\n\
         memory={memory}\nvcpus=1\nextra=\"console=hvc0\"\n"
    );
    dom0.write(&path, text)?;
    Ok(path)
}

fn create(dom0: &Dom0, form: &str, file: &str, table: &mut String) -> Result<(), BenchError> {
    let config = xl_config(dom0, "peer", file, MEMORY)?;
    let memory = MEMORY.to_string();
    let (mut cached, mut fresh, mut xl) = (Times::default(), Times::default(), Times::default());
    let import =
        format!("xlfsctl -q image import /guest/{file} --kind kernel --alias minimal-kernel");
    dom0.ok(["sh", "-c", &import])?;
    for _ in 0..ROUNDS {
        // A plan that is not there: the cache's folder is emptied.
        dom0.sh("rm -rf /var/lib/xlfs/kernels/*")?;
        for times in [&mut fresh, &mut cached] {
            let create = ["create", "own", "--template", "minimal", "--paused", "--memory"];
            let output =
                dom0.ok(["xlfsctl", "-q"].into_iter().chain(create).chain([memory.as_str()]))?;
            times.take(&output);
            dom0.ok(["xlfsctl", "-q", "delete", "own", "--force"])?;
        }
        xl.take(&dom0.ok(["xl", "create", "-p", &config])?);
        dom0.ok(["xl", "destroy", "peer"])?;
    }
    row(table, &format!("create, {form}, plan cached (s)"), &mut cached, &mut xl);
    row(table, &format!("create, {form}, first time (s)"), &mut fresh, &mut xl);
    Ok(())
}

fn list(dom0: &Dom0, table: &mut String) -> Result<(), BenchError> {
    for number in 0..MANY {
        let name = format!("many{number}");
        let memory = SMALL.to_string();
        dom0.ok([
            "xlfsctl",
            "-q",
            "create",
            &name,
            "--template",
            "minimal",
            "--paused",
            "--memory",
            &memory,
        ])?;
    }
    let (mut own, mut xl) = (Times::default(), Times::default());
    for _ in 0..ROUNDS {
        own.take(&dom0.ok(["xlfsctl", "list"])?);
        xl.take(&dom0.ok(["xl", "list"])?);
    }
    row(table, &format!("list, {MANY} guests (s)"), &mut own, &mut xl);
    let resident = number(&dom0.ok(["xlfsctl", "-o", "json", "host", "info"])?, "resident_kib")?;
    let _ = writeln!(table, "| resident memory of xlfsd, {MANY} guests (KiB) | {resident} | - | |");
    for number in 0..MANY {
        dom0.ok(["xlfsctl", "-q", "delete", &format!("many{number}"), "--force"])?;
    }
    Ok(())
}

/// What a create asks of xenstored and of the hypervisor. xlfsd counts for
/// itself. For xl xenstored writes the requests down; its library waits for
/// each answer before it sends the next request.
fn costs(dom0: &Dom0, table: &mut String) -> Result<(), BenchError> {
    let names = ["xenstore_operations", "xenstore_waits", "xenstore_transactions", "hypercalls"];
    let count = || -> Result<Vec<u64>, BenchError> {
        let info = dom0.ok(["xlfsctl", "-o", "json", "host", "info"])?;
        names.iter().map(|name| number(&info, name)).collect()
    };
    let memory = MEMORY.to_string();
    let create = ["xlfsctl", "-q", "create", "own", "--template", "minimal", "--paused"];
    let before = count()?;
    dom0.ok(create.into_iter().chain(["--memory", memory.as_str()]))?;
    let after = count()?;
    dom0.ok(["xlfsctl", "-q", "delete", "own", "--force"])?;
    let own: Vec<u64> =
        before.into_iter().zip(after).map(|(before, after)| after - before).collect();

    let config = xl_config(dom0, "peer", "vmlinuz", MEMORY)?;
    let peer = requests(dom0, &["xl", "create", "-p", &config])?;
    dom0.ok(["xl", "destroy", "peer"])?;
    for (what, own, peer) in [
        ("operations", own[0], peer.all),
        ("waits", own[1], peer.all),
        ("transactions", own[2], peer.transactions),
    ] {
        let ratio = own as f64 / peer.max(1) as f64;
        let _ = writeln!(table, "| xenstore {what} of a create | {own} | {peer} | {ratio:.2} |");
    }
    let _ = writeln!(table, "| hypercalls of a create | {} | not counted | |", own[3]);
    Ok(())
}

/// Requests to xenstored.
struct Requests {
    all: u64,
    transactions: u64,
}

/// Has xenstored write down what `command` asks of it: the requests over
/// connections that are made meanwhile.
fn requests(dom0: &Dom0, command: &[&str]) -> Result<Requests, BenchError> {
    dom0.sh(&format!("rm -f {TRACE}; xenstore-control logfile {TRACE} >/dev/null"))?;
    dom0.ok(command.iter().copied())?;
    dom0.ok(["xenstore-control", "log", "off"])?;
    let trace = dom0.ok(["cat", TRACE])?.stdout;
    let mut made = Vec::new();
    let mut seen = Requests { all: 0, transactions: 0 };
    for line in trace.lines() {
        let words: Vec<&str> = line.split(' ').take(5).collect();
        match words[..] {
            ["CREATE", "connection", connection, ..] => made.push(connection),
            ["IN", connection, _, _, request] if made.contains(&connection) => {
                seen.all += u64::from(request != "CONTROL");
                seen.transactions += u64::from(request == "TRANSACTION_START");
            }
            _ => {}
        }
    }
    if seen.all == 0 {
        return Err(BenchError::Missing { what: "requests", text: trace });
    }
    Ok(seen)
}

fn row(table: &mut String, what: &str, own: &mut Times, peer: &mut Times) {
    let (mine, theirs) = (own.median(), peer.median());
    let ratio = if theirs > 0.0 { mine / theirs } else { 0.0 };
    let _ = writeln!(
        table,
        "| {what} | {mine:.2} ({}) | {theirs:.2} ({}) | {ratio:.2} |",
        own.range(),
        peer.range()
    );
}

/// What has no other side.
fn single(table: &mut String, what: &str, own: &mut Times) {
    let _ = writeln!(table, "| {what} | {:.2} ({}) | - | |", own.median(), own.range());
}

/// A number in JSON, by its key.
fn number(output: &Output, key: &'static str) -> Result<u64, BenchError> {
    let missing = || BenchError::Missing { what: key, text: output.stdout.clone() };
    let (_, rest) = output.stdout.split_once(&format!("\"{key}\":")).ok_or_else(missing)?;
    let digits: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().map_err(|_| missing())
}

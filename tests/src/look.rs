//! What the hypervisor, xenstored and the kernel know of Dom0, read without
//! xlfsd: the other side of the scale when a scenario says that nothing is left.
//!
//! The `lab` binary in Dom0 looks (`lab agent look`) and prints JSON; the
//! scenarios on the host read it.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use xlfs_xen::hypercall::{HypercallError, Xen, XenError};
use xlfs_xen::xenstore::{Client, Config, DiscoverError, Endpoint};

/// Where the lab's xlfsd keeps volumes, what it knows of them, and configuration
/// disks.
const VOLUMES: &[&str] =
    &["/var/lib/xlfs/volumes", "/var/lib/xlfs/volume-records", "/var/lib/xlfs/seeds"];

/// Why Dom0 cannot be looked at.
#[derive(Debug, Error)]
pub enum LookError {
    /// No way to the hypervisor.
    #[error("the hypervisor cannot be reached")]
    Xen(#[from] XenError),
    /// It refused.
    #[error("the hypervisor does not answer")]
    Hypercall(#[from] HypercallError),
    /// No way to xenstored.
    #[error("xenstored is not to be found")]
    NoStore(#[from] DiscoverError),
    /// It refused.
    #[error("xenstored does not answer")]
    Store(#[from] xlfs_xen::xenstore::Error),
    /// What /proc says of the daemon.
    #[error("cannot look at process {pid}")]
    Process {
        /// The process.
        pid: i32,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// No runtime for the client of xenstored.
    #[error("no runtime")]
    Runtime(#[source] io::Error),
}

/// The state of things at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// Domains of the hypervisor, those that are being taken apart too.
    pub domains: Vec<u16>,
    /// Memory that no domain has, in KiB.
    pub free_kib: u64,
    /// Xenstore nodes of domains other than Dom0, and of xlfs.
    pub nodes: Vec<String>,
    /// Loop devices that serve a file, with that file.
    pub loops: Vec<String>,
    /// Network interfaces, the guests' vifs among them.
    pub links: Vec<String>,
    /// Files in the default pool of volumes, and records of volumes.
    pub volumes: Vec<String>,
    /// Event channels that programs of Dom0 have bound.
    pub event_channels: usize,
    /// What the daemon holds; none when it was not asked for.
    pub daemon: Option<Daemon>,
}

/// What a process holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Daemon {
    /// Where its descriptors lead.
    pub descriptors: Vec<String>,
    /// Its mappings of other domains' memory, as lines of /proc/PID/maps.
    pub foreign: Vec<String>,
}

/// Looks, at the process `daemon` too if it is named.
pub fn look(daemon: Option<i32>) -> Result<Look, LookError> {
    let xen = Xen::open()?;
    let mut seen = Look {
        domains: xen.list_domains()?.iter().map(|domain| domain.domid.0).collect(),
        free_kib: xen.phys_info()?.free_pages * 4,
        event_channels: event_channels(),
        loops: loops(),
        volumes: VOLUMES.iter().flat_map(|folder| names(folder)).collect(),
        links: names("/sys/class/net"),
        ..Look::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(LookError::Runtime)?;
    seen.nodes = runtime.block_on(nodes())?;
    if let Some(pid) = daemon {
        let held = held_by(pid).map_err(|source| LookError::Process { pid, source })?;
        seen.daemon = Some(held);
    }
    Ok(seen)
}

async fn nodes() -> Result<Vec<String>, LookError> {
    let store = Client::connect(Endpoint::discover().await?, Config::default()).await?;
    let mut found = Vec::new();
    // The folders of back ends stay; what is in them is some domain's.
    let back_ends = children(&store, "/local/domain/0/backend").await?;
    let parents = ["/local/domain", "/xlfs", "/vm", "/libxl"].map(str::to_owned);
    for parent in parents.into_iter().chain(back_ends) {
        let mut below = children(&store, &parent).await?;
        below.retain(|child| child != "/local/domain/0");
        found.extend(below);
    }
    Ok(found)
}

/// The paths of a node's children; none when there is no such node.
async fn children(store: &Client, parent: &str) -> Result<Vec<String>, LookError> {
    match store.directory(parent).await {
        Ok(children) => Ok(children.iter().map(|child| format!("{parent}/{child}")).collect()),
        Err(error) if error.is_not_found() => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

fn loops() -> Vec<String> {
    let of = |name: String| {
        let file = fs::read_to_string(format!("/sys/block/{name}/loop/backing_file")).ok()?;
        Some(format!("{name} of {}", file.trim()))
    };
    names("/sys/block").into_iter().filter_map(of).collect()
}

fn names(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Those of /dev/xen/evtchn: the kernel names them after the program.
fn event_channels() -> usize {
    let interrupts = fs::read_to_string("/proc/interrupts").unwrap_or_default();
    interrupts.lines().filter(|line| line.contains(" evtchn:")).count()
}

fn held_by(pid: i32) -> io::Result<Daemon> {
    let process = Path::new("/proc").join(pid.to_string());
    let mut descriptors = Vec::new();
    for entry in fs::read_dir(process.join("fd"))? {
        // It may have been closed meanwhile.
        if let Ok(target) = fs::read_link(entry?.path()) {
            descriptors.push(target.to_string_lossy().into_owned());
        }
    }
    descriptors.sort();
    let foreign =
        |line: &&str| ["privcmd", "gntdev", "xenbus"].iter().any(|device| line.contains(device));
    let maps = fs::read_to_string(process.join("maps"))?;
    Ok(Daemon { descriptors, foreign: maps.lines().filter(foreign).map(str::to_owned).collect() })
}

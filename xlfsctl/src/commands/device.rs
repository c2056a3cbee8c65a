//! `disk` and `nic`: devices that come to a guest that is there, and go from it.

use std::time::Duration;

use clap::{Args, Subcommand};
use xlfs_proto::v1::{
    AttachDiskRequest, AttachNicRequest, DetachDiskRequest, DetachNicRequest, DiskRequest,
    NicRequest, Operation,
};

use super::Session;
use super::change::{Domains, Verb, apply};
use super::lifecycle::wire_span;
use crate::cli::Change;
use crate::complete;
use crate::errors::Failure;
use crate::exit::Exit;
use crate::words::{disk, duration, interface, nic};

/// Give disks to guests, and take them away.
#[derive(Debug, Subcommand)]
pub(crate) enum Disk {
    Attach(AttachDisk),
    Detach(DetachDisk),
}

/// Give a disk to a guest, also while it runs.
#[derive(Debug, Args)]
#[command(name = "attach")]
pub(crate) struct AttachDisk {
    /// The guest.
    #[arg(add = complete::guests_for(Operation::Attach))]
    guest: String,
    /// Such as size=10G, xvdb,size=10G,pool=fast, image=data,ro,keep or volume=data.
    #[arg(value_parser = disk)]
    disk: DiskRequest,
    #[command(flatten)]
    change: Change,
}

/// Take a disk from a guest, also while it runs.
///
/// Unmount it in the guest first. The guest is asked to let go of it, and what is
/// on it stays in its volume, unless --remove-volume is given.
#[derive(Debug, Args)]
#[command(name = "detach")]
pub(crate) struct DetachDisk {
    /// The guest.
    #[arg(add = complete::guests_for(Operation::Detach))]
    guest: String,
    /// Such as xvdb.
    disk: String,
    /// Remove its volume, with all that is on it.
    #[arg(long)]
    remove_volume: bool,
    #[command(flatten)]
    closing: Closing,
    #[command(flatten)]
    change: Change,
}

/// Give network interfaces to guests, and take them away.
#[derive(Debug, Subcommand)]
pub(crate) enum Nic {
    Attach(AttachNic),
    Detach(DetachNic),
}

/// Give a network interface to a guest, also while it runs.
///
/// The guest configures it by itself: the addresses that are given here are what
/// anti-spoofing holds it to.
#[derive(Debug, Args)]
#[command(name = "attach")]
pub(crate) struct AttachNic {
    /// The guest.
    #[arg(add = complete::guests_for(Operation::Attach))]
    guest: String,
    /// Such as network=lan,mac=00:16:3e:00:00:01,rate=10Mb/s,anti-spoofing;
    /// without it, one on the first network of the host.
    #[arg(value_parser = nic, default_value = "", hide_default_value = true)]
    nic: NicRequest,
    #[command(flatten)]
    change: Change,
}

/// Take a network interface from a guest, also while it runs.
#[derive(Debug, Args)]
#[command(name = "detach")]
pub(crate) struct DetachNic {
    /// The guest.
    #[arg(add = complete::guests_for(Operation::Detach))]
    guest: String,
    /// Such as eth1.
    #[arg(value_parser = interface)]
    interface: u32,
    #[command(flatten)]
    closing: Closing,
    #[command(flatten)]
    change: Change,
}

/// How a guest is made to let go.
#[derive(Debug, Args)]
struct Closing {
    /// Do not ask the guest: what it has not written yet is lost.
    #[arg(long)]
    force: bool,
    /// How long the guest may take to let go, such as 90s. Default: 30s.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    timeout: Option<Duration>,
}

const ATTACH_DISK: Verb = Verb { word: "attach", phrase: "attach the disk to", noun: "guest" };
const ATTACH_NIC: Verb = Verb { word: "attach", phrase: "attach the interface to", noun: "guest" };
const DETACH_DISK: Verb = Verb { word: "detach", phrase: "detach the disk from", noun: "guest" };
const DETACH_NIC: Verb =
    Verb { word: "detach", phrase: "detach the interface from", noun: "guest" };

impl Disk {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        match self {
            Self::Attach(AttachDisk { guest, disk, change }) => {
                let dry_run = change.dry_run;
                let call = async |mut domains: Domains, name| {
                    let disk = Some(disk.clone());
                    domains.attach_disk(AttachDiskRequest { name, disk, dry_run }).await
                };
                apply(session, &change, ATTACH_DISK, &[guest], call).await
            }
            Self::Detach(DetachDisk { guest, disk, remove_volume, closing, change }) => {
                let (force, timeout) = (closing.force, wire_span(closing.timeout)?);
                let dry_run = change.dry_run;
                let call = async |mut domains: Domains, name| {
                    let disk = disk.clone();
                    let request =
                        DetachDiskRequest { name, disk, remove_volume, force, timeout, dry_run };
                    domains.detach_disk(request).await
                };
                apply(session, &change, DETACH_DISK, &[guest], call).await
            }
        }
    }
}

impl Nic {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        match self {
            Self::Attach(AttachNic { guest, nic, change }) => {
                let dry_run = change.dry_run;
                let call = async |mut domains: Domains, name| {
                    let nic = Some(nic.clone());
                    domains.attach_nic(AttachNicRequest { name, nic, dry_run }).await
                };
                apply(session, &change, ATTACH_NIC, &[guest], call).await
            }
            Self::Detach(DetachNic { guest, interface: index, closing, change }) => {
                let (force, timeout) = (closing.force, wire_span(closing.timeout)?);
                let dry_run = change.dry_run;
                let call = async |mut domains: Domains, name| {
                    let request = DetachNicRequest { name, index, force, timeout, dry_run };
                    domains.detach_nic(request).await
                };
                apply(session, &change, DETACH_NIC, &[guest], call).await
            }
        }
    }
}

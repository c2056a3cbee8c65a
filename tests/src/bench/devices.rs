//! A guest with a disk and an interface: xlfs does what xl leaves to its
//! hotplug scripts.

use std::fmt::Write;

use super::{BenchError, MEMORY, ROUNDS, Times, number, requests, row};
use crate::dom0::Dom0;

/// The bridge of the daemon's configuration.
const BRIDGE: &str = "lan0";
const CONFIG: &str = "/tmp/connected.cfg";

/// Until the guest is unpaused. Both find the disk's file there, and connect
/// the interface to the bridge. xlfs writes a configuration disk besides.
pub(super) fn create(dom0: &Dom0, table: &mut String) -> Result<(), BenchError> {
    dom0.ok(["xlfsctl", "-q", "volume", "create", "data", "--size", "64M"])?;
    dom0.sh("truncate -s 64M /var/lib/xlfs/peer.img")?;
    let text = format!(
        "name=\"peer\"\ntype=\"pv\"\nkernel=\"/guest/vmlinuz\"\nramdisk=\"/guest/initramfs\"\n\
         memory={MEMORY}\nvcpus=1\nextra=\"console=hvc0\"\n\
         disk=[\"format=raw,vdev=xvda,access=rw,target=/var/lib/xlfs/peer.img\"]\n\
         vif=[\"bridge={BRIDGE},mac=00:16:3e:00:00:99\"]\n"
    );
    dom0.write(CONFIG, text)?;
    let memory = MEMORY.to_string();
    let own_create = [
        "xlfsctl",
        "-q",
        "create",
        "own",
        "--template",
        "minimal",
        "--memory",
        &memory,
        "--disk",
        "xvda,volume=data",
        "--ip",
        "10.9.0.2/24",
    ];
    let (mut own, mut xl) = (Times::default(), Times::default());
    for _ in 0..ROUNDS {
        own.take(&dom0.ok(own_create)?);
        dom0.ok(["xlfsctl", "-q", "delete", "own", "--force"])?;
        xl.take(&dom0.ok(["xl", "create", CONFIG])?);
        dom0.ok(["xl", "destroy", "peer"])?;
    }
    row(table, "create with a disk and an interface (s)", &mut own, &mut xl);

    let count =
        || number(&dom0.ok(["xlfsctl", "-o", "json", "host", "info"])?, "xenstore_operations");
    let before = count()?;
    dom0.ok(own_create)?;
    let own = count()? - before;
    dom0.ok(["xlfsctl", "-q", "delete", "own", "--force"])?;
    let peer = requests(dom0, &["xl", "create", CONFIG])?;
    dom0.ok(["xl", "destroy", "peer"])?;
    let ratio = own as f64 / peer.all.max(1) as f64;
    let what = "xenstore operations of a create with a disk and an interface";
    let _ = writeln!(table, "| {what} | {own} | {} | {ratio:.2} |", peer.all);
    dom0.ok(["xlfsctl", "-q", "volume", "delete", "data"])?;
    Ok(())
}

//! Snapshots and clones: what a disk held comes back, and a copy is another
//! guest.

use super::disks;
use super::host::Host;
use super::{Outcome, Scenario, check};

/// For `lab e2e`.
pub(super) const SNAPSHOTS: Scenario = Scenario::shared(
    "snapshots",
    "disks of a stopped and of a paused guest are kept, restored and cloned",
    snapshots,
);
/// For `lab e2e`.
pub(super) const KEPT: Scenario = Scenario::shared(
    "kept-volumes",
    "a volume outlives its guest, grows, and is written by one guest at a time",
    kept,
);

/// In a guest: leaves a mark on both disks.
fn mark(host: &Host, guest: &str, word: &str) -> Outcome {
    let line = format!(
        "mount -t ext4 /dev/xvda /mnt && echo {word} >/mnt/mark && sync && \
         echo {word} >/dev/xvdb && sync && umount /mnt && echo marked-$((1+1))"
    );
    host.in_guest(guest, &line, "marked-2").map(drop)
}

/// That both disks have it.
fn has(host: &Host, guest: &str, word: &str) -> Outcome {
    let line = "mount -t ext4 /dev/xvda /mnt && echo file-$(cat /mnt/mark) && umount /mnt";
    host.in_guest(guest, line, &format!("file-{word}"))?;
    let line = "echo raw-$(head -n 1 /dev/xvdb)";
    host.in_guest(guest, line, &format!("raw-{word}")).map(drop)
}

fn started(host: &Host, guest: &str) -> Outcome {
    host.act(&format!("start {guest}"))?;
    host.ready(guest)
}

fn snapshots(host: &Host) -> Outcome {
    disks::image(host)?;
    let disks = "--template disks --disk xvda,image=data,size=24M --disk xvdb,size=8M";
    host.create("web", disks)?;
    host.ready("web")?;
    mark(host, "web", "old")?;
    let failure = host.refused("snapshot create web early", 5)?;
    let text = failure.to_string();
    check(text.contains("pause it or shut it down"), "what to do first", text)?;
    host.act("shutdown web")?;
    host.act("snapshot create web before")?;

    started(host, "web")?;
    has(host, "web", "old")?;
    mark(host, "web", "new")?;
    // One that writes, while it is paused.
    let writer = "mount -t ext4 /dev/xvda /mnt && while dd if=/dev/zero of=/mnt/block bs=64k \
                  count=8 conv=fsync 2>/dev/null; do :; done & echo begun-$((2+2))";
    host.in_guest("web", writer, "begun-4")?;
    host.act("pause web")?;
    host.act("snapshot create web paused")?;
    host.act("unpause web")?;
    host.in_guest("web", "echo alive-$((3+3))", "alive-6")?;
    host.refused("snapshot restore web before", 5)?;
    host.refused("volume delete web-xvda@before", 5)?;
    host.act("destroy web")?;

    // As after a power failure: the journal has it.
    host.act("snapshot restore web paused")?;
    started(host, "web")?;
    has(host, "web", "new")?;
    host.act("shutdown web")?;
    host.act("snapshot restore web before")?;
    started(host, "web")?;
    has(host, "web", "old")?;
    host.act("shutdown web")?;

    host.act("clone web copy --start")?;
    // It says its own name.
    host.ready("copy")?;
    has(host, "copy", "old")?;
    mark(host, "copy", "copied")?;
    started(host, "web")?;
    has(host, "web", "old")?;
    let (web, copy) = (host.show("web")?, host.show("copy")?);
    check(web.uuid != copy.uuid, "another UUID", format!("{copy:?}"))?;
    host.remove("web")?;
    host.act("shutdown copy")?;
    started(host, "copy")?;
    has(host, "copy", "copied")?;
    host.remove("copy")?;
    host.act("image delete data").map(drop)
}

fn kept(host: &Host) -> Outcome {
    host.act("volume create data --size 8M")?;
    host.create("first", "--template disks --disk xvda,volume=data")?;
    host.ready("first")?;
    host.in_guest("first", "echo precious >/dev/xvda && sync && echo w-$((1+1))", "w-2")?;
    let failure = host.refused("create second --template disks --disk xvda,volume=data", 5)?;
    let text = failure.to_string();
    check(text.contains("guest first"), "the holder's name", text)?;
    host.refused("volume grow data 16M", 5)?;
    host.refused("volume delete data", 5)?;
    host.remove("first")?;

    host.act("volume grow data 16M")?;
    host.act("volume clone data copy")?;
    host.create("second", "--template disks --disk xvda,volume=data --disk xvdb,volume=copy,ro")?;
    host.ready("second")?;
    host.in_guest("second", "echo size-$(cat /sys/block/xvda/size)", "size-32768")?;
    host.in_guest("second", "echo $(head -n 1 /dev/xvda)-$((2+2))", "precious-4")?;
    host.in_guest("second", "echo $(head -n 1 /dev/xvdb)-$((3+3))", "precious-6")?;
    host.remove("second")?;
    host.act("volume delete data copy").map(drop)
}

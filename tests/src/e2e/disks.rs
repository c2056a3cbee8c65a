//! Disks: made from images, used, kept and removed.

use super::host::Host;
use super::{Outcome, Scenario, ScenarioError, check};
use crate::ext4;

/// For `lab e2e`.
pub(super) const DISKS: Scenario = Scenario::shared(
    "disks",
    "a disk from an image and an empty one: used, still there after a restart, removed",
    disks,
);
/// For `lab e2e`.
pub(super) const NO_DISKS: Scenario =
    Scenario::shared("bad-disks", "disks that cannot be had are refused, clearly", bad_disks);

/// What the image's file says.
const WORD: &str = "written-by-the-host";
/// The image's size in bytes.
const SIZE: u64 = 16 << 20;

/// Imports a small ext4 file system as `data`.
pub(super) fn image(host: &Host) -> Outcome {
    let folder = tempfile::tempdir().map_err(here)?;
    let tree = folder.path().join("tree");
    std::fs::create_dir(&tree).map_err(here)?;
    std::fs::write(tree.join("word"), format!("{WORD}\n")).map_err(here)?;
    let image = folder.path().join("data.img");
    ext4::make(&image, SIZE, Some(&tree))?;
    host.dom0().put(&image, "/tmp/data.img")?;
    host.import("/tmp/data.img", "disk", "data")?;
    host.dom0().ok(["rm", "/tmp/data.img"])?;
    Ok(())
}

fn here(source: std::io::Error) -> ScenarioError {
    ScenarioError::Here { doing: "make a file tree", source }
}

fn disks(host: &Host) -> Outcome {
    image(host)?;
    let disks = "--template disks --disk xvda,image=data,size=24M --disk xvdb,size=8M --disk xvdc,image=data,ro";
    host.create("web", disks)?;
    host.ready("web")?;
    let domain = host.show("web")?;
    check(domain.disks.len() == 3, "three disks", format!("{domain:?}"))?;
    // The image's content, in a disk that is as large as was asked for.
    host.in_guest("web", "mount -t ext4 /dev/xvda /mnt && cat /mnt/word", WORD)?;
    host.in_guest("web", "echo size-$(cat /sys/block/xvda/size)", "size-49152")?;
    host.in_guest("web", "echo more >/mnt/more && sync && echo synced-$((1+1))", "synced-2")?;
    // An empty disk is zeros, and keeps what is written.
    let zeros = "cmp -n 8388608 /dev/xvdb /dev/zero && echo all-$((2+3))-zero";
    host.in_guest("web", zeros, "all-5-zero")?;
    host.in_guest("web", "echo kept >/dev/xvdb && sync && echo done-$((3+4))", "done-7")?;
    // Read-only is so for the guest's root too.
    let write = "dd if=/dev/zero of=/dev/xvdc bs=512 count=1 conv=fsync || echo refused-$((4+5))";
    host.in_guest("web", write, "refused-9")?;
    host.act("shutdown web")?;
    host.act("start web")?;
    host.ready("web")?;
    host.in_guest("web", "mount -t ext4 /dev/xvda /mnt && cat /mnt/more", "more")?;
    host.in_guest("web", "head -c 4 /dev/xvdb && echo", "kept")?;
    host.act("reboot web")?;
    host.ready("web")?;
    host.act("destroy web")?;
    host.act("delete web")?;
    host.act("image delete data").map(drop)
}

fn bad_disks(host: &Host) -> Outcome {
    image(host)?;
    for (disk, exit_code, said) in [
        ("xvda,image=nosuch", 5, "nosuch"),
        ("xvda,image=data,size=1M", 10, "less than its image"),
        ("xvda,image=minimal-kernel", 10, "no disk"),
        ("xvda", 10, "needs a size"),
        ("xvda,size=1M,pool=nosuch", 3, "nosuch"),
        ("sda,size=1M", 10, "sda"),
        ("xvda,size=1M --disk xvda1,size=1M", 10, "xvda"),
        ("xvda,size=1M,pool", 2, "pool"),
    ] {
        let failure =
            host.refused(&format!("create x --template disks --disk {disk}"), exit_code)?;
        let text = failure.to_string();
        check(text.contains(said), format!("{said} in the error of `{disk}`"), text)?;
        host.refused("show x", 3)?;
    }
    host.act("image delete data").map(drop)
}

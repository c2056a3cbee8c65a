//! Pools of volumes of every kind: a guest whose root disk is in each, full
//! ones, and what a guest may write on its disk to mislead LVM in Dom0.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::host::{Host, Setup};
use super::{Outcome, Scenario, ScenarioError, check};
use crate::ext4;
use crate::initramfs::dom0::Programs;
use crate::pieces::{self, Choice};
use crate::qemu::Disk;

/// For `lab e2e`.
pub(super) const SCENARIO: Scenario = Scenario::alone(
    "pools",
    "root disks in a folder, on LVM thick and thin; full pools; a guest's claim to Dom0's volume group",
    pools,
);

/// The guests' root image, in bytes.
const ROOT: u64 = 16 << 20;
/// Dom0's volume group, in bytes.
const GROUP: u64 = 256 << 20;
/// The small file system, in bytes.
const SMALL: u64 = 40 << 20;

fn here(source: std::io::Error) -> ScenarioError {
    ScenarioError::Here { doing: "make a disk of Dom0", source }
}

fn pools() -> Outcome {
    let folder = tempfile::tempdir().map_err(here)?;
    let root = folder.path().join("root.img");
    root_image(&folder.path().join("tree"), &root)?;
    let (group, small) = (folder.path().join("group"), folder.path().join("small"));
    fs::File::create(&group).and_then(|file| file.set_len(GROUP)).map_err(here)?;
    ext4::make(&small, SMALL, None)?;
    let host = Host::boot_with(Setup {
        name: "pools",
        disks: [group, small].map(|path| Disk { path, read_only: false }).into(),
        programs: Programs { lvm: true, ..Programs::default() },
        prepare: include_str!("../../e2e/pools-prepare"),
        config: include_str!("../../e2e/pools.toml"),
        ..Setup::default()
    })?;
    host.dom0().put(&root, "/tmp/root.img")?;
    for name in ["root", "dense", "claims"] {
        host.import(&format!("/tmp/{name}.img"), "disk", name)?;
    }
    let before = inventory(&host)?;
    misled(&host)?;
    for pool in ["default", "thick", "thin"] {
        rooted(&host, pool)?;
        unchanged(&host, &before)?;
    }
    full(&host, &before)?;
    host.nothing_left()?;
    host.dom0().stop();
    Ok(())
}

/// A file system with busybox and an init that takes over from the ramdisk's.
fn root_image(tree: &Path, image: &Path) -> Outcome {
    for folder in ["bin", "sbin", "etc", "dev", "proc", "sys", "mnt", "root"] {
        fs::create_dir_all(tree.join(folder)).map_err(here)?;
    }
    let pieces = pieces::gather(&Choice::from_env(), false)?;
    fs::copy(&pieces.busybox, tree.join("bin/busybox")).map_err(here)?;
    let inittab = include_str!("../../initramfs/guest-inittab");
    fs::write(tree.join("etc/inittab"), inittab).map_err(here)?;
    for (path, script) in [
        ("sbin/init", include_str!("../../initramfs/root-init")),
        ("sbin/poweroff", include_str!("../../initramfs/guest-poweroff")),
        ("sbin/reboot", include_str!("../../initramfs/guest-reboot")),
    ] {
        fs::write(tree.join(path), script).map_err(here)?;
        fs::set_permissions(tree.join(path), Permissions::from_mode(0o755)).map_err(here)?;
    }
    Ok(ext4::make(image, ROOT, Some(tree))?)
}

/// A guest that lives on a disk of the pool, and finds it again.
fn rooted(host: &Host, pool: &str) -> Outcome {
    let disks =
        format!("--disk xvda,image=root,size=24M,pool={pool} --disk xvdb,size=8M,pool={pool}");
    host.create("web", &format!("--template rooted {disks}"))?;
    host.ready("web")?;
    // Its root is the disk, not the ramdisk, and the disk is as large as was asked for.
    host.in_guest("web", "echo root-$(stat -f -c %T /)-$((1+1))", "root-ext2/ext3-2")?;
    host.in_guest("web", "echo size-$(cat /sys/block/xvda/size)", "size-49152")?;
    // Nothing of what the pool held before.
    let zeros = "cmp -n 8388608 /dev/xvdb /dev/zero && echo all-$((2+3))-zero";
    host.in_guest("web", zeros, "all-5-zero")?;
    let write = format!("echo written-{pool} >/word && sync && echo synced-$((1+1))");
    host.in_guest("web", &write, "synced-2")?;
    host.act("shutdown web")?;
    host.act("start web")?;
    host.ready("web")?;
    host.in_guest("web", "cat /word", &format!("written-{pool}"))?;
    host.act("destroy web")?;
    host.act("delete web").map(drop)
}

/// While a guest runs whose disk says that it is Dom0's volume group, and which
/// Dom0 sees as a loop device, LVM's pools work as before.
fn misled(host: &Host) -> Outcome {
    host.create("evil", "--template disks --disk xvda,image=claims,pool=default")?;
    host.ready("evil")?;
    let loops = host.dom0().sh("cat /sys/block/loop*/loop/backing_file")?;
    check(!loops.stdout.trim().is_empty(), "the guest's disk to be a loop device", &loops)?;
    // LVM by itself believes it.
    let plain = host.dom0().run(["lvm", "lvs", "vg0"])?;
    check(!plain.success(), "LVM to be misled when nobody tells it", &plain)?;
    for pool in ["thick", "thin"] {
        host.create(
            "other",
            &format!("--template disks --no-start --disk xvda,size=8M,pool={pool}"),
        )?;
        host.act("delete other")?;
    }
    host.remove("evil")
}

/// What does not fit is refused before anything is made of it.
fn full(host: &Host, before: &str) -> Outcome {
    for (disk, said) in [
        ("xvda,image=dense,pool=small", "pool small is full"),
        ("xvda,size=1G,pool=thick", "pool thick is full"),
        ("xvda,size=8M,pool=thick --disk xvdb,size=240M,pool=thick", "pool thick is full"),
        ("xvda,image=dense,pool=thin", "pool thin is full"),
        // The first disk is made, and removed.
        ("xvda,image=root,pool=thin --disk xvdb,image=dense,pool=small", "pool small is full"),
    ] {
        let failure = host.refused(&format!("create x --template disks --disk {disk}"), 6)?;
        let text = failure.to_string();
        check(text.contains(said), format!("{said:?} in the error of `{disk}`"), text)?;
        host.refused("show x", 3)?;
        unchanged(host, before)?;
    }
    // What does fit is taken all the same.
    for pool in ["small", "thick", "thin"] {
        host.create("x", &format!("--template disks --no-start --disk xvda,size=16M,pool={pool}"))?;
        host.act("delete x")?;
    }
    unchanged(host, before)
}

fn unchanged(host: &Host, before: &str) -> Outcome {
    let now = inventory(host)?;
    check(now == before, format!("as before: {before}"), now)
}

/// All volumes there are, as LVM, device-mapper and the folders know them.
fn inventory(host: &Host) -> Outcome<String> {
    let look = "lvm lvs --noheadings --options lv_name,lv_size,lv_tags vg0 && \
                lvm vgs --noheadings --options vg_free,lv_count vg0 && \
                ls -R /dev/mapper /dev/vg0 /srv/small/volumes | grep -v -e '-tpool$' -e '^tp$'";
    Ok(host.dom0().sh(look)?.stdout)
}

//! A volume made of an image, beside `cp --sparse=always` of the same file.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write as _};
use std::path::Path;
use std::process::Command;

use super::{BenchError, ROUNDS, Times, row, single};
use crate::dom0::Dom0;
use crate::ext4;

/// Bytes of the image; an eighth of it is data, in pieces of 1 MiB.
const IMAGE: u64 = 512 << 20;
const PIECE: usize = 1 << 20;
const EVERY: u64 = 8 << 20;
/// Bytes of each of Dom0's disks.
const DISK: u64 = 4 << 30;

/// Dom0's disks for this: ext4 with the image on it, XFS, and one for LVM.
pub(super) fn disks(folder: &Path) -> Result<[std::path::PathBuf; 3], BenchError> {
    let here = |source| BenchError::Here { doing: "make Dom0's disks", source };
    let tree = folder.join("tree");
    std::fs::create_dir(&tree).map_err(here)?;
    let mut image = File::create(tree.join("source.img")).map_err(here)?;
    image.set_len(IMAGE).map_err(here)?;
    let mut piece = vec![0u8; PIECE];
    let mut random = File::open("/dev/urandom").map_err(here)?;
    for at in (0..IMAGE).step_by(EVERY as usize) {
        std::io::Read::read_exact(&mut random, &mut piece).map_err(here)?;
        image.seek(SeekFrom::Start(at)).map_err(here)?;
        image.write_all(&piece).map_err(here)?;
    }
    let [state, xfs, group] = ["state", "xfs", "group"].map(|name| folder.join(name));
    ext4::make(&state, DISK, Some(&tree))?;
    for path in [&xfs, &group] {
        File::create(path).and_then(|file| file.set_len(DISK)).map_err(here)?;
    }
    let made = Command::new("/sbin/mkfs.xfs").arg("-q").arg(&xfs).status().map_err(here)?;
    if !made.success() {
        let text = made.to_string();
        return Err(BenchError::Missing { what: "a file system of mkfs.xfs", text });
    }
    Ok([state, xfs, group])
}

/// Before xlfsd starts.
pub(super) const PREPARE: &str = "set -e; export DM_DISABLE_UDEV=1; modprobe ext4; modprobe xfs; \
    mkdir -p /var/lib/xlfs /srv/xfs; mount -t ext4 /dev/vda /var/lib/xlfs; \
    mount -t xfs /dev/vdb /srv/xfs; lvm pvcreate --yes /dev/vdc; lvm vgcreate vg0 /dev/vdc; \
    lvm lvcreate --yes --type thin-pool -Zy -L 1G -n tp vg0";

/// xlfsd's configuration.
pub(super) const CONFIG: &str = "[[pools]]\nname = \"default\"\nkind = \"folder\"\n\
    path = \"/var/lib/xlfs/volumes\"\n\n[[pools]]\nname = \"xfs\"\nkind = \"folder\"\n\
    path = \"/srv/xfs/volumes\"\n\n[[pools]]\nname = \"thin\"\nkind = \"lvm\"\n\
    volume_group = \"vg0\"\nthin_pool = \"tp\"\n\n[[networks]]\nname = \"lan\"\n\
    bridge = \"lan0\"\naddresses = [\"10.9.0.1/24\"]\n";

/// The command's own wait for the flush of the copy is a part of it on our
/// side, so that cp is timed with a `sync` of its file.
pub(super) fn copies(dom0: &Dom0, table: &mut String) -> Result<(), BenchError> {
    let import = "xlfsctl -q image import /var/lib/xlfs/source.img --kind disk --alias source";
    dom0.sh(import)?;
    let (mut own, mut cp) = (Times::default(), Times::default());
    let (mut reflink, mut thin) = (Times::default(), Times::default());
    let make = |name: &str, from: &[&str], pool: &str, times: &mut Times| {
        let create = ["xlfsctl", "-q", "volume"];
        let line = create.into_iter().chain(from.iter().copied()).chain([name, "--pool", pool]);
        times.take(&dom0.ok(line)?);
        Ok::<(), BenchError>(())
    };
    // What a pool's own copies begin with: a volume that is in it.
    for pool in ["xfs", "thin"] {
        let first = format!("first-{pool}");
        make(&first, &["create", "--image", "source"], pool, &mut Times::default())?;
    }
    for _ in 0..ROUNDS {
        make("copy", &["create", "--image", "source"], "default", &mut own)?;
        dom0.ok(["xlfsctl", "-q", "volume", "delete", "copy"])?;
        let line = "/usr/bin/cp --sparse=always /var/lib/xlfs/source.img /var/lib/xlfs/copy.img && \
                    /usr/bin/sync /var/lib/xlfs/copy.img";
        cp.take(&dom0.ok(["sh", "-c", line])?);
        dom0.ok(["rm", "/var/lib/xlfs/copy.img"])?;
        for (pool, times) in [("xfs", &mut reflink), ("thin", &mut thin)] {
            let first = format!("first-{pool}");
            make("copy", &["clone", &first], pool, times)?;
            dom0.ok(["xlfsctl", "-q", "volume", "delete", "copy"])?;
        }
    }
    row(table, "volume from an image of 512 MiB, 64 of them data (s; cp)", &mut own, &mut cp);
    single(table, "copy of a volume by reflink, XFS (s)", &mut reflink);
    single(table, "copy of a volume by LVM's thin pool (s)", &mut thin);
    for pool in ["xfs", "thin"] {
        dom0.ok(["xlfsctl", "-q", "volume", "delete", &format!("first-{pool}")])?;
    }
    Ok(())
}

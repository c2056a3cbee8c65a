//! The guest image `minimal` of release set 12, built from source by the builder
//! and booted: as kernel and initramfs, and as kernel and root disk.

use super::host::{Host, Setup};
use super::{Outcome, Scenario, check};
use crate::built;
use crate::pieces;

/// For `lab e2e`.
pub(super) const SCENARIO: Scenario = Scenario::alone(
    "from-source",
    "the image minimal is built from source (toolchain host) and boots, from memory and from disk",
    from_source,
);

fn from_source() -> Outcome {
    let folder = tempfile::tempdir()
        .map_err(|source| super::ScenarioError::Here { doing: "make a folder", source })?;
    built::images(&["minimal"], "host", &pieces::default_cache(), folder.path())?;
    let host = Host::boot_with(Setup { name: "from-source", ..Setup::default() })?;
    for (file, kind, alias) in [
        ("minimal.vmlinuz", "kernel", "minimal-kernel"),
        ("minimal.initramfs", "ramdisk", "minimal-ramdisk"),
        ("minimal.ext4", "disk", "minimal-root"),
    ] {
        let from = folder.path().join("minimal").join(file);
        host.dom0().put(&from, &format!("/tmp/{file}"))?;
        host.import(&format!("/tmp/{file}"), kind, alias)?;
    }
    // Half of what a distribution's kernel needs to get to its first program.
    host.create("lean", "--memory 48 --set banner=lean-and-up")?;
    host.printed("lean", "lean-and-up")?;
    host.in_guest("lean", "uname -r", "-xlfs-guest")?;
    host.in_guest(
        "lean",
        "echo root-$(awk '$2 == \"/\" { print $3 }' /proc/mounts)",
        "root-rootfs",
    )?;
    ends(&host, "lean")?;

    host.create("kept", "--template built --memory 48")?;
    host.printed("kept", "kept is up")?;
    host.in_guest("kept", "echo root-$(stat -f -c %T /)", "root-ext2/ext3")?;
    host.in_guest("kept", "echo w-$((1+1)) >/word && sync && cat /word", "w-2")?;
    host.act("shutdown kept")?;
    host.act("start kept")?;
    host.printed("kept", "kept is up")?;
    host.in_guest("kept", "cat /word", "w-2")?;
    ends(&host, "kept")?;
    host.nothing_left()?;
    host.dom0().stop();
    Ok(())
}

/// Shut down when asked, and forgotten.
fn ends(host: &Host, name: &str) -> Outcome {
    host.act(&format!("shutdown {name}"))?;
    let end = host.is(name, "stopped")?.last_end;
    check(end.as_deref() == Some("poweroff"), "poweroff for its last end", format!("{end:?}"))?;
    host.act(&format!("delete {name}")).map(drop)
}

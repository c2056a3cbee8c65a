//! Dom0's initramfs: busybox, modules, xenstored with its libraries, the agent,
//! and what the test adds.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use thiserror::Error;

use super::cpio::{CpioError, Tree};
use super::modules::{CHECKSUMS, Modules, ModulesError, modules_alias, modules_dep};
use crate::pieces::Pieces;
use crate::pieces::libraries::{LibraryError, follow};

/// The agent's place in Dom0.
pub const AGENT: &str = "/usr/lib/lab/lab";
const LIBRARIES: &str = "/usr/lib/x86_64-linux-gnu";

/// Loaded at boot: what xlfsd and the guests' devices need, and QEMU's devices.
const LOADED: &[&str] = &[
    "xen-privcmd",
    "xenfs",
    "xen-evtchn",
    "xen-gntdev",
    "xen-gntalloc",
    "loop",
    "xen-blkback",
    "llc",
    "stp",
    "bridge",
    "xen-netback",
    "virtio_pci",
    "virtio_console",
];

/// There for modprobe (each costs a boot some tenths of a second), where the kernel has them.
const AVAILABLE: &[&str] = &[
    "virtio_blk",
    "virtio_net",
    "ext4",
    "dm-mod",
    "dm-thin-pool",
    "dm-snapshot",
    "tun",
    "veth",
    "dummy",
    "8021q",
    "btrfs",
    "xfs",
    "overlay",
    "squashfs",
    "vfat",
    "iso9660",
    "nf_tables",
    "nfnetlink",
    "nft_chain_nat",
    "nft_masq",
    "nft_ct",
    "nft_counter",
    "nft_meta_bridge",
    "br_netfilter",
    "xen-acpi-processor",
];

/// Why an initramfs could not be made.
#[derive(Debug, Error)]
pub enum TreeError {
    /// The archive.
    #[error("cannot make an initramfs")]
    Cpio(#[from] CpioError),
    /// The modules.
    #[error("cannot collect kernel modules")]
    Modules(#[from] ModulesError),
    /// A program's libraries.
    #[error("cannot collect the libraries of Dom0's programs")]
    Libraries(#[from] LibraryError),
    /// busybox does not say what it can do.
    #[error("{path} --list failed: {why}")]
    Busybox {
        /// The busybox of the pieces.
        path: PathBuf,
        /// What happened.
        why: String,
    },
    /// Two programs bring different libraries of one name.
    #[error("{path} in Dom0 would be both {one} and {other}")]
    Conflict {
        /// The path in Dom0.
        path: String,
        /// The first file.
        one: PathBuf,
        /// The second.
        other: PathBuf,
    },
    /// The scripts of xl cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The initramfs cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// Where.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
}

/// A file of the host and its path in Dom0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extra {
    /// On the host.
    pub from: PathBuf,
    /// In Dom0.
    pub to: String,
}

/// Programs that only some tests want: with their libraries each fills Dom0's memory.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Programs {
    /// xl and xenconsoled, to compare with.
    pub xl: bool,
    /// nft, for anti-spoofing.
    pub nft: bool,
    /// lvm and thin_check, for pools of logical volumes.
    pub lvm: bool,
}

/// Builds the tree. `agent` is the `lab` binary (static).
pub fn tree(
    pieces: &Pieces,
    agent: &Path,
    extras: &[Extra],
    programs: Programs,
) -> Result<Tree, TreeError> {
    let mut tree = Tree::new();
    for folder in ["/dev", "/proc", "/sys", "/run", "/root", "/tmp", "/mnt", "/etc", "/var/lib"] {
        tree.folder(folder);
    }
    tree.link("/var/run", "/run").link("/etc/mtab", "/proc/mounts");
    tree.file(
        "/etc/passwd",
        0o644,
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
    );
    tree.file("/etc/group", 0o644, "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n");
    // What mount tries; the kernel loads their modules when asked by name.
    tree.file("/etc/filesystems", 0o644, "ext4\nxfs\nbtrfs\nvfat\n");
    tree.file("/etc/hosts", 0o644, "127.0.0.1 localhost dom0\n");
    tree.file("/init", 0o755, include_str!("../../initramfs/dom0-init"));
    tree.file("/etc/inittab", 0o644, include_str!("../../initramfs/dom0-inittab"));
    busybox(&mut tree, &pieces.busybox)?;
    modules(&mut tree, &pieces.dom0_modules)?;
    tree.copy(AGENT, agent)?;
    let mut placed = Vec::new();
    program(&mut tree, pieces, &pieces.xenstored, "/usr/sbin/xenstored", &mut placed)?;
    if programs.nft {
        program(&mut tree, pieces, &pieces.tools.nft, "/usr/sbin/nft", &mut placed)?;
    }
    if programs.lvm {
        // Debian's places; its lvm looks for thin_check there.
        program(&mut tree, pieces, &pieces.tools.lvm, "/usr/sbin/lvm", &mut placed)?;
        let thin_check = "/usr/sbin/thin_check";
        program(&mut tree, pieces, &pieces.tools.thin_check, thin_check, &mut placed)?;
    }
    if programs.xl {
        for path in &pieces.xl {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            program(&mut tree, pieces, path, &format!("/usr/sbin/{name}"), &mut placed)?;
        }
        tree.file("/etc/xen/xl.conf", 0o644, "autoballoon=\"off\"\n");
        hotplug(&mut tree, pieces, &mut placed)?;
    }
    for extra in extras {
        tree.copy(&extra.to, &extra.from)?;
    }
    Ok(tree)
}

/// Writes the tree as it is: the kernel unpacks compressed ones slowly under
/// emulation, and the loopback of QEMU's loader costs nothing.
pub fn write(tree: &Tree, path: &Path) -> Result<(), TreeError> {
    let failed = |source| TreeError::Write { path: path.to_owned(), source };
    let mut file = BufWriter::new(File::create(path).map_err(failed)?);
    tree.write(&mut file)?;
    file.flush().map_err(failed)
}

/// busybox and a link for each of its applets, which it is asked for.
pub(super) fn busybox(tree: &mut Tree, path: &Path) -> Result<(), TreeError> {
    let failed = |why: String| TreeError::Busybox { path: path.to_owned(), why };
    let output = Command::new(path).arg("--list").output();
    let output = output.map_err(|error| failed(error.to_string()))?;
    let list = String::from_utf8_lossy(&output.stdout);
    if !list.lines().any(|applet| applet == "sh") {
        return Err(failed(format!("no sh in its list ({})", output.status)));
    }
    tree.copy("/bin/busybox", path)?;
    for applet in list.lines().filter(|applet| *applet != "busybox") {
        tree.link(&format!("/bin/{applet}"), "busybox");
    }
    for applet in ["init", "poweroff", "reboot", "halt", "modprobe"] {
        tree.link(&format!("/sbin/{applet}"), "/bin/busybox");
    }
    Ok(())
}

fn modules(tree: &mut Tree, folder: &Path) -> Result<(), TreeError> {
    let modules = Modules::list(folder)?;
    let loaded = modules.closure(LOADED)?;
    let mut names = String::new();
    for module in &loaded {
        names.push_str(&module.name);
        names.push('\n');
    }
    tree.file("/etc/lab/modules", 0o644, names);
    let wanted: Vec<_> = LOADED
        .iter()
        .copied()
        .chain(modules.present(AVAILABLE))
        .chain(modules.present(CHECKSUMS))
        .collect();
    let all = modules.closure(&wanted)?;
    let place = format!("/lib/modules/{}", modules.release());
    tree.file(&format!("{place}/modules.dep"), 0o644, modules_dep(&all));
    tree.file(&format!("{place}/modules.alias"), 0o644, modules_alias(&all));
    for module in all {
        tree.file(&format!("{place}/{}.ko", module.name), 0o644, module.image);
    }
    Ok(())
}

/// What xl runs for devices.
fn hotplug(tree: &mut Tree, pieces: &Pieces, placed: &mut Vec<Extra>) -> Result<(), TreeError> {
    for (from, to) in &pieces.hotplug.programs {
        program(tree, pieces, from, to, placed)?;
    }
    for name in ["chmod", "exists", "list", "ls", "read", "rm", "write"] {
        tree.link(&format!("/usr/bin/xenstore-{name}"), "xenstore");
    }
    let folder = &pieces.hotplug.scripts;
    let failed = |source| TreeError::Read { path: folder.clone(), source };
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        tree.copy(&format!("/etc/xen/scripts/{name}"), &path)?;
    }
    tree.folder("/var/log/xen").folder("/var/lock");
    Ok(())
}

/// A program with its shared libraries and its dynamic linker.
fn program(
    tree: &mut Tree,
    pieces: &Pieces,
    from: &Path,
    to: &str,
    placed: &mut Vec<Extra>,
) -> Result<(), TreeError> {
    // glibc's pthread_cancel loads it; xl ends with that.
    let needs = follow(from, &pieces.library_folders, &["libgcc_s.so.1"])?;
    for (name, path) in needs.libraries {
        let linker =
            needs.interpreter.as_deref().filter(|path| path.ends_with(&format!("/{name}")));
        let place = linker.map_or_else(|| format!("{LIBRARIES}/{name}"), str::to_owned);
        match placed.iter().find(|one| one.to == place) {
            Some(one) if one.from == path => continue,
            Some(one) => {
                return Err(TreeError::Conflict {
                    path: place,
                    one: one.from.clone(),
                    other: path,
                });
            }
            None => {}
        }
        tree.copy(&place, &path)?;
        placed.push(Extra { from: path, to: place });
    }
    tree.copy(to, from)?;
    Ok(())
}

//! A test guest's initramfs: busybox, an init that says when it is ready, a
//! shell on the console, and working `/sbin/poweroff` and `/sbin/reboot`, which
//! the kernel runs when the tools ask for a shutdown.
//!
//! The guest prints `xlfs-guest-ready NAME` ([`READY`]); NAME comes from
//! `xlfs.hostname=` on its command line. `xlfs.ip=ADDRESS/PREFIX` and
//! `xlfs.gateway=` set up eth0. It works from 1 MiB of unpacked size on, in a
//! guest as small as its kernel allows.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::cpio::Tree;
use super::dom0::{Extra, TreeError, busybox};
use super::modules::{CHECKSUMS, Modules};
use crate::pieces::Pieces;

/// What a ready guest's line starts with.
pub const READY: &str = "xlfs-guest-ready ";
/// What a guest prints before it goes, when asked to.
pub const POWEROFF: &str = "xlfs-guest-poweroff";
/// What a guest prints before it restarts, when asked to.
pub const REBOOT: &str = "xlfs-guest-reboot";

/// What a guest's initramfs shall hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Modules of the packages' kernel, loaded at boot in this order (and
    /// [`CHECKSUMS`], when there are any).
    pub modules: Vec<String>,
    /// Files of the host.
    pub extras: Vec<Extra>,
    /// gzip it. Emulated guests take a second to unpack a megabyte or two.
    pub compress: bool,
}

impl Options {
    /// With front ends for disks and network, ext4, and what reads a configuration disk.
    pub fn with_devices() -> Self {
        let modules = ["xen-blkfront", "xen-netfront", "ext4", "vfat", "nls_cp437", "nls_ascii"];
        let modules = modules.map(str::to_owned).into();
        Self { modules, ..Self::default() }
    }
}

/// Builds the tree.
pub fn tree(pieces: &Pieces, options: &Options) -> Result<Tree, TreeError> {
    let mut tree = Tree::new();
    for folder in ["/dev", "/proc", "/sys", "/tmp", "/root", "/mnt"] {
        tree.folder(folder);
    }
    tree.file("/init", 0o755, include_str!("../../initramfs/guest-init"));
    tree.file("/etc/inittab", 0o644, include_str!("../../initramfs/guest-inittab"));
    tree.file("/etc/passwd", 0o644, "root:x:0:0:root:/root:/bin/sh\n");
    busybox(&mut tree, &pieces.busybox)?;
    // Over the applets' links; also in /bin, where the shell may look first.
    for (name, script) in [
        ("poweroff", include_str!("../../initramfs/guest-poweroff")),
        ("reboot", include_str!("../../initramfs/guest-reboot")),
    ] {
        tree.file(&format!("/sbin/{name}"), 0o755, script);
        tree.link(&format!("/bin/{name}"), &format!("/sbin/{name}"));
    }
    let mut names = String::new();
    if !options.modules.is_empty() {
        let modules = Modules::list(&pieces.guest_modules)?;
        let mut wanted: Vec<_> = options.modules.iter().map(String::as_str).collect();
        wanted.extend(modules.present(CHECKSUMS));
        for module in modules.closure(&wanted)? {
            names.push_str(&module.name);
            names.push('\n');
            tree.file(&format!("/lib/modules/{}.ko", module.name), 0o644, module.image);
        }
    }
    tree.file("/etc/modules", 0o644, names);
    for extra in &options.extras {
        tree.copy(&extra.to, &extra.from)?;
    }
    Ok(tree)
}

/// Writes a guest's initramfs to `path`.
pub fn write(pieces: &Pieces, options: &Options, path: &Path) -> Result<(), TreeError> {
    let tree = tree(pieces, options)?;
    if !options.compress {
        return super::dom0::write(&tree, path);
    }
    let failed = |source| TreeError::Write { path: path.to_owned(), source };
    let file = fs::File::create(path).map_err(failed)?;
    let mut packed = flate2::write::GzEncoder::new(file, flate2::Compression::best());
    tree.write(&mut packed)?;
    packed.finish().and_then(|mut file| file.flush()).map_err(failed)
}

/// A guest's initramfs in the cache, made anew (it is small).
pub fn in_cache(pieces: &Pieces, options: &Options) -> Result<PathBuf, TreeError> {
    let folder = pieces.cache.join("guests");
    let failed = |source| TreeError::Write { path: folder.clone(), source };
    fs::create_dir_all(&folder).map_err(failed)?;
    let mut archive = Vec::new();
    tree(pieces, options)?.write(&mut archive)?;
    let mut crc = flate2::Crc::new();
    crc.update(&archive);
    let packed = if options.compress { ".gz" } else { "" };
    let path = folder.join(format!("{:08x}-{}{packed}", crc.sum(), archive.len()));
    if !path.is_file() {
        let new = tempfile::NamedTempFile::new_in(&folder).map_err(failed)?;
        write(pieces, options, new.path())?;
        new.persist(&path).map_err(|error| failed(error.error))?;
    }
    Ok(path)
}

//! A file system in a file, by e2fsprogs and without root.
//!
//! mke2fs could copy a folder into it (`-d`), but takes owners and the time of
//! the last change from the disk, where only root could set the first and nobody
//! the second. So debugfs writes one path after the other, in our order, straight out of
//! the store. With a fixed clock, UUID and hash seed the bytes are always the same.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{ImageError, mode, owner, uuid};
use crate::digest::Digest;
use crate::recipe::Artifact;
use crate::recipe::check::parse_size;
use crate::store::Store;
use crate::tree::{Node, Tree};

/// Spelled out, so that no defaults of a version or a machine get in. GRUB 2.06
/// cannot read `metadata_csum_seed`.
const FEATURES: &str = "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,\
                        flex_bg,sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum";

const BLOCK: u64 = 4096;
const MIB: u64 = 1 << 20;

pub(super) fn write(
    store: &Store,
    tree: &Tree,
    artifact: &Artifact,
    epoch: u64,
    key: &Digest,
    path: &Path,
) -> Result<(), ImageError> {
    let wrap = |source| ImageError::Write { file: artifact.file.clone(), source };
    let size = artifact.size.as_deref().and_then(parse_size);
    let bytes = size.unwrap_or_else(|| automatic_size(tree));
    File::create(path).and_then(|file| file.set_len(bytes)).map_err(wrap)?;
    let clock = epoch.to_string();
    // Two file systems of one image are two, also on one disk.
    let purpose = |what: &str| format!("{what} {}", artifact.file);
    let mut make = Command::new(program("mke2fs")?);
    make.env_clear().env("E2FSPROGS_FAKE_TIME", &clock).env("MKE2FS_CONFIG", "/dev/null");
    make.args(["-t", "ext4", "-q", "-F", "-b", "4096", "-I", "256", "-m", "1", "-O", FEATURES]);
    make.args([
        "-U",
        &uuid(key, &purpose("file system")).to_string(),
        "-N",
        &inodes(tree, bytes).to_string(),
    ]);
    let extended = format!(
        "hash_seed={},root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0,nodiscard",
        uuid(key, &purpose("hash seed"))
    );
    make.args(["-E", &extended]);
    if let Some(label) = &artifact.label {
        make.args(["-L", label]);
    }
    run(make.arg(path), "mke2fs", &[])?;
    let commands = commands(store, tree)?;
    let mut fill = Command::new(program("debugfs")?);
    fill.env_clear().env("E2FSPROGS_FAKE_TIME", &clock);
    let errors = run(fill.args(["-w", "-f", "-"]).arg(path), "debugfs", commands.as_bytes())?;
    // debugfs reports errors in words only; its first line is its name and version.
    let wrong: Vec<&str> = errors.lines().filter(|line| !line.starts_with("debugfs ")).collect();
    if let Some(first) = wrong.first() {
        let message = format!("{first} ({} messages in all; is the size too small?)", wrong.len());
        return Err(ImageError::Program { program: "debugfs", message });
    }
    let mut check = Command::new(program("e2fsck")?);
    check.env_clear().env("E2FSPROGS_FAKE_TIME", &clock);
    run(check.args(["-f", "-n"]).arg(path), "e2fsck", &[]).map(drop)
}

/// debugfs's language: one command a line, names in the current folder.
fn commands(store: &Store, tree: &Tree) -> Result<String, ImageError> {
    let mut text = String::new();
    let mut folder = "";
    for (path, node) in tree.iter() {
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        if above != folder {
            text.push_str(&format!("cd {}\n", quoted(&format!("/{above}"))?));
            folder = above;
        }
        let name = quoted(name)?;
        let kind = match node {
            Node::Folder(_) => {
                text.push_str(&format!("mkdir {name}\n"));
                0o040_000
            }
            Node::Link { target } => {
                text.push_str(&format!("symlink {name} {}\n", quoted(target)?));
                continue;
            }
            Node::File { digest, executable, .. } => {
                let blob = store.blob(digest, *executable)?;
                text.push_str(&format!("write {} {name}\n", quoted(&blob.to_string_lossy())?));
                0o100_000
            }
        };
        let (user, group) = owner(node);
        let mode = kind | mode(node);
        text.push_str(&format!("sif {name} mode 0{mode:o}\n"));
        for (field, value) in [("uid", user), ("gid", group)] {
            text.push_str(&format!("sif {name} {field} {value}\n"));
        }
    }
    Ok(text)
}

/// debugfs cuts lines at spaces and understands double quotes, but no escapes.
fn quoted(text: &str) -> Result<String, ImageError> {
    if text.contains(['"', '\n']) {
        let message = format!("the name {text:?} cannot be written into a file system");
        return Err(ImageError::Program { program: "debugfs", message });
    }
    Ok(format!("\"{text}\""))
}

fn automatic_size(tree: &Tree) -> u64 {
    let blocks = |node: &Node| match node {
        Node::File { digest, .. } => digest.size.div_ceil(BLOCK),
        _ => 1,
    };
    let content: u64 = tree.iter().map(|(_, node)| blocks(node) * BLOCK).sum();
    let inodes = inodes(tree, 0) * 256;
    // A fifth on top, and room for the journal and the groups' tables.
    (content + content / 5 + inodes + 8 * MIB).div_ceil(MIB) * MIB
}

fn inodes(tree: &Tree, bytes: u64) -> u64 {
    let needed = tree.len() as u64 * 5 / 4 + 64;
    // mke2fs's own measure: an inode for each 16 KiB.
    needed.max(bytes >> 14)
}

fn program(name: &'static str) -> Result<PathBuf, ImageError> {
    let places = ["/usr/sbin", "/sbin"].map(|folder| Path::new(folder).join(name));
    places.into_iter().find(|path| path.is_file()).ok_or(ImageError::Missing { program: name })
}

/// Returns what it says on its error channel.
fn run(command: &mut Command, name: &'static str, input: &[u8]) -> Result<String, ImageError> {
    let failed = |message: String| ImageError::Program { program: name, message };
    let of_system = |error: io::Error| failed(error.to_string());
    // The commands go through a file: a pipe could fill up both ways.
    let mut stdin = tempfile::tempfile().map_err(of_system)?;
    stdin.write_all(input).map_err(of_system)?;
    io::Seek::rewind(&mut stdin).map_err(of_system)?;
    let output = command
        .stdin(Stdio::from(stdin))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .map_err(of_system)?;
    let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() {
        return Ok(stderr);
    }
    let stdout = String::from_utf8_lossy(&output.stdout);
    let last = stderr.lines().last().or_else(|| stdout.lines().last()).unwrap_or_default();
    Err(failed(format!("{last} ({})", output.status)))
}

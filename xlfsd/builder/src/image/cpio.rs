//! An initramfs: a cpio archive of the kernel's format ("newc"), compressed.
//!
//! Format: the kernel's Documentation/driver-api/early-userspace/buffer-format.rst.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use flate2::{Compression, GzBuilder};

use super::{ImageError, mode, owner};
use crate::store::Store;
use crate::tree::{Node, Tree};

pub(super) fn write(
    store: &Store,
    tree: &Tree,
    file: &str,
    epoch: u64,
    path: &Path,
) -> Result<(), ImageError> {
    let write = |source| ImageError::Write { file: file.to_owned(), source };
    let out = BufWriter::new(File::create(path).map_err(write)?);
    // No name and no time: the same tree, the same bytes.
    let mut out = GzBuilder::new().mtime(0).write(out, Compression::best());
    let time = u32::try_from(epoch).unwrap_or(u32::MAX);
    for (inode, (name, node)) in (1..).zip(tree.iter()) {
        let (kind, data) = match node {
            Node::Folder(_) => (0o040_000, Vec::new()),
            Node::File { digest, .. } => (0o100_000, store.read_blob(digest)?),
            Node::Link { target } => (0o120_000, target.clone().into_bytes()),
        };
        let unfit = |_| ImageError::Unfit {
            file: file.to_owned(),
            path: name.to_owned(),
            size: data.len() as u64,
        };
        let size = u32::try_from(data.len()).map_err(unfit)?;
        let links = if matches!(node, Node::Folder(_)) { 2 } else { 1 };
        let (user, group) = owner(node);
        let head = [inode, kind | mode(node), user, group, links, time, size];
        member(&mut out, name, head, &data).map_err(write)?;
    }
    member(&mut out, "TRAILER!!!", [0, 0, 0, 0, 1, 0, 0], &[]).map_err(write)?;
    out.finish().and_then(|mut out| out.flush()).map_err(write)
}

/// `head`: inode, mode, user, group, links, time, size.
fn member(out: &mut impl Write, name: &str, head: [u32; 7], data: &[u8]) -> io::Result<()> {
    let name_size = u32::try_from(name.len() + 1).map_err(io::Error::other)?;
    let mut header = String::from("070701");
    // After the size: device numbers (four), the name's size, and an unused sum.
    for field in head.into_iter().chain([0, 0, 0, 0, name_size, 0]) {
        header.push_str(&format!("{field:08X}"));
    }
    out.write_all(header.as_bytes())?;
    out.write_all(name.as_bytes())?;
    out.write_all(&[0])?;
    pad(out, header.len() + name.len() + 1)?;
    out.write_all(data)?;
    pad(out, data.len())
}

/// Name and data are padded to four bytes.
fn pad(out: &mut impl Write, length: usize) -> io::Result<()> {
    let missing = length.next_multiple_of(4) - length;
    out.write_all([0; 3].get(..missing).unwrap_or_default())
}

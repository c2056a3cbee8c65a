//! An initramfs: a cpio archive of the kernel's format ("newc"), compressed.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use flate2::{Compression, GzBuilder};

use super::{ImageError, mode, owner};
use crate::newc::{self, FILE, FOLDER, Head, LINK, member};
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
            Node::Folder(_) => (FOLDER, Vec::new()),
            Node::File { digest, .. } => (FILE, store.read_blob(digest)?),
            Node::Link { target } => (LINK, target.clone().into_bytes()),
        };
        let unfit = |_| ImageError::Unfit {
            file: file.to_owned(),
            path: name.to_owned(),
            size: data.len() as u64,
        };
        u32::try_from(data.len()).map_err(unfit)?;
        let links = if matches!(node, Node::Folder(_)) { 2 } else { 1 };
        let (user, group) = owner(node);
        let head = Head { inode, mode: kind | mode(node), user, group, links, time };
        member(&mut out, name, head, &data).map_err(write)?;
    }
    newc::trailer(&mut out).map_err(write)?;
    out.finish().and_then(|mut out| out.flush()).map_err(write)
}

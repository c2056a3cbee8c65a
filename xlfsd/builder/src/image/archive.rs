//! The tree as a tar archive.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use flate2::{Compression, GzBuilder};
use tar::{EntryType, Header};

use super::{ImageError, mode, owner};
use crate::store::Store;
use crate::tree::{Node, Tree};

pub(super) fn write(
    store: &Store,
    tree: &Tree,
    file: &str,
    epoch: u64,
    path: &Path,
    compressed: bool,
) -> Result<(), ImageError> {
    let write = |source| ImageError::Write { file: file.to_owned(), source };
    let out = BufWriter::new(File::create(path).map_err(write)?);
    if compressed {
        let mut out = GzBuilder::new().mtime(0).write(out, Compression::best());
        entries(store, tree, epoch, file, &mut out)?;
        out.finish().and_then(|mut out| out.flush()).map_err(write)
    } else {
        let mut out = out;
        entries(store, tree, epoch, file, &mut out)?;
        out.flush().map_err(write)
    }
}

fn entries(
    store: &Store,
    tree: &Tree,
    epoch: u64,
    file: &str,
    out: &mut impl Write,
) -> Result<(), ImageError> {
    let write = |source: io::Error| ImageError::Write { file: file.to_owned(), source };
    let mut archive = tar::Builder::new(out);
    for (path, node) in tree.iter() {
        let mut header = Header::new_gnu();
        header.set_mode(mode(node));
        let (user, group) = owner(node);
        header.set_uid(user.into());
        header.set_gid(group.into());
        header.set_mtime(epoch);
        header.set_size(0);
        match node {
            Node::Folder(_) => {
                header.set_entry_type(EntryType::Directory);
                archive.append_data(&mut header, format!("{path}/"), io::empty()).map_err(write)?;
            }
            Node::Link { target } => {
                header.set_entry_type(EntryType::Symlink);
                archive.append_link(&mut header, path, target).map_err(write)?;
            }
            Node::File { digest, .. } => {
                let bytes = store.read_blob(digest)?;
                header.set_entry_type(EntryType::Regular);
                header.set_size(bytes.len() as u64);
                archive.append_data(&mut header, path, bytes.as_slice()).map_err(write)?;
            }
        }
    }
    archive.finish().map_err(write)
}

//! A root file system as a tar becomes an ext4 image.
//!
//! The archive is read twice: first its headers, of which a tree is made
//! (`tree`) and laid out (`ext4`), then its data, which goes straight to its
//! place. Nothing is unpacked in Dom0, no file system is mounted and no program
//! is run: a hostile archive can make a strange image, and nothing else.

mod compression;
mod ext4;
mod tar;
mod tree;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use compression::Compression;
use ext4::{Ext4Error, FileSystem};
use tar::{TarError, TarReader};
use tokio_util::sync::CancellationToken;
use tree::{Content, Tree};

use super::Digest;

/// Bytes that are copied at a time.
const PIECE: usize = 1 << 20;
/// Bytes that stay free for a guest's first boot, before it makes the file
/// system as large as its disk.
const ROOM: u64 = 64 << 20;

/// Why an archive does not become an image.
#[derive(Debug, thiserror::Error)]
pub(super) enum RootfsError {
    #[error("the archive is broken")]
    Tar(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("{path}: {why}")]
    Entry { path: String, why: String },
    #[error("the archive holds more than {0} bytes")]
    TooLarge(u64),
    #[error("the archive cannot be read")]
    Read(#[source] io::Error),
    #[error("the image cannot be written")]
    Write(#[source] io::Error),
    #[error("no file system can be made of the archive: {0}")]
    Tree(String),
    #[error("the import was given up")]
    Cancelled,
}

impl From<TarError> for RootfsError {
    fn from(error: TarError) -> Self {
        Self::Tar(Box::new(error))
    }
}

impl From<Ext4Error> for RootfsError {
    fn from(error: Ext4Error) -> Self {
        match error {
            Ext4Error::Write(source) => Self::Write(source),
            Ext4Error::Tree(why) => Self::Tree(why),
        }
    }
}

/// An archive that waits to become an image.
#[derive(Debug)]
pub(super) struct Archive {
    file: File,
    compression: Compression,
}

/// An image that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Made {
    pub size: u64,
    /// One line about it.
    pub summary: String,
}

impl Archive {
    /// None: the file is no archive.
    pub(super) fn open(mut file: File) -> io::Result<Option<Self>> {
        let compression = Compression::of_tar(&mut file)?;
        Ok(compression.map(|compression| Self { file, compression }))
    }

    /// Writes the image into an empty file. The archive's files together, and
    /// the image, have at most `limit` bytes. Waits for the disk.
    pub(super) fn convert(
        mut self,
        to: &File,
        digest: &Digest,
        limit: u64,
        cancel: &CancellationToken,
    ) -> Result<Made, RootfsError> {
        let mut left_out = 0_usize;
        let tree = self.read_tree(limit, &mut left_out, cancel)?;
        let system = FileSystem::lay_out(&tree, ROOM)?;
        if system.size() > limit {
            return Err(RootfsError::TooLarge(limit));
        }
        system.write(to, uuid_of(digest))?;
        self.copy_data(&tree, &system, to, limit, cancel)?;
        let files = tree.nodes.iter().filter(|node| node.links > 0).count();
        let mut summary = format!("ext4, made of a {}: {files} files", self.compression.as_str());
        if left_out > 0 {
            summary.push_str(&format!("; {left_out} ACLs and the like were left out"));
        }
        Ok(Made { size: system.size(), summary })
    }

    fn read_tree(
        &mut self,
        limit: u64,
        left_out: &mut usize,
        cancel: &CancellationToken,
    ) -> Result<Tree, RootfsError> {
        let mut tree = Tree::new();
        let mut reader = TarReader::new(bounded(self.compression, &mut self.file, limit)?);
        let (mut number, mut total) = (0, 0_u64);
        while let Some(mut entry) = reader.next()? {
            check(cancel)?;
            total = total.saturating_add(entry.size);
            if total > limit {
                return Err(RootfsError::TooLarge(limit));
            }
            let before = entry.xattrs.len();
            entry.xattrs.retain(|name, _| ext4::keeps_xattr(name));
            *left_out += before - entry.xattrs.len();
            let path = shown(&entry.path);
            tree.add(number, entry).map_err(|why| RootfsError::Entry { path, why })?;
            number += 1;
        }
        if number == 0 {
            return Err(RootfsError::Tree("it is empty".into()));
        }
        tree.add_lost_and_found().map_err(RootfsError::Tree)?;
        Ok(tree)
    }

    fn copy_data(
        &mut self,
        tree: &Tree,
        system: &FileSystem<'_>,
        to: &File,
        limit: u64,
        cancel: &CancellationToken,
    ) -> Result<(), RootfsError> {
        let wanted: HashMap<u64, usize> = tree
            .nodes
            .iter()
            .enumerate()
            .filter(|(_, node)| node.links > 0)
            .filter_map(|(index, node)| match node.content {
                Content::File { entry, .. } => Some((entry, index)),
                _ => None,
            })
            .collect();
        let mut reader = TarReader::new(bounded(self.compression, &mut self.file, limit)?);
        let mut buffer = vec![0; PIECE];
        let mut number = 0;
        while let Some(entry) = reader.next()? {
            check(cancel)?;
            let node = wanted.get(&number).copied();
            number += 1;
            let Some(node) = node else { continue };
            for (mut offset, length) in entry.pieces {
                let mut left = length;
                while left > 0 {
                    check(cancel)?;
                    let changed = || RootfsError::Tree("it changed while it was read".into());
                    let (at, room) = system.place(node, offset).ok_or_else(changed)?;
                    let now = left.min(room).min(PIECE as u64);
                    let part = &mut buffer[..now as usize];
                    reader.read_data(part)?;
                    // Zeros are holes already.
                    if part.iter().any(|byte| *byte != 0) {
                        to.write_all_at(part, at).map_err(RootfsError::Write)?;
                    }
                    (offset, left) = (offset + now, left - now);
                }
            }
        }
        Ok(())
    }
}

/// The archive's plain bytes: not without an end, even if its files are few.
fn bounded(
    compression: Compression,
    file: &mut File,
    limit: u64,
) -> Result<impl Read, RootfsError> {
    let plain = compression.open(file).map_err(RootfsError::Read)?;
    // Headers may take as much again.
    Ok(plain.take(limit.saturating_mul(2).saturating_add(64 << 20)))
}

fn check(cancel: &CancellationToken) -> Result<(), RootfsError> {
    if cancel.is_cancelled() { Err(RootfsError::Cancelled) } else { Ok(()) }
}

/// The file system's UUID: of the archive, so that the same one makes the same image.
fn uuid_of(digest: &Digest) -> [u8; 16] {
    let mut id = [0; 16];
    id.copy_from_slice(&digest.bytes()[..16]);
    uuid::Builder::from_custom_bytes(id).into_uuid().into_bytes()
}

fn shown(path: &[u8]) -> String {
    let end = path.len().min(200);
    path[..end].escape_ascii().to_string()
}

#[cfg(test)]
mod tests;

//! Writes an ext4 file system of a tree, from nothing and in one go: no mount,
//! no program, no root. The same tree makes the same bytes.
//!
//! Layout: Linux's Documentation/filesystems/ext4. Blocks of 4 KiB; metadata of
//! all groups stands together (flex_bg), then files and folders one after
//! another, so that a file is one extent as long as no backup of the superblock
//! is in its way. It can grow to 1 TiB while it is mounted. The journal is there and empty; zeros are holes of the image.
//!
//! - `layout` decides how large it is, and which blocks are whose;
//! - `inode` and `folder` are the forms of these; `superblock` the rest.

mod folder;
mod inode;
mod layout;
mod superblock;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

pub(super) use inode::keeps_xattr;
use layout::{Layout, Run};

use super::tree::{Content, ROOT, Tree};

/// Bytes of a block.
pub(super) const BLOCK: u64 = 4096;
const BLOCKS_PER_GROUP: u64 = 32_768;
const INODE_SIZE: u64 = 256;
/// The inodes of the root, of the blocks to grow into, of the journal, and the first that is free for others.
const ROOT_INODE: u32 = 2;
const RESIZE_INODE: u32 = 7;
const JOURNAL_INODE: u32 = 8;
const FIRST_INODE: u32 = 11;

/// A tree that cannot become a file system.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ext4Error {
    #[error("the file system cannot be written")]
    Write(#[source] io::Error),
    #[error("{0}")]
    Tree(String),
}

/// A file system that is laid out: what is missing are the files' data.
#[derive(Debug)]
pub(super) struct FileSystem<'a> {
    tree: &'a Tree,
    layout: Layout,
}

impl<'a> FileSystem<'a> {
    /// Decides where everything stands. `room` bytes stay free at least.
    pub(super) fn lay_out(tree: &'a Tree, room: u64) -> Result<Self, Ext4Error> {
        Ok(Self { tree, layout: Layout::of(tree, room)? })
    }

    /// Bytes of the whole.
    pub(super) fn size(&self) -> u64 {
        self.layout.blocks * BLOCK
    }

    /// Where the byte `offset` of a file stands in the image, and how many bytes
    /// follow it there.
    pub(super) fn place(&self, node: usize, offset: u64) -> Option<(u64, u64)> {
        let block = offset / BLOCK;
        let runs = self.layout.runs.get(node)?;
        let after = runs.partition_point(|run| run.logical <= block);
        let run = runs.get(after.checked_sub(1)?)?;
        let within = offset - run.logical * BLOCK;
        let left = (run.length * BLOCK).checked_sub(within).filter(|left| *left > 0)?;
        Some((run.block * BLOCK + within, left))
    }

    /// Writes all but the files' data. `id` becomes the file system's UUID.
    pub(super) fn write(&self, to: &File, id: [u8; 16]) -> Result<(), Ext4Error> {
        let put = |bytes: &[u8], block: u64| {
            to.write_all_at(bytes, block * BLOCK).map_err(Ext4Error::Write)
        };
        to.set_len(self.size()).map_err(Ext4Error::Write)?;
        let layout = &self.layout;
        let mut tables = vec![Vec::new(); layout.groups as usize];
        let mut place_inode = |number: u32, inode: [u8; INODE_SIZE as usize]| {
            let (group, index) = layout.inode_place(number);
            if let Some(table) = tables.get_mut(group) {
                let end = (index + 1) * INODE_SIZE as usize;
                if table.len() < end {
                    table.resize(end, 0);
                }
                table[end - INODE_SIZE as usize..end].copy_from_slice(&inode);
            }
        };
        for (index, node) in self.tree.nodes.iter().enumerate().filter(|(_, node)| node.links > 0) {
            let runs = &layout.runs[index];
            match &node.content {
                Content::Directory(children) => {
                    let parent = layout.parents[index];
                    let blocks = folder::blocks(self.tree, layout, (index, parent), children);
                    for (data, block) in blocks.chunks_exact(BLOCK as usize).zip(each_block(runs)) {
                        put(data, block)?;
                    }
                }
                Content::Symlink(aim) if aim.len() >= inode::FAST_SYMLINK => {
                    put(aim, runs.first().map_or(0, |run| run.block))?;
                }
                _ => {}
            }
            for (block, bytes) in inode::extent_blocks(runs, &layout.indexes[index]) {
                put(&bytes, block)?;
            }
            if let Some(block) = layout.xattrs[index] {
                put(&inode::xattr_block(&node.xattrs).map_err(Ext4Error::Tree)?, block)?;
            }
            let links = folder::links(self.tree, node);
            let about = inode::About {
                links,
                runs,
                indexes: &layout.indexes[index],
                xattrs: layout.xattrs[index],
            };
            place_inode(layout.numbers[index], inode::inode(node, &about));
        }
        let journal = inode::journal(&layout.journal);
        place_inode(JOURNAL_INODE, journal);
        place_inode(RESIZE_INODE, inode::growth(layout));
        for (block, bytes) in superblock::growth(layout) {
            put(&bytes, block)?;
        }
        let first = layout.journal.first().map_or(0, |run| run.block);
        put(&superblock::journal(&layout.journal, id), first)?;
        for (table, block) in tables.iter().zip(&layout.tables) {
            put(table, *block)?;
        }
        superblock::write(layout, self.tree, &journal, id, &put)
    }
}

/// Every block of runs, in their order.
fn each_block(runs: &[Run]) -> impl Iterator<Item = u64> {
    runs.iter().flat_map(|run| run.block..run.block + run.length)
}

/// Writes little-endian fields into a record at their offsets.
struct Fields<'a>(&'a mut [u8]);

impl Fields<'_> {
    fn put(&mut self, at: usize, bytes: &[u8]) {
        if let Some(field) = self.0.get_mut(at..at + bytes.len()) {
            field.copy_from_slice(bytes);
        }
    }

    fn u16(&mut self, at: usize, value: u16) {
        self.put(at, &value.to_le_bytes());
    }

    fn u32(&mut self, at: usize, value: u32) {
        self.put(at, &value.to_le_bytes());
    }
}

/// The tree's folders by their parents.
fn parents(tree: &Tree) -> Vec<usize> {
    let mut parents = vec![ROOT; tree.nodes.len()];
    for (index, node) in tree.nodes.iter().enumerate() {
        if let Content::Directory(children) = &node.content {
            children.values().for_each(|child| parents[*child] = index);
        }
    }
    parents
}

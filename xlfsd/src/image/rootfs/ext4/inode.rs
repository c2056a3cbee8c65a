//! Inodes, with what hangs on them: trees of extents, extended attributes.

use std::collections::BTreeMap;

use super::super::tree::{Content, Node};
use super::layout::{Layout, Run};
use super::{BLOCK, Fields, INODE_SIZE, folder};

/// A shorter symbolic link stands in its inode.
pub(super) const FAST_SYMLINK: usize = 60;
pub(super) const INLINE_EXTENTS: usize = 4;
/// A header and so many entries of 12 bytes are in a block.
pub(super) const EXTENTS_PER_BLOCK: usize = (BLOCK as usize - 12) / 12;
const EXTENTS_FLAG: u32 = 0x8_0000;
const EXTENT_MAGIC: u16 = 0xf30a;
const XATTR_MAGIC: u32 = 0xea02_0000;
/// Bytes of an inode beyond the old 128.
const EXTRA: u16 = 32;

/// What an inode needs beside its node.
pub(super) struct About<'a> {
    pub links: u16,
    pub runs: &'a [Run],
    pub indexes: &'a [Vec<u64>],
    pub xattrs: Option<u64>,
}

pub(super) fn inode(node: &Node, about: &About<'_>) -> [u8; INODE_SIZE as usize] {
    let mut bytes = [0; INODE_SIZE as usize];
    let mut root = [0; 60];
    let (kind, size, extents) = match &node.content {
        Content::Directory(children) => (0o040_000, folder::size(children), true),
        Content::File { size, .. } => (0o100_000, *size, true),
        Content::Symlink(aim) => {
            let short = aim.len() < FAST_SYMLINK;
            if short {
                root[..aim.len()].copy_from_slice(aim);
            }
            (0o120_000, aim.len() as u64, !short)
        }
        Content::Character(major, minor) => {
            device(&mut root, *major, *minor);
            (0o020_000, 0, false)
        }
        Content::Block(major, minor) => {
            device(&mut root, *major, *minor);
            (0o060_000, 0, false)
        }
        Content::Fifo => (0o010_000, 0, false),
    };
    if extents {
        extent_root(&mut root, about.runs, about.indexes);
    }
    let indexes = about.indexes.iter().map(Vec::len).sum::<usize>() as u64;
    let blocks = about.runs.iter().map(|run| run.length).sum::<u64>() + indexes;
    let blocks = blocks + u64::from(about.xattrs.is_some());
    let mut fields = Fields(&mut bytes);
    fields.u16(0, kind | node.mode as u16);
    fields.u16(2, node.uid as u16);
    fields.u16(24, node.gid as u16);
    fields.u16(120, (node.uid >> 16) as u16);
    fields.u16(122, (node.gid >> 16) as u16);
    fields.u16(26, about.links);
    sizes(&mut fields, size, blocks);
    fields.u32(32, if extents { EXTENTS_FLAG } else { 0 });
    fields.put(40, &root);
    fields.u32(104, about.xattrs.unwrap_or_default() as u32);
    times(&mut fields, node.mtime);
    bytes
}

/// The journal's, which has no name.
pub(super) fn journal(runs: &[Run]) -> [u8; INODE_SIZE as usize] {
    let mut bytes = [0; INODE_SIZE as usize];
    let mut root = [0; 60];
    extent_root(&mut root, runs, &[]);
    let blocks = runs.iter().map(|run| run.length).sum::<u64>();
    let mut fields = Fields(&mut bytes);
    fields.u16(0, 0o100_600);
    fields.u16(26, 1);
    sizes(&mut fields, blocks * BLOCK, blocks);
    fields.u32(32, EXTENTS_FLAG);
    fields.put(40, &root);
    times(&mut fields, 0);
    bytes
}

/// The one that has the blocks reserved for more descriptors (resize_inode). Its
/// blocks are told in the old way, by the block `growth`.
pub(super) fn growth(layout: &Layout) -> [u8; INODE_SIZE as usize] {
    let mut bytes = [0; INODE_SIZE as usize];
    let numbers = BLOCK / 4;
    let size = (12 + numbers + numbers * numbers) * BLOCK;
    let blocks = 1 + layout.reserved * (1 + layout.backups().count() as u64);
    let mut fields = Fields(&mut bytes);
    fields.u16(0, 0o100_600);
    fields.u16(26, 1);
    sizes(&mut fields, size, blocks);
    // The fourteenth: a block of blocks of blocks.
    fields.u32(40 + 13 * 4, layout.growth as u32);
    times(&mut fields, 0);
    bytes
}

fn sizes(fields: &mut Fields<'_>, size: u64, blocks: u64) {
    fields.u32(4, size as u32);
    fields.u32(108, (size >> 32) as u32);
    // In sectors of 512 bytes.
    fields.u32(28, (blocks * 8) as u32);
    fields.u16(116, ((blocks * 8) >> 32) as u16);
}

/// Seconds since 1970, in 34 bits: the upper two stand apart.
fn times(fields: &mut Fields<'_>, mtime: i64) {
    let seconds = mtime.clamp(i64::from(i32::MIN), (1 << 34) - (1 << 31) - 1);
    let epoch = ((seconds - i64::from(seconds as i32)) >> 32) as u32 & 3;
    for (low, extra) in [(8, 140), (12, 132), (16, 136), (144, 148)] {
        fields.u32(low, seconds as u32);
        fields.u32(extra, epoch);
    }
    fields.u16(128, EXTRA);
}

/// Device numbers: the old form for small ones, the new one else.
fn device(root: &mut [u8; 60], major: u32, minor: u32) {
    let mut fields = Fields(root);
    if major < 256 && minor < 256 {
        fields.u32(0, major << 8 | minor);
    } else {
        fields.u32(4, (minor & 0xff) | (major & 0xfff) << 8 | (minor & !0xff) << 12);
    }
}

/// An entry of a tree: a leaf's or an index's.
enum Item {
    Extent(Run),
    Index { logical: u64, block: u64 },
}

fn node_of(items: &[Item], room: usize, depth: usize, into: &mut [u8]) {
    let mut fields = Fields(into);
    fields.u16(0, EXTENT_MAGIC);
    fields.u16(2, items.len() as u16);
    fields.u16(4, room as u16);
    fields.u16(6, depth as u16);
    for (item, at) in items.iter().zip((12..).step_by(12)) {
        match item {
            Item::Extent(run) => {
                fields.u32(at, run.logical as u32);
                fields.u16(at + 4, run.length as u16);
                fields.u16(at + 6, (run.block >> 32) as u16);
                fields.u32(at + 8, run.block as u32);
            }
            Item::Index { logical, block } => {
                fields.u32(at, *logical as u32);
                fields.u32(at + 4, *block as u32);
                fields.u16(at + 8, (block >> 32) as u16);
            }
        }
    }
}

/// The tree, from the leaves up: its blocks, and what its root holds.
fn tree(runs: &[Run], indexes: &[Vec<u64>]) -> (Vec<(u64, Vec<u8>)>, Vec<Item>) {
    let mut written = Vec::new();
    let mut items: Vec<Item> = runs.iter().copied().map(Item::Extent).collect();
    for (depth, blocks) in indexes.iter().enumerate() {
        let mut above = Vec::new();
        for (part, block) in items.chunks(EXTENTS_PER_BLOCK).zip(blocks) {
            let mut bytes = vec![0; BLOCK as usize];
            node_of(part, EXTENTS_PER_BLOCK, depth, &mut bytes);
            written.push((*block, bytes));
            let logical = match part.first() {
                Some(Item::Extent(run)) => run.logical,
                Some(Item::Index { logical, .. }) => *logical,
                None => 0,
            };
            above.push(Item::Index { logical, block: *block });
        }
        items = above;
    }
    (written, items)
}

/// The blocks of an inode's tree of extents.
pub(super) fn extent_blocks(runs: &[Run], indexes: &[Vec<u64>]) -> Vec<(u64, Vec<u8>)> {
    tree(runs, indexes).0
}

fn extent_root(root: &mut [u8; 60], runs: &[Run], indexes: &[Vec<u64>]) {
    let (_, items) = tree(runs, indexes);
    node_of(&items, INLINE_EXTENTS, indexes.len(), root);
}

/// A block of extended attributes.
pub(super) fn xattr_block(xattrs: &BTreeMap<Vec<u8>, Vec<u8>>) -> Result<Vec<u8>, String> {
    let mut known = Vec::new();
    for (name, value) in xattrs {
        let (index, rest) = xattr_index(name).ok_or_else(|| {
            format!("the extended attribute {} is of no kind that ext4 knows", name.escape_ascii())
        })?;
        if rest.len() > 255 {
            return Err("an extended attribute's name has over 255 bytes".into());
        }
        known.push((index, rest, value));
    }
    known.sort_by_key(|(index, name, _)| (*index, name.len(), *name));
    let mut block = vec![0; BLOCK as usize];
    let mut fields = Fields(&mut block);
    fields.u32(0, XATTR_MAGIC);
    fields.u32(4, 1);
    fields.u32(8, 1);
    let (mut at, mut end) = (32, BLOCK as usize);
    let mut all = 0_u32;
    for (index, name, value) in known {
        let entry = 16 + name.len().next_multiple_of(4);
        let room = value.len().next_multiple_of(4);
        // Four zeros end the list.
        if at + entry + 4 + room > end {
            return Err("its extended attributes have over 4000 bytes".into());
        }
        end -= room;
        fields.put(at, &[name.len() as u8, index]);
        fields.u16(at + 2, if value.is_empty() { 0 } else { end as u16 });
        fields.u32(at + 8, value.len() as u32);
        let hash = xattr_hash(name, value);
        fields.u32(at + 12, hash);
        fields.put(at + 16, name);
        fields.put(end, value);
        all = all.rotate_left(16) ^ hash;
        at += entry;
    }
    fields.u32(12, all);
    Ok(block)
}

fn xattr_index(name: &[u8]) -> Option<(u8, &[u8])> {
    let kinds: [(u8, &[u8]); 3] = [(1, b"user."), (4, b"trusted."), (6, b"security.")];
    kinds.iter().find_map(|(index, prefix)| {
        name.strip_prefix(*prefix).filter(|rest| !rest.is_empty()).map(|rest| (*index, rest))
    })
}

/// Whether ext4 can keep this attribute as it stands in an archive.
pub(in crate::image::rootfs) fn keeps_xattr(name: &[u8]) -> bool {
    xattr_index(name).is_some()
}

fn xattr_hash(name: &[u8], value: &[u8]) -> u32 {
    let hash = name.iter().fold(0_u32, |hash, byte| hash.rotate_left(5) ^ u32::from(*byte));
    value.chunks(4).fold(hash, |hash, chunk| {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        hash.rotate_left(16) ^ u32::from_le_bytes(word)
    })
}

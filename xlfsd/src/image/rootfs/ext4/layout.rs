//! How large the file system is, and which blocks are whose.

use super::super::tree::{Content, Node, Tree};
use super::inode::{self, FAST_SYMLINK};
use super::{BLOCK, BLOCKS_PER_GROUP, Ext4Error, FIRST_INODE, INODE_SIZE, ROOT_INODE, folder};

/// Blocks of an extent (EXT_INIT_MAX_LEN).
const MAX_EXTENT: u64 = 32_768;
/// What a 32-bit block number can count.
const MAX_BLOCKS: u64 = 1 << 32;
/// A file has fewer blocks than that (32-bit logical numbers).
const MAX_FILE: u64 = 1 << 44;
/// Inodes for each 16 KiB, as mke2fs has it.
const BLOCKS_PER_INODE: u64 = 4;
/// Blocks of descriptors that a file system can grow to have: 1 TiB.
const DESCRIPTORS_AT_MOST: u64 = 64;
/// Bytes of a group's descriptor.
pub(super) const DESCRIPTOR: u64 = 32;

/// Blocks that follow one another, in the file and on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub logical: u64,
    pub block: u64,
    pub length: u64,
}

#[derive(Debug)]
pub(super) struct Layout {
    pub blocks: u64,
    pub groups: u64,
    pub inodes_per_group: u64,
    /// Blocks of the group descriptors.
    pub descriptors: u64,
    /// Blocks behind them, for those of a file system that grows.
    pub reserved: u64,
    /// The block that tells where these are.
    pub growth: u64,
    pub block_bitmaps: u64,
    pub inode_bitmaps: u64,
    /// Each group's inode table.
    pub tables: Vec<u64>,
    pub table_blocks: u64,
    pub journal: Vec<Run>,
    /// By node: its inode's number (0 for one that was replaced), its data, its
    /// blocks of extents (a list for each level, leaves first), its xattrs.
    pub numbers: Vec<u32>,
    pub runs: Vec<Vec<Run>>,
    pub indexes: Vec<Vec<Vec<u64>>>,
    pub xattrs: Vec<Option<u64>>,
    pub parents: Vec<usize>,
    /// The first block that nobody has, from which on all are free but backups.
    pub end: u64,
    pub inodes: u32,
}

impl Layout {
    pub(super) fn of(tree: &Tree, room: u64) -> Result<Self, Ext4Error> {
        let wanted: Vec<Vec<(u64, u64)>> =
            tree.nodes.iter().map(logical).collect::<Result<_, _>>()?;
        let mut data = 0;
        for (node, runs) in tree.nodes.iter().zip(&wanted) {
            let blocks: u64 = runs.iter().map(|(_, length)| length).sum();
            // More than any tree of extents takes: a run may be cut by backups.
            let extents = blocks / MAX_EXTENT + 2 * runs.len() as u64 + 8;
            let trees = if extents > inode::INLINE_EXTENTS as u64 { extents / 100 + 4 } else { 0 };
            data += blocks + trees + u64::from(!node.xattrs.is_empty());
        }
        let used = tree.nodes.iter().filter(|node| node.links > 0).count() as u64;
        let journal = if data + room / BLOCK < 65_536 { 1024 } else { 4096 };
        let needed = data + data / 16 + room / BLOCK + journal;
        let mut groups = needed.div_ceil(BLOCKS_PER_GROUP).max(1);
        loop {
            let layout = Self::sized(groups, used);
            let free = layout.blocks.saturating_sub(layout.overhead());
            if layout.blocks >= MAX_BLOCKS {
                return Err(Ext4Error::Tree("it is larger than 16 TiB".into()));
            }
            if free >= needed {
                return layout.fill(tree, &wanted, journal);
            }
            groups += 1;
        }
    }

    fn sized(groups: u64, used: u64) -> Self {
        let blocks = groups * BLOCKS_PER_GROUP;
        let inodes = (blocks / BLOCKS_PER_INODE).max(used + used / 8 + 1024);
        let per_block = BLOCK / INODE_SIZE;
        let table_blocks = inodes.div_ceil(groups).div_ceil(per_block);
        let descriptors = (groups * DESCRIPTOR).div_ceil(BLOCK);
        let reserved = DESCRIPTORS_AT_MOST.saturating_sub(descriptors);
        Self {
            blocks,
            groups,
            inodes_per_group: table_blocks * per_block,
            descriptors,
            reserved,
            growth: 0,
            block_bitmaps: 0,
            inode_bitmaps: 0,
            tables: Vec::new(),
            table_blocks,
            journal: Vec::new(),
            numbers: Vec::new(),
            runs: Vec::new(),
            indexes: Vec::new(),
            xattrs: Vec::new(),
            parents: Vec::new(),
            end: 0,
            inodes: 0,
        }
    }

    /// Blocks of a superblock and what follows it.
    fn backup(&self) -> u64 {
        1 + self.descriptors + self.reserved
    }

    /// The groups that have a backup.
    pub(super) fn backups(&self) -> impl Iterator<Item = u64> {
        (1..self.groups).filter(|group| has_superblock(*group))
    }

    /// Blocks that are nobody's data.
    fn overhead(&self) -> u64 {
        let backups = (0..self.groups).filter(|group| has_superblock(*group)).count() as u64;
        // Before a backup there may be no room for a whole table.
        let gaps = backups * (self.table_blocks + 2 * self.groups);
        self.groups * (2 + self.table_blocks) + gaps + backups * self.backup() + 64
    }

    fn fill(
        mut self,
        tree: &Tree,
        wanted: &[Vec<(u64, u64)>],
        journal: u64,
    ) -> Result<Self, Ext4Error> {
        let full = || Ext4Error::Tree("the file system was laid out too small".into());
        if self.inodes_per_group > 8 * BLOCK {
            return Err(Ext4Error::Tree("it has more files than its size allows".into()));
        }
        self.end = self.backup();
        self.block_bitmaps = self.together(self.groups).ok_or_else(full)?;
        self.inode_bitmaps = self.together(self.groups).ok_or_else(full)?;
        for _ in 0..self.groups {
            let table = self.together(self.table_blocks).ok_or_else(full)?;
            self.tables.push(table);
        }
        self.journal = self.take(&[(0, journal)]).ok_or_else(full)?;
        self.growth = self.together(1).ok_or_else(full)?;
        self.parents = super::parents(tree);
        let mut number = FIRST_INODE;
        for (index, (node, wanted)) in tree.nodes.iter().zip(wanted).enumerate() {
            let gone = node.links == 0;
            self.numbers.push(match (index, gone) {
                (super::ROOT, _) => ROOT_INODE,
                (_, true) => 0,
                (_, false) => {
                    number += 1;
                    number - 1
                }
            });
            let wanted = if gone { &[] } else { wanted.as_slice() };
            let runs = self.take(wanted).ok_or_else(full)?;
            let mut levels = Vec::new();
            let mut below = runs.len();
            while below > inode::INLINE_EXTENTS {
                below = below.div_ceil(inode::EXTENTS_PER_BLOCK);
                let blocks = self.take(&[(0, below as u64)]).ok_or_else(full)?;
                levels.push(super::each_block(&blocks).collect());
            }
            self.runs.push(runs);
            self.indexes.push(levels);
            let xattrs = match gone || node.xattrs.is_empty() {
                true => None,
                false => Some(self.together(1).ok_or_else(full)?),
            };
            self.xattrs.push(xattrs);
        }
        self.inodes = number - 1;
        Ok(self)
    }

    /// Blocks without a gap.
    fn together(&mut self, length: u64) -> Option<u64> {
        loop {
            let start = self.after_backup(self.end);
            match self.next_backup(start).filter(|backup| *backup < start + length) {
                Some(backup) => self.end = backup,
                None => {
                    self.end = start + length;
                    return (self.end <= self.blocks).then_some(start);
                }
            }
        }
    }

    /// Blocks for logical runs, cut where backups are and where an extent ends.
    fn take(&mut self, wanted: &[(u64, u64)]) -> Option<Vec<Run>> {
        let mut runs: Vec<Run> = Vec::new();
        for (mut logical, mut left) in wanted.iter().copied() {
            while left > 0 {
                let block = self.after_backup(self.end);
                let until = self.next_backup(block).unwrap_or(self.blocks);
                let length = left.min(until.checked_sub(block)?).min(MAX_EXTENT);
                if length == 0 {
                    return None;
                }
                runs.push(Run { logical, block, length });
                (logical, left, self.end) = (logical + length, left - length, block + length);
            }
        }
        Some(runs)
    }

    /// `block`, or the first one behind the backup that it is in.
    fn after_backup(&self, block: u64) -> u64 {
        let (group, within) = (block / BLOCKS_PER_GROUP, block % BLOCKS_PER_GROUP);
        match has_superblock(group) && within < self.backup() {
            true => group * BLOCKS_PER_GROUP + self.backup(),
            false => block,
        }
    }

    fn next_backup(&self, block: u64) -> Option<u64> {
        let next = block / BLOCKS_PER_GROUP + 1;
        (next..self.groups)
            .find(|group| has_superblock(*group))
            .map(|group| group * BLOCKS_PER_GROUP)
    }

    /// A number's group, and its place in that one's table.
    pub(super) fn inode_place(&self, number: u32) -> (usize, usize) {
        let index = u64::from(number - 1);
        ((index / self.inodes_per_group) as usize, (index % self.inodes_per_group) as usize)
    }

    /// Which blocks of a group are in use, as its bitmap has it.
    pub(super) fn block_bitmap(&self, group: u64) -> Vec<u8> {
        let mut bitmap = vec![0_u8; BLOCK as usize];
        let first = group * BLOCKS_PER_GROUP;
        for within in 0..BLOCKS_PER_GROUP {
            let backup = has_superblock(group) && within < self.backup();
            if backup || self.is_used(first + within) {
                bitmap[(within / 8) as usize] |= 1 << (within % 8);
            }
        }
        bitmap
    }

    /// Blocks below the end are all somebody's, but for the gaps that
    /// [`together`](Self::together) leaves: these count as used up by nobody.
    fn is_used(&self, block: u64) -> bool {
        let metadata = [(self.block_bitmaps, self.groups), (self.inode_bitmaps, self.groups)];
        let within_tables = |at: usize| {
            let table = at.checked_sub(1).and_then(|at| self.tables.get(at));
            table.is_some_and(|table| block < table + self.table_blocks)
        };
        let data = self.journal.first().map_or(self.end, |run| run.block);
        let within = |(start, length): &(u64, u64)| (*start..start + length).contains(&block);
        metadata.iter().any(within)
            || within_tables(self.tables.partition_point(|table| *table <= block))
            || (data..self.end).contains(&block)
    }
}

/// Groups 0 and 1, and powers of 3, 5 and 7 (sparse_super).
pub(super) fn has_superblock(group: u64) -> bool {
    let power = |base: u64| {
        let mut rest = group;
        while rest > 1 && rest.is_multiple_of(base) {
            rest /= base;
        }
        rest == 1
    };
    group <= 1 || power(3) || power(5) || power(7)
}

/// The blocks that an inode's data takes: first logical one and how many.
fn logical(node: &Node) -> Result<Vec<(u64, u64)>, Ext4Error> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    match &node.content {
        Content::Directory(children) => {
            runs.push((0, folder::size(children) / BLOCK));
        }
        Content::Symlink(aim) if aim.len() >= FAST_SYMLINK => runs.push((0, 1)),
        Content::File { size, pieces, .. } => {
            if *size >= MAX_FILE {
                return Err(Ext4Error::Tree("a file is larger than 16 TiB".into()));
            }
            for (offset, length) in pieces {
                let (first, end) = (offset / BLOCK, (offset + length).div_ceil(BLOCK));
                match runs.last_mut() {
                    Some((start, count)) if *start + *count >= first => {
                        *count = (*count).max(end - *start);
                    }
                    _ => runs.push((first, end - first)),
                }
            }
        }
        _ => {}
    }
    Ok(runs)
}

//! The superblock and its backups, the groups' descriptors and bitmaps, and the
//! journal's first block.

use super::super::tree::{Content, Tree};
use super::layout::{DESCRIPTOR, Layout, Run, has_superblock};
use super::{BLOCK, BLOCKS_PER_GROUP, Ext4Error, FIRST_INODE, Fields, INODE_SIZE, JOURNAL_INODE};

/// has_journal, ext_attr, resize_inode, dir_index.
const COMPATIBLE: u32 = 0x4 | 0x8 | 0x10 | 0x20;
/// filetype, extents, flex_bg.
const INCOMPATIBLE: u32 = 0x2 | 0x40 | 0x200;
/// sparse_super, large_file, huge_file, dir_nlink, extra_isize.
const READ_ONLY_COMPATIBLE: u32 = 0x1 | 0x2 | 0x8 | 0x20 | 0x40;
/// user_xattr and acl, as mke2fs has it.
const MOUNT_OPTIONS: u32 = 0xc;
/// Bytes of a superblock, and where the first one is.
const SIZE: usize = 1024;

type Put<'a> = &'a dyn Fn(&[u8], u64) -> Result<(), Ext4Error>;

pub(super) fn write(
    layout: &Layout,
    tree: &Tree,
    journal: &[u8],
    id: [u8; 16],
    put: Put<'_>,
) -> Result<(), Ext4Error> {
    let mut folders = vec![0_u16; layout.groups as usize];
    for (node, number) in tree.nodes.iter().zip(&layout.numbers).filter(|(_, n)| **n > 0) {
        if matches!(node.content, Content::Directory(_)) {
            let (group, _) = layout.inode_place(*number);
            folders[group] += 1;
        }
    }
    let mut descriptors = vec![0; (layout.descriptors * BLOCK) as usize];
    let (mut free_blocks, mut free_inodes) = (0_u64, 0_u64);
    for group in 0..layout.groups {
        let blocks = layout.block_bitmap(group);
        let free = BLOCKS_PER_GROUP - ones(&blocks);
        put(&blocks, layout.block_bitmaps + group)?;
        let first = group * layout.inodes_per_group;
        let used = u64::from(layout.inodes).saturating_sub(first).min(layout.inodes_per_group);
        put(&inode_bitmap(used, layout.inodes_per_group), layout.inode_bitmaps + group)?;
        let mut fields = Fields(&mut descriptors[(group * DESCRIPTOR) as usize..]);
        fields.u32(0, (layout.block_bitmaps + group) as u32);
        fields.u32(4, (layout.inode_bitmaps + group) as u32);
        fields.u32(8, layout.tables[group as usize] as u32);
        fields.u16(12, free as u16);
        fields.u16(14, (layout.inodes_per_group - used) as u16);
        fields.u16(16, folders[group as usize]);
        free_blocks += free;
        free_inodes += layout.inodes_per_group - used;
    }
    for group in (0..layout.groups).filter(|group| has_superblock(*group)) {
        let superblock = superblock(layout, (free_blocks, free_inodes), journal, id, group);
        let mut block = vec![0; BLOCK as usize];
        // The first one leaves room for a boot sector.
        let at = if group == 0 { SIZE } else { 0 };
        block[at..at + SIZE].copy_from_slice(&superblock);
        put(&block, group * BLOCKS_PER_GROUP)?;
        put(&descriptors, group * BLOCKS_PER_GROUP + 1)?;
    }
    Ok(())
}

fn superblock(
    layout: &Layout,
    (free_blocks, free_inodes): (u64, u64),
    journal: &[u8],
    id: [u8; 16],
    group: u64,
) -> [u8; SIZE] {
    let mut bytes = [0; SIZE];
    let mut fields = Fields(&mut bytes);
    fields.u32(0x00, (layout.groups * layout.inodes_per_group) as u32);
    fields.u32(0x04, layout.blocks as u32);
    // For root alone, as mke2fs has it.
    fields.u32(0x08, (layout.blocks / 20) as u32);
    fields.u32(0x0c, free_blocks as u32);
    fields.u32(0x10, free_inodes as u32);
    // Blocks and clusters of 1024 << 2 bytes.
    fields.u32(0x18, 2);
    fields.u32(0x1c, 2);
    fields.u32(0x20, BLOCKS_PER_GROUP as u32);
    fields.u32(0x24, BLOCKS_PER_GROUP as u32);
    fields.u32(0x28, layout.inodes_per_group as u32);
    fields.u16(0x36, 0xffff);
    fields.u16(0x38, 0xef53);
    // Clean; on an error go on.
    fields.u16(0x3a, 1);
    fields.u16(0x3c, 1);
    fields.u32(0x4c, 1);
    fields.u32(0x54, FIRST_INODE);
    fields.u16(0x58, INODE_SIZE as u16);
    fields.u16(0x5a, group as u16);
    fields.u32(0x5c, COMPATIBLE);
    fields.u32(0x60, INCOMPATIBLE);
    fields.u32(0x64, READ_ONLY_COMPATIBLE);
    fields.put(0x68, &id);
    fields.u16(0xce, layout.reserved as u16);
    fields.u32(0xe0, JOURNAL_INODE);
    fields.put(0xec, &id);
    // Folders are indexed by half MD4; the journal's inode is kept here too.
    fields.put(0xfc, &[1, 1]);
    fields.u32(0x100, MOUNT_OPTIONS);
    if let (Some(root), Some(low), Some(high)) =
        (journal.get(40..100), journal.get(4..8), journal.get(108..112))
    {
        fields.put(0x10c, root);
        fields.put(0x10c + 60, high);
        fields.put(0x10c + 64, low);
    }
    fields.u16(0x15c, 32);
    fields.u16(0x15e, 32);
    // Names are hashed as signed bytes, as on x86.
    fields.u32(0x160, 1);
    // 16 groups make a flexible one.
    fields.put(0x174, &[4]);
    bytes
}

fn ones(bitmap: &[u8]) -> u64 {
    bitmap.iter().map(|byte| u64::from(byte.count_ones())).sum()
}

/// The first `used` of a group's inodes; what is beyond the group is marked too.
fn inode_bitmap(used: u64, inodes: u64) -> Vec<u8> {
    let mut bitmap = vec![0_u8; BLOCK as usize];
    for bit in (0..used).chain(inodes..8 * BLOCK) {
        bitmap[(bit / 8) as usize] |= 1 << (bit % 8);
    }
    bitmap
}

/// The block that tells where blocks are reserved for descriptors, and these,
/// which tell where their backups are.
pub(super) fn growth(layout: &Layout) -> Vec<(u64, Vec<u8>)> {
    let mut all = vec![0; BLOCK as usize];
    let mut fields = Fields(&mut all);
    let mut blocks = Vec::new();
    for index in layout.descriptors..layout.descriptors + layout.reserved {
        fields.u32(index as usize * 4, (1 + index) as u32);
        let mut backups = vec![0; BLOCK as usize];
        let mut entries = Fields(&mut backups);
        for (group, at) in layout.backups().zip((0..).step_by(4)) {
            entries.u32(at, (group * BLOCKS_PER_GROUP + 1 + index) as u32);
        }
        blocks.push((1 + index, backups));
    }
    blocks.push((layout.growth, all));
    blocks
}

/// The journal's superblock, version 2 (jbd2): an empty journal. Big-endian.
pub(super) fn journal(runs: &[Run], id: [u8; 16]) -> Vec<u8> {
    let blocks: u64 = runs.iter().map(|run| run.length).sum();
    let mut block = vec![0; BLOCK as usize];
    let mut fields = Fields(&mut block);
    let numbers = [
        (0x00, 0xc03b_3998),
        (0x04, 4),
        (0x0c, BLOCK as u32),
        (0x10, blocks as u32),
        (0x14, 1),
        (0x18, 1),
        (0x40, 1),
    ];
    for (at, value) in numbers {
        fields.put(at, &u32::to_be_bytes(value));
    }
    fields.put(0x30, &id);
    block
}

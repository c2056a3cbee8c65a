//! Folders: linear lists of names, which Linux indexes itself when they grow.

use std::collections::BTreeMap;

use super::super::tree::{Content, Node, Tree};
use super::layout::Layout;
use super::{BLOCK, Fields};

/// More is told as 1: "nobody counts" (dir_nlink).
const MAX_LINKS: u32 = 64_998;

type Children = BTreeMap<Vec<u8>, usize>;

/// Bytes of an entry.
fn length(name: usize) -> usize {
    (8 + name).next_multiple_of(4)
}

/// Where each entry stands, and the whole size. No entry crosses a block.
fn places(children: &Children) -> (Vec<usize>, usize) {
    let (block, mut at) = (BLOCK as usize, length(1) + length(2));
    let mut places = Vec::with_capacity(children.len());
    for name in children.keys() {
        let length = length(name.len());
        if at % block + length > block || at % block == 0 {
            at = at.next_multiple_of(block);
        }
        places.push(at);
        at += length;
    }
    (places, at.next_multiple_of(block))
}

pub(super) fn size(children: &Children) -> u64 {
    places(children).1 as u64
}

/// Links of an inode: a folder has its name, its own ".", and its folders' "..".
pub(super) fn links(tree: &Tree, node: &Node) -> u16 {
    let links = match &node.content {
        Content::Directory(children) => {
            let is_folder =
                |child: &&usize| matches!(tree.nodes[**child].content, Content::Directory(_));
            2 + children.values().filter(is_folder).count() as u32
        }
        _ => node.links,
    };
    match (&node.content, links > MAX_LINKS) {
        (Content::Directory(_), true) => 1,
        _ => links as u16,
    }
}

/// The folder's blocks. `own` is the folder and its parent, by their nodes.
pub(super) fn blocks(
    tree: &Tree,
    layout: &Layout,
    own: (usize, usize),
    children: &Children,
) -> Vec<u8> {
    let (places, size) = places(children);
    let mut entries: Vec<(usize, u32, u8, &[u8])> =
        vec![(0, layout.numbers[own.0], 2, b"."), (length(1), layout.numbers[own.1], 2, b"..")];
    for ((name, child), at) in children.iter().zip(&places) {
        let kind = match tree.nodes[*child].content {
            Content::File { .. } => 1,
            Content::Directory(_) => 2,
            Content::Character(..) => 3,
            Content::Block(..) => 4,
            Content::Fifo => 5,
            Content::Symlink(_) => 7,
        };
        entries.push((*at, layout.numbers[*child], kind, name));
    }
    let mut bytes = vec![0; size];
    let mut fields = Fields(&mut bytes);
    for (index, (at, inode, kind, name)) in entries.iter().enumerate() {
        // An entry reaches to the next one, or to the end of its block.
        let block_end = (at / BLOCK as usize + 1) * BLOCK as usize;
        let next = entries.get(index + 1).map_or(block_end, |next| next.0.min(block_end));
        fields.u32(*at, *inode);
        fields.u16(at + 4, (next - at) as u16);
        fields.put(at + 6, &[name.len() as u8, *kind]);
        fields.put(at + 8, name);
    }
    bytes
}

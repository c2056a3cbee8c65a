//! The tree that an archive's entries make, in memory: names and inodes, without
//! the files' data. Names lead nowhere but into this tree.

use std::collections::BTreeMap;

use super::tar::{Entry, EntryKind};

/// Inodes, and names: an archive of a whole distribution has 200,000.
const MAX_NODES: usize = 1 << 20;
/// Bytes of a path, and of a symbolic link (Linux's PATH_MAX).
const MAX_PATH: usize = 4095;
const MAX_NAME: usize = 255;
/// Links of one inode (EXT4_LINK_MAX).
const MAX_LINKS: u32 = 65_000;
/// Of the root.
pub(super) const ROOT: usize = 0;

/// What an inode is.
#[derive(Debug)]
pub(super) enum Content {
    Directory(BTreeMap<Vec<u8>, usize>),
    /// The entry whose data it has, by its number in the archive.
    File {
        entry: u64,
        size: u64,
        pieces: Vec<(u64, u64)>,
    },
    Symlink(Vec<u8>),
    Character(u32, u32),
    Block(u32, u32),
    Fifo,
}

/// An inode.
#[derive(Debug)]
pub(super) struct Node {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: i64,
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub content: Content,
    /// Names that it has; 0: it was replaced by a later entry.
    pub links: u32,
}

impl Node {
    fn directory(mode: u32) -> Self {
        let content = Content::Directory(BTreeMap::new());
        Self { mode, uid: 0, gid: 0, mtime: 0, xattrs: BTreeMap::new(), content, links: 1 }
    }

    fn is_directory(&self) -> bool {
        matches!(self.content, Content::Directory(_))
    }
}

/// All inodes; the first is the root.
#[derive(Debug)]
pub(super) struct Tree {
    pub nodes: Vec<Node>,
}

impl Tree {
    pub(super) fn new() -> Self {
        Self { nodes: vec![Node::directory(0o755)] }
    }

    /// Takes an entry in; a later one replaces an earlier one, as in tar. An
    /// error is a sentence without the entry's name.
    pub(super) fn add(&mut self, number: u64, entry: Entry) -> Result<(), String> {
        let path = components(&entry.path)?;
        let existing = match entry.kind {
            EntryKind::HardLink => Some(self.find(&components(&entry.link)?)?),
            _ => None,
        };
        let Some((name, parents)) = path.split_last() else {
            if entry.kind != EntryKind::Directory {
                return Err("the root must be a folder".into());
            }
            self.describe(ROOT, entry);
            return Ok(());
        };
        let mut parent = ROOT;
        for name in parents {
            parent = match self.child(parent, name)? {
                Some(child) => child,
                None => self.insert(parent, name, Node::directory(0o755))?,
            };
        }
        let known = self.child(parent, name)?;
        if let (Some(known), EntryKind::Directory) = (known, entry.kind)
            && self.nodes[known].is_directory()
        {
            self.describe(known, entry);
            return Ok(());
        }
        if let Some(known) = known {
            if existing == Some(known) {
                return Ok(());
            }
            if let Content::Directory(children) = &self.nodes[known].content
                && !children.is_empty()
            {
                return Err("it would replace a folder that is not empty".into());
            }
            self.nodes[known].links -= 1;
        }
        if let Some(existing) = existing {
            if self.nodes[existing].is_directory() {
                return Err("it is a hard link to a folder".into());
            }
            if self.nodes[existing].links >= MAX_LINKS {
                return Err(format!("a file has more than {MAX_LINKS} names"));
            }
            self.nodes[existing].links += 1;
            self.name(parent, name, existing);
            return Ok(());
        }
        let content = match entry.kind {
            EntryKind::File => {
                Content::File { entry: number, size: entry.size, pieces: entry.pieces }
            }
            EntryKind::Symlink if entry.link.is_empty() || entry.link.len() > MAX_PATH => {
                return Err("it is a symbolic link without an aim that can be".into());
            }
            EntryKind::Symlink => Content::Symlink(entry.link),
            EntryKind::Character => Content::Character(entry.device.0, entry.device.1),
            EntryKind::Block => Content::Block(entry.device.0, entry.device.1),
            EntryKind::Fifo => Content::Fifo,
            EntryKind::Directory | EntryKind::HardLink => Content::Directory(BTreeMap::new()),
        };
        let node = Node {
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            mtime: entry.mtime,
            xattrs: entry.xattrs,
            content,
            links: 1,
        };
        self.insert(parent, name, node).map(drop)
    }

    /// A folder that every file system has.
    pub(super) fn add_lost_and_found(&mut self) -> Result<(), String> {
        match self.child(ROOT, b"lost+found") {
            Ok(None) => self.insert(ROOT, b"lost+found", Node::directory(0o700)).map(drop),
            _ => Ok(()),
        }
    }

    fn describe(&mut self, index: usize, entry: Entry) {
        let node = &mut self.nodes[index];
        (node.mode, node.uid, node.gid) = (entry.mode, entry.uid, entry.gid);
        (node.mtime, node.xattrs) = (entry.mtime, entry.xattrs);
    }

    fn insert(&mut self, parent: usize, name: &[u8], node: Node) -> Result<usize, String> {
        if self.nodes.len() >= MAX_NODES {
            return Err(format!("the archive has more than {MAX_NODES} files"));
        }
        self.nodes.push(node);
        let index = self.nodes.len() - 1;
        self.name(parent, name, index);
        Ok(index)
    }

    fn name(&mut self, parent: usize, name: &[u8], index: usize) {
        if let Content::Directory(children) = &mut self.nodes[parent].content {
            children.insert(name.to_vec(), index);
        }
    }

    fn child(&self, parent: usize, name: &[u8]) -> Result<Option<usize>, String> {
        match &self.nodes[parent].content {
            Content::Directory(children) => Ok(children.get(name).copied()),
            Content::Symlink(_) => Err("its path leads through a symbolic link".into()),
            _ => Err("its path leads through something that is no folder".into()),
        }
    }

    fn find(&self, path: &[&[u8]]) -> Result<usize, String> {
        let mut at = ROOT;
        for name in path {
            let missing = || "it is a hard link to what is not in the archive before it".to_owned();
            at = self.child(at, name)?.ok_or_else(missing)?;
        }
        Ok(at)
    }
}

/// The names in a path. A slash at its begin means nothing, "." neither.
fn components(path: &[u8]) -> Result<Vec<&[u8]>, String> {
    if path.len() > MAX_PATH || path.contains(&0) {
        return Err("its path is no path".into());
    }
    let names = path.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
    names
        .map(|name| match name {
            b".." => Err("its path leads out of the archive (\"..\")".into()),
            name if name.len() > MAX_NAME => Err("its path has a name over 255 bytes".into()),
            name => Ok(name),
        })
        .collect()
}

//! A tree of files in memory: contents by digest, folders as a Merkle tree.

use std::collections::BTreeMap;

use prost::Message;

use crate::digest::Digest;
use crate::reapi;

/// What is not the usual: mode 0755 or 0644, owner root.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits.
    pub mode: Option<u32>,
    /// User and group.
    pub owner: Option<(u32, u32)>,
}

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A folder.
    Folder(Attributes),
    /// A file.
    File {
        /// Its content.
        digest: Digest,
        /// Whether it may be run.
        executable: bool,
        /// What is not the usual.
        attributes: Attributes,
    },
    /// A symbolic link.
    Link {
        /// Where it points to.
        target: String,
    },
}

/// Paths (without a leading slash) and what stands there; the folders above
/// every path are in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    nodes: BTreeMap<String, Node>,
}

/// Two things want one path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path} is brought by both {first} and {second}, with different contents")]
pub struct Conflict {
    /// The path.
    pub path: String,
    /// Who had it first.
    pub first: String,
    /// Who came second.
    pub second: String,
}

impl Tree {
    /// All paths, sorted by bytes.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.nodes.iter().map(|(path, node)| (path.as_str(), node))
    }

    /// What stands at the path.
    pub fn get(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// How many paths there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Bytes of all files.
    pub fn content_size(&self) -> u64 {
        let size = |node: &Node| match node {
            Node::File { digest, .. } => digest.size,
            _ => 0,
        };
        self.nodes.values().map(size).sum()
    }

    /// Puts something at the path, whatever was there, with the folders above.
    pub fn insert(&mut self, path: &str, node: Node) {
        for (at, _) in path.match_indices('/') {
            if let Some(above) = path.get(..at)
                && !self.nodes.contains_key(above)
            {
                self.nodes.insert(above.to_owned(), Node::Folder(Attributes::default()));
            }
        }
        self.nodes.insert(path.to_owned(), node);
    }

    /// Takes away what stands at the path (not what is below it).
    pub fn remove(&mut self, path: &str) -> Option<Node> {
        self.nodes.remove(path)
    }

    /// Changes mode or owner; false if the path is no file or folder.
    pub fn set_attributes(&mut self, path: &str, wanted: Attributes) -> bool {
        match self.nodes.get_mut(path) {
            Some(Node::Folder(attributes) | Node::File { attributes, .. }) => {
                attributes.mode = wanted.mode.or(attributes.mode);
                attributes.owner = wanted.owner.or(attributes.owner);
                true
            }
            _ => false,
        }
    }

    /// Makes every mode and owner the usual one.
    pub fn forget_attributes(&mut self) {
        for node in self.nodes.values_mut() {
            if let Node::Folder(attributes) | Node::File { attributes, .. } = node {
                *attributes = Attributes::default();
            }
        }
    }

    /// Whether nothing is below the path.
    pub fn is_leaf(&self, path: &str) -> bool {
        let below = format!("{path}/");
        let next = self.nodes.range(below.clone()..).next();
        next.is_none_or(|(other, _)| !other.starts_with(&below))
    }

    /// Only the leaves that `wanted` takes, and the folders above them: a folder
    /// whose files all stay behind stays behind, too.
    pub fn filter_leaves(&self, wanted: impl Fn(&str) -> bool) -> Self {
        self.filter(|path| self.is_leaf(path) && wanted(path))
    }

    /// Only the paths that `wanted` takes, and the folders above them.
    pub fn filter(&self, wanted: impl Fn(&str) -> bool) -> Self {
        let mut part = Self::default();
        for (path, node) in &self.nodes {
            if wanted(path) {
                for (at, _) in path.match_indices('/') {
                    if let Some(above) = path.get(..at)
                        && let Some(folder) = self.nodes.get(above)
                    {
                        part.nodes.entry(above.to_owned()).or_insert_with(|| folder.clone());
                    }
                }
                part.nodes.insert(path.clone(), node.clone());
            }
        }
        part
    }

    /// What stands below a folder, as a tree of its own.
    pub fn below(&self, folder: &str) -> Self {
        let below = format!("{folder}/");
        let own = |(path, node): (&String, &Node)| {
            Some((path.strip_prefix(&below)?.to_owned(), node.clone()))
        };
        Self { nodes: self.nodes.iter().filter_map(own).collect() }
    }

    /// The Merkle tree: the root's digest, and all folders' messages by digest.
    pub fn encode(&self) -> (Digest, BTreeMap<Digest, Vec<u8>>) {
        let mut folders: BTreeMap<&str, reapi::Directory> = BTreeMap::new();
        folders.entry("").or_default();
        let mut encoded = BTreeMap::new();
        // A folder's own message must be ready before it is put into the one above.
        let mut paths: Vec<_> = self.nodes.iter().collect();
        paths.sort_by_key(|(path, _)| std::cmp::Reverse(path.matches('/').count()));
        for (path, node) in paths {
            let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
            let name = name.to_owned();
            match node {
                Node::Folder(attributes) => {
                    let mut message = folders.remove(path.as_str()).unwrap_or_default();
                    message.node_properties = attributes.to_wire();
                    let digest = Some((&finish(message, &mut encoded)).into());
                    let entry = reapi::DirectoryNode { name, digest };
                    folders.entry(above).or_default().directories.push(entry);
                }
                Node::File { digest, executable, attributes } => {
                    let entry = reapi::FileNode {
                        name,
                        digest: Some(digest.into()),
                        is_executable: *executable,
                        node_properties: attributes.to_wire(),
                    };
                    folders.entry(above).or_default().files.push(entry);
                }
                Node::Link { target } => {
                    let target = target.clone();
                    let entry = reapi::SymlinkNode { name, target, node_properties: None };
                    folders.entry(above).or_default().symlinks.push(entry);
                }
            }
        }
        let root = finish(folders.remove("").unwrap_or_default(), &mut encoded);
        (root, encoded)
    }

    /// The root's digest alone.
    pub fn digest(&self) -> Digest {
        self.encode().0
    }
}

fn finish(mut message: reapi::Directory, encoded: &mut BTreeMap<Digest, Vec<u8>>) -> Digest {
    message.files.sort_by(|one, two| one.name.cmp(&two.name));
    message.directories.sort_by(|one, two| one.name.cmp(&two.name));
    message.symlinks.sort_by(|one, two| one.name.cmp(&two.name));
    let bytes = message.encode_to_vec();
    let digest = Digest::of(&bytes);
    encoded.insert(digest.clone(), bytes);
    digest
}

impl Attributes {
    fn to_wire(self) -> Option<reapi::NodeProperties> {
        let owner = self.owner.map(|(user, group)| reapi::NodeProperty {
            name: "owner".to_owned(),
            value: format!("{user}:{group}"),
        });
        (self != Self::default()).then(|| reapi::NodeProperties {
            properties: owner.into_iter().collect(),
            unix_mode: self.mode.map(|value| reapi::google::protobuf::UInt32Value { value }),
            mtime: None,
        })
    }

    /// Reads what [`Tree::encode`] wrote.
    pub(crate) fn from_wire(wire: Option<&reapi::NodeProperties>) -> Self {
        let Some(wire) = wire else { return Self::default() };
        let owner = wire.properties.iter().find(|property| property.name == "owner");
        let owner = owner.and_then(|property| crate::recipe::check::parse_owner(&property.value));
        Self { mode: wire.unix_mode.map(|mode| mode.value), owner }
    }
}

/// A tree that grows out of several, and remembers whose each path is.
#[derive(Debug, Clone, Default)]
pub struct Merge {
    tree: Tree,
    owners: BTreeMap<String, String>,
}

impl Merge {
    /// Adds a layer: paths that stand already must be the same there.
    pub fn add(&mut self, layer: &Tree, owner: &str) -> Result<(), Conflict> {
        for (path, node) in layer.iter() {
            match (self.tree.nodes.get_mut(path), node) {
                (None, _) => {
                    self.tree.insert(path, node.clone());
                    self.owners.insert(path.to_owned(), owner.to_owned());
                }
                (Some(there), _) if there == node => {}
                (Some(Node::Folder(there)), Node::Folder(new))
                    if *there == Attributes::default() || *new == Attributes::default() =>
                {
                    if *new != Attributes::default() {
                        *there = *new;
                    }
                }
                _ => {
                    let first = self.owners.get(path).cloned().unwrap_or_default();
                    let (path, second) = (path.to_owned(), owner.to_owned());
                    return Err(Conflict { path, first, second });
                }
            }
        }
        Ok(())
    }

    /// Whose the path is.
    pub fn owner(&self, path: &str) -> Option<&str> {
        self.owners.get(path).map(String::as_str)
    }

    /// What came out.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// What came out, to go on with.
    pub fn into_tree(self) -> Tree {
        self.tree
    }
}

impl Tree {
    /// Puts a layer over this tree: its files stand in for ours.
    pub fn cover(&mut self, layer: &Self) {
        for (path, node) in layer.iter() {
            match (self.nodes.get(path), node) {
                (Some(Node::Folder(_)), Node::Folder(_)) => {}
                // A link to a folder (usr-merge) stays where a layer has a folder.
                (Some(Node::Link { .. }), Node::Folder(_)) => {}
                (Some(Node::Folder(_)), _) => {
                    let below = format!("{path}/");
                    self.nodes.retain(|other, _| !other.starts_with(&below));
                    self.insert(path, node.clone());
                }
                _ => self.insert(path, node.clone()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Node {
        let digest = Digest::of(text.as_bytes());
        Node::File { digest, executable: false, attributes: Attributes::default() }
    }

    #[test]
    fn the_digest_is_of_names_contents_and_attributes() {
        let mut one = Tree::default();
        one.insert("usr/bin/x", file("x"));
        one.insert("usr/lib", Node::Folder(Attributes::default()));
        let mut two = Tree::default();
        two.insert("usr/lib", Node::Folder(Attributes::default()));
        two.insert("usr/bin/x", file("x"));
        assert_eq!(one.digest(), two.digest());
        let mode = Attributes { mode: Some(0o4755), owner: None };
        assert!(two.set_attributes("usr/bin/x", mode));
        assert_ne!(one.digest(), two.digest());
        one.insert("usr/bin/y", file("x"));
        assert_ne!(one.digest(), two.digest());
        assert_eq!(Tree::default().digest(), Digest::of(b""));
    }

    #[test]
    fn layers_may_share_what_is_equal_and_nothing_else() {
        let mut one = Tree::default();
        one.insert("usr/bin/x", file("x"));
        let mut merge = Merge::default();
        merge.add(&one, "a").unwrap();
        merge.add(&one, "b").unwrap();
        let mut other = Tree::default();
        other.insert("usr/bin/x", file("y"));
        let conflict = merge.add(&other, "c").unwrap_err();
        let expected = "usr/bin/x is brought by both a and c, with different contents";
        assert_eq!(conflict.to_string(), expected);
        let mut tree = merge.into_tree();
        tree.cover(&other);
        assert_eq!(tree.get("usr/bin/x"), Some(&file("y")));
    }
}

//! Trees between disk and store: a package's staging folder comes in, a
//! sandbox's root goes out, as hard links.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use prost::Message;

use super::{Store, StoreError};
use crate::digest::Digest;
use crate::durable::FileError;
use crate::reapi::{self, Directory};
use crate::tree::{Attributes, Node, Tree};

impl Store {
    /// Takes all files below `folder` into the store; afterwards the folder is empty
    /// but for folders and links.
    pub fn take_tree(&self, folder: &Path) -> Result<Tree, StoreError> {
        let mut tree = Tree::default();
        self.take_folder(folder, "", &mut tree)?;
        Ok(tree)
    }

    fn take_folder(&self, folder: &Path, at: &str, tree: &mut Tree) -> Result<(), StoreError> {
        // A step may leave folders that their owner may not enter.
        fs::set_permissions(folder, Permissions::from_mode(0o755))
            .map_err(FileError::at("open", folder))?;
        let list = fs::read_dir(folder).map_err(FileError::at("read", folder))?;
        for entry in list {
            let entry = entry.map_err(FileError::at("read", folder))?;
            let name = entry.file_name();
            let name = name.to_str().ok_or_else(|| StoreError::Name {
                name: entry.path().to_string_lossy().into_owned(),
            })?;
            let path = if at.is_empty() { name.to_owned() } else { format!("{at}/{name}") };
            let real = entry.path();
            let meta = fs::symlink_metadata(&real).map_err(FileError::at("look at", &real))?;
            if meta.is_dir() {
                tree.insert(&path, Node::Folder(Attributes::default()));
                self.take_folder(&real, &path, tree)?;
            } else if meta.is_symlink() {
                let target = fs::read_link(&real).map_err(FileError::at("read", &real))?;
                let target = target.to_str().ok_or_else(|| StoreError::Name {
                    name: target.to_string_lossy().into_owned(),
                })?;
                tree.insert(&path, Node::Link { target: target.to_owned() });
            } else if meta.is_file() {
                let executable = meta.permissions().mode() & 0o111 != 0;
                let digest = self.take_file(&real, executable)?;
                let attributes = Attributes::default();
                tree.insert(&path, Node::File { digest, executable, attributes });
            } else {
                return Err(StoreError::Special { path });
            }
        }
        Ok(())
    }

    /// Keeps the folders' messages of a tree whose files are kept already.
    pub fn put_tree(&self, tree: &Tree) -> Result<Digest, StoreError> {
        let (root, messages) = tree.encode();
        for message in messages.values() {
            self.put_bytes(message)?;
        }
        Ok(root)
    }

    /// Reads a tree back.
    pub fn read_tree(&self, root: &Digest) -> Result<Tree, StoreError> {
        let mut tree = Tree::default();
        self.read_folder(root, "", &mut tree)?;
        Ok(tree)
    }

    fn read_folder(&self, digest: &Digest, at: &str, tree: &mut Tree) -> Result<(), StoreError> {
        let lacks = || StoreError::Lacks { hash: digest.hash.clone() };
        let message = Directory::decode(self.read_blob(digest)?.as_slice()).map_err(|_| lacks())?;
        let path =
            |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}/{name}") };
        if !at.is_empty() {
            let attributes = Attributes::from_wire(message.node_properties.as_ref());
            tree.insert(at, Node::Folder(attributes));
        }
        for file in &message.files {
            let digest = file.digest.as_ref().and_then(reapi::named).ok_or_else(lacks)?;
            let attributes = Attributes::from_wire(file.node_properties.as_ref());
            let executable = file.is_executable;
            tree.insert(&path(&file.name), Node::File { digest, executable, attributes });
        }
        for link in &message.symlinks {
            tree.insert(&path(&link.name), Node::Link { target: link.target.clone() });
        }
        for folder in &message.directories {
            let digest = folder.digest.as_ref().and_then(reapi::named).ok_or_else(lacks)?;
            self.read_folder(&digest, &path(&folder.name), tree)?;
        }
        Ok(())
    }

    /// Lays a tree out below `folder`, which must be empty, as hard links to the store.
    /// Nothing is made outside of it.
    pub fn lay_out(&self, tree: &Tree, folder: &Path) -> Result<(), StoreError> {
        let is_link = |path: &str| matches!(tree.get(path), Some(Node::Link { .. }));
        let through_link =
            |path: &str| path.match_indices('/').filter_map(|(at, _)| path.get(..at)).any(is_link);
        let real = folder.canonicalize().map_err(FileError::at("find", folder))?;
        for (path, node) in tree.iter() {
            // Sorted by bytes, "a-b" comes between "a" and "a/b"; "a" is still first.
            let to = folder.join(path);
            if through_link(path) {
                let above = to.parent().unwrap_or(folder);
                let above = above.canonicalize().map_err(FileError::at("find", above))?;
                if !above.starts_with(&real) {
                    return Err(StoreError::Outside { path: path.to_owned() });
                }
            }
            match node {
                Node::Folder(_) => fs::create_dir(&to).map_err(FileError::at("make", &to))?,
                Node::Link { target } => {
                    symlink(target, &to).map_err(FileError::at("make", &to))?;
                }
                Node::File { digest, executable, .. } => {
                    self.link_blob(digest, *executable, &to)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_comes_back_as_it_went_in() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let work = store.work_folder("x").unwrap();
        let from = work.path().join("from");
        fs::create_dir_all(from.join("usr/bin")).unwrap();
        fs::create_dir_all(from.join("usr/shut")).unwrap();
        fs::write(from.join("usr/shut/secret"), b"s").unwrap();
        fs::set_permissions(from.join("usr/shut/secret"), Permissions::from_mode(0o000)).unwrap();
        fs::write(from.join("usr/bin/x"), b"x").unwrap();
        fs::set_permissions(from.join("usr/bin/x"), Permissions::from_mode(0o700)).unwrap();
        symlink("x", from.join("usr/bin/y")).unwrap();
        let tree = store.take_tree(&from).unwrap();
        let root = store.put_tree(&tree).unwrap();
        assert_eq!(store.read_tree(&root).unwrap(), tree);
        let to = work.path().join("to");
        fs::create_dir(&to).unwrap();
        store.lay_out(&tree, &to).unwrap();
        let mode = fs::metadata(to.join("usr/bin/y")).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o755);
        assert_eq!(fs::read(to.join("usr/shut/secret")).unwrap(), b"s");
    }

    #[test]
    fn a_link_leads_nothing_outside() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let outside = dir.path().join("outside");
        fs::create_dir(&outside).unwrap();
        let digest = store.put_bytes(b"x").unwrap();
        let file = Node::File { digest, executable: false, attributes: Attributes::default() };
        for (target, fine) in [("usr", true), (outside.to_str().unwrap(), false), ("..", false)] {
            let mut tree = Tree::default();
            tree.insert("usr", Node::Folder(Attributes::default()));
            tree.insert("zlib", Node::Link { target: target.to_owned() });
            tree.insert("zlib/x", file.clone());
            let to = tempfile::tempdir_in(dir.path()).unwrap();
            let done = store.lay_out(&tree, to.path());
            assert_eq!(done.is_ok(), fine, "{done:?}");
            assert!(fine || matches!(done, Err(StoreError::Outside { path }) if path == "zlib/x"));
        }
        assert!(fs::read_dir(&outside).unwrap().next().is_none());
        assert!(!dir.path().join("x").exists());
    }

    #[test]
    fn a_fifo_is_no_part_of_a_package() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let from = dir.path().join("from");
        fs::create_dir(&from).unwrap();
        nix::unistd::mkfifo(&from.join("pipe"), nix::sys::stat::Mode::S_IRUSR).unwrap();
        let error = store.take_tree(&from).unwrap_err();
        assert!(matches!(error, StoreError::Special { path } if path == "pipe"));
    }
}

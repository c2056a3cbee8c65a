//! The usr-merge: `/bin` and its like are links into `/usr`, in sandboxes, in
//! staging folders and in images.

use crate::tree::{Node, Tree};

/// The links and their targets.
pub const LINKS: [(&str, &str); 4] =
    [("bin", "usr/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib64"), ("sbin", "usr/sbin")];

/// Takes the links, and the folders below `usr` that stayed empty, out of a
/// staging folder's tree: the builder made them, not the package.
pub(crate) fn without_links(tree: &mut Tree) {
    for (path, target) in LINKS {
        if matches!(tree.get(path), Some(Node::Link { target: found }) if found == target) {
            tree.remove(path);
        }
    }
    for path in ["usr/bin", "usr/lib", "usr/lib64", "usr/sbin", "usr"] {
        let below = format!("{path}/");
        if tree.iter().all(|(other, _)| !other.starts_with(&below)) {
            tree.remove(path);
        }
    }
}

/// Adds the links whose targets exist.
pub(crate) fn add_links(tree: &mut Tree) {
    for (path, target) in LINKS {
        if tree.get(path).is_none() && tree.get(target).is_some() {
            tree.insert(path, Node::Link { target: target.to_owned() });
        }
    }
}

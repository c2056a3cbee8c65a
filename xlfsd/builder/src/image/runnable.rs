//! Whether the programs of an image can start in it: the loader of each, and the
//! libraries that it and they need, must be there. A recipe that forgot a dependency
//! is told when the image is made, not by a machine that does not boot.

use super::contents::Composed;
use super::{ImageError, elf};
use crate::store::Store;
use crate::tree::{Node, Tree};

/// Where loaders look for libraries without further words: musl's and glibc's.
const FOLDERS: [&str; 5] = ["lib", "usr/lib", "lib64", "usr/lib64", "usr/local/lib"];

/// So many are told; the rest is counted.
const TOLD: usize = 8;

pub(super) fn check(store: &Store, contents: &Composed) -> Result<(), ImageError> {
    let tree = contents.tree();
    let mut list = Vec::new();
    for (path, node) in tree.iter() {
        let Node::File { digest, executable, .. } = node else { continue };
        let Some(needs) = elf::needs(&store.blob(digest, *executable)?) else { continue };
        let owner = match contents.input(path) {
            Some(input) => format!("the input {input}"),
            None => contents.owner(path).to_owned(),
        };
        if let Some(loader) = &needs.loader
            && !is_file(tree, loader)
        {
            list.push(format!("{path} (of {owner}) is started by {loader}"));
        }
        let missing = needs.libraries.iter().filter(|name| !found(tree, path, &needs, name));
        list.extend(missing.map(|name| format!("{path} (of {owner}) needs {name}")));
    }
    if list.is_empty() {
        return Ok(());
    }
    let more = list.len().saturating_sub(TOLD);
    list.truncate(TOLD);
    if more > 0 {
        list.push(format!("and {more} more"));
    }
    Err(ImageError::Unrunnable { list })
}

/// Whether a library is where the program at `path` will look for it.
fn found(tree: &Tree, path: &str, needs: &elf::Needs, name: &str) -> bool {
    if name.contains('/') {
        return is_file(tree, name);
    }
    let origin = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let own = needs.folders.iter().map(|folder| {
        folder.replace("${ORIGIN}", "$ORIGIN").replace("$ORIGIN", &format!("/{origin}"))
    });
    let mut places = own.chain(FOLDERS.map(str::to_owned)).chain(configured(tree));
    // musl's loader is the C library, too, whatever that is called.
    let musl = name == "libc.so" && tree.iter().any(|(path, _)| path.contains("/ld-musl-"));
    musl || places.any(|folder| is_file(tree, &format!("{folder}/{name}")))
}

/// Debian's folders: glibc of that kind looks there.
fn configured(tree: &Tree) -> impl Iterator<Item = String> {
    let multiarch = |(path, node): (&str, &Node)| {
        let name = path.strip_prefix("usr/lib/")?;
        let folder = matches!(node, Node::Folder(_)) && name.ends_with("-linux-gnu");
        (folder && !name.contains('/')).then(|| path.to_owned())
    };
    tree.iter().filter_map(multiarch)
}

fn is_file(tree: &Tree, path: &str) -> bool {
    matches!(resolve(tree, path), Some(Node::File { .. }))
}

/// What is at a path when all links on the way are followed, as the image's kernel
/// will follow them.
fn resolve<'a>(tree: &'a Tree, path: &str) -> Option<&'a Node> {
    let mut open: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
    let mut at: Vec<String> = Vec::new();
    let mut links = 0;
    let mut found = None;
    while let Some(part) = open.pop() {
        match part.as_str() {
            "" | "." => continue,
            ".." => {
                at.pop();
                continue;
            }
            _ => at.push(part),
        }
        found = Some(tree.get(&at.join("/"))?);
        if let Some(Node::Link { target }) = found {
            links += 1;
            if links > 40 {
                return None;
            }
            at.pop();
            if target.starts_with('/') {
                at.clear();
            }
            open.extend(target.split('/').rev().map(str::to_owned));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::tree::Attributes;

    #[test]
    fn links_are_followed_as_the_kernel_does() {
        let mut tree = Tree::default();
        let digest = Digest::of(b"x");
        let attributes = Attributes::default();
        tree.insert("usr/lib/ld.so", Node::File { digest, executable: true, attributes });
        let links = [
            ("lib", "usr/lib"),
            ("usr/lib64", "../lib"),
            ("usr/lib/ld-1.so", "/lib/ld.so"),
            ("loop", "./loop"),
            ("away", "../../../usr/lib/ld.so"),
        ];
        for (path, target) in links {
            tree.insert(path, Node::Link { target: target.to_owned() });
        }
        for fine in ["/lib/ld.so", "usr/lib64/ld-1.so", "lib/../lib/./ld.so", "away"] {
            assert!(is_file(&tree, fine), "{fine}");
        }
        for wrong in ["lib", "loop", "lib/ld.so.2", "usr/lib/ld.so/x", ""] {
            assert!(!is_file(&tree, wrong), "{wrong}");
        }
    }
}

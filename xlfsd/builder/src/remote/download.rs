//! What an action left, fetched and checked. Nothing that the service says is
//! believed: names, sizes, digests and the shape of the tree are looked at before
//! anything of it becomes part of the store's trees.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use prost::Message;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use super::upload::from_wire;
use super::{Remote, RemoteError};
use crate::action::OUT;
use crate::digest::Digest;
use crate::durable::FileError;
use crate::reapi;
use crate::reapi::google::bytestream::ReadRequest;
use crate::store::Store;
use crate::tree::{Attributes, Node, Tree};

/// A tree has at most so many files, folders and links. (A kernel's source has
/// 80,000.)
const NODES: usize = 1_000_000;
/// Folders stand at most so deep.
const DEPTH: usize = 128;
/// A tree's message has at most so many bytes.
const TREE: u64 = 256 << 20;

/// A log has at most so many bytes.
const LOG: u64 = 256 << 20;

/// `Tree` of the API, its folders as they were sent: their digests are of these
/// bytes, whatever else we understand of them.
#[derive(Clone, PartialEq, prost::Message)]
struct RawTree {
    #[prost(bytes = "vec", tag = "1")]
    root: Vec<u8>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    children: Vec<Vec<u8>>,
}

impl Remote {
    /// What the command printed, as a blob of the store.
    pub(super) async fn log(
        &self,
        store: &Store,
        result: &reapi::ActionResult,
    ) -> Result<Digest, RemoteError> {
        let mut log = Vec::new();
        let parts = [
            (&result.stdout_raw, &result.stdout_digest),
            (&result.stderr_raw, &result.stderr_digest),
        ];
        for (raw, digest) in parts {
            log.extend_from_slice(raw);
            if let (true, Some(digest)) = (raw.is_empty(), digest) {
                let digest = self.name(digest)?;
                if digest.size > LOG {
                    return Err(self.nonsense(format!("a log of {} bytes", digest.size)));
                }
                self.get(store, [digest.clone()].into()).await?;
                log.extend(store.read_blob(&digest)?);
            }
        }
        Ok(store.put_bytes(&log)?)
    }

    /// The folder that the command left, its files in the store.
    pub(super) async fn out(
        &self,
        store: &Store,
        result: &reapi::ActionResult,
    ) -> Result<Tree, RemoteError> {
        let found = result.output_directories.iter().find(|it| it.path == OUT);
        let Some(found) = found else {
            return Err(self.nonsense(format!("a result without the folder {OUT}")));
        };
        let wire = found.tree_digest.as_ref();
        let digest = self.name(wire.ok_or_else(|| self.nonsense("a folder without a tree"))?)?;
        if digest.size > TREE {
            return Err(self.nonsense(format!("a tree of {} bytes", digest.size)));
        }
        self.get(store, [digest.clone()].into()).await?;
        let bytes = store.read_blob(&digest)?;
        let tree = tree(&bytes, NODES).map_err(|what| self.nonsense(what))?;
        let files = tree.iter().filter_map(|(_, node)| match node {
            Node::File { digest, .. } => Some(digest.clone()),
            _ => None,
        });
        self.get(store, files.collect()).await?;
        Ok(tree)
    }

    fn name(&self, wire: &reapi::Digest) -> Result<Digest, RemoteError> {
        reapi::named(wire).ok_or_else(|| self.nonsense("a digest that is none"))
    }

    /// Fetches the blobs that the store lacks.
    async fn get(&self, store: &Store, wanted: BTreeSet<Digest>) -> Result<(), RemoteError> {
        let lacking: Vec<Digest> = {
            let store = store.clone();
            let lacks = move || wanted.into_iter().filter(|it| !store.has_blob(it)).collect();
            crate::blocking(lacks).await
        };
        let size = lacking.iter().map(|it| it.size).fold(0, u64::saturating_add);
        let free = store.free_space()?;
        if size > free {
            return Err(self.nonsense(format!("a result of {size} bytes; {free} are free here")));
        }
        let mut batch = Vec::new();
        let mut bytes = 0;
        for digest in lacking {
            let length = usize::try_from(digest.size).unwrap_or(usize::MAX);
            if length > self.batch {
                self.get_large(store, &digest).await?;
                continue;
            }
            if bytes + length > self.batch {
                self.get_batch(store, std::mem::take(&mut batch)).await?;
                bytes = 0;
            }
            bytes += length + 128;
            batch.push(digest);
        }
        self.get_batch(store, batch).await
    }

    async fn get_batch(&self, store: &Store, batch: Vec<Digest>) -> Result<(), RemoteError> {
        if batch.is_empty() {
            return Ok(());
        }
        let question = || async {
            let request = reapi::BatchReadBlobsRequest {
                instance_name: self.instance(),
                digests: batch.iter().map(Into::into).collect(),
                ..Default::default()
            };
            self.storage().batch_read_blobs(request).await
        };
        let answer = self.ask("send files", question).await?;
        let mut open: BTreeSet<Digest> = batch.into_iter().collect();
        for response in answer.responses {
            let status = response.status.unwrap_or_default();
            if status.code != 0 {
                return Err(self.refused("send a file", from_wire(status)));
            }
            // What nobody asked for stays out.
            let digest = Digest::of(&response.data);
            if !open.remove(&digest) {
                return Err(self.nonsense(format!("a file whose digest is {digest}")));
            }
            store.put_bytes(&response.data)?;
        }
        match open.first() {
            None => Ok(()),
            Some(missing) => Err(self.nonsense(format!("an answer without {missing}"))),
        }
    }

    async fn get_large(&self, store: &Store, digest: &Digest) -> Result<(), RemoteError> {
        let work = store.work_folder("remote")?;
        let path = work.path().join("blob");
        self.read_to(digest, &path).await?;
        let (store, expected) = (store.clone(), digest.clone());
        let found = crate::blocking(move || {
            let found = Digest::of_file(&path).map_err(FileError::at("read", &path))?;
            if found == expected {
                store.take_file(&path, false)?;
            }
            drop(work);
            Ok::<_, RemoteError>(found)
        })
        .await?;
        if found == *digest {
            return Ok(());
        }
        Err(self.nonsense(format!("a file whose digest is {found}, not {digest}")))
    }

    async fn read_to(&self, digest: &Digest, path: &Path) -> Result<(), RemoteError> {
        let write = || FileError::at("write", path);
        let mut file = File::create(path).await.map_err(write())?;
        let resource = self.resource(&format!("blobs/{}/{}", digest.hash, digest.size));
        let request = ReadRequest { resource_name: resource, ..ReadRequest::default() };
        let mut stream = match self.streams().read(request).await {
            Ok(stream) => stream.into_inner(),
            Err(status) => return Err(self.failed("send a large file", status).await),
        };
        let mut size = 0;
        loop {
            match stream.message().await {
                Ok(Some(part)) => {
                    size += part.data.len() as u64;
                    if size > digest.size {
                        return Err(self.nonsense(format!("more bytes than {digest} has")));
                    }
                    file.write_all(&part.data).await.map_err(write())?;
                }
                Ok(None) => break,
                Err(status) => return Err(self.failed("send a large file", status).await),
            }
        }
        Ok(file.flush().await.map_err(write())?)
    }
}

/// A tree that is being read.
struct Reading<'a> {
    children: BTreeMap<Digest, &'a [u8]>,
    most: usize,
    tree: Tree,
}

/// Reads a tree's message, of at most so many files.
fn tree(bytes: &[u8], most: usize) -> Result<Tree, String> {
    let raw = RawTree::decode(bytes).map_err(|error| format!("a tree that is none ({error})"))?;
    let children: BTreeMap<Digest, &[u8]> =
        raw.children.iter().map(|it| (Digest::of(it), it.as_slice())).collect();
    let mut reading = Reading { children, most, tree: Tree::default() };
    reading.add(&raw.root, "", 0)?;
    Ok(reading.tree)
}

impl Reading<'_> {
    fn add(&mut self, bytes: &[u8], at: &str, depth: usize) -> Result<(), String> {
        let folder = reapi::Directory::decode(bytes)
            .map_err(|error| format!("a folder at {at:?} that is none ({error})"))?;
        if depth > DEPTH {
            return Err(format!("folders that stand more than {DEPTH} deep"));
        }
        let mut names = BTreeSet::new();
        // A name that stands twice could make a link of a folder, and lead outside.
        let mut path = |name: &str| {
            let plain =
                !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0']);
            if !plain || !names.insert(name.to_owned()) {
                return Err(format!("the name {name:?} in the folder {at:?}"));
            }
            Ok(if at.is_empty() { name.to_owned() } else { format!("{at}/{name}") })
        };
        let digest = |wire: &Option<reapi::Digest>| {
            let named = wire.as_ref().and_then(reapi::named);
            named.ok_or_else(|| format!("a digest in the folder {at:?} that is none"))
        };
        for file in &folder.files {
            let (digest, executable) = (digest(&file.digest)?, file.is_executable);
            let attributes = Attributes::default();
            self.tree.insert(&path(&file.name)?, Node::File { digest, executable, attributes });
        }
        for link in &folder.symlinks {
            if link.target.is_empty() || link.target.contains('\0') {
                return Err(format!("the link {:?} in the folder {at:?}", link.name));
            }
            self.tree.insert(&path(&link.name)?, Node::Link { target: link.target.clone() });
        }
        for below in &folder.directories {
            let path = path(&below.name)?;
            self.tree.insert(&path, Node::Folder(Attributes::default()));
            self.bounded()?;
            let digest = digest(&below.digest)?;
            let bytes = *self.children.get(&digest).ok_or_else(|| format!("no folder {path:?}"))?;
            self.add(bytes, &path, depth + 1)?;
        }
        self.bounded()
    }

    fn bounded(&self) -> Result<(), String> {
        if self.tree.len() > self.most {
            return Err(format!("more than {} files", self.most));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> reapi::FileNode {
        let digest = Some((&Digest::of(b"x")).into());
        reapi::FileNode { name: name.to_owned(), digest, ..Default::default() }
    }

    fn link(name: &str, target: &str) -> reapi::SymlinkNode {
        reapi::SymlinkNode {
            name: name.to_owned(),
            target: target.to_owned(),
            ..Default::default()
        }
    }

    fn below(name: &str, of: &reapi::Directory) -> reapi::DirectoryNode {
        let digest = Some((&Digest::of(&of.encode_to_vec())).into());
        reapi::DirectoryNode { name: name.to_owned(), digest }
    }

    fn read(root: reapi::Directory, children: Vec<reapi::Directory>) -> Result<Tree, String> {
        tree(&reapi::Tree { root: Some(root), children }.encode_to_vec(), 1000)
    }

    #[test]
    fn a_tree_is_read_as_it_was_sent() {
        // A property that we do not understand is in the digest all the same.
        let mtime = Some(reapi::google::protobuf::Timestamp { seconds: 7, nanos: 0 });
        let node_properties = Some(reapi::NodeProperties { mtime, ..Default::default() });
        let inner =
            reapi::Directory { files: vec![file("x")], node_properties, ..Default::default() };
        let root = reapi::Directory {
            directories: vec![below("a", &inner), below("b", &inner)],
            symlinks: vec![link("l", "/etc")],
            ..Default::default()
        };
        let found = read(root, vec![inner]).unwrap();
        let paths: Vec<_> = found.iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["a", "a/x", "b", "b/x", "l"]);
    }

    #[test]
    fn a_tree_that_leads_outside_or_has_no_end_is_refused() {
        let folder = |files: &[&str], links: &[&str]| reapi::Directory {
            files: files.iter().map(|it| file(it)).collect(),
            symlinks: links.iter().map(|it| link(it, "/etc")).collect(),
            ..Default::default()
        };
        for name in ["", ".", "..", "../x", "/x", "a/b", "a\0b"] {
            assert!(read(folder(&[name], &[]), vec![]).is_err(), "{name:?}");
            assert!(read(folder(&[], &[name]), vec![]).is_err(), "{name:?}");
        }
        let inner = folder(&["passwd"], &[]);
        let mut root = folder(&[], &["x"]);
        root.directories.push(below("x", &inner));
        let error = read(root, vec![inner.clone()]).unwrap_err();
        assert_eq!(error, "the name \"x\" in the folder \"\"");
        let root = reapi::Directory {
            directories: vec![below("x", &folder(&["other"], &[]))],
            ..Default::default()
        };
        assert_eq!(read(root, vec![inner.clone()]).unwrap_err(), "no folder \"x\"");
        // Each folder holds the one below it ten times.
        let (mut children, mut last) = (vec![inner.clone()], inner);
        for _ in 0..20 {
            let names: Vec<String> = (0..10).map(|it| it.to_string()).collect();
            let directories = names.iter().map(|name| below(name, &last)).collect();
            last = reapi::Directory { directories, ..Default::default() };
            children.push(last.clone());
        }
        assert_eq!(read(last, children).unwrap_err(), "more than 1000 files");
        let (mut children, mut last) = (vec![], folder(&["x"], &[]));
        for _ in 0..200 {
            let next =
                reapi::Directory { directories: vec![below("d", &last)], ..Default::default() };
            children.push(last);
            last = next;
        }
        assert_eq!(read(last, children).unwrap_err(), "folders that stand more than 128 deep");
        assert!(tree(b"\xff\xff", 1000).is_err());
    }
}

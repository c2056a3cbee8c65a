//! A cpio archive in the kernel's initramfs format ("newc"), made without root
//! and the same for the same contents.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;

use thiserror::Error;
use xlfs_builder::newc::{self, FILE, FOLDER, Head, LINK, member};

/// Why there is no archive.
#[derive(Debug, Error)]
pub enum CpioError {
    /// A file that shall go in cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The format's size fields have 32 bits.
    #[error("{path} is too large for an initramfs ({size} bytes)")]
    TooLarge {
        /// Its path in the archive.
        path: String,
        /// Its size in bytes.
        size: usize,
    },
    /// The archive cannot be written.
    #[error("cannot write the initramfs")]
    Write(#[source] io::Error),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    mode: u32,
    data: Vec<u8>,
}

/// The tree that becomes an archive. Paths are absolute; folders above an entry
/// come by themselves; a second entry of the same path replaces the first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    entries: BTreeMap<String, Entry>,
}

impl Tree {
    /// An empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a folder.
    pub fn folder(&mut self, path: &str) -> &mut Self {
        self.add(path, FOLDER | 0o755, Vec::new())
    }

    /// Adds a file with these contents.
    pub fn file(&mut self, path: &str, mode: u32, data: impl Into<Vec<u8>>) -> &mut Self {
        self.add(path, FILE | (mode & 0o7777), data.into())
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, path: &str, target: &str) -> &mut Self {
        self.add(path, LINK | 0o777, target.as_bytes().to_vec())
    }

    /// Adds a file of the host, with the permissions that it has there.
    pub fn copy(&mut self, path: &str, from: &std::path::Path) -> Result<&mut Self, CpioError> {
        use std::os::unix::fs::PermissionsExt;
        let read = |source| CpioError::Read { path: from.to_owned(), source };
        let mode = std::fs::metadata(from).map_err(read)?.permissions().mode();
        Ok(self.file(path, mode, std::fs::read(from).map_err(read)?))
    }

    /// Whether something stands at the path.
    pub fn contains(&self, path: &str) -> bool {
        self.entries.contains_key(&relative(path))
    }

    /// Writes the archive, trailer included.
    pub fn write(&self, out: &mut impl Write) -> Result<(), CpioError> {
        for (inode, (name, entry)) in (1..).zip(&self.entries) {
            u32::try_from(entry.data.len())
                .map_err(|_| CpioError::TooLarge { path: name.clone(), size: entry.data.len() })?;
            let head = Head { inode, mode: entry.mode, links: 1, ..Head::default() };
            member(out, name, head, &entry.data).map_err(CpioError::Write)?;
        }
        newc::trailer(out).map_err(CpioError::Write)
    }

    fn add(&mut self, path: &str, mode: u32, data: Vec<u8>) -> &mut Self {
        let path = relative(path);
        for (at, _) in path.match_indices('/') {
            let above = path.get(..at).unwrap_or_default().to_owned();
            let folder = Entry { mode: FOLDER | 0o755, data: Vec::new() };
            self.entries.entry(above).or_insert(folder);
        }
        if !path.is_empty() {
            self.entries.insert(path, Entry { mode, data });
        }
        self
    }
}

fn relative(path: &str) -> String {
    path.split('/').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    fn sample() -> Tree {
        let mut tree = Tree::new();
        tree.file("/usr/bin/odd", 0o755, "12345").link("/bin", "usr/bin").file("/init", 0o700, "#");
        tree
    }

    #[test]
    fn the_archive_has_the_kernels_layout() {
        let mut out = Vec::new();
        let mut tree = Tree::new();
        tree.file("/ab", 0o644, "xyz");
        tree.write(&mut out).unwrap();
        let text = String::from_utf8_lossy(&out);
        let zero = "00000000";
        let header = format!(
            "07070100000001000081A4{zero}{zero}00000001{zero}00000003{zero}{zero}{zero}{zero}00000003{zero}"
        );
        // 110 bytes of header and 3 of name are padded by 3; 3 of data by 1.
        assert!(text.starts_with(&format!("{header}ab\0\0\0\0xyz\0070701")), "{text:?}");
        assert!(text.ends_with("TRAILER!!!\0\0\0\0") && out.len().is_multiple_of(4), "{text:?}");
    }

    #[test]
    fn the_same_tree_makes_the_same_archive() {
        let (mut one, mut two) = (Vec::new(), Vec::new());
        sample().write(&mut one).unwrap();
        let mut other = Tree::new();
        other.file("init", 0o700, "#").link("bin", "usr/bin").file("//usr/bin/odd", 0o755, "12345");
        other.write(&mut two).unwrap();
        assert_eq!(one, two);
    }

    #[test]
    fn folders_come_before_what_is_in_them() {
        let names: Vec<_> = sample().entries.into_keys().collect();
        assert_eq!(names, ["bin", "init", "usr", "usr/bin", "usr/bin/odd"]);
    }

    /// busybox's cpio is an independent reader, where there is one.
    #[test]
    fn cpio_reads_the_archive() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = match Command::new("cpio")
            .args(["-i", "-d", "--quiet"])
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .spawn()
        {
            Ok(child) => child,
            Err(error) => panic!("this test needs cpio (Debian package cpio): {error}"),
        };
        sample().write(child.stdin.as_mut().unwrap()).unwrap();
        assert!(child.wait().unwrap().success());
        assert_eq!(std::fs::read(folder.path().join("bin/odd")).unwrap(), b"12345");
    }
}

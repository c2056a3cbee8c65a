//! The building machine's compiler as a root folder: the files of named Debian
//! packages and of what they depend on are copied into the store, and nothing
//! else of the machine is ever visible to a step.
//!
//! A toolchain that holds nothing of the machine is made of packages of the set
//! and needs nothing from here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::durable::FileError;
use crate::store::{Store, StoreError};
use crate::tree::{Attributes, Node, Tree};
use xlfs_mistakes::suggest::did_you_mean;

/// Why the machine's packages do not make a toolchain.
#[derive(Debug, thiserror::Error)]
pub enum ToolchainError {
    /// dpkg cannot be asked.
    #[error(
        "cannot run dpkg-query, which tells which files a host toolchain has (is this a Debian system?)"
    )]
    Start(#[source] io::Error),
    /// dpkg does not answer.
    #[error("dpkg-query failed: {message}")]
    Failed {
        /// What it said.
        message: String,
    },
    /// A package is missing.
    #[error(
        "the toolchain {toolchain} needs the Debian package {package}, which is not installed{suggestion}: apt-get install {package}"
    )]
    Missing {
        /// The toolchain.
        toolchain: String,
        /// The package.
        package: String,
        /// `(did you mean ...?)`, or empty.
        suggestion: String,
    },
    /// The store fails.
    #[error("cannot copy the toolchain's files")]
    Store(#[from] StoreError),
}

/// A toolchain's part that was copied from the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// Its tree.
    pub root: Digest,
    /// `name=version`, sorted.
    pub packages: Vec<String>,
}

struct Installed {
    version: String,
    needs: Vec<Vec<String>>,
}

/// Not needed to compile anything.
const LEFT_OUT: [&str; 8] = [
    "usr/share/doc/",
    "usr/share/man/",
    "usr/share/info/",
    "usr/share/locale/",
    "usr/share/lintian/",
    "usr/share/bug/",
    "var/",
    "boot/",
];

/// Copies the packages' files into the store, unless these versions stand there.
pub fn import(store: &Store, name: &str, wanted: &[String]) -> Result<Imported, ToolchainError> {
    let installed = installed()?;
    let mut chosen: BTreeSet<String> = BTreeSet::new();
    let mut open: Vec<String> = Vec::new();
    for package in wanted {
        let found = installed.by_name.get(package).ok_or_else(|| ToolchainError::Missing {
            toolchain: name.to_owned(),
            package: package.clone(),
            suggestion: did_you_mean(package, installed.by_name.keys().map(String::as_str)),
        })?;
        open.push(found.clone());
    }
    while let Some(package) = open.pop() {
        if let Some(found) = installed.packages.get(&package)
            && chosen.insert(package)
        {
            for alternatives in &found.needs {
                let one = alternatives.iter().find_map(|it| installed.by_name.get(it));
                open.extend(one.cloned());
            }
        }
    }
    let version = |package: &String| {
        let version = installed.packages.get(package).map_or("", |it| it.version.as_str());
        format!("{package}={version}")
    };
    let packages: Vec<String> = chosen.iter().map(version).collect();
    let key = Digest::of(packages.join("\n").as_bytes());
    if let Some(imported) = store.imported(&key)? {
        return Ok(imported);
    }
    let tree = copy(store, &chosen)?;
    let root = store.put_tree(&tree)?;
    let imported = Imported { root, packages };
    store.publish_imported(&key, &imported)?;
    Ok(imported)
}

struct Database {
    packages: BTreeMap<String, Installed>,
    /// Names, also provided ones, and the package behind each.
    by_name: BTreeMap<String, String>,
}

fn installed() -> Result<Database, ToolchainError> {
    let format = "${db:Status-Status}\t${binary:Package}\t${Package}\t${Version}\t\
                  ${Pre-Depends}, ${Depends}\t${Provides}\n";
    let text = dpkg_query(&["-W", "-f", format])?;
    let mut database = Database { packages: BTreeMap::new(), by_name: BTreeMap::new() };
    let plain =
        |text: &str| text.trim().split([' ', ':', '(']).next().unwrap_or_default().to_owned();
    let mut provided = Vec::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let &["installed", package, name, version, needs, provides] = fields.as_slice() else {
            continue;
        };
        let needs = needs.split(',').map(|one| one.split('|').map(plain).collect()).collect();
        database.by_name.insert(name.to_owned(), package.to_owned());
        for other in provides.split(',').map(plain).filter(|other| !other.is_empty()) {
            provided.push((other, package.to_owned()));
        }
        let installed = Installed { version: version.to_owned(), needs };
        database.packages.insert(package.to_owned(), installed);
    }
    for (name, package) in provided {
        database.by_name.entry(name).or_insert(package);
    }
    Ok(database)
}

fn copy(store: &Store, packages: &BTreeSet<String>) -> Result<Tree, ToolchainError> {
    let mut arguments = vec!["-L"];
    arguments.extend(packages.iter().map(String::as_str));
    let text = dpkg_query(&arguments)?;
    let mut tree = Tree::default();
    let mut folders: BTreeMap<PathBuf, Option<PathBuf>> = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with('/') && *line != "/.") {
        // "/bin/sh" stands at "/usr/bin/sh": links among the folders are resolved.
        let path = Path::new(line);
        let (Some(above), Some(name)) = (path.parent(), path.file_name()) else { continue };
        let above = folders.entry(above.to_owned()).or_insert_with(|| fs::canonicalize(above).ok());
        let Some(real) = above.as_ref().map(|above| above.join(name)) else { continue };
        add(store, &mut tree, &real)?;
    }
    for folder in ["usr/bin", "usr/sbin"] {
        alternatives(&mut tree, folder);
    }
    Ok(tree)
}

fn add(store: &Store, tree: &mut Tree, real: &Path) -> Result<(), ToolchainError> {
    let Some(path) = real.to_str().map(|it| it.trim_start_matches('/')) else { return Ok(()) };
    let left_out = |part: &&str| path.starts_with(*part) || *part == format!("{path}/");
    // Documentation that dpkg was told to leave out is not there.
    let Ok(meta) = fs::symlink_metadata(real) else { return Ok(()) };
    if path.is_empty() || LEFT_OUT.iter().any(left_out) {
        return Ok(());
    }
    if meta.is_dir() {
        if tree.get(path).is_none() {
            tree.insert(path, Node::Folder(Attributes::default()));
        }
    } else if meta.is_symlink() {
        let target =
            fs::read_link(real).map_err(FileError::at("read", real)).map_err(StoreError::from)?;
        // The usr-merge's own links are the builder's to make.
        if let (Some(target), true) = (target.to_str(), path.contains('/')) {
            tree.insert(path, Node::Link { target: target.to_owned() });
        }
    } else if meta.is_file() && meta.permissions().mode() & 0o004 != 0 {
        // What only root may read is no part of a compiler.
        let executable = meta.permissions().mode() & 0o111 != 0;
        let digest = store.copy_file(real, executable)?;
        let attributes = Attributes::default();
        tree.insert(path, Node::File { digest, executable, attributes });
    }
    Ok(())
}

/// Names such as awk and c++ are links through /etc/alternatives, of no package.
fn alternatives(tree: &mut Tree, folder: &str) {
    let Ok(list) = fs::read_dir(Path::new("/").join(folder)) else { return };
    for entry in list.flatten() {
        let link = entry.path();
        let through = fs::read_link(&link).is_ok_and(|it| it.starts_with("/etc/alternatives"));
        let target = fs::canonicalize(&link).ok();
        let target = target.as_deref().and_then(Path::to_str);
        if let (true, Some(target), Some(name)) = (through, target, entry.file_name().to_str())
            && tree.get(target.trim_start_matches('/')).is_some()
        {
            tree.insert(&format!("{folder}/{name}"), Node::Link { target: target.to_owned() });
        }
    }
}

fn dpkg_query(arguments: &[&str]) -> Result<String, ToolchainError> {
    let output = Command::new("dpkg-query")
        .args(arguments)
        .env("LC_ALL", "C")
        .output()
        .map_err(ToolchainError::Start)?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(ToolchainError::Failed { message });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

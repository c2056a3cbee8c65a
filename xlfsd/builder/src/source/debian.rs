//! Debian's archive as a place for upstream's files, by the apt client under a
//! configuration of our own: as any user, and without touching anything of the
//! system. apt also fetches plain addresses, with the system's proxies.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use parking_lot::Mutex;

use crate::recipe::lock::DebianPlace;

/// Why a file did not come.
#[derive(Debug, thiserror::Error)]
pub enum DebianError {
    /// The system's apt is not set up for Debian.
    #[error(
        "the system's apt names no mirror of Debian: add one to its sources, or give the files \
         with --sources or --mirror"
    )]
    NoMirror,
    /// A program of apt cannot be started.
    #[error("cannot run {program} (is this a Debian system?)")]
    Start {
        /// The program.
        program: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// It ran and failed.
    #[error("{message}")]
    Failed {
        /// What it said.
        message: String,
    },
    /// The set has no suite.
    #[error("set.toml names no suite of Debian ([debian] suite)")]
    NoSuite,
    /// The suite has no such source package in this version.
    #[error("the suite {suite} has no source package {package} {version}")]
    NoPackage {
        /// The suite.
        suite: String,
        /// The package.
        package: String,
        /// The version.
        version: String,
    },
    /// The source package has no such file.
    #[error("the source package has no file {file}, only {}", others.join(", "))]
    NoFile {
        /// The file.
        file: String,
        /// What it has.
        others: Vec<String>,
    },
    /// Our own folder cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

/// The apt client with lists of our own.
#[derive(Debug)]
pub struct Debian {
    folder: PathBuf,
    suite: Option<String>,
    /// Whether the lists are there; one thread at a time makes them.
    ready: Mutex<bool>,
}

const HELPER: &str = "/usr/lib/apt/apt-helper";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

impl Debian {
    pub(super) fn new(folder: PathBuf, suite: Option<String>) -> Self {
        Self { folder, suite, ready: Mutex::new(false) }
    }

    /// Fetches an address.
    pub(super) fn url(&self, url: &str, to: &Path) -> Result<(), DebianError> {
        self.options(&[])?;
        let mut command = Command::new(HELPER);
        command.args(self.options(&[])?).arg("download-file").arg(url).arg(to);
        run(command, HELPER).map(drop)
    }

    /// Fetches one file of a source package.
    pub(super) fn source(
        &self,
        place: &DebianPlace,
        file: &str,
        to: &Path,
    ) -> Result<(), DebianError> {
        let uris = self.uris(place)?;
        let found = uris.iter().find(|(_, name)| name == file);
        let (uri, _) = found.ok_or_else(|| DebianError::NoFile {
            file: file.to_owned(),
            others: uris.iter().map(|(_, name)| name.clone()).collect(),
        })?;
        self.url(uri, to)
    }

    /// Addresses and names of a source package's files.
    fn uris(&self, place: &DebianPlace) -> Result<Vec<(String, String)>, DebianError> {
        let suite = self.suite.as_deref().ok_or(DebianError::NoSuite)?;
        self.update(suite)?;
        let mut command = Command::new("apt-get");
        command.args(self.options(&[])?);
        command.args(["source", "--download-only", "--print-uris", "-qq", "--only-source"]);
        command.arg(format!("{}={}", place.debian, place.version));
        let none = || DebianError::NoPackage {
            suite: suite.to_owned(),
            package: place.debian.clone(),
            version: place.version.clone(),
        };
        let output = match run(command, "apt-get") {
            Err(DebianError::Failed { .. }) => return Err(none()),
            other => other?,
        };
        let uris = parse_uris(&String::from_utf8_lossy(&output.stdout));
        if uris.is_empty() { Err(none()) } else { Ok(uris) }
    }

    /// Makes the lists, once in a process.
    fn update(&self, suite: &str) -> Result<(), DebianError> {
        let mut ready = self.ready.lock();
        if *ready {
            return Ok(());
        }
        let mirror = mirror().ok_or(DebianError::NoMirror)?;
        let signed = if Path::new(KEYRING).exists() {
            format!("[signed-by={KEYRING}] ")
        } else {
            String::new()
        };
        let list = self.folder.join("sources.list");
        make_folder(&self.folder)?;
        fs::write(&list, format!("deb-src {signed}{mirror} {suite} main\n"))
            .map_err(|source| DebianError::Write { path: list, source })?;
        let mut command = Command::new("apt-get");
        command.args(self.options(&[])?).args(["update", "-qq"]);
        run(command, "apt-get")?;
        *ready = true;
        Ok(())
    }

    fn options(&self, more: &[&str]) -> Result<Vec<String>, DebianError> {
        for part in ["state/lists/partial", "cache/archives/partial"] {
            make_folder(&self.folder.join(part))?;
        }
        let folder = self.folder.display();
        let mut all = vec![
            format!("Dir::State={folder}/state"),
            format!("Dir::Cache={folder}/cache"),
            "Dir::State::status=/dev/null".to_owned(),
            format!("Dir::Etc::SourceList={folder}/sources.list"),
            "Dir::Etc::SourceParts=/dev/null".to_owned(),
            // Root's apt would drop to _apt, who cannot write into our folders.
            "APT::Sandbox::User=root".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::Retries=2".to_owned(),
        ];
        all.extend(more.iter().map(|it| (*it).to_owned()));
        Ok(all.into_iter().flat_map(|option| ["-o".to_owned(), option]).collect())
    }
}

/// The Debian mirror that the system's own apt uses.
fn mirror() -> Option<String> {
    let mut command = Command::new("apt-get");
    command.args(["indextargets", "--format", "$(ORIGIN) $(REPO_URI)", "Created-By: Packages"]);
    let output = run(command, "apt-get").ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let main = |line: &&str| line.starts_with("Debian ") && !line.contains("security");
    let line = text.lines().find(main)?;
    line.split(' ').nth(1).map(|uri| uri.trim_end_matches('/').to_owned())
}

/// Lines like `'http://.../x.orig.tar.gz' x.orig.tar.gz 123 SHA256:...`.
fn parse_uris(text: &str) -> Vec<(String, String)> {
    let line = |line: &str| {
        let (uri, rest) = line.strip_prefix('\'')?.split_once("' ")?;
        Some((uri.to_owned(), rest.split(' ').next()?.to_owned()))
    };
    text.lines().filter_map(line).collect()
}

fn run(mut command: Command, program: &str) -> Result<Output, DebianError> {
    let output = command
        .env("LC_ALL", "C")
        .output()
        .map_err(|source| DebianError::Start { program: program.to_owned(), source })?;
    if output.status.success() {
        return Ok(output);
    }
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let mut lines: Vec<&str> = stderr.lines().map(str::trim).filter(|it| !it.is_empty()).collect();
    lines.truncate(3);
    Err(DebianError::Failed { message: lines.join(" / ") })
}

fn make_folder(path: &Path) -> Result<(), DebianError> {
    fs::create_dir_all(path).map_err(|source| DebianError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apts_list_of_files_is_read() {
        let text = "'http://m/pool/x/x_1.dsc' x_1.dsc 10 SHA256:aa\n\
                    'http://m/pool/x/x_1.orig.tar.xz' x_1.orig.tar.xz 20 SHA256:bb\nNeed 1\n";
        let uris = parse_uris(text);
        let second = ("http://m/pool/x/x_1.orig.tar.xz".to_owned(), "x_1.orig.tar.xz".to_owned());
        assert_eq!((uris.len(), &uris[1]), (2, &second));
    }
}

//! Debian packages without installing them: apt finds and fetches, `dpkg-deb -x`
//! unpacks into the cache.
//!
//! The system's package lists serve when they are there and up to date. When
//! they are not, or when another suite is asked for, the lists live in a folder
//! of the cache; the system's own are never touched.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use thiserror::Error;

/// Why a package did not come.
#[derive(Debug, Error)]
pub enum AptError {
    /// A program of apt or dpkg cannot be started.
    #[error("cannot run {program} (is this a Debian system?)")]
    Start {
        /// The program.
        program: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// It ran and failed.
    #[error("{command} failed: {stderr}")]
    Failed {
        /// The command line.
        command: String,
        /// What it said.
        stderr: String,
    },
    /// No such package in the lists.
    #[error("apt offers no package {name}")]
    Missing {
        /// The package, or the pattern looked for.
        name: String,
    },
    /// No source of the Debian archive to derive another suite's from.
    #[error("apt has no source with origin Debian; add one, or leave the suite out")]
    NoMirror,
    /// The cache cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

/// One way to ask apt: with the system's lists or with lists of our own.
#[derive(Debug, Clone)]
pub struct Apt {
    options: Vec<String>,
}

/// What the lists say about a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The package.
    pub name: String,
    /// The candidate's version.
    pub version: String,
    /// For each dependency, the alternatives (names only).
    pub depends: Vec<Vec<String>>,
}

impl Apt {
    /// Asks with the system's lists.
    pub fn system() -> Self {
        Self { options: Vec::new() }
    }

    /// Fetches lists into `folder`: from the system's sources, or for `suite`
    /// from the Debian mirror that the system's sources name.
    pub fn private(folder: &Path, suite: Option<&str>) -> Result<Self, AptError> {
        for part in ["state/lists/partial", "cache/archives/partial"] {
            make_folder(&folder.join(part))?;
        }
        let mut options = vec![
            format!("Dir::State={}", folder.join("state").display()),
            format!("Dir::Cache={}", folder.join("cache").display()),
            "Dir::State::status=/dev/null".to_owned(),
            "APT::Get::List-Cleanup=0".to_owned(),
        ];
        if let Some(suite) = suite {
            let mirror = Self::system().mirror()?;
            let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
            let sources = folder.join("sources.list");
            let line = format!("deb [signed-by={keyring}] {mirror} {suite} main\n");
            fs::write(&sources, line)
                .map_err(|source| AptError::Write { path: sources.clone(), source })?;
            options.push(format!("Dir::Etc::SourceList={}", sources.display()));
            options.push("Dir::Etc::SourceParts=/dev/null".to_owned());
        }
        let apt = Self { options };
        apt.run("apt-get", &["update", "-qq"], folder)?;
        Ok(apt)
    }

    /// Names of packages that match the regular expression.
    pub fn names(&self, pattern: &str) -> Result<Vec<String>, AptError> {
        let args = ["search", "--names-only", pattern];
        let text = stdout(self.run("apt-cache", &args, Path::new("/"))?);
        Ok(text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect())
    }

    /// The candidate of one package.
    pub fn offer(&self, name: &str) -> Result<Offer, AptError> {
        let args = ["show", "--no-all-versions", name];
        // apt-cache fails on an unknown name; its reason adds nothing.
        let text = match self.run("apt-cache", &args, Path::new("/")) {
            Ok(output) => stdout(output),
            Err(AptError::Failed { .. }) => String::new(),
            Err(other) => return Err(other),
        };
        parse_offer(&text).ok_or_else(|| AptError::Missing { name: name.to_owned() })
    }

    /// Fetches the candidate and unpacks it as `packages/NAME_VERSION` below
    /// `cache`, unless it stands there already.
    pub fn unpack(&self, offer: &Offer, cache: &Path) -> Result<PathBuf, AptError> {
        let packages = cache.join("packages");
        // The epoch's colon would be fine for us, but not in every path list.
        let wanted = packages.join(format!("{}_{}", offer.name, offer.version.replace(':', "%3a")));
        if wanted.is_dir() {
            return Ok(wanted);
        }
        make_folder(&packages)?;
        let work = tempfile::Builder::new()
            .prefix(".unpacking-")
            .tempdir_in(&packages)
            .map_err(|source| AptError::Write { path: packages.clone(), source })?;
        let versioned = format!("{}={}", offer.name, offer.version);
        self.run("apt-get", &["download", "-qq", &versioned], work.path())?;
        let deb = fs::read_dir(work.path())
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
            .ok_or_else(|| AptError::Missing { name: versioned.clone() })?;
        let root = work.path().join("root");
        let from = deb.to_string_lossy();
        let to = root.to_string_lossy();
        Self::system().run("dpkg-deb", &["-x", &from, &to], work.path())?;
        match fs::rename(&root, &wanted) {
            // Another run was faster: its folder is as good.
            Err(_) if wanted.is_dir() => Ok(wanted),
            Err(source) => Err(AptError::Write { path: wanted, source }),
            Ok(()) => Ok(wanted),
        }
    }

    /// The lines of a sources.list for `suite`, its updates and its security
    /// fixes, from the mirrors that the sources name.
    pub fn sources(&self, suite: &str) -> Result<Vec<String>, AptError> {
        let format = "$(ORIGIN) $(REPO_URI) $(RELEASE) $(COMPONENT)";
        let args = ["indextargets", "--format", format, "Created-By: Packages"];
        let text = stdout(self.run("apt-get", &args, Path::new("/"))?);
        let lines = debian_sources(&text, suite);
        if lines.is_empty() { Err(AptError::NoMirror) } else { Ok(lines) }
    }

    /// The proxies that apt has been told to use, as settings for another apt.
    pub fn proxies(&self) -> Result<Vec<String>, AptError> {
        let text = stdout(self.run("apt-config", &["dump"], Path::new("/"))?);
        let proxy = |line: &&str| {
            line.starts_with("Acquire::http")
                && line.contains("::Proxy ")
                && !line.ends_with(" \"\";")
        };
        Ok(text.lines().filter(proxy).map(str::to_owned).collect())
    }

    fn mirror(&self) -> Result<String, AptError> {
        let args = ["indextargets", "--format", "$(ORIGIN) $(REPO_URI)", "Created-By: Packages"];
        let text = stdout(self.run("apt-get", &args, Path::new("/"))?);
        text.lines()
            .filter_map(|line| line.strip_prefix("Debian "))
            .find(|uri| !uri.contains("security"))
            .map(str::to_owned)
            .ok_or(AptError::NoMirror)
    }

    fn run(&self, program: &str, args: &[&str], cwd: &Path) -> Result<Output, AptError> {
        let mut command = Command::new(program);
        command.current_dir(cwd).env("LC_ALL", "C");
        if program.starts_with("apt") {
            // Root's apt would drop to _apt, who cannot write into the cache.
            command.args(["-o", "APT::Sandbox::User=root"]);
        }
        command.args(self.options.iter().flat_map(|option| ["-o", option]));
        command.args(args);
        let output = command
            .output()
            .map_err(|source| AptError::Start { program: program.to_owned(), source })?;
        if output.status.success() {
            return Ok(output);
        }
        let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(AptError::Failed { command: format!("{program} {}", args.join(" ")), stderr })
    }
}

fn stdout(output: Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn make_folder(path: &Path) -> Result<(), AptError> {
    fs::create_dir_all(path).map_err(|source| AptError::Write { path: path.to_owned(), source })
}

fn parse_offer(text: &str) -> Option<Offer> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    let depends = ["Depends: ", "Pre-Depends: "].iter().filter_map(|name| field(name));
    let depends = depends
        .flat_map(|list| list.split(", "))
        .map(|dependency| {
            dependency
                .split(" | ")
                .filter_map(|one| one.split([' ', ':', '(']).next())
                .map(str::to_owned)
                .collect()
        })
        .collect();
    Some(Offer {
        name: field("Package: ")?.to_owned(),
        version: field("Version: ")?.to_owned(),
        depends,
    })
}

fn debian_sources(targets: &str, suite: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for target in targets.lines() {
        let mut words = target.splitn(2, ' ');
        let (Some("Debian"), Some(rest)) = (words.next(), words.next()) else { continue };
        let release = rest.split(' ').nth(1).unwrap_or_default();
        let wanted = ["", "-updates", "-security", "/updates"];
        let line = format!("deb {rest}");
        if release.strip_prefix(suite).is_some_and(|end| wanted.contains(&end))
            && !lines.contains(&line)
        {
            lines.push(line);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_of_the_suite_and_of_debian_alone() {
        let targets = "Debian http://m/debian/ bookworm main\n\
                       Debian http://m/debian/ bookworm-backports main\n\
                       Debian http://m/debian/ trixie main\n\
                       . nodistro https://elsewhere/ nodistro main\n\
                       Debian http://m/debian-security/ bookworm-security main\n";
        let expected = [
            "deb http://m/debian/ bookworm main",
            "deb http://m/debian-security/ bookworm-security main",
        ];
        assert_eq!(debian_sources(targets, "bookworm"), expected);
        assert!(debian_sources("", "bookworm").is_empty());
    }

    #[test]
    fn an_offer_is_read_from_the_lists() {
        let text = "Package: xen-utils-4.17\nVersion: 4.17.5+1-1\nPre-Depends: libc6\n\
                    Depends: libxencall1 (>= 4.6.0), python3:any | python3\nDescription: x\n";
        let offer = parse_offer(text).unwrap();
        assert_eq!(offer.name, "xen-utils-4.17");
        assert_eq!(offer.version, "4.17.5+1-1");
        let depends = [vec!["libxencall1"], vec!["python3", "python3"], vec!["libc6"]];
        assert_eq!(offer.depends, depends);
        assert_eq!(parse_offer(""), None);
    }
}

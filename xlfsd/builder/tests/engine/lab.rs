//! A release set and a store in a folder of their own.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use xlfs_builder::build::{Builder, Config, Event, Request, Summary};
use xlfs_builder::store::Record;
use xlfs_builder::tree::Node;

pub(crate) const SET: &str = r#"
name = "t"
summary = "Tiny recipes"
source_date_epoch = 1686355200
toolchain = "shell"

[outputs]
dev = ["usr/include/**"]

[toolchains.shell]
summary = "A shell and little else"
debian = ["dash", "coreutils", "findutils", "make", "tar", "gzip", "sed", "grep"]
target = "x86_64-pc-linux-gnu"
"#;

/// A set, a store, and what was built in it.
pub(crate) struct Lab {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) jobs: usize,
    pub(crate) packages: usize,
}

/// What a build told.
pub(crate) struct Told {
    pub(crate) summary: Summary,
    pub(crate) events: Vec<Event>,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let folder =
            tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir().unwrap();
        let lab = Self { folder, jobs: 2, packages: 0 };
        fs::create_dir_all(lab.recipes().join("images")).unwrap();
        lab.file("set.toml", SET);
        lab
    }

    pub(crate) fn recipes(&self) -> PathBuf {
        self.folder.path().join("t")
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    pub(crate) fn file(&self, path: &str, text: &str) {
        let path = self.recipes().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A package that depends on `build` and whose install step is `install`.
    pub(crate) fn package(&self, name: &str, build: &[&str], install: &str) {
        self.recipe(name, build, "", install);
    }

    pub(crate) fn recipe(&self, name: &str, build: &[&str], more: &str, install: &str) {
        let text = format!(
            "name = \"{name}\"\nversion = \"1\"\nlicence = \"MIT\"\nsummary = \"{name}\"\n\
             why = \"A test.\"\nstrip = false\n{more}\n[depends]\nbuild = {build:?}\n\
             [steps]\ninstall = '''\n{install}\n'''\n"
        );
        self.file(&format!("{name}.toml"), &text);
    }

    pub(crate) fn config(&self) -> Config {
        let config = Config::new(self.store(), self.recipes());
        Config { jobs: self.jobs, packages: self.packages, ..config }
    }

    pub(crate) fn builder(&self) -> Builder {
        Builder::open(&self.config()).unwrap()
    }

    pub(crate) async fn build(&self, targets: &[&str]) -> Told {
        self.build_request(request(targets)).await
    }

    pub(crate) async fn build_request(&self, request: Request) -> Told {
        let build = self.builder().start(request).unwrap();
        let mut reader = build.events().reader(0);
        let mut events = Vec::new();
        while let Some(event) = reader.next().await {
            assert_eq!(event.number, events.len());
            events.push(event.event);
        }
        Told { summary: build.finished().await, events }
    }

    pub(crate) fn record(&self, package: &str) -> Record {
        let record = self.builder().store().latest("t", &format!("{package}@shell")).unwrap();
        record.unwrap_or_else(|| panic!("{package} has no result"))
    }

    /// The text of a file of a package's output `run`.
    pub(crate) fn text(&self, package: &str, path: &str) -> String {
        let builder = self.builder();
        let tree = builder.store().read_tree(&self.record(package).outputs["run"]).unwrap();
        match tree.get(path) {
            Some(Node::File { digest, .. }) => {
                String::from_utf8(builder.store().read_blob(digest).unwrap()).unwrap()
            }
            other => panic!("{package} has {other:?} at {path}"),
        }
    }

    /// Nothing of a build is left in the store's working folder.
    pub(crate) fn nothing_left(&self) {
        let left: Vec<_> = fs::read_dir(self.store().join("work")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

pub(crate) fn request(targets: &[&str]) -> Request {
    let targets = targets.iter().map(|it| (*it).to_owned()).collect();
    Request { targets, ..Request::default() }
}

impl Told {
    /// Packages that were built, in order.
    pub(crate) fn built<'a>(&'a self) -> Vec<&'a str> {
        let name = |event: &'a Event| match event {
            Event::Built { package, .. } => Some(package.as_str()),
            _ => None,
        };
        self.events.iter().filter_map(name).collect()
    }

    pub(crate) fn skipped<'a>(&'a self) -> Vec<&'a str> {
        let name = |event: &'a Event| match event {
            Event::Skipped { package, .. } => Some(package.as_str()),
            _ => None,
        };
        self.events.iter().filter_map(name).collect()
    }

    /// Why a package failed, its step and its last lines.
    pub(crate) fn failure(&self, wanted: &str) -> (String, String, Vec<String>) {
        let found = self.events.iter().find_map(|event| match event {
            Event::Failed { package, step, reason, tail, .. } if package == wanted => {
                Some((step.clone(), reason.clone(), tail.clone()))
            }
            _ => None,
        });
        found.unwrap_or_else(|| panic!("{wanted} did not fail: {:#?}", self.events))
    }

    pub(crate) fn fine(self) -> Self {
        assert!(self.summary.succeeded(), "{:#?}", self.events);
        self
    }
}

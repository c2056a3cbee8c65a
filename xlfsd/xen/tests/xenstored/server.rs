//! A real xenstored in a folder of its own.
//!
//! `no_xen.c`, compiled here with `cc`, stands between xenstored and the hypervisor that is not
//! there; no root is needed. XLFS_XENSTORED names the binary and XLFS_XENSTORED_LIBS the folders
//! of its libraries (separated by colons). Each server has its own XENSTORED_RUNDIR, so any
//! number run side by side. A binary called oxenstored is started as such.

use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use std::{env, fs};

use tempfile::TempDir;
use xlfs_xen::xenstore::{Client, Config, Endpoint};

pub(crate) struct Server {
    dir: TempDir,
    child: Option<Child>,
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| {
        panic!(
            "{name} is not set. These tests need a real xenstored: unpack Debian's xen-utils-4.17 \
             and its libxen* libraries with `apt-get download` and `dpkg-deb -x`, and set \
             XLFS_XENSTORED to .../usr/lib/xen-4.17/bin/xenstored and XLFS_XENSTORED_LIBS to \
             .../usr/lib/x86_64-linux-gnu. `make test` does this."
        )
    })
}

/// The library to preload, built once for each run of the tests.
fn no_xen() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/xenstored/no_xen.c");
        let library =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("no_xen-{}.so", process::id()));
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-w", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .status()
            .unwrap_or_else(|error| panic!("a C compiler is needed (cc): {error}"));
        assert!(built.success(), "cc could not build {}", source.display());
        let stable = library.with_file_name("no_xen.so");
        fs::rename(&library, &stable).unwrap();
        stable
    })
}

impl Server {
    pub(crate) fn start() -> Server {
        let mut server = Server { dir: tempfile::tempdir().unwrap(), child: None };
        server.start_again();
        server
    }

    pub(crate) fn start_again(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let binary = PathBuf::from(variable("XLFS_XENSTORED"));
        let mut command = Command::new(&binary);
        if binary.file_name().is_some_and(|name| name == "oxenstored") {
            command.arg("--config-file").arg(self.write_oxenstored_conf());
        }
        let child = command
            .arg("--no-fork")
            .env("LD_PRELOAD", no_xen())
            .env("LD_LIBRARY_PATH", variable("XLFS_XENSTORED_LIBS"))
            .env("XENSTORED_RUNDIR", self.dir.path())
            .env("XENSTORED_ROOTDIR", self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run xenstored: {error}"));
        self.child = Some(child);
        let until = Instant::now() + Duration::from_secs(20);
        while std::os::unix::net::UnixStream::connect(self.socket()).is_err() {
            let child = self.child.as_mut().unwrap();
            if let Some(status) = child.try_wait().unwrap() {
                panic!("xenstored ended at once: {status}");
            }
            assert!(Instant::now() < until, "xenstored does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// oxenstored takes from a file what C xenstored takes from its environment.
    fn write_oxenstored_conf(&self) -> PathBuf {
        let dir = self.dir.path().display();
        let text = format!(
            "pid-file = {dir}/pid\n\
             xenstored-log-file = {dir}/log\n\
             access-log-file = {dir}/access-log\n\
             xenstored-kva = /proc/xen/xsd_kva\n\
             xenstored-port = /proc/xen/xsd_port\n\
             persistent = false\n"
        );
        let path = self.dir.path().join("oxenstored.conf");
        fs::write(&path, text).unwrap();
        path
    }

    /// Ends it without a warning, as a crash would.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    pub(crate) async fn client(&self) -> Client {
        self.client_with(Config::default()).await
    }

    pub(crate) async fn client_with(&self, config: Config) -> Client {
        Client::connect(Endpoint::Socket(self.socket()), config).await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
    }
}

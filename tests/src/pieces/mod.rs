//! The pieces that the lab boots: hypervisor, kernels, busybox, xenstored, xl.
//!
//! They come as Debian packages, unpacked into a cache and never installed
//! (their installation would change the boot menu). Which versions stand there
//! is recorded, so that a second run asks apt for nothing. Each piece that a
//! test may want to vary can be replaced by a path.

pub mod apt;
pub mod libraries;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use apt::{Apt, AptError, Offer};

/// Why the pieces are not there.
#[derive(Debug, Error)]
pub enum PiecesError {
    /// apt could not help.
    #[error("cannot get the lab's packages")]
    Apt(#[from] AptError),
    /// A package does not hold what it should.
    #[error("package {package} has no {what}")]
    Absent {
        /// The package's folder.
        package: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
    /// A path given instead of a piece names no file.
    #[error("{what} is to be {path}, which is no file")]
    NoFile {
        /// The piece.
        what: &'static str,
        /// The path given.
        path: PathBuf,
    },
    /// The kernel does not yield its ELF.
    #[error("cannot prepare Dom0's kernel")]
    Kernel(#[from] crate::kernels::KernelError),
    /// The cache cannot be read or written.
    #[error("cannot {doing} {path}")]
    Cache {
        /// What was being done.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

/// What the user wants instead of the packages' pieces.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The cache; [`default_cache`] when absent.
    pub cache: Option<PathBuf>,
    /// A Debian suite other than the system's (`trixie`).
    pub suite: Option<String>,
    /// A hypervisor: multiboot ELF, gzipped or not.
    pub hypervisor: Option<PathBuf>,
    /// Dom0's kernel. Its modules stay the packages' unless `dom0_modules` says.
    pub dom0_kernel: Option<PathBuf>,
    /// The folder of Dom0's modules (`.../lib/modules/RELEASE`).
    pub dom0_modules: Option<PathBuf>,
    /// The kernel that guests get.
    pub guest_kernel: Option<PathBuf>,
    /// A xenstored, static or with its libraries in neighbouring folders.
    pub xenstored: Option<PathBuf>,
}

impl Choice {
    /// What the `XLFS_LAB_*` environment variables say.
    pub fn from_env() -> Self {
        let path = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        Self {
            cache: path("XLFS_LAB_CACHE"),
            suite: std::env::var("XLFS_LAB_SUITE").ok().filter(|suite| !suite.is_empty()),
            hypervisor: path("XLFS_LAB_HYPERVISOR"),
            dom0_kernel: path("XLFS_LAB_DOM0_KERNEL"),
            dom0_modules: path("XLFS_LAB_DOM0_MODULES"),
            guest_kernel: path("XLFS_LAB_GUEST_KERNEL"),
            xenstored: path("XLFS_LAB_XENSTORED"),
        }
    }
}

/// Where each piece stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pieces {
    /// The cache.
    pub cache: PathBuf,
    /// The hypervisor, uncompressed.
    pub hypervisor: PathBuf,
    /// Dom0's kernel.
    pub dom0_kernel: PathBuf,
    /// Dom0's modules: the folder with `kernel/` in it.
    pub dom0_modules: PathBuf,
    /// The guests' kernel.
    pub guest_kernel: PathBuf,
    /// The modules that belong to the packages' kernel.
    pub guest_modules: PathBuf,
    /// A static busybox.
    pub busybox: PathBuf,
    /// The xenstored.
    pub xenstored: PathBuf,
    /// Programs of the benchmark's other side (xl, xenconsoled, xen-init-dom0),
    /// and the one that has xenstored write down its requests.
    pub xl: Vec<PathBuf>,
    /// What goes with xl where guests have devices.
    pub hotplug: Hotplug,
    /// Programs of Dom0 that xlfsd runs for some guests.
    pub tools: Tools,
    /// Where shared libraries are looked for.
    pub library_folders: Vec<PathBuf>,
    /// Version of each package.
    pub packages: BTreeMap<String, String>,
}

/// What xlfsd runs in Dom0 where a guest asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tools {
    /// nft, for anti-spoofing.
    pub nft: PathBuf,
    /// lvm, for logical volumes.
    pub lvm: PathBuf,
    /// What lvm runs before it starts a thin pool, under the name thin_check.
    pub thin_check: PathBuf,
}

/// The packages of [`Tools`] and of [`Hotplug`].
const TOOLS: [&str; 10] = [
    "nftables",
    "lvm2",
    "thin-provisioning-tools",
    "xen-utils-common",
    "xenstore-utils",
    "bash",
    "iproute2",
    "mount",
    "coreutils",
    "util-linux",
];

/// What xl has run for each disk and interface of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hotplug {
    /// The folder of the scripts.
    pub scripts: PathBuf,
    /// Programs that these and the benchmark of copies call, and where they go.
    pub programs: Vec<(PathBuf, &'static str)>,
}

/// What the cache holds, as recorded when it was filled.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    /// Xen's release in package names, such as `4.17`.
    xen: String,
    kernel: String,
    packages: BTreeMap<String, String>,
    folders: BTreeMap<String, PathBuf>,
}

/// `lab` in cargo's target folder, wherever the program runs from.
pub fn default_cache() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    let target = target.or_else(|| Some(workspace?.join("target")));
    target.unwrap_or_else(|| PathBuf::from("target")).join("lab")
}

/// Makes all pieces stand in the cache and says where. `refresh` asks apt for
/// newer packages; otherwise what is there is taken.
pub fn gather(choice: &Choice, refresh: bool) -> Result<Pieces, PiecesError> {
    let cache = choice.cache.clone().unwrap_or_else(default_cache);
    fs::create_dir_all(&cache).map_err(|source| at("make", &cache, source))?;
    let cache = cache.canonicalize().map_err(|source| at("find", &cache, source))?;
    // Two runs at once fetch once. The lock goes with the variable.
    let lock_path = cache.join("lock");
    let file = File::create(&lock_path).map_err(|source| at("open", &lock_path, source))?;
    let _lock = Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, errno)| at("lock", &lock_path, errno.into()))?;
    let name = choice.suite.as_ref().map_or("system".to_owned(), |suite| format!("suite-{suite}"));
    let record_path = cache.join(format!("{name}.json"));
    let record = match read_record(&record_path) {
        Some(record) if !refresh => record,
        _ => {
            let record = fetch(&cache, choice.suite.as_deref())?;
            write_atomically(
                &record_path,
                &serde_json::to_vec_pretty(&record).unwrap_or_default(),
            )?;
            record
        }
    };
    assemble(cache, &record, choice)
}

fn at(doing: &'static str, path: &Path, source: io::Error) -> PiecesError {
    PiecesError::Cache { doing, path: path.to_owned(), source }
}

/// None when there is no record, when what it names is no longer there, or when
/// it is from before a package was wanted.
fn read_record(path: &Path) -> Option<Record> {
    let record: Record = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    let complete = TOOLS.iter().all(|name| record.folders.contains_key(*name));
    (complete && record.folders.values().all(|folder| folder.is_dir())).then_some(record)
}

fn fetch(cache: &Path, suite: Option<&str>) -> Result<Record, PiecesError> {
    let folder = cache.join("apt").join(suite.unwrap_or("system"));
    if suite.is_none() {
        eprintln!("lab: fetching packages into {}", cache.display());
        match fetch_with(&Apt::system(), cache) {
            // No lists, or lists so old that their files are gone.
            Err(PiecesError::Apt(AptError::Missing { .. } | AptError::Failed { .. })) => {}
            other => return other,
        }
    }
    eprintln!("lab: fetching package lists into {}", folder.display());
    fetch_with(&Apt::private(&folder, suite)?, cache)
}

fn fetch_with(apt: &Apt, cache: &Path) -> Result<Record, PiecesError> {
    let pattern = r"^xen-hypervisor-[0-9.]+-amd64$";
    let hypervisor = apt.names(pattern)?.into_iter().max_by_key(|name| release_key(name));
    let hypervisor = hypervisor.ok_or_else(|| AptError::Missing { name: pattern.to_owned() })?;
    let xen = hypervisor.trim_start_matches("xen-hypervisor-").trim_end_matches("-amd64");
    let kernel = apt
        .offer("linux-image-amd64")?
        .depends
        .into_iter()
        .flatten()
        .find(|name| name.starts_with("linux-image-"))
        .ok_or_else(|| AptError::Missing { name: "linux-image-*".to_owned() })?;
    let tools = apt.offer(&format!("xen-utils-{xen}"))?;
    let mut roots = vec![tools];
    for name in TOOLS {
        roots.push(apt.offer(name)?);
    }
    let mut offers = with_libraries(apt, roots)?;
    for name in [hypervisor.as_str(), &kernel, "busybox-static"] {
        offers.push(apt.offer(name)?);
    }
    let mut record =
        Record { xen: xen.to_owned(), kernel, packages: BTreeMap::new(), folders: BTreeMap::new() };
    for offer in offers {
        let folder = apt.unpack(&offer, cache)?;
        record.folders.insert(offer.name.clone(), folder);
        record.packages.insert(offer.name, offer.version);
    }
    Ok(record)
}

/// The packages and all library packages below them; Python and the scripts of
/// xen-utils-common are not wanted.
fn with_libraries(apt: &Apt, mut offers: Vec<Offer>) -> Result<Vec<Offer>, PiecesError> {
    let mut next = 0;
    while let Some(offer) = offers.get(next).cloned() {
        next += 1;
        for alternatives in &offer.depends {
            let Some(name) = alternatives.first() else { continue };
            let library = name.starts_with("lib") || name.starts_with("zlib");
            if library && !offers.iter().any(|known| known.name == *name) {
                match apt.offer(name) {
                    Ok(offer) => offers.push(offer),
                    // A virtual package; who needs its files will say so.
                    Err(AptError::Missing { .. }) => {}
                    Err(other) => return Err(other.into()),
                }
            }
        }
    }
    Ok(offers)
}

/// Orders names by the numbers in them, so that 4.9 comes before 4.17.
fn release_key(name: &str) -> Vec<u32> {
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

fn assemble(cache: PathBuf, record: &Record, choice: &Choice) -> Result<Pieces, PiecesError> {
    let folder = |name: &str| record.folders.get(name).cloned().unwrap_or_default();
    let hypervisor = match &choice.hypervisor {
        Some(path) => given("the hypervisor", path)?,
        None => find(
            &folder(&format!("xen-hypervisor-{}-amd64", record.xen)).join("boot"),
            "boot/xen-*.gz",
            |name| name.starts_with("xen-") && name.ends_with(".gz"),
        )?,
    };
    let hypervisor = uncompressed(&hypervisor, &cache)?;
    let kernel_root = folder(&record.kernel);
    let kernel = find(&kernel_root.join("boot"), "boot/vmlinuz-*", |n| n.starts_with("vmlinuz-"))?;
    let modules = ["usr/lib/modules", "lib/modules"]
        .iter()
        .find_map(|path| find(&kernel_root.join(path), "lib/modules/*", |_| true).ok())
        .ok_or(PiecesError::Absent { package: kernel_root, what: "lib/modules/*" })?;
    let tools = folder(&format!("xen-utils-{}", record.xen));
    let programs = tools.join(format!("usr/lib/xen-{}/bin", record.xen));
    let program = |name: &'static str| find(&programs, name, |found| found == name);
    let busybox = folder("busybox-static");
    let busybox = ["usr/bin", "bin"]
        .iter()
        .find_map(|bin| find(&busybox.join(bin), "busybox", |n| n == "busybox").ok())
        .ok_or(PiecesError::Absent { package: busybox, what: "busybox" })?;
    let tool = |package: &str, name: &'static str| {
        let root = folder(package);
        // Debian 13 has moved all of them below usr.
        ["usr/sbin", "sbin", "usr/bin", "bin"]
            .iter()
            .find_map(|sbin| find(&root.join(sbin), name, |found| found == name).ok())
            .ok_or(PiecesError::Absent { package: root, what: name })
    };
    let tools = Tools {
        nft: tool("nftables", "nft")?,
        lvm: tool("lvm2", "lvm")?,
        thin_check: tool("thin-provisioning-tools", "pdata_tools")?,
    };
    let scripts = folder("xen-utils-common").join("etc/xen/scripts");
    find(&scripts, "etc/xen/scripts/vif-bridge", |found| found == "vif-bridge")?;
    let hotplug = Hotplug {
        scripts,
        programs: vec![
            (tool("bash", "bash")?, "/bin/bash"),
            (tool("xenstore-utils", "xenstore")?, "/usr/bin/xenstore"),
            (tool("iproute2", "ip")?, "/usr/sbin/ip"),
            (tool("iproute2", "bridge")?, "/usr/sbin/bridge"),
            (tool("mount", "losetup")?, "/usr/sbin/losetup"),
            (tool("util-linux", "flock")?, "/usr/bin/flock"),
            // And what busybox does another way: stat, cp --sparse.
            (tool("coreutils", "cp")?, "/usr/bin/cp"),
            (tool("coreutils", "sync")?, "/usr/bin/sync"),
        ],
    };
    let optional = |what, path: &Option<PathBuf>, or: PathBuf| match path {
        Some(path) => given(what, path),
        None => Ok(or),
    };
    Ok(Pieces {
        hypervisor,
        // Emulated, Xen takes 9 s to decompress a kernel; we take less than one.
        // A kernel that was asked for is booted exactly as it is.
        dom0_kernel: match &choice.dom0_kernel {
            Some(path) => given("Dom0's kernel", path)?,
            None => crate::kernels::elf(&kernel, &cache)?,
        },
        dom0_modules: choice.dom0_modules.clone().unwrap_or_else(|| modules.clone()),
        guest_kernel: optional("the guests' kernel", &choice.guest_kernel, kernel)?,
        guest_modules: modules,
        busybox,
        xenstored: optional("xenstored", &choice.xenstored, program("xenstored")?)?,
        xl: ["xl", "xenconsoled", "xen-init-dom0", "xenstore-control"]
            .into_iter()
            .map(program)
            .collect::<Result<_, _>>()?,
        tools,
        hotplug,
        library_folders: record
            .folders
            .values()
            .flat_map(|root| libraries::library_folders(root))
            .filter(|folder| folder.is_dir())
            .collect(),
        packages: record.packages.clone(),
        cache,
    })
}

fn given(what: &'static str, path: &Path) -> Result<PathBuf, PiecesError> {
    match path.canonicalize() {
        Ok(found) if found.is_file() => Ok(found),
        _ => Err(PiecesError::NoFile { what, path: path.to_owned() }),
    }
}

fn find(
    folder: &Path,
    what: &'static str,
    wanted: impl Fn(&str) -> bool,
) -> Result<PathBuf, PiecesError> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_str().is_some_and(&wanted))
        .map(|entry| entry.path())
        .max()
        .ok_or_else(|| PiecesError::Absent { package: folder.to_owned(), what })
}

/// QEMU's multiboot loader takes an ELF only: a gzipped hypervisor is unpacked
/// into the cache, once for each content.
fn uncompressed(path: &Path, cache: &Path) -> Result<PathBuf, PiecesError> {
    let packed = fs::read(path).map_err(|source| at("read", path, source))?;
    if !packed.starts_with(&[0x1f, 0x8b]) {
        return Ok(path.to_owned());
    }
    let mut crc = flate2::Crc::new();
    crc.update(&packed);
    let unpacked = cache.join(format!("xen-{:08x}-{}", crc.sum(), packed.len()));
    if !unpacked.is_file() {
        let mut elf = Vec::new();
        flate2::read::GzDecoder::new(packed.as_slice())
            .read_to_end(&mut elf)
            .map_err(|source| at("gunzip", path, source))?;
        write_atomically(&unpacked, &elf)?;
    }
    Ok(unpacked)
}

fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), PiecesError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file =
        tempfile::NamedTempFile::new_in(folder).map_err(|source| at("write to", folder, source))?;
    io::Write::write_all(&mut file, bytes).map_err(|source| at("write", path, source))?;
    file.persist(path).map_err(|error| at("write", path, error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_ordered_by_number() {
        let names = ["xen-hypervisor-4.9-amd64", "xen-hypervisor-4.17-amd64"];
        assert_eq!(names.into_iter().max_by_key(|n| release_key(n)), Some(names[1]));
    }

    #[test]
    fn a_record_counts_only_while_its_folders_stand() {
        let folder = tempfile::tempdir().unwrap();
        let package = folder.path().join("busybox-static_1");
        let path = folder.path().join("system.json");
        let record = Record {
            xen: "4.17".to_owned(),
            kernel: "linux-image-6.1".to_owned(),
            packages: BTreeMap::new(),
            folders: ["busybox-static"]
                .iter()
                .chain(&TOOLS)
                .map(|name| ((*name).to_owned(), package.clone()))
                .collect(),
        };
        write_atomically(&path, &serde_json::to_vec(&record).unwrap()).unwrap();
        assert!(read_record(&path).is_none());
        fs::create_dir(&package).unwrap();
        assert!(read_record(&path).is_some());
        // As one that wanted less wrote it.
        let mut record = record;
        record.folders.remove("lvm2");
        write_atomically(&path, &serde_json::to_vec(&record).unwrap()).unwrap();
        assert!(read_record(&path).is_none());
    }

    #[test]
    fn a_gzipped_hypervisor_is_unpacked_and_a_plain_one_taken_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let plain = folder.path().join("xen");
        fs::write(&plain, b"\x7fELF hypervisor").unwrap();
        assert_eq!(uncompressed(&plain, folder.path()).unwrap(), plain);
        let packed = folder.path().join("xen.gz");
        let mut encoder =
            flate2::write::GzEncoder::new(File::create(&packed).unwrap(), Default::default());
        io::Write::write_all(&mut encoder, b"\x7fELF packed").unwrap();
        encoder.finish().unwrap();
        let unpacked = uncompressed(&packed, folder.path()).unwrap();
        assert_eq!(fs::read(unpacked).unwrap(), b"\x7fELF packed");
    }
}

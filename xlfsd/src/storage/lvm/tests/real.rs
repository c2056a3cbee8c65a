//! Real LVM, as root, in a group of its own on a loop device.
//!
//! Where the kernel has no device-mapper, LVM still keeps its books: then it
//! gets every command of the pool, told to leave the kernel alone, and files
//! stand in for the devices. That proves the words of the commands and of the
//! reports, but neither thin pools nor devices. `tests/conformance` runs this
//! test in the lab's Dom0, whose kernel has one, and says so by the variable
//! [`DEVICE_MAPPER`].

use std::path::Path;
use std::sync::Mutex;

use xlfs_xen::loopdev::{self, Access, LoopDevice};

use super::super::program::{Lvm, LvmError, Program};
use super::*;

/// Set where there must be a device-mapper.
const DEVICE_MAPPER: &str = "XLFS_DEVICE_MAPPER";

/// A volume group on a loop device, gone with the test.
#[derive(Debug)]
struct Group {
    name: String,
    lvm: Program,
    disk: LoopDevice,
    dir: tempfile::TempDir,
    has_mapper: bool,
    sizes: Mutex<std::collections::BTreeMap<String, u64>>,
}

impl Group {
    fn new() -> Arc<Self> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        File::create(&path).unwrap().set_len(300 * MIB).unwrap();
        let lvm = Program::find().expect("tests/install-missing installs lvm2");
        let disk = loopdev::attach(&path, Access::ReadWrite, "lvm-test").unwrap();
        let name = format!("xlfs-test-{}", std::process::id());
        fs::create_dir(dir.path().join(&name)).unwrap();
        let has_mapper = Path::new("/sys/class/misc/device-mapper").exists();
        assert!(has_mapper || std::env::var_os(DEVICE_MAPPER).is_none(), "no device-mapper");
        let sizes = Mutex::default();
        let group = Self { name, lvm, disk, dir, has_mapper, sizes };
        let node = group.disk.node.path.to_str().unwrap();
        group.give(&["pvcreate", "--yes", node]).unwrap();
        group.give(&["vgcreate", &group.name, node]).unwrap();
        Arc::new(group)
    }

    /// Gives LVM a command that is about this disk only.
    fn give(&self, words: &[&str]) -> Result<String, LvmError> {
        let node = self.disk.node.path.to_str().unwrap();
        let mut all = vec![words[0], "--devices", node];
        if !self.has_mapper {
            all.extend(["--driverloaded", "n"]);
        }
        all.extend(&words[1..]);
        self.lvm.run(&all.into_iter().map(str::to_owned).collect::<Vec<_>>())
    }

    fn dev(&self) -> &Path {
        match self.has_mapper {
            true => Path::new("/dev"),
            false => self.dir.path(),
        }
    }

    /// What the kernel would do about the devices.
    fn stand_in(&self, words: &[&str]) {
        let node = |lv: &str| self.dir.path().join(&self.name).join(lv);
        let last = *words.last().unwrap();
        let lv = last.rsplit('/').next().unwrap();
        match words[0] {
            "lvcreate" => {
                let name = words[words.iter().position(|word| *word == "--name").unwrap() + 1];
                fs::write(node(name), "").unwrap();
                self.track(name, &node(name));
            }
            "lvextend" | "lvreduce" => self.track(lv, &node(lv)),
            "lvrename" => fs::rename(node(words[3]), node(words[4])).unwrap(),
            "lvremove" => fs::remove_file(node(lv)).unwrap(),
            _ => {}
        }
    }

    /// As large as LVM says, and full of garbage where it was not before.
    fn track(&self, lv: &str, node: &Path) {
        let what = format!("{}/{lv}", self.name);
        let size = self.give(&[
            "lvs",
            "--noheadings",
            "--units",
            "b",
            "--nosuffix",
            "--options",
            "lv_size",
            &what,
        ]);
        let size: u64 = size.unwrap().trim().parse().unwrap();
        let before = fs::metadata(node).unwrap().len();
        let file = OpenOptions::new().write(true).open(node).unwrap();
        file.set_len(size).unwrap();
        if size > before {
            file.write_all_at(&vec![GARBAGE; (size - before) as usize], before).unwrap();
        }
        self.sizes.lock().unwrap().insert(lv.to_owned(), size);
    }
}

impl Lvm for Arc<Group> {
    fn run(&self, arguments: &[String]) -> Result<String, LvmError> {
        let mut words: Vec<_> = arguments.iter().map(String::as_str).collect();
        if self.has_mapper {
            return self.give(&words);
        }
        match words[0] {
            // There is no device to write to, and none to activate.
            "lvcreate" => {
                for at in 1..words.len() {
                    if matches!(words[at - 1], "--wipesignatures" | "--zero") {
                        words[at] = "n";
                    }
                }
                words.splice(1..1, ["--activate", "n"]);
            }
            "lvchange" if words.contains(&"--activate") => return Ok(String::new()),
            _ => {}
        }
        let answer = self.give(&words)?;
        self.stand_in(&words);
        Ok(answer)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let removed = self.give(&["vgremove", "--yes", "--force", &self.name]);
        let detached = loopdev::detach(&self.disk);
        if !std::thread::panicking() {
            removed.unwrap();
            detached.unwrap();
        }
    }
}

#[test]
fn lvm_takes_our_commands_and_we_its_answers() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("not tested: only root may make volume groups");
        return;
    }
    let group = Group::new();
    let open = |thin: Option<&str>| {
        LvmPool::open_with("p", &group.name, thin, Box::new(group.clone()), group.dev())
    };
    let pool = open(None).unwrap();
    a_volumes_life(&pool, &image(group.dir.path()), 4 * MIB);

    // A daemon that was killed in between.
    let (made, grown) = (Uuid::new_v4(), Uuid::new_v4());
    pool.run(pool.group().create_thick(&format!("{UNFINISHED_PREFIX}{made}"), 8 * MIB)).unwrap();
    pool.create(grown, 4 * MIB, None, Watch::nobody()).unwrap();
    pool.run(pool.group().add_tag(&volume_name(grown), &tag_zero_from(4 * MIB))).unwrap();
    pool.run(pool.group().extend(&volume_name(grown), 12 * MIB)).unwrap();
    assert_eq!(
        pool.grow(grown, 16 * MIB, Watch::nobody()).unwrap_err().reason,
        "VOLUME_NOT_CLEARED"
    );
    let pool = open(None).unwrap();
    assert!(content(&pool, grown).iter().all(|byte| *byte == 0));
    let (size, allocated) = (12 * MIB, 12 * MIB);
    assert_eq!(pool.list().unwrap(), [PoolVolume { id: grown, size, allocated }]);
    let cancelled = pool.grow(grown, 40 * MIB, Watch::new(&|| true, &|_| {})).unwrap_err();
    assert!(cancelled.is_cancelled());
    assert_eq!(pool.list().unwrap()[0].size, size);
    let full = pool.create(made, 1 << 40, None, Watch::nobody()).unwrap_err();
    assert_eq!(full.reason, "POOL_FULL");
    assert!(pool.remove(grown).unwrap());

    assert_eq!(open(Some("none")).unwrap_err().reason, "POOL_UNUSABLE");
    let nowhere =
        LvmPool::open_with("p", "no-such-group", None, Box::new(group.clone()), group.dev());
    let nowhere = nowhere.unwrap_err();
    assert_eq!(nowhere.reason, "POOL_UNUSABLE");
    assert!(nowhere.causes.iter().any(|cause| cause.contains("not found")), "{nowhere:#}");
    if !group.has_mapper {
        eprintln!("not tested: this kernel has no device-mapper, so no thin pool and no device");
        return;
    }
    group
        .give(&[
            "lvcreate",
            "--yes",
            "--type",
            "thin-pool",
            "-Zy",
            "-L",
            "100m",
            "-n",
            "tp",
            &group.name,
        ])
        .unwrap();
    let pool = open(Some("tp")).unwrap();
    a_volumes_life(&pool, &image(group.dir.path()), 4 * MIB);
    let id = Uuid::new_v4();
    pool.create(id, 1 << 30, None, Watch::nobody()).unwrap();
    assert!(matches!(pool.device(id).unwrap(), VolumeDevice::Block(_)));
    pool.remove(id).unwrap();
}

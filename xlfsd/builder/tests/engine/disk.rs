//! Disks: a partition table, a boot loader's two parts, and other artifacts in
//! the partitions.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::process::Command;

use gpt::partition_types::{BIOS, LINUX_FS};
use xlfs_builder::image::export;

use crate::lab::Lab;

const IMAGE: &str = r##"
name = "disk"
summary = "A disk with two slots"
packages = ["loader"]

[[file]]
path = "boot/grub/grubenv"
from = "grubenv"

[[artifact]]
kind = "disk"
file = "all.img"
boot = { sector = "usr/lib/boot.img", core = "usr/lib/core.img" }

[[artifact.partition]]
name = "bios"
kind = "bios-boot"
size = "1M"

[[artifact.partition]]
name = "boot"
kind = "linux"
size = "12M"
from = "boot.ext4"

[[artifact.partition]]
name = "root-a"
kind = "linux"
from = "root.ext4"

[[artifact.partition]]
name = "root-b"
kind = "linux"
size = "16M"

[[artifact]]
kind = "disk.gz"
file = "data.img.gz"

[[artifact.partition]]
name = "data"
kind = "linux"
from = "root.ext4"

[[artifact]]
kind = "ext4"
file = "boot.ext4"
root = "boot"
include = ["boot/grub/**"]
label = "boot"
size = "10M"

[[artifact]]
kind = "ext4"
file = "root.ext4"
exclude = ["boot/**"]
size = "auto"
"##;

/// What is like GRUB's files where the builder looks: a jump at 0x66 and the mark
/// of a boot sector; a list of one piece of 5 sectors.
const LOADER: &str = r#"mkdir -p $OUT/usr/lib $OUT/boot; echo kernel > $OUT/boot/vmlinuz; cd $OUT/usr/lib
    head -c 102 /dev/zero | tr '\0' S > boot.img; printf '\353\005' >> boot.img
    head -c 406 /dev/zero | tr '\0' S >> boot.img; printf '\125\252' >> boot.img
    head -c 488 /dev/zero | tr '\0' C > core.img; head -c 20 /dev/zero >> core.img
    printf '\005\000\040\010' >> core.img; head -c 2500 /dev/zero | tr '\0' R >> core.img"#;

fn lab() -> Lab {
    let lab = Lab::new();
    lab.package("loader", &[], LOADER);
    lab.file("images/disk.toml", IMAGE);
    lab.file("images/disk/grubenv", &format!("{:#<1024}", "# GRUB Environment Block\n"));
    lab
}

async fn composed(lab: &Lab) -> BTreeMap<String, PathBuf> {
    lab.build(&["disk"]).await.fine();
    let builder = lab.builder();
    let record = builder.store().image("t", "disk").unwrap().unwrap();
    let files = export(builder.store(), &record, &lab.folder.path().join("out")).unwrap();
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    files.into_iter().map(|path| (name(&path), path)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_stores_make_the_same_disk() {
    let (one, two) = (lab(), lab());
    let (first, second) = (composed(&one).await, composed(&two).await);
    for (name, path) in &first {
        assert!(fs::read(path).unwrap() == fs::read(&second[name]).unwrap(), "{name} differs");
    }
    // Mostly holes: in the store as in what was exported.
    let record = one.builder().store().image("t", "disk").unwrap().unwrap();
    let blob = one.builder().store().blob(&record.artifacts["all.img"], false).unwrap();
    for path in [&blob, &first["all.img"]] {
        let meta = fs::metadata(path).unwrap();
        assert!(meta.blocks() * 512 < meta.len() / 2, "{} of {}", meta.blocks(), meta.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_hold_what_the_recipe_says() {
    let lab = lab();
    let files = composed(&lab).await;
    let disk = gpt::GptConfig::new().open(&files["all.img"]).unwrap();
    assert!(disk.primary_header().is_ok() && disk.backup_header().is_ok());
    let found: Vec<_> = disk.partitions().values().collect();
    let names: Vec<&str> = found.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["bios", "boot", "root-a", "root-b"]);
    let kinds: Vec<_> = found.iter().map(|it| it.part_type_guid.clone()).collect();
    assert_eq!(kinds, [BIOS, LINUX_FS, LINUX_FS, LINUX_FS]);
    let mut guids: Vec<_> = found.iter().map(|it| it.part_guid).chain([*disk.guid()]).collect();
    guids.sort();
    guids.dedup();
    assert_eq!(guids.len(), 5);

    let all = fs::File::open(&files["all.img"]).unwrap();
    let read = |at: u64, size: usize| {
        let mut bytes = vec![0; size];
        all.read_exact_at(&mut bytes, at).unwrap();
        bytes
    };
    let mut at = 1 << 20;
    for (part, size) in found.iter().zip([1, 12, 0, 16]) {
        assert_eq!(part.first_lba * 512, at, "{}", part.name);
        at = (part.last_lba + 1) * 512;
        assert_eq!(at % (1 << 20), 0);
        assert!(size == 0 || at - part.first_lba * 512 == size << 20, "{}", part.name);
    }
    assert_eq!(all.metadata().unwrap().len(), at + (1 << 20));
    for (part, file) in [(1, "boot.ext4"), (2, "root.ext4")] {
        let content = fs::read(&files[file]).unwrap();
        assert!(read(found[part].first_lba * 512, content.len()) == content, "{file}");
    }
    assert!(read(found[3].first_lba * 512, 16 << 20).iter().all(|byte| *byte == 0));

    // The sector: code, patched, up to the protective partition of type ee.
    let sector = read(0, 512);
    assert_eq!(sector[0x5b..0x69], [b'S', 0, 8, 0, 0, 0, 0, 0, 0, 0xff, b'S', 0x90, 0x90, b'S']);
    assert_eq!((sector[0x1b7], sector[0x1c2], &sector[510..]), (b'S', 0xee, &[0x55, 0xaa][..]));
    let core = read(1 << 20, 512 * 6);
    assert_eq!(core[0x1f4..0x202], [1, 8, 0, 0, 0, 0, 0, 0, 5, 0, 0x20, 8, b'R', b'R']);
    assert_eq!((core[511 + 2500], core[512 + 2500]), (b'R', 0));

    let list = |file: &str, path: &str| {
        let mut debugfs = Command::new("/usr/sbin/debugfs");
        debugfs.args(["-R", &format!("ls -p {path}"), files[file].to_str().unwrap()]);
        String::from_utf8(debugfs.output().unwrap().stdout).unwrap()
    };
    let boot = list("boot.ext4", "/grub");
    assert!(boot.contains("/100644/0/0/grubenv/1024/"), "{boot}");
    assert!(!list("boot.ext4", "/").contains("vmlinuz"));
    assert!(!list("root.ext4", "/").contains("/boot/") && list("root.ext4", "/").contains("/usr/"));
    let uuid = |file: &str| fs::read(&files[file]).unwrap()[1024 + 0x68..1024 + 0x78].to_vec();
    assert_ne!(uuid("boot.ext4"), uuid("root.ext4"));

    let mut packed = Vec::new();
    let gz = fs::File::open(&files["data.img.gz"]).unwrap();
    std::io::copy(&mut flate2::read::GzDecoder::new(gz), &mut packed).unwrap();
    let disk = gpt::GptConfig::new().open_from_device(std::io::Cursor::new(&mut packed)).unwrap();
    assert_eq!(disk.partitions()[&1].name, "data");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_told() {
    let lab = lab();
    let reason = async |from: &str, to: &str| {
        assert!(IMAGE.contains(from));
        lab.file("images/disk.toml", &IMAGE.replacen(from, to, 1));
        lab.build(&["disk"]).await.failure("disk").1
    };
    let large = reason("size = \"12M\"", "size = \"9M\"").await;
    let expected =
        "all.img: the partition boot has 9437184 bytes, but what goes into it has 10485760";
    assert_eq!(large, expected);
    let none = reason("usr/lib/core.img", "usr/lib/core").await;
    assert_eq!(none, "all.img: the image has no file \"usr/lib/core\" to copy");
    let swapped = reason("core = \"usr/lib/core.img\"", "core = \"usr/lib/boot.img\"").await;
    assert!(
        swapped.starts_with("all.img: the boot loader cannot be used: its core has 512"),
        "{swapped}"
    );
    let root = reason("root = \"boot\"", "root = \"bot\"").await;
    assert!(root.contains("the folder \"bot\", of which it is to be made, is not"), "{root}");
}

//! The example set of docs/recipes.md, and mistakes in sets: all are found in
//! one go, each with its place, and harm only the recipes in which they stand.

// A test may stop at the first surprise.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use xlfs_builder::recipe::RecipeSet;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sets/example");

fn problems(files: &[(&str, &str)]) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let set = dir.path().join("example");
    copy(Path::new(EXAMPLE), &set);
    for (path, text) in files {
        fs::write(set.join(path), text).unwrap();
    }
    let set = RecipeSet::load(&set).unwrap();
    set.problems.values().flatten().map(ToString::to_string).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn changed(path: &str, from: &str, to: &str) -> String {
    let text = fs::read_to_string(Path::new(EXAMPLE).join(path)).unwrap();
    assert!(text.contains(from), "{path} has no {from:?}");
    text.replacen(from, to, 1)
}

#[test]
fn the_example_is_fine() {
    let set = RecipeSet::load(Path::new(EXAMPLE)).unwrap();
    assert!(set.problems.is_empty(), "{:?}", set.problems);
    let greeter = &set.packages["greeter"];
    assert_eq!(set.outputs_of(greeter).collect::<Vec<_>>(), ["doc", "dev", "run"]);
    assert_eq!(set.outputs_of(&set.packages["zlib"]).collect::<Vec<_>>(), ["dev", "doc", "run"]);
    assert_eq!(set.images["minimal"].artifact.len(), 2);
    assert_eq!(set.fragments["xen-guest"].1.len(), 2);
}

#[test]
fn every_mistake_is_found_in_one_go() {
    let zlib = changed("zlib.toml", "licence = \"Zlib\"", "licence = \"Zlibb\"");
    let zlib = zlib.replace("orig.tar.gz\"", "orig.tar.xz\"");
    let greeter = changed("greeter.toml", "zlib:dev", "zlib:dve");
    let greeter = greeter.replace("run = [\"zlib\"]", "run = [\"zlb\"]").replace("0750", "rwx");
    let image = changed("images/minimal.toml", "from = \"init\"", "from = \"../init\"");
    let found = problems(&[
        ("zlib.toml", &zlib),
        ("greeter.toml", &greeter),
        ("images/minimal.toml", &image),
        ("broken.toml", "name = \"broken\"\n\n[step]\n"),
    ]);
    let expected = [
        "broken.toml:3:2: unknown key \"step\" (did you mean \"steps\"?)",
        "greeter: depends.build: there is no output \"zlib:dve\"",
        "greeter: depends.run: there is no package \"zlb\" (did you mean \"zlib\"?)",
        "greeter: permission.mode = \"rwx\": must be octal",
        "minimal: file.from = \"../init\": must be a path without",
        "zlib: licence = \"Zlibb\": is no SPDX expression",
        "zlib: source: there is no file in sources.lock \"zlib_1.2.13.dfsg.orig.tar.xz\" (did",
    ];
    for expected in expected {
        assert!(found.iter().any(|it| it.contains(expected)), "{expected}\nnot in {found:#?}");
    }
}

#[test]
fn what_is_imported_has_the_right_kind_and_name() {
    let image = |import: &str| {
        let text = format!("max_content = \"8M\"\nimport = {{ {import} }}");
        problems(&[(
            "images/minimal.toml",
            &changed("images/minimal.toml", "max_content = \"8M\"", &text),
        )])
    };
    assert!(image("kind = \"ramdisk\", alias = \"minimal-ramdisk\"").is_empty());
    let kernel = image("kind = \"kernel\", alias = \"minimal-kernel\"");
    let expected = "minimal: artifact.import.kind = \"minimal.initramfs\": a kernel is a copy";
    assert_eq!(kernel, [expected]);
    let alias = image("kind = \"ramdisk\", alias = \"../x\"");
    assert!(
        alias[0].starts_with("minimal: artifact.import.alias = \"../x\": must begin"),
        "{alias:?}"
    );
    let kind = image("kind = \"ramdsk\", alias = \"x\"");
    assert!(kind[0].contains("ramdsk"), "{kind:?}");
}

#[test]
fn a_file_has_one_content() {
    let image = |more: &str| {
        problems(&[(
            "images/minimal.toml",
            &changed("images/minimal.toml", "from = \"init\"", more),
        )])
    };
    assert!(image("input = \"init\"\nlicence = \"MIT\"").is_empty());
    let two = image("input = \"init\"\ntext = \"\"");
    assert_eq!(two, ["minimal: file = \"init\": needs one of text, from and input"]);
    let licence = image("text = \"\"\nlicence = \"MIT\"");
    assert!(licence[0].contains("only a file that is an input has a licence"), "{licence:?}");
    let name = image("input = \"In put\"\nlicence = \"MITT\"");
    assert_eq!(name.len(), 2, "{name:?}");
}

#[test]
fn a_disk_is_made_of_the_images_own_artifacts() {
    let disk = r#"
[[artifact]]
kind = "disk"
file = "minimal.disk"
boot = { sector = "boot.img", core = "core.img" }
[[artifact.partition]]
name = "bios"
kind = "bios-boot"
size = "1M"
[[artifact.partition]]
name = "root"
kind = "linux"
from = "minimal.img"
"#;
    let image = |from: &str, to: &str| {
        assert!(disk.contains(from), "{from}");
        let text = changed("images/minimal.toml", "label", "label");
        problems(&[("images/minimal.toml", &(text + &disk.replacen(from, to, 1)))])
    };
    assert!(image("bios", "bios").is_empty());
    let expected = [
        ("minimal.img", "minimal.ing", "there is no artifact \"minimal.ing\" (did you mean"),
        ("minimal.img", "minimal.initramfs", "is no file system"),
        ("from = \"minimal.img\"", "", "needs a size, or a content"),
        ("\"bios-boot\"", "\"linux\"", "one of each, or none"),
        ("size = \"1M\"", "size = \"1M\"\nfrom = \"minimal.img\"", "the boot loader's core, and"),
        ("name = \"bios\"", "name = \"root\"", "is another partition's name"),
        ("name = \"bios\"", "name = \"a b\"", "must be letters"),
        ("boot = {", "root = \"x\"\nboot = {", "a disk is made of other artifacts"),
        ("kind = \"disk\"", "kind = \"tar\"", "only a disk has boot and partitions"),
        ("\"bios-boot\"", "\"bios\"", "known are bios-boot, efi, linux"),
    ];
    for (from, to, expected) in expected {
        let found = image(from, to);
        assert!(found.iter().any(|it| it.contains(expected)), "{to}: {found:#?}");
    }
}

#[test]
fn a_wrong_lock_or_set_file_stops_everything() {
    let dir = tempfile::tempdir().unwrap();
    let set = dir.path().join("example");
    copy(Path::new(EXAMPLE), &set);
    fs::write(set.join("sources.lock"), changed("sources.lock", "6e7c", "6E7C")).unwrap();
    let error = RecipeSet::load(&set).unwrap_err();
    let reason = std::error::Error::source(&error).unwrap().to_string();
    assert!(reason.contains("must be 64 lower-case hexadecimal digits"), "{reason}");
}

//! Images: their files, their formats, and the same bytes every time.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use xlfs_builder::image::export;

use crate::lab::{Lab, Told, request};

const IMAGE: &str = r##"
name = "small"
summary = "A small image"
packages = ["tools"]
exclude = ["usr/share/doc/**"]
forbid = ["usr/bin/gcc"]

[[file]]
path = "init"
text = "#!/bin/sh\n"
mode = "0755"

[[file]]
path = "etc/my file"
from = "file"
owner = "7:8"

[[folder]]
path = "proc"
mode = "0555"

[[link]]
path = "etc/mtab"
target = "/proc/self/mounts"

[[artifact]]
kind = "ext4"
file = "root.img"
size = "auto"
label = "root"

[[artifact]]
kind = "cpio.gz"
file = "initramfs"
import = { kind = "ramdisk", alias = "small-ramdisk" }

[[artifact]]
kind = "tar"
file = "root.tar"

[[artifact]]
kind = "tar.gz"
file = "etc.tar.gz"
include = ["etc/**"]

[[artifact]]
kind = "copy"
from = "usr/bin/tool"
file = "tool"
"##;

fn lab() -> Lab {
    let lab = Lab::new();
    let install = "mkdir -p $OUT/usr/bin $OUT/usr/share/doc $OUT/usr/lib/many\n\
                   printf '#!/bin/sh\\necho tool\\n' > $OUT/usr/bin/tool; chmod 755 $OUT/usr/bin/tool\n\
                   echo doc > $OUT/usr/share/doc/x\n\
                   i=0; while [ $i -lt 300 ]; do echo $i > $OUT/usr/lib/many/a-file-with-a-long-name-$i; i=$((i+1)); done";
    let more = "[[permission]]\npath = \"usr/bin/tool\"\nmode = \"4750\"\nowner = \"0:42\"";
    lab.recipe("tools", &[], more, install);
    lab.recipe("unused", &[], "", "echo x > $OUT/x");
    lab.file("images/small.toml", IMAGE);
    lab.file("images/small/file", "own\n");
    lab
}

async fn composed(lab: &Lab, to: &str) -> (Told, BTreeMap<String, PathBuf>) {
    let told = lab.build(&["small"]).await.fine();
    let builder = lab.builder();
    let record = builder.store().image("t", "small").unwrap().unwrap();
    let folder = lab.folder.path().join(to);
    let files = export(builder.store(), &record, &folder).unwrap();
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    (told, files.into_iter().map(|path| (name(&path), path)).collect())
}

fn output(program: &str, arguments: &[&str], cwd: &Path) -> String {
    let output = Command::new(program).args(arguments).current_dir(cwd).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_stores_make_the_same_bytes() {
    let (one, two) = (lab(), lab());
    let (_, first) = composed(&one, "out").await;
    let (_, second) = composed(&two, "out").await;
    let names: Vec<&str> = first.keys().map(String::as_str).collect();
    let expected = [
        "etc.tar.gz",
        "initramfs",
        "manifest.json",
        "root.img",
        "root.tar",
        "sbom.cyclonedx.json",
        "sbom.spdx.json",
        "tool",
    ];
    assert_eq!(names, expected);
    for (name, path) in &first {
        assert!(fs::read(path).unwrap() == fs::read(&second[name]).unwrap(), "{name} differs");
    }
    let imports = one.builder().store().image("t", "small").unwrap().unwrap().imports;
    let imports: Vec<_> = imports.iter().map(|(file, it)| (file.as_str(), &*it.alias)).collect();
    assert_eq!(imports, [("initramfs", "small-ramdisk")]);
    let again = one.build(&["small"]).await.fine();
    assert_eq!((again.summary.built, again.summary.cached), (0, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_system_holds_what_the_tree_says() {
    let lab = lab();
    let (_, files) = composed(&lab, "out").await;
    let folder = lab.folder.path();
    let image = files["root.img"].to_str().unwrap();
    let list =
        |path: &str| output("/usr/sbin/debugfs", &["-R", &format!("ls -p {path}"), image], folder);
    // inode, mode, user, group, name, size
    let bin = list("/usr/bin");
    assert!(bin.contains("/104750/0/42/tool/"), "{bin}");
    let etc = list("/etc");
    assert!(etc.contains("/100644/7/8/my file/4/") && etc.contains("/120777/0/0/mtab/"), "{etc}");
    let top = list("/");
    assert!(top.contains("/040555/0/0/proc/") && top.contains("/120777/0/0/bin/"), "{top}");
    assert_eq!(list("/usr/lib/many").matches("a-file-with-a-long-name").count(), 300);
    assert!(!list("/usr").contains("/share/"), "excluded");
    let text = output("/usr/sbin/debugfs", &["-R", "cat \"/etc/my file\"", image], folder);
    assert_eq!(text, "own\n");
    let all = output("/usr/sbin/dumpe2fs", &["-h", image], folder);
    assert!(all.contains("Filesystem volume name:   root"), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_are_read_by_other_programs() {
    let lab = lab();
    let (_, files) = composed(&lab, "out").await;
    let folder = lab.folder.path();
    let tar =
        output("tar", &["--numeric-owner", "-tvf", files["root.tar"].to_str().unwrap()], folder);
    assert!(tar.contains("-rwsr-x--- 0/42"), "{tar}");
    assert!(tar.contains("etc/mtab -> /proc/self/mounts") && tar.contains("2023-06-10"), "{tar}");
    let tar = output("tar", &["-tzf", files["etc.tar.gz"].to_str().unwrap()], folder);
    assert_eq!(tar, "etc/\netc/mtab\netc/my file\n");
    let script = format!("zcat {} | cpio -tvn --quiet", files["initramfs"].display());
    let cpio = output("sh", &["-c", &script], folder);
    assert!(cpio.contains("-rwsr-x---   1 0        42"), "{cpio}");
    assert!(cpio.lines().any(|line| line.ends_with(" init")), "{cpio}");
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(&files["manifest.json"]).unwrap()).unwrap();
    let tool = manifest["files"].as_array().unwrap().iter().find(|it| it["path"] == "usr/bin/tool");
    assert_eq!(tool.unwrap()["package"], "tools");
    let spdx: serde_json::Value =
        serde_json::from_slice(&fs::read(&files["sbom.spdx.json"]).unwrap()).unwrap();
    assert_eq!(spdx["packages"][1]["licenseDeclared"], "MIT");
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_of_images_are_told() {
    let lab = lab();
    let reason = async |image: String| {
        lab.file("images/small.toml", &image);
        lab.build(&["small"]).await.failure("small").1
    };
    let forbidden = reason(IMAGE.replace("usr/bin/gcc", "usr/bin/{gcc,tool}")).await;
    assert_eq!(forbidden, "usr/bin/tool (of tools) must not be in the image");
    let own = reason(IMAGE.replace("path = \"init\"", "path = \"usr/bin/tool\"")).await;
    assert!(own.starts_with("the image's own file usr/bin/tool is also tools's"), "{own}");
    let small = IMAGE.replace("size = \"auto\"", "size = \"auto\"\nmax_content = \"1K\"");
    let large = reason(small).await;
    assert!(large.starts_with("root.img: its content has "), "{large}");
    let full = reason(IMAGE.replace("\"auto\"", "\"1M\"")).await;
    assert!(full.contains("mke2fs") || full.contains("debugfs"), "{full}");
}

/// A program out of the toolchain, with and without the C library it was linked with.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_without_its_libraries_is_told() {
    let lab = Lab::new();
    lab.package("dash", &[], "mkdir -p $OUT/usr/bin; cp /usr/bin/dash $OUT/usr/bin/dash");
    let loader = "mkdir -p $OUT/usr/lib64; cp -L /lib64/ld-linux-x86-64.so.2 $OUT/usr/lib64/";
    lab.package("loader", &[], loader);
    let libc = "mkdir -p $OUT/usr/lib/odd $OUT/usr/lib/x86_64-linux-gnu; ln -s libc.real $OUT/usr/lib/odd/libc.so.6\n\
                cp -L /usr/lib/x86_64-linux-gnu/libc.so.6 $OUT/usr/lib/odd/libc.real\n\
                ln -s ../odd/libc.so.6 $OUT/usr/lib/x86_64-linux-gnu/libc.so.6";
    lab.package("libc", &[], libc);
    let image = |packages: &str| {
        let text = format!(
            "name = \"i\"\nsummary = \"i\"\npackages = [{packages}]\n\
             [[artifact]]\nkind = \"tar\"\nfile = \"i.tar\"\n"
        );
        lab.file("images/i.toml", &text);
    };
    image("\"dash\"");
    let (_, reason, _) = lab.build(&["i"]).await.failure("i");
    let expected = "usr/bin/dash (of dash) is started by /lib64/ld-linux-x86-64.so.2; \
                    usr/bin/dash (of dash) needs libc.so.6";
    assert!(reason.contains(expected), "{reason}");
    image("\"dash\", \"loader\"");
    let (_, reason, _) = lab.build(&["i"]).await.failure("i");
    assert!(reason.contains(": usr/bin/dash (of dash) needs libc.so.6. Add"), "{reason}");
    image("\"dash\", \"loader\", \"libc\"");
    lab.build(&["i"]).await.fine();
    lab.file("images/i.toml", "name = \"i\"\nsummary = \"i\"\npackages = [\"dash\"]\n");
    lab.build(&["i"]).await.failure("i");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_verified_with_its_packages() {
    let lab = lab();
    let builder = lab.builder();
    let error = builder.verify(&request(&["small"])).await.unwrap_err();
    assert_eq!(error.to_string(), "tools has no result to compare with: build it first");
    lab.build(&["small"]).await.fine();
    let verified = builder.verify(&request(&["small"])).await.unwrap();
    let names: Vec<&str> = verified.iter().map(|it| it.package.as_str()).collect();
    assert_eq!(names, ["tools", "small"]);
    assert!(verified.iter().all(|it| it.differences.is_empty()), "{verified:?}");

    // As if the first composition had come out otherwise.
    let path = lab.store().join("images/t/small.json");
    let record = builder.store().image("t", "small").unwrap().unwrap();
    let other = builder.store().put_bytes(b"other").unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let text = text.replace(&record.artifacts["root.img"].hash, &other.hash);
    let size = format!("\"size\": {}", record.artifacts["root.img"].size);
    fs::write(&path, text.replace(&size, "\"size\": 5")).unwrap();
    let verified = builder.verify(&request(&["small"])).await.unwrap();
    let differences: Vec<_> = verified[1].differences.iter().map(|it| it.path.as_str()).collect();
    assert_eq!(differences, ["root.img"]);
    // Nothing was published.
    assert_eq!(builder.store().image("t", "small").unwrap().unwrap().artifacts["root.img"], other);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_copied_stays_until_the_image_changes() {
    let lab = lab();
    let (_, files) = composed(&lab, "out").await;
    let written = |name: &str| files[name].metadata().unwrap().modified().unwrap();
    let (tool, tree) = (written("tool"), written("root.tar"));
    fs::write(&files["root.tar"], "cut off").unwrap();
    composed(&lab, "out").await;
    assert_eq!(written("tool"), tool);
    assert_ne!(written("root.tar"), tree);
    assert_ne!(fs::read_to_string(&files["root.tar"]).unwrap_or_default(), "cut off");
    lab.file("images/small/file", "other\n");
    composed(&lab, "out").await;
    assert_ne!(written("tool"), tool);
}

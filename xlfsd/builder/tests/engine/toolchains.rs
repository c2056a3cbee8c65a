//! Toolchains made of packages of the set: what is built with one sees nothing of
//! the machine, and another package may stand in for one.

use crate::lab::{Lab, SET, request};

/// `stage` is a root of its own: busybox, which the machine's shell only copied.
fn lab() -> Lab {
    let lab = Lab::new();
    let more = "\n[toolchains.machine]\nsummary = \"The machine's\"\n\
        debian = [\"dash\", \"coreutils\", \"busybox\"]\ntarget = \"x86_64-pc-linux-gnu\"\n\
        [toolchains.own]\nsummary = \"Nothing of the machine\"\npackages = [\"stage\"]\n\
        target = \"x86_64-own-linux-gnu\"\nenv = { STAGE = \"1\" }\ninstead = { libc = \"other-libc\" }\n";
    lab.file(
        "set.toml",
        &format!("{SET}{more}").replace("toolchain = \"shell\"", "toolchain = \"own\""),
    );
    // Its C library comes along: any file of the sandbox may be put into a package.
    lab.recipe(
        "stage",
        &[],
        "toolchain = \"machine\"",
        "mkdir -p $OUT/usr/lib/x86_64-linux-gnu; cp /usr/bin/busybox $OUT/usr/bin/busybox
         cd /usr/lib/x86_64-linux-gnu; cp libc.so.6 libresolv.so.2 $OUT/usr/lib/x86_64-linux-gnu
         cp ld-linux-x86-64.so.2 $OUT/usr/lib64/ld-linux-x86-64.so.2
         for name in sh mkdir ln cat ls echo env tr; do ln -s busybox $OUT/usr/bin/$name; done",
    );
    lab.package("libc", &[], "mkdir -p $OUT/usr/lib; echo libc > $OUT/usr/lib/libc");
    lab.package("other-libc", &[], "mkdir -p $OUT/usr/lib; echo other > $OUT/usr/lib/libc");
    lab
}

#[tokio::test(flavor = "multi_thread")]
async fn a_toolchain_of_packages_holds_nothing_of_the_machine() {
    let lab = lab();
    lab.package(
        "x",
        &[],
        "ls /usr/bin | tr '\\n' ' ' > $OUT/programs; env > $OUT/env; echo $TARGET > $OUT/target",
    );
    lab.build(&["x"]).await.fine();
    let builder = lab.builder();
    let record = builder.store().latest("t", "x@own").unwrap().unwrap();
    let tree = builder.store().read_tree(&record.outputs["run"]).unwrap();
    let text = |path: &str| match tree.get(path) {
        Some(xlfs_builder::tree::Node::File { digest, .. }) => {
            String::from_utf8(builder.store().read_blob(digest).unwrap()).unwrap()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(text("programs"), "busybox cat echo env ln ls mkdir sh tr ");
    assert!(text("env").contains("STAGE=1"));
    assert_eq!(text("target"), "x86_64-own-linux-gnu\n");
    assert!(record.provenance.host_packages.is_empty());
    // The stage itself was made by the machine's, and says so.
    let stage = builder.store().latest("t", "stage@machine").unwrap().unwrap();
    assert!(stage.provenance.host_packages.iter().any(|it| it.starts_with("busybox=")));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_package_may_stand_in_for_another() {
    let lab = lab();
    lab.package("x", &["libc"], "cat /usr/lib/libc > $OUT/which");
    let told = lab.build(&["x"]).await.fine();
    let mut built = told.built();
    built.sort_unstable();
    assert_eq!(built, ["other-libc", "stage", "x"]);
    let plan = lab.builder().plan(&request(&["x"])).unwrap();
    assert_eq!(plan.packages.len(), 3);
}

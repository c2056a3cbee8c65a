//! Clear errors, and no harm to what does not depend on the failed.

use std::fs;
use std::process::Command;

use xlfs_builder::build::Builder;

use crate::lab::{Lab, request};

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_stops_only_what_depends_on_it() {
    let lab = Lab::new();
    lab.package("bad", &[], "echo before; echo reason >&2; false; echo after");
    lab.package("after-bad", &["bad"], "true");
    lab.package("good", &[], "echo good > $OUT/good");
    lab.package("after-good", &["good"], "cp /good $OUT/copy");
    let told = lab.build(&["after-bad", "after-good"]).await;
    let (step, reason, tail) = told.failure("bad");
    assert_eq!(step, "install");
    assert_eq!(reason, "step install failed (exit code 1)");
    assert_eq!(tail, ["before", "reason"]);
    assert_eq!(told.skipped(), ["after-bad"]);
    assert_eq!(told.built(), ["good", "after-good"]);
    let kept = lab.builder().store().failure("t", "bad").unwrap().unwrap();
    let log = lab.builder().store().read_blob(&kept.log).unwrap();
    assert!(String::from_utf8_lossy(&log).contains("before\nreason\n"));
    lab.nothing_left();
    lab.package("bad", &[], "echo fine > $OUT/fine");
    assert_eq!(lab.build(&["after-bad"]).await.fine().built(), ["bad", "after-bad"]);
    assert!(lab.builder().store().failure("t", "bad").unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_packages_with_one_path_are_named() {
    let lab = Lab::new();
    lab.package("a", &[], "mkdir -p $OUT/etc; echo a > $OUT/etc/x; echo same > $OUT/etc/same");
    lab.package("b", &[], "mkdir -p $OUT/etc; echo b > $OUT/etc/x; echo same > $OUT/etc/same");
    lab.package("c", &["a", "b"], "true");
    let (_, reason, _) = lab.build(&["c"]).await.failure("c");
    assert_eq!(
        reason,
        "the dependencies of c do not fit together: \
         etc/x is brought by both a and b, with different contents"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_step_is_ended() {
    let lab = Lab::new();
    // It ignores the polite signal, and leaves a child that does, too.
    let step = "trap '' TERM; (trap '' TERM; sleep 600) & echo waiting; sleep 600";
    lab.recipe("a", &[], "deadline = 2", step);
    let (step, reason, tail) = lab.build(&["a"]).await.failure("a");
    assert_eq!((step.as_str(), tail), ("install", vec!["waiting".to_owned()]));
    assert_eq!(
        reason,
        "step install printed nothing for 2 s and was ended (the recipe's deadline)"
    );
    lab.nothing_left();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_speaks_may_take_longer_than_its_deadline() {
    let lab = Lab::new();
    let step = "for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.5; done; echo x > $OUT/x";
    lab.recipe("a", &[], "deadline = 3", step);
    lab.build(&["a"]).await.fine();
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_ends_what_runs_and_keeps_what_is_done() {
    let lab = Lab::new();
    lab.package("a", &[], "echo a > $OUT/a");
    lab.package("b", &["a"], "sleep 600");
    let build = lab.builder().start(request(&["b"])).unwrap();
    let mut reader = build.events().reader(0);
    while let Some(event) = reader.next().await {
        if format!("{:?}", event.event).contains("Step { package: \"b\"") {
            build.cancel();
        }
    }
    let summary = build.finished().await;
    assert!(summary.cancelled && summary.built == 1, "{summary:?}");
    lab.nothing_left();
    lab.record("a");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_requests_and_recipes_are_told_before_anything_runs() {
    let lab = Lab::new();
    lab.package("alpha", &["beta"], "true");
    lab.package("beta", &["gamma"], "true");
    lab.package("gamma", &["alpha"], "true");
    lab.package("broken", &["alpa"], "true");
    lab.package("fine", &[], "true");
    let error = |target: &str| {
        let error = lab.builder().start(request(&[target])).err().unwrap();
        xlfs_builder::with_causes(&error)
    };
    assert_eq!(
        error("alhpa"),
        "the set t has no package or image \"alhpa\" (did you mean \"alpha\"?)"
    );
    assert_eq!(
        error("alpha"),
        "these packages need each other to be built: alpha -> beta -> gamma -> alpha"
    );
    let broken = error("broken");
    assert!(broken.contains("there is no package \"alpa\" (did you mean \"alpha\"?)"), "{broken}");
    lab.build(&["fine"]).await.fine();
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_of_outputs_are_told() {
    let lab = Lab::new();
    lab.recipe("a", &[], "[outputs]\nlib = [\"usr/lib/*.so\"]", "echo x > $OUT/x");
    lab.recipe("b", &[], "[[permission]]\npath = \"usr/bin/su\"\nmode = \"4755\"", "true");
    lab.package("c", &[], "mkfifo $OUT/pipe");
    let told = lab.build(&["a", "b", "c"]).await;
    assert_eq!(told.failure("a").1, "outputs: nothing in the package matches \"usr/lib/*.so\"");
    assert_eq!(told.failure("b").1, "permission: the package has no file or folder \"usr/bin/su\"");
    assert_eq!(told.failure("c").1, "pipe is neither a file, nor a folder, nor a symbolic link");
}

#[test]
fn a_toolchain_that_is_not_installed_is_named() {
    let lab = Lab::new();
    lab.file("set.toml", &crate::lab::SET.replace("\"dash\"", "\"dahs\""));
    lab.package("a", &[], "true");
    let error = Builder::open(&lab.config()).unwrap().plan(&request(&["a"])).unwrap_err();
    let error = xlfs_builder::with_causes(&error);
    assert!(error.contains("needs the Debian package dahs, which is not installed"), "{error}");
}

#[test]
fn a_build_that_failed_gives_no_older_image() {
    let lab = Lab::new();
    lab.package("tool", &[], "echo one > $OUT/tool");
    lab.file(
        "images/small.toml",
        "name = \"small\"\nsummary = \"x\"\npackages = [\"tool\"]\n\
         [[artifact]]\nkind = \"copy\"\nfrom = \"tool\"\nfile = \"tool\"\n",
    );
    let built = |to: &str| {
        let to = lab.folder.path().join(to);
        let status = Command::new(env!("CARGO_BIN_EXE_xlfs-build"))
            .arg("build")
            .args(["--recipes".as_ref(), lab.recipes().as_os_str()])
            .args(["--store".as_ref(), lab.store().as_os_str()])
            .args(["-o".as_ref(), to.as_os_str()])
            .arg("small")
            .status()
            .unwrap();
        (status.success(), fs::read_to_string(to.join("small/tool")).ok())
    };
    assert_eq!(built("first"), (true, Some("one\n".to_owned())));
    lab.package("tool", &[], "false");
    assert_eq!(built("second"), (false, None));
}

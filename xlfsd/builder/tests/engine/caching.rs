//! What is built again, what is not, and what a plan says about it.

use std::fs;

use xlfs_builder::build::Standing;

use crate::lab::{Lab, request};

fn chain() -> Lab {
    let lab = Lab::new();
    lab.package("a", &[], "mkdir -p $OUT/usr/share; echo one > $OUT/usr/share/a");
    lab.package("b", &["a"], "mkdir -p $OUT/usr/share; cat /usr/share/a > $OUT/usr/share/b");
    lab.package("c", &["b"], "mkdir -p $OUT/usr/share; cat /usr/share/b > $OUT/usr/share/c");
    lab
}

fn standing(lab: &Lab, package: &str) -> Standing {
    let plan = lab.builder().plan(&request(&["c"])).unwrap();
    plan.packages.into_iter().find(|it| it.package == package).unwrap().standing
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_is_not_built_again() {
    let lab = chain();
    assert_eq!(standing(&lab, "a"), Standing::Build(vec!["never built".to_owned()]));
    assert_eq!(lab.build(&["c"]).await.fine().built(), ["a", "b", "c"]);
    assert_eq!(lab.text("c", "usr/share/c"), "one\n");
    assert_eq!(standing(&lab, "c"), Standing::Cached);
    let again = lab.build(&["c"]).await.fine();
    assert!(again.built().is_empty());
    assert_eq!(again.summary.cached, 3);
    lab.nothing_left();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_equal_result_stops_the_wave_and_another_does_not() {
    let lab = chain();
    lab.build(&["c"]).await.fine();
    // Another way to the same file: a is built again, b and c are not.
    lab.package("a", &[], "mkdir -p $OUT/usr/share; printf 'one\\n' > $OUT/usr/share/a");
    let Standing::Build(reasons) = standing(&lab, "a") else { panic!() };
    assert!(reasons[0].starts_with("step install changed"), "{reasons:?}");
    assert_eq!(standing(&lab, "b"), Standing::Perhaps(vec!["a".to_owned()]));
    assert_eq!(lab.build(&["c"]).await.fine().built(), ["a"]);
    lab.package("a", &[], "mkdir -p $OUT/usr/share; echo two > $OUT/usr/share/a");
    assert_eq!(lab.build(&["c"]).await.fine().built(), ["a", "b", "c"]);
    assert_eq!(lab.text("c", "usr/share/c"), "two\n");
    // Back again: the older results are still there.
    lab.package("a", &[], "mkdir -p $OUT/usr/share; printf 'one\\n' > $OUT/usr/share/a");
    assert!(lab.build(&["c"]).await.fine().built().is_empty());
    assert_eq!(lab.text("c", "usr/share/c"), "one\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_input_is_in_the_key() {
    let lab = Lab::new();
    let recipe = |more: &str, install: &str| {
        lab.recipe("a", &[], more, install);
    };
    let install =
        "mkdir -p $OUT; sha256sum $FILES/* > $OUT/sum; printenv COLOUR > $OUT/colour || true";
    lab.file("a/file", "1");
    recipe("", install);
    assert_eq!(lab.build(&["a"]).await.fine().built(), ["a"]);
    assert!(lab.build(&["a"]).await.fine().built().is_empty());
    lab.file("a/file", "2");
    assert_eq!(lab.build(&["a"]).await.fine().built(), ["a"]);
    recipe("env = { COLOUR = \"red\" }", install);
    assert_eq!(lab.build(&["a"]).await.fine().built(), ["a"]);
    assert_eq!(lab.text("a", "colour"), "red\n");
    // A comment in the recipe, its summary and its deadline are no inputs.
    recipe("deadline = 77\nenv = { COLOUR = \"red\" } # a comment", install);
    assert!(lab.build(&["a"]).await.fine().built().is_empty());
    lab.file("set.toml", &crate::lab::SET.replace("1686355200", "1686355201"));
    let plan = lab.builder().plan(&request(&["a"])).unwrap();
    let Standing::Build(reasons) = &plan.packages[0].standing else { panic!() };
    let expected = "variable SOURCE_DATE_EPOCH changed (1686355200 -> 1686355201)";
    assert_eq!(reasons[..], [expected]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_build_is_compared_to_the_byte() {
    let lab = Lab::new();
    lab.package("fine", &[], "echo same > $OUT/same");
    lab.package("random", &[], "cat /proc/sys/kernel/random/uuid > $OUT/id; echo same > $OUT/same");
    lab.build(&["fine", "random"]).await.fine();
    let verified = lab.builder().verify(&request(&["fine", "random"])).await.unwrap();
    assert!(verified[0].differences.is_empty(), "{verified:?}");
    let [difference] = &verified[1].differences[..] else { panic!("{verified:?}") };
    assert_eq!((difference.path.as_str(), difference.how), ("id", "has other contents"));
}

#[tokio::test(flavor = "multi_thread")]
async fn gc_keeps_the_newest_results_and_nothing_else() {
    let lab = chain();
    lab.build(&["c"]).await.fine();
    lab.package("a", &[], "mkdir -p $OUT/usr/share; echo two > $OUT/usr/share/a");
    lab.build(&["c"]).await.fine();
    let collected = lab.builder().collect(false).unwrap();
    assert_eq!(collected.results, 3);
    assert!(collected.blobs > 0 && collected.bytes > 0);
    let (count, bad) = lab.builder().store().verify_blobs().unwrap();
    assert_eq!((count, bad.len()), (collected.kept, 0));
    assert!(lab.build(&["c"]).await.fine().built().is_empty());
    assert_eq!(lab.text("c", "usr/share/c"), "two\n");
    // A package without a recipe is nobody's any more.
    fs::remove_file(lab.recipes().join("c.toml")).unwrap();
    assert_eq!(lab.builder().collect(false).unwrap().results, 1);
    assert!(lab.builder().store().latest("t", "c@shell").unwrap().is_none());
}

/// gc would take what a build is about to use.
#[tokio::test(flavor = "multi_thread")]
async fn gc_does_not_run_beside_another_builder() {
    let lab = chain();
    let other = lab.builder();
    let error = lab.builder().collect(false).unwrap_err().to_string();
    assert!(error.contains("is in use by another builder"), "{error}");
    drop(other);
    // Nor beside a build of the same builder.
    lab.package("slow", &[], "sleep 600");
    let builder = lab.builder();
    let build = builder.start(request(&["slow"])).unwrap();
    let error = builder.collect(false).unwrap_err().to_string();
    assert!(error.contains("is in use by another builder"), "{error}");
    build.cancel();
    build.finished().await;
    builder.collect(false).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn outputs_are_split_and_permissions_kept() {
    let lab = Lab::new();
    let install = "mkdir -p $OUT/usr/include $OUT/lib $OUT/usr/bin $OUT/var/empty\n\
                   echo h > $OUT/usr/include/x.h; echo l > $OUT/lib/libx.a; echo l > $OUT/lib/libx.so\n\
                   echo x > $OUT/usr/bin/x; chmod 4700 $OUT/usr/bin/x";
    let more = "[outputs]\nstatic = [\"usr/lib/*.a\"]\n\
                [[permission]]\npath = \"var/empty\"\nmode = \"0700\"\nowner = \"0:42\"";
    lab.recipe("x", &[], more, install);
    lab.build(&["x"]).await.fine();
    let (builder, record) = (lab.builder(), lab.record("x"));
    let paths = |output: &str| {
        let tree = builder.store().read_tree(&record.outputs[output]).unwrap();
        tree.iter().map(|(path, _)| path.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(paths("dev"), ["usr", "usr/include", "usr/include/x.h"]);
    assert_eq!(paths("static"), ["usr", "usr/lib", "usr/lib/libx.a"]);
    let run = ["usr", "usr/bin", "usr/bin/x", "usr/lib", "usr/lib/libx.so", "var", "var/empty"];
    assert_eq!(paths("run"), run);
}

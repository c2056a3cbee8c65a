//! One pool of jobs for all packages.

use crate::lab::{Lab, Told};

/// Each package runs a make with eight jobs that last a while and count how many
/// of their kind run in the package; the pool has two.
#[tokio::test(flavor = "multi_thread")]
async fn make_joins_the_pool() {
    let lab = Lab { jobs: 3, ..Lab::new() };
    let makefile = "all: 1 2 3 4 5 6 7 8\n1 2 3 4 5 6 7 8:\n\tmkdir run/$@\n\tls run | wc -l >>count\n\tsleep 0.3\n\trmdir run/$@\n";
    lab.file("a/Makefile", makefile);
    lab.package(
        "a",
        &[],
        "mkdir run; make -f $FILES/Makefile; sort -n count | tail -1 > $OUT/most; echo $JOBS > $OUT/jobs",
    );
    lab.file("alone/Makefile", makefile);
    lab.recipe(
        "alone",
        &["a"],
        "jobs = \"alone\"",
        "mkdir run; make -f $FILES/Makefile; sort -n count | tail -1 > $OUT/alone",
    );
    lab.build(&["alone"]).await.fine();
    // Its own job and two more of the pool, when nobody else wants them.
    assert_eq!(lab.text("a", "most"), "3\n");
    assert_eq!(lab.text("a", "jobs"), "3\n");
    assert_eq!(lab.text("alone", "alone"), "1\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_packages_run_as_there_are_jobs() {
    let lab = Lab::new();
    // Each waits for the other to be seen: alone, neither would end.
    for name in ["a", "b", "c", "d"] {
        lab.package(name, &[], "sleep 1; echo x > $OUT/x");
    }
    assert_eq!(most_at_once(&lab.build(&["a", "b", "c", "d"]).await.fine()), 2);
}

/// One after another, as a plain script would, but each with all jobs for its make.
#[tokio::test(flavor = "multi_thread")]
async fn packages_may_be_fewer_than_jobs() {
    let lab = Lab { jobs: 3, packages: 1, ..Lab::new() };
    let makefile = "all: 1 2 3 4 5 6\n1 2 3 4 5 6:\n\tmkdir run/$@\n\tls run | wc -l >>count\n\tsleep 0.3\n\trmdir run/$@\n";
    for name in ["a", "b", "c"] {
        lab.file(&format!("{name}/Makefile"), makefile);
        let install =
            "mkdir run; make -f $FILES/Makefile; sort -n count | tail -1 > $OUT/most-$NAME";
        lab.package(name, &[], install);
    }
    lab.package("bad", &[], "false");
    // A package that fails makes room, too.
    assert_eq!(lab.build(&["bad", "a"]).await.built(), ["a"]);
    assert_eq!(most_at_once(&lab.build(&["b", "c"]).await.fine()), 1);
    for name in ["a", "b", "c"] {
        assert_eq!(lab.text(name, &format!("most-{name}")), "3\n");
    }
}

fn most_at_once(told: &Told) -> i32 {
    let mut running = 0;
    let mut most = 0;
    for event in &told.events {
        let text = format!("{event:?}");
        running += i32::from(text.starts_with("Started")) - i32::from(text.starts_with("Built"));
        most = most.max(running);
    }
    most
}

/// A make that is killed keeps the tokens it had; the next package must not suffer.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_a_killed_make_come_back() {
    let lab = Lab { jobs: 3, ..Lab::new() };
    lab.file("a/Makefile", "all: 1 2 3\n1 2 3:\n\techo $@; sleep 600\n");
    lab.recipe("a", &[], "deadline = 2", "make -f $FILES/Makefile");
    let makefile = "all: 1 2 3 4 5 6\n1 2 3 4 5 6:\n\tmkdir run/$@\n\tls run | wc -l >>count\n\tsleep 0.3\n\trmdir run/$@\n";
    lab.file("b/Makefile", makefile);
    lab.package(
        "b",
        &[],
        "mkdir run; make -f $FILES/Makefile; sort -n count | tail -1 > $OUT/most",
    );
    let builder = lab.builder();
    for (target, fine) in [("a", false), ("b", true)] {
        let build = builder.start(crate::lab::request(&[target])).unwrap();
        assert_eq!(build.finished().await.succeeded(), fine);
    }
    assert_eq!(lab.text("b", "most"), "3\n");
}

//! `build`, `source` and `recipe`.

use std::fs;

use xlfs_proto::v1::{BuildState, FailureCause};

use crate::fake::builds::{build, events};
use crate::fake::{Fake, World, serve};
use crate::run::{command, finish, xlfsctl};

fn playing(state: BuildState, cause: FailureCause) -> Fake {
    let builds = vec![build("7", state)];
    serve(World { build_events: events(state, cause), builds, ..World::default() })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_what_why_and_how_long() {
    let fake = serve(World::default());
    let args = ["build", "plan", "openssh", "--toolchain", "host", "--check", "--rebuild", "zlib"];
    let plan = xlfsctl(&fake, &args).await.expect(0).out;
    assert!(plan.contains("zlib     1.2.13   build    1m15s  step configure changed"), "{plan}");
    assert!(plan.contains("if zlib changes") && !plan.contains("host-musl"), "{plan}");
    assert!(plan.ends_with("3 packages: 1 to build, 1 perhaps, 1 there already; about 1m15s.\n"));
    let asked = fake.stage.world().requests[0].clone();
    for part in ["[\"openssh\"]", "toolchain: \"host\"", "check: true", "rebuild: [\"zlib\"]"] {
        assert!(asked.contains(part), "{part}: {asked}");
    }
    // The same without starting anything.
    let dry = xlfsctl(&fake, &["build", "start", "openssh", "--dry-run"]).await.expect(0);
    assert_eq!(dry.out, plan);
    assert!(fake.stage.world().requests.iter().all(|it| !it.contains("StartBuild")));
    let names = xlfsctl(&fake, &["-q", "build", "plan"]).await.expect(0).out;
    assert_eq!(names, "zlib\nopenssh\n");
    let json = xlfsctl(&fake, &["-o", "json", "build", "plan"]).await.expect(0).json();
    assert_eq!(json["packages"][1]["failure"]["step"], "build");
    let why = xlfsctl(&fake, &["build", "why", "zlib"]).await.expect(0).out;
    assert!(why.starts_with("zlib: would be built\n") && !why.contains("openssh"), "{why}");
    let one_line = why.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        one_line.contains("in step build, after 3.0s: step build failed (exit code 2)"),
        "{why}"
    );
    assert!(why.lines().all(|line| line.len() <= 80), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_is_followed_to_its_end() {
    let fake = playing(BuildState::Succeeded, FailureCause::Unspecified);
    let run = xlfsctl(&fake, &["build", "start", "openssh", "--import"]).await.expect(0);
    assert_eq!(run.out, "build 7: succeeded after 1m15s: 1 built, 1 there\n");
    for line in ["start    zlib (last time 1m15s)", "built    zlib in 1m00s, same result as before"]
    {
        assert!(run.err.contains(line), "{line}: {}", run.err);
    }
    assert!(fake.stage.world().requests[0].contains("import: true"));
    let json = xlfsctl(&fake, &["-o", "json", "build", "start"]).await.expect(0).json();
    assert_eq!((json["id"].as_str(), json["state"].as_str()), (Some("7"), Some("succeeded")));
    let id = xlfsctl(&fake, &["-q", "build", "start", "--detach"]).await.expect(0);
    assert_eq!(id.out, "7\n");
    let run = xlfsctl(&fake, &["build", "watch", "7", "--from", "4", "-o", "json"]).await.expect(0);
    let first: serde_json::Value =
        serde_json::from_str(run.out.lines().next().expect("a line")).expect("JSON");
    assert_eq!((first["number"].as_u64(), first["kind"].as_str()), (Some(4), Some("built")));
    assert_eq!(run.out.lines().count(), 2, "{}", run.out);
    xlfsctl(&fake, &["build", "watch", "9"]).await.expect(3);

    let busy = xlfsctl(&serve(World::default()), &["build", "start"]).await.expect(5);
    assert!(busy.err.contains("cannot start the build: build 6 runs (dom0)"), "{}", busy.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_connection_is_made_anew_where_it_was() {
    let fake = playing(BuildState::Succeeded, FailureCause::Unspecified);
    fake.stage.world().cut_after = 3;
    let run = xlfsctl(&fake, &["build", "watch", "-o", "json"]).await.expect(0);
    let numbers: Vec<_> = run
        .out
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).expect("JSON")["number"].as_u64()
        })
        .collect();
    assert_eq!(numbers, (0..6).map(Some).collect::<Vec<_>>());
    assert!(fake.stage.world().requests.iter().any(|it| it.contains("from: 3")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_shows_the_logs_end_and_decides_the_exit() {
    let causes = [
        (FailureCause::Recipe, 1),
        (FailureCause::DiskFull, 6),
        (FailureCause::Silent, 7),
        (FailureCause::Machine, 5),
    ];
    for (cause, code) in causes {
        let fake = playing(BuildState::Failed, cause);
        let run = xlfsctl(&fake, &["build", "start", "openssh"]).await.expect(code);
        assert!(run.out.starts_with("build 7: failed after 1m15s"), "{}", run.out);
        for part in [
            "FAILED   zlib (step build): step build failed (exit code 2)",
            "  | cc: no such file\\u{1b}[2J",
            "skipped  openssh: it needs zlib",
            "xlfsctl build log zlib",
        ] {
            assert!(run.err.contains(part), "{part}: {}", run.err);
        }
    }
    for state in [BuildState::Cancelled, BuildState::Interrupted] {
        let fake = playing(state, FailureCause::Unspecified);
        let run = xlfsctl(&fake, &["build", "watch"]).await.expect(8);
        assert!(run.err.contains("start it again to go on"), "{}", run.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_leaves_the_build_alone() {
    let fake = playing(BuildState::Succeeded, FailureCause::Unspecified);
    fake.stage.world().goes_on = true;
    let child = command(&fake.socket, &["build", "start"]).spawn().expect("starts");
    let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
    while !fake.stage.world().requests.iter().any(|it| it.contains("WatchBuild")) {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).expect("signal");
    let ended = tokio::task::spawn_blocking(|| child.wait_with_output());
    let run = crate::run::read(&ended.await.expect("joined").expect("ended"));
    assert_eq!(run.code, 130, "{}", run.err);
    let said = "the build goes on: xlfsctl build watch 7 --from 5, or xlfsctl build cancel 7";
    assert!(run.err.contains(said), "{}", run.err);
    assert!(!fake.stage.world().requests.iter().any(|it| it.contains("CancelBuild")));
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_are_listed_and_cancelled() {
    let fake = playing(BuildState::Interrupted, FailureCause::Unspecified);
    fake.stage.world().builds.push(build("6", BuildState::Succeeded));
    let list = xlfsctl(&fake, &["build", "list"]).await.expect(0);
    assert!(list.out.lines().all(|line| line.len() <= 80), "{}", list.out);
    assert!(list.out.contains(" 7  interrupted  openssh"), "{}", list.out);
    let hint = list.err.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(hint.contains("go on with it: xlfsctl build start openssh --set 12"), "{hint}");
    let json = xlfsctl(&fake, &["-o", "yaml", "build", "list"]).await.expect(0).out;
    assert!(json.contains("state: interrupted"), "{json}");
    fake.stage.world().build_events = events(BuildState::Cancelled, FailureCause::Unspecified);
    let dry = xlfsctl(&fake, &["build", "cancel", "--dry-run"]).await.expect(0);
    assert_eq!(dry.out, "would cancel build 7\n");
    let run = xlfsctl(&fake, &["build", "cancel"]).await.expect(0);
    assert!(run.err.contains("build 7 is cancelled"), "{}", run.err);
    let none = xlfsctl(&serve(World::default()), &["build", "list"]).await.expect(0);
    assert!(none.err.contains("Nothing was built yet"), "{}", none.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_out_is_shown() {
    let fake = serve(World::default());
    let log = xlfsctl(&fake, &["build", "log", "zlib", "--step", "build"]).await.expect(0);
    assert_eq!(log.out, "=== configure\nchecking for gcc... \n=== build\ncc -c a.c\n");
    assert!(log.err.contains("in 12s (build 12s)"), "{}", log.err);
    assert!(fake.stage.world().requests[0].contains("step: \"build\""));
    xlfsctl(&fake, &["build", "log", "nix"]).await.expect(3);
    let files = xlfsctl(&fake, &["build", "files", "zlib"]).await.expect(0);
    assert!(files.out.contains("run              /usr/lib/libz.so -> libz.so.1"), "{}", files.out);
    assert!(files.err.contains("2 files, 2.0 KiB"), "{}", files.err);
    assert_eq!(xlfsctl(&fake, &["build", "graph"]).await.expect(0).out, "<svg/>\n");
    let folder = tempfile::tempdir().expect("folder");
    let picture = folder.path().join("build.svg");
    xlfsctl(&fake, &["build", "graph", picture.to_str().expect("UTF-8")]).await.expect(0);
    assert_eq!(fs::read_to_string(&picture).expect("picture"), "<svg/>\n");
    xlfsctl(&fake, &["build", "graph", "/nonexistent/x.svg"]).await.expect(3);

    let same = xlfsctl(&fake, &["build", "verify", "zlib"]).await.expect(0);
    assert_eq!(same.out, "zlib: equal\n");
    let run = xlfsctl(&fake, &["build", "verify", "zlib", "clock"]).await.expect(1);
    assert!(run.out.contains("  run: /usr/bin/date has other contents"), "{}", run.out);
    let gc = xlfsctl(&fake, &["build", "gc", "--dry-run"]).await.expect(0);
    assert_eq!(gc.out, "would remove 2 results and 30 files (5.0 MiB); 400 files stay\n");
    assert!(fake.stage.world().requests.last().expect("one").contains("dry_run: true"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_written_whole_or_not_at_all() {
    let fake = serve(World::default());
    let folder = tempfile::tempdir().expect("folder");
    let out = folder.path().join("out");
    let export = async |image: &str| {
        xlfsctl(&fake, &["build", "export", image, out.to_str().expect("UTF-8")]).await
    };
    let run = export("dom0").await.expect(0);
    assert_eq!(run.out.lines().count(), 2);
    assert_eq!(fs::read(out.join("disk.img")).expect("file"), b"abcd");
    assert_eq!(fs::read(out.join("empty")).expect("file"), b"");
    fs::remove_file(out.join("disk.img")).expect("removed");
    let run = export("cut").await.expect(1);
    assert!(run.err.contains("without its last 2 bytes"), "{}", run.err);
    assert!(!out.join("disk.img").exists());
    export("evil").await.expect(10);
    assert!(!folder.path().join("evil").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_takes_lines_from_a_pipe_and_tells_its_code() {
    let fake = serve(World::default());
    let folder = tempfile::tempdir().expect("folder");
    let lines = folder.path().join("lines");
    fs::write(&lines, "ls /build\n").expect("file");
    let mut command = command(&fake.socket, &["build", "shell", "zlib", "--step", "build"]);
    command.stdin(fs::File::open(&lines).expect("file"));
    let run = finish(command).await.expect(1);
    assert_eq!(run.out, "$ ls /build\n");
    assert!(run.err.contains("Preparing the sandbox."), "{}", run.err);
    assert!(run.err.contains("The shell ended with code 3."), "{}", run.err);
    let asked = fake.stage.world().requests[0].clone();
    assert!(asked.contains("step: \"build\"") && asked.contains("term: \"linux\""), "{asked}");
    xlfsctl(&fake, &["build", "shell", "nix"]).await.expect(3);
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_are_listed_fetched_added_and_read_again() {
    let fake = serve(World::default());
    let list = xlfsctl(&fake, &["source", "list"]).await.expect(0).out;
    assert!(list.contains("zlib.tar.gz  1.4 MiB  0123456789ab  -      zlib"), "{list}");
    let missing = xlfsctl(&fake, &["-q", "source", "list", "--missing"]).await.expect(0).out;
    assert_eq!(missing, "zlib.tar.gz\n");
    assert_eq!(xlfsctl(&fake, &["source", "fetch"]).await.expect(0).out, "1 files are there\n");
    let run = xlfsctl(&fake, &["source", "fetch", "zlib"]).await.expect(1);
    assert!(run.err.contains("there    musl.tar.gz from the store"), "{}", run.err);
    assert!(run.err.contains("cause:  no place has it: a; b"), "{}", run.err);
    assert!(run.err.contains("xlfsctl source add zlib.tar.gz"), "{}", run.err);

    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("zlib-1.tar");
    fs::write(&file, vec![7; 300_000]).expect("file");
    let file = file.to_str().expect("UTF-8");
    let run = xlfsctl(&fake, &["source", "add", file, "--as", "zlib.tar.gz"]).await.expect(0);
    assert_eq!(run.out, "zlib.tar.gz (1.4 MiB, for zlib) is in the store now\n");
    let run = xlfsctl(&fake, &["source", "add", file, "--dry-run"]).await.expect(0);
    assert!(
        run.out.contains("zlib-1.tar (1.4 MiB, for zlib) would go into the store"),
        "{}",
        run.out
    );
    fs::write(file, "else").expect("file");
    let run = xlfsctl(&fake, &["source", "add", file]).await.expect(10);
    assert!(run.err.contains("the file has other bytes"), "{}", run.err);
    xlfsctl(&fake, &["source", "add", "/nonexistent"]).await.expect(3);

    let good = xlfsctl(&fake, &["source", "verify"]).await.expect(0);
    assert_eq!(good.out, "1 files read, 0 of them damaged\n");
    let bad = xlfsctl(&fake, &["source", "verify", "--set", "bad"]).await.expect(1);
    assert!(bad.err.contains("DAMAGED  musl.tar.gz: other bytes"), "{}", bad.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn recipes_are_listed_shown_checked_and_begun() {
    let fake = serve(World::default());
    let list = xlfsctl(&fake, &["recipe", "list"]).await.expect(0).out;
    assert!(list.contains("dom0  image    1.2.13   2 mistakes: xlfsctl recipe check"), "{list}");
    let sets = xlfsctl(&fake, &["recipe", "list", "--sets"]).await.expect(0).out;
    assert!(sets.contains("host *     of the host"), "{sets}");
    let show = xlfsctl(&fake, &["recipe", "show", "zlib"]).await.expect(0).out;
    assert!(show.contains("Needed by     openssh"), "{show}");
    let text = xlfsctl(&fake, &["recipe", "show", "zlib", "--text"]).await.expect(0).out;
    assert_eq!(text, "name = \"zlib\"\n# \\u{1b}[2J\n");
    xlfsctl(&fake, &["recipe", "show", "nix"]).await.expect(3);
    let check = xlfsctl(&fake, &["recipe", "check"]).await.expect(10);
    assert_eq!(check.out, "12/zlib.toml:3:3: unknown key\nzlib: odd\n");
    xlfsctl(&fake, &["recipe", "check", "--set", "good"]).await.expect(0);
    let new = xlfsctl(&fake, &["recipe", "new", "pcre"]).await.expect(0).out;
    assert_eq!(new, "/etc/xlfs/recipes/12/pcre.toml\n");
    let print =
        xlfsctl(&fake, &["recipe", "new", "pcre", "--image", "--print"]).await.expect(0).out;
    assert_eq!(print, "name = \"x\"\n");
    let asked = fake.stage.world().requests.last().expect("one").clone();
    assert!(asked.contains("dry_run: true") && asked.contains("kind: Image"), "{asked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_and_sets_are_completed() {
    let fake = serve(World::default());
    let complete = async |line: &[&str]| {
        let mut args = vec!["--", "xlfsctl"];
        args.extend(line);
        let mut command = command(&fake.socket, &args);
        command.env("XLFSCTL_COMPLETE", "fish");
        finish(command).await.expect(0).out
    };
    let targets = complete(&["build", "start", ""]).await;
    assert!(
        targets.starts_with("zlib\tThe compression") && targets.contains("\ndom0\t"),
        "{targets}"
    );
    let packages = complete(&["build", "log", ""]).await;
    assert!(packages.contains("zlib") && !packages.contains("dom0"), "{packages}");
    assert!(complete(&["build", "plan", "--set", ""]).await.contains("12\t"));
    assert!(complete(&["build", "plan", "--toolchain", ""]).await.contains("host\t"));
    let asked = fake.stage.world().requests.clone();
    assert!(asked.iter().any(|it| it.contains("sets: true")), "{asked:?}");
}

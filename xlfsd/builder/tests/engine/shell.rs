//! A package's sandbox, opened for a person.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use xlfs_builder::build::{Builder, ShellRequest};

use crate::lab::Lab;

fn lab() -> Lab {
    let lab = Lab::new();
    lab.package("dep", &[], "mkdir -p $OUT/usr/share; echo dep > $OUT/usr/share/dep");
    let text = "name = \"a\"\nversion = \"1.5\"\nlicence = \"MIT\"\nsummary = \"s\"\n\
                why = \"w\"\nstrip = false\nbuild_in = \"separate\"\n[depends]\nbuild = [\"dep\"]\n\
                [env]\nCOLOUR = \"red\"\n[steps]\n\
                prepare = \"echo prepared > ready\"\n\
                configure = \"cat $SRC/ready > configured\"\n\
                build = \"echo half > half; cat missing\"\n\
                install = \"cp configured $OUT/x\"\n";
    lab.file("a.toml", text);
    lab
}

fn request(step: Option<&str>) -> ShellRequest {
    ShellRequest {
        package: "a".to_owned(),
        step: step.map(str::to_owned),
        ..ShellRequest::default()
    }
}

/// Types lines into a shell, and returns all that it printed and its exit code.
async fn session(builder: &Builder, request: &ShellRequest, lines: &str) -> (String, i32) {
    let never = CancellationToken::new();
    let shell = builder.shell(request, &never, |_| ()).await.unwrap();
    let (mut input, mut output) = shell.open("vt100", 33, 99).unwrap();
    let talk = async {
        let mut said = Vec::new();
        input.send(lines.as_bytes()).await.unwrap();
        while let Some(bytes) = output.next().await.unwrap() {
            said.extend(bytes);
        }
        (String::from_utf8(said).unwrap(), output.ended().await.unwrap())
    };
    tokio::time::timeout(Duration::from_secs(60), talk).await.expect("the shell ends")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_step_can_be_looked_into_and_tried_again() {
    let lab = lab();
    lab.build(&["a"]).await;
    let builder = lab.builder();
    let (said, code) = session(
        &builder,
        &request(None),
        "pwd; cat half configured; echo \"$NAME-$VERSION-$COLOUR\"; cat /usr/share/dep\n\
         echo no >/etc/passwd; echo found > missing; step build && step install; cat $OUT/x\n\
         exit 7\n",
    )
    .await;
    assert_eq!(code, 7, "{said}");
    assert!(said.contains("as it was left: step build failed (exit code 1)"), "{said}");
    let shown = ["/build/work\r\nhalf\r\nprepared\r\na-1.5-red\r\ndep\r\n", "prepared\r\n[a]"];
    assert!(shown.iter().all(|text| said.contains(text)), "{said}");
    assert!(!said.contains("changed since"), "{said}");
    assert!(said.contains("Read-only file system"), "{said}");
    // What was done in there is there the next time, until the package is built.
    let (said, _) = session(&builder, &request(None), "cat missing\nexit\n").await;
    assert!(said.contains("found\r\n"), "{said}");
    lab.recipe("a", &["dep"], "", "echo fine > $OUT/x");
    let (said, _) = session(&lab.builder(), &request(None), "exit\n").await;
    assert!(said.contains("changed since"), "{said}");
    lab.build(&["a"]).await.fine();
    assert!(std::fs::read_dir(lab.store().join("kept/t/a")).unwrap().next().is_none());
    let (said, _) = session(&lab.builder(), &request(None), "ls; exit\n").await;
    assert!(said.contains("unpacked and patched") && !said.contains("half"), "{said}");
    drop(builder);
    lab.builder();
    lab.nothing_left();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_steps_before_one_are_run_for_it() {
    let lab = lab();
    lab.build(&["dep"]).await.fine();
    let builder = lab.builder();
    let (said, _) = session(&builder, &request(Some("build")), "ls; exit\n").await;
    assert!(said.contains("configured\r\n") && !said.contains("half"), "{said}");
    let (said, _) = session(&builder, &request(Some("prepare")), "pwd; ls; exit\n").await;
    assert!(said.contains("/build/src\r\n") && !said.contains("ready"), "{said}");
    // One of those before fails: there the shell is.
    let (said, _) = session(&builder, &request(Some("install")), "ls; exit\n").await;
    assert!(said.contains("Step build, which comes before, failed (exit code 1):"), "{said}");
    assert!(said.contains("missing: No such file") && said.contains("half\r\n"), "{said}");
    let never = CancellationToken::new();
    let error = builder.shell(&request(Some("biuld")), &never, |_| ()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "a has no step \"biuld\"; it has prepare, configure, build, install"
    );
    lab.package("dep", &[], "echo other > $OUT/dep");
    let error = lab.builder().shell(&request(None), &never, |_| ()).await.unwrap_err();
    assert_eq!(error.to_string(), "the sandbox of a needs what is not built: dep (build a first)");
}

/// The shell's terminal is its own, with job control, and no other is in there.
#[tokio::test(flavor = "multi_thread")]
async fn the_shell_has_a_terminal_of_its_own() {
    let lab = lab();
    lab.build(&["dep"]).await.fine();
    let builder = lab.builder();
    let never = CancellationToken::new();
    let shell = builder.shell(&request(None), &never, |_| ()).await.unwrap();
    let (mut input, mut output) = shell.open("vt100", 33, 99).unwrap();
    let mut said = String::new();
    let talk = async {
        // `^C` is for what runs when it is typed, so it is waited for.
        for (typed, until) in [
            ("stty size </dev/tty; echo $TERM; case $- in *m*) echo jo''bs; esac\n", "jobs"),
            ("sleep 1 & wait; jobs; echo go''ing; sleep 601\n", "going"),
            ("\x03", "^C"),
            ("echo af''ter\n", "after"),
        ] {
            if typed == "\x03" {
                while crate::isolation::users_of("sleep\x00601\0").is_empty() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            input.send(typed.as_bytes()).await.unwrap();
            while !said.contains(until) {
                let bytes = output.next().await.unwrap();
                said.push_str(&String::from_utf8_lossy(&bytes.expect("the shell lives")));
            }
        }
        input.resize(50, 132).unwrap();
        input.send(b"stty size\nexit\n").await.unwrap();
        while let Some(bytes) = output.next().await.unwrap() {
            said.push_str(&String::from_utf8_lossy(&bytes));
        }
    };
    let talked = tokio::time::timeout(Duration::from_secs(60), talk).await;
    assert!(talked.is_ok(), "{said}");
    assert!(said.contains("33 99\r\nvt100\r\njobs\r\n"), "{said}");
    assert!(said.contains("50 132\r\n") && !said.contains("can't access tty"), "{said}");
}

/// Whoever goes away leaves nothing that runs, and no folder.
#[tokio::test(flavor = "multi_thread")]
async fn a_shell_that_nobody_reads_ends() {
    let lab = lab();
    lab.build(&["dep"]).await.fine();
    let builder = lab.builder();
    let never = CancellationToken::new();
    let shell = builder.shell(&request(None), &never, |_| ()).await.unwrap();
    let (mut input, mut output) = shell.open("dumb", 25, 80).unwrap();
    input.send(b"echo re''ady; exec sleep 31.41\n").await.unwrap();
    let mut said = String::new();
    while !said.contains("ready") {
        let bytes = output.next().await.unwrap().unwrap_or_else(|| panic!("it ended: {said}"));
        said.push_str(&String::from_utf8_lossy(&bytes));
    }
    // gc would take what the shell stands on.
    assert!(builder.collect(false).is_err());
    drop((input, output));
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !crate::isolation::users_of("sleep\x0031.41\0").is_empty() {
        assert!(std::time::Instant::now() < deadline, "the shell lives on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    builder.collect(false).unwrap();
    drop(builder);
    lab.builder();
    lab.nothing_left();
}

/// gc makes room: the folder of a failure goes, its log stays.
#[tokio::test(flavor = "multi_thread")]
async fn gc_takes_kept_folders() {
    let lab = lab();
    lab.build(&["a"]).await;
    let kept = || std::fs::read_dir(lab.store().join("kept/t/a")).map_or(0, Iterator::count);
    assert_eq!(kept(), 1);
    lab.build(&["a"]).await;
    assert_eq!(kept(), 1);
    let would = lab.builder().collect(true).unwrap();
    assert!(kept() == 1 && would.bytes > 0);
    lab.builder().collect(false).unwrap();
    assert_eq!(kept(), 0);
    let failure = lab.builder().store().failure("t", "a").unwrap().unwrap();
    assert_eq!(failure.step, "build");
    let (said, _) = session(&lab.builder(), &request(None), "exit\n").await;
    assert!(said.contains("unpacked and patched"), "{said}");
}

//! kill -9 at every step of every package: what was finished stays, what was under
//! way is built again, and nothing is left over.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::lab::Lab;

/// Steps stop at a gate that only opens in the last run.
fn lab() -> Lab {
    let lab = Lab::new();
    for (name, build) in [("a", "[]"), ("b", "[\"a\"]")] {
        let step = |step: &str, work: &str| {
            format!(
                "{step} = '''\n{work}\n[ -e $FILES/open-{step} ] || {{ echo gate; sleep 600; }}\n'''\n"
            )
        };
        let text = format!(
            "name = \"{name}\"\nversion = \"1\"\nlicence = \"MIT\"\nsummary = \"s\"\nwhy = \"w\"\n\
             strip = false\n[depends]\nbuild = {build}\n[steps]\n{}{}{}",
            step("configure", "echo half > $OUT/half"),
            step(
                "build",
                "mkdir $OUT/usr/locked; echo x > $OUT/usr/locked/x; chmod 0 $OUT/usr/locked"
            ),
            step(
                "install",
                "chmod 755 $OUT/usr/locked; rm $OUT/half; cat /a >> $OUT/a 2>/dev/null || true; echo {name} >> $OUT/{name}"
            ),
        );
        lab.file(&format!("{name}.toml"), &text.replace("{name}", name));
        lab.file(&format!("{name}/readme"), "gates are beside this");
    }
    lab
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_build_goes_on() {
    let lab = lab();
    for package in ["a", "b"] {
        for step in ["configure", "build", "install"] {
            kill_at(&lab, package, step);
            lab.file(&format!("{package}/open-{step}"), "");
        }
        // The package is whole only with its last gate open.
        let finished = lab.store().join("results");
        let count = fs::read_dir(&finished).unwrap().count();
        assert_eq!(count, usize::from(package == "b"));
    }
    let told = lab.build(&["b"]).await.fine();
    assert_eq!(told.built(), ["b"]);
    assert_eq!(told.summary.cached, 1);
    lab.nothing_left();
    let (_, bad) = lab.builder().store().verify_blobs().unwrap();
    assert!(bad.is_empty(), "{bad:?}");
    let again = lab.build(&["b"]).await.fine();
    assert!(again.built().is_empty());
}

/// Runs the program until the step has reached its gate, and kills it.
fn kill_at(lab: &Lab, package: &str, step: &str) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_xlfs-build"))
        .arg("build")
        .args(["--recipes".as_ref(), lab.recipes().as_os_str()])
        .args(["--store".as_ref(), lab.store().as_os_str()])
        .arg("b")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(120);
    let mark = format!("\u{1e}{step}");
    loop {
        assert!(Instant::now() < deadline, "{package} did not reach {step}");
        let reached =
            fs::read_dir(lab.store().join("work")).into_iter().flatten().flatten().any(|dir| {
                let ours = dir.file_name().to_string_lossy().starts_with(&format!("{package}-"));
                let log = fs::read_to_string(dir.path().join("log")).unwrap_or_default();
                ours && log.contains(&mark) && log.ends_with("gate\n")
            });
        if reached {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let lines: Vec<String> =
        BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok).collect();
    assert!(lines.iter().any(|line| line.contains(&format!("start    {package}"))), "{lines:?}");
    // All that it started dies with it.
    let left = || {
        let store = lab.store().to_string_lossy().into_owned();
        fs::read_dir("/proc").unwrap().flatten().any(|entry| {
            let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&command).contains(&store)
        })
    };
    while left() {
        assert!(Instant::now() < deadline, "something of the sandbox is left");
        std::thread::sleep(Duration::from_millis(20));
    }
}

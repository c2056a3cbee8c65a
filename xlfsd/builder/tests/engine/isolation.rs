//! What a step can see and do: only what was declared.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use crate::lab::{Lab, request};

#[tokio::test(flavor = "multi_thread")]
async fn a_step_sees_only_what_was_declared() {
    let lab = Lab::new();
    lab.package("a", &[], "mkdir -p $OUT/usr/share; echo a > $OUT/usr/share/a");
    lab.package("b", &[], "mkdir -p $OUT/usr/share; echo b > $OUT/usr/share/b");
    lab.package(
        "c",
        &["a"],
        "ls / > $OUT/top; ls /usr/share > $OUT/share; ls /proc | grep -c '^[0-9]' > $OUT/processes
         id -u > $OUT/uid; cat /proc/sys/kernel/hostname > $OUT/host; printenv > $OUT/env",
    );
    lab.build(&["b", "c"]).await.fine();
    let top = "bin\nbuild\ndev\netc\nlib\nlib64\nproc\nsbin\ntmp\nusr\nxlfs\n";
    assert_eq!(lab.text("c", "top"), top);
    let share = lab.text("c", "share");
    assert!(share.contains("a\n") && !share.lines().any(|line| line == "b"), "{share}");
    assert_eq!(lab.text("c", "uid"), "1000\n");
    assert_eq!(lab.text("c", "host"), "xlfs\n");
    let processes: u32 = lab.text("c", "processes").trim().parse().unwrap();
    assert!(processes < 10, "{processes}");
    let env = lab.text("c", "env");
    assert!(env.contains("SOURCE_DATE_EPOCH=1686355200") && !env.contains("CARGO_PKG"), "{env}");
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_network() {
    let lab = Lab::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // bash knows /dev/tcp; the machine's own port is one that certainly answers.
    lab.file("set.toml", &crate::lab::SET.replace("\"dash\"", "\"dash\", \"bash\""));
    lab.package(
        "a",
        &[],
        &format!(
            "if bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port}' 2>/dev/null; then echo net; else echo none; fi > $OUT/net
             grep -c : /proc/net/dev > $OUT/cards"
        ),
    );
    lab.build(&["a"]).await.fine();
    assert_eq!(lab.text("a", "net"), "none\n");
    // Only the loopback card.
    assert_eq!(lab.text("a", "cards"), "1\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn inputs_are_read_only_and_the_user_is_not_root_outside() {
    let lab = Lab::new();
    lab.package("a", &[], "mkdir -p $OUT/usr/share; echo a > $OUT/usr/share/a");
    let marker = lab.folder.path().join("outside");
    fs::write(&marker, "x").unwrap();
    lab.package(
        "b",
        &["a"],
        "for path in /usr/share/a /usr/bin/sh /etc/passwd /xlfs/run; do
             if echo x 2>/dev/null > $path; then echo wrote $path; fi
         done > $OUT/written
         if mount -t tmpfs none /build 2>/dev/null; then echo mounted; fi >> $OUT/written
         if mknod $OUT/dev b 8 0 2>/dev/null; then echo made; fi >> $OUT/written
         cp /usr/share/a $OUT/copy; echo more >> $OUT/copy
         cat /proc/self/uid_map > $OUT/map
         sleep 2.718",
    );
    let build = lab.builder().start(request(&["b"])).unwrap();
    let mut users = Vec::new();
    while users.is_empty() && build.events().reader(0).next().await.is_some() {
        users = users_of("sleep\x002.718\0");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(build.finished().await.succeeded());
    let expected =
        if nix::unistd::geteuid().is_root() { 64_110 } else { nix::unistd::geteuid().as_raw() };
    assert_eq!(users, [expected]);
    assert_eq!(lab.text("b", "written"), "");
    // What a step copies is its own.
    assert_eq!(lab.text("b", "copy"), "a\nmore\n");
    // Inside, outside, how many: one user and no more.
    let map = lab.text("b", "map");
    let map: Vec<&str> = map.split_whitespace().collect();
    assert_eq!((map[0], map[2]), ("1000", "1"));
    assert_eq!(lab.text("a", "usr/share/a"), "a\n");
}

/// As whom the machine sees the processes with this command line.
pub(crate) fn users_of(command: &str) -> Vec<u32> {
    let user = |process: fs::DirEntry| {
        let line = fs::read(process.path().join("cmdline")).ok()?;
        if String::from_utf8_lossy(&line) != command {
            return None;
        }
        Some(process.metadata().ok()?.uid())
    };
    fs::read_dir("/proc").unwrap().flatten().filter_map(user).collect()
}

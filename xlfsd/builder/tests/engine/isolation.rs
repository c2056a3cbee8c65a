//! What a step can see and do: only what was declared.

use std::fs;
use std::net::TcpListener;

use crate::lab::Lab;

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
         cat /proc/self/uid_map > $OUT/map",
    );
    lab.build(&["b"]).await.fine();
    assert_eq!(lab.text("b", "written"), "");
    let map: Vec<u32> = lab
        .text("b", "map")
        .split_whitespace()
        .map(|number| number.parse().unwrap())
        .collect();
    // Inside, outside, how many: one user, and outside it is not root.
    assert_eq!((map[0], map[2]), (1000, 1));
    assert_ne!(map[1], 0);
    assert_eq!(lab.text("a", "usr/share/a"), "a\n");
}

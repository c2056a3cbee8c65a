//! What the child cannot do, seen from outside.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use xlfs_xen::kernel::Limits;
use xlfs_xen::kernel::worker::Error;

use crate::lies::{child_named, scratch};
use crate::roles::CRIMES;
use crate::work::{own_exe, run};

/// Runs this program in a role; returns the signal that ended it and what it
/// said.
fn ended_by(role: &str) -> (Option<Signal>, String) {
    let output = Command::new(own_exe())
        .arg(role)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.signal().map(|s| Signal::try_from(s).unwrap()), said)
}

pub(crate) fn forbidden_calls_are_fatal() {
    assert_eq!(ended_by("harmless"), (None, "hello".into()), "the sandbox itself must work");
    for crime in CRIMES {
        assert_eq!(ended_by(crime), (Some(Signal::SIGSYS), String::new()), "{crime}");
    }
}

pub(crate) fn memory_and_time_are_bounded() {
    assert_eq!(ended_by("spin").0, Some(Signal::SIGXCPU), "a second of processor time");
    let scratch = scratch();
    let (result, _) = run(&child_named(&scratch, "hog"), b"", &Limits::default());
    let Err(error @ Error::Died { signal: 6, .. }) = result else { panic!("{result:?}") };
    assert!(error.to_string().contains("memory allocation of 8589934592 bytes"), "{error}");
}

pub(crate) fn nothing_is_left_to_the_child() {
    let mut child = Command::new(own_exe())
        .arg("linger")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut word = [0; 8];
    let said = child.stderr.as_mut().unwrap().read_exact(&mut word);
    let proc = |what: &str| std::fs::read_to_string(format!("/proc/{}/{what}", child.id()));
    let (status, limits) = (proc("status").unwrap(), proc("limits").unwrap());
    let link = |what: &str| std::fs::read_link(format!("/proc/{}/{what}", child.id()));
    let (root, cwd) = (link("root"), link("cwd"));
    let owner = std::fs::metadata(format!("/proc/{}/status", child.id())).unwrap().uid();
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", child.id()))
        .map(|dir| dir.map(|e| e.unwrap().file_name()).collect::<Vec<_>>());
    child.kill().unwrap();
    child.wait().unwrap();

    assert!(said.is_ok() && &word == b"confined", "it said {word:?}");
    let field = |name: &str| {
        let line = status.lines().find(|l| l.starts_with(name));
        line.unwrap_or_else(|| panic!("no {name} in {status}"))
            .split_whitespace()
            .skip(1)
            .collect::<Vec<_>>()
    };
    assert_eq!(field("NoNewPrivs:"), ["1"]);
    assert_eq!(field("Seccomp:"), ["2"]);
    assert_eq!(field("Threads:"), ["1"]);
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(u64::from_str_radix(field(set)[0], 16), Ok(0), "{set}");
    }
    assert_eq!(owner, 0, "nobody but root may trace it");
    let limit = |name: &str| {
        let line = limits.lines().find_map(|l| l.strip_prefix(name));
        let mut values = line.unwrap_or_else(|| panic!("no {name}")).split_whitespace();
        (values.next().unwrap().to_owned(), values.next().unwrap().to_owned())
    };
    for (name, value) in [
        ("Max file size", 128 << 20),
        ("Max core file size", 0),
        ("Max processes", 0),
        ("Max open files", 3),
        ("Max address space", (2 * 160 + 128) << 20),
    ] {
        assert_eq!(limit(name), (value.to_string(), value.to_string()), "{name}");
    }
    assert_eq!(limit("Max cpu time"), ("60".into(), "61".into()));
    // Only root has a user and a root directory to give up, and only root may
    // look at the files of a process that cannot be traced.
    if nix::unistd::Uid::effective().is_root() {
        assert_eq!(field("Uid:"), ["65534"; 4]);
        assert_eq!(field("Gid:"), ["65534"; 4]);
        assert!(field("Groups:").is_empty());
        for place in [root.unwrap(), cwd.unwrap()] {
            assert!(place.to_string_lossy().contains("xlfs-kernel-worker"), "{place:?}");
            assert!(place.to_string_lossy().ends_with("(deleted)"), "{place:?}");
        }
        let mut descriptors = descriptors.unwrap();
        descriptors.sort();
        assert_eq!(descriptors, ["0", "1", "2"]);
    }
}

//! The lab's two ends of the stream against each other, on this machine: what
//! holds here holds in Dom0, short of the virtio port between them.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;
use std::time::{Duration, Instant};

use super::link::Link;
use super::{Command, Dom0Error, Stream};

/// Generous: other things run here too.
const PATIENCE: Duration = Duration::from_secs(60);

fn agent() -> Link {
    let (here, there) = UnixStream::pair().unwrap();
    thread::spawn(move || crate::agent::serve_stream(File::from(OwnedFd::from(there))));
    let link = Link::new(here).unwrap();
    assert!(link.ready(PATIENCE).unwrap());
    link
}

fn command(link: &Link, line: &str) -> Command {
    let argv = ["/bin/sh", "-c", line].map(str::to_owned).into();
    Command::new(link.clone(), argv, PATIENCE)
}

#[test]
fn a_commands_end_and_output_come_back() {
    let link = agent();
    let output = command(&link, "echo out; echo err >&2; exit 7").run().unwrap();
    assert_eq!((output.code, output.signal), (Some(7), None));
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("out\n", "err\n"));
    let output = command(&link, "kill -9 $$").run().unwrap();
    assert_eq!((output.code, output.signal, output.shell_status()), (None, Some(9), 137));
    let output = command(&link, "pwd; echo $X").cwd("/usr").env("X", "y z").ok().unwrap();
    assert_eq!(output.stdout, "/usr\ny z\n");
    let failed = command(&link, "echo no >&2; exit 3").ok().unwrap_err();
    assert!(failed.to_string().contains("exit code 3") && failed.to_string().contains("no"));
}

#[test]
fn much_output_is_complete_and_in_order() {
    let output = command(&agent(), "seq 200000").run().unwrap();
    let expected: String = (1..=200_000).map(|number| format!("{number}\n")).collect();
    assert!(output.stdout == expected, "{} bytes", output.stdout.len());
}

#[test]
fn a_daemon_left_behind_does_not_hold_up_the_end() {
    let link = agent();
    let start = Instant::now();
    let output = command(&link, "sleep 300 & echo $!").run().unwrap();
    assert!(start.elapsed() < Duration::from_secs(200));
    let pid = nix::unistd::Pid::from_raw(output.stdout.trim().parse().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
}

#[test]
fn a_command_past_its_deadline_is_killed_with_its_children() {
    let link = agent();
    let line = "echo $$; sleep 300 & wait";
    let error = command(&link, line).deadline(Duration::from_secs(2)).run().unwrap_err();
    let Dom0Error::Deadline { output, .. } = error else { panic!("{error}") };
    let group: i32 = output.stdout.trim().parse().unwrap();
    let until = Instant::now() + PATIENCE;
    let group = nix::unistd::Pid::from_raw(group);
    // Signal 0 asks whether anybody is there.
    while nix::sys::signal::killpg(group, None).is_ok() {
        assert!(Instant::now() < until, "the group lives on");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_program_that_is_not_there_is_refused_by_name_of_the_reason() {
    let link = agent();
    let argv = vec!["/no/such/program".to_owned()];
    let error = Command::new(link, argv, PATIENCE).run().unwrap_err();
    assert!(matches!(&error, Dom0Error::Refused { why } if why.contains("No such file")));
}

#[test]
fn stdin_goes_in_and_ends() {
    let link = agent();
    let bytes = vec![b'x'; 200_000];
    let output = command(&link, "wc -c").stdin(bytes).ok().unwrap();
    assert_eq!(output.stdout.trim(), "200000");
    let mut process =
        command(&link, "read line; echo got $line; cat").open_stdin().spawn().unwrap();
    process.stdin().write(b"one\n").unwrap();
    assert!(process.wait_for("got one", PATIENCE).unwrap());
    process.stdin().write(b"two\n").unwrap();
    process.stdin().close().unwrap();
    assert_eq!(process.wait(PATIENCE).unwrap().stdout, "got one\ntwo\n");
}

#[test]
fn a_running_process_is_watched_and_signalled() {
    let link = agent();
    let line = "trap 'echo bye; exit 4' TERM; echo up; while :; do sleep 0.05; done";
    let mut process = command(&link, line).spawn().unwrap();
    assert!(process.wait_for("up", PATIENCE).unwrap());
    assert!(process.running().unwrap());
    // Two conversations at once.
    assert_eq!(command(&link, "echo other").run().unwrap().stdout, "other\n");
    process.signal(15).unwrap();
    let output = process.wait(PATIENCE).unwrap();
    assert_eq!((output.code, output.stdout.ends_with("bye\n")), (Some(4), true));
    let mut short = command(&link, "echo gone").spawn().unwrap();
    assert!(!short.wait_for("never", PATIENCE).unwrap());
}

#[test]
fn output_can_be_followed_as_it_comes() {
    let process = command(&agent(), "echo a; echo b >&2").spawn().unwrap();
    let mut seen = Vec::new();
    let output = process.stream(|stream, bytes| seen.push((stream, bytes.to_vec()))).unwrap();
    assert!(output.success());
    seen.sort_by_key(|(stream, _)| *stream == Stream::Stderr);
    assert_eq!(seen, [(Stream::Stdout, b"a\n".to_vec()), (Stream::Stderr, b"b\n".to_vec())]);
}

#[test]
fn files_go_there_and_back() {
    let link = agent();
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("new/folder/file");
    let path = place.to_str().unwrap();
    let contents: Vec<u8> = (0..300_000u32).map(|n| (n * 7) as u8).collect();
    link.put(&mut contents.as_slice(), 0o755, path).unwrap();
    assert!(fs::read(&place).unwrap() == contents);
    assert_eq!(fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o755);
    assert!(link.get(path).unwrap() == contents);
    link.put(&mut [].as_slice(), 0o644, path).unwrap();
    assert_eq!(link.get(path).unwrap(), b"");
    let error = link.get("/no/such/file").unwrap_err();
    assert!(matches!(error, Dom0Error::Refused { .. }), "{error}");
}

#[test]
fn a_forwarded_port_leads_to_the_socket() {
    let link = agent();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let server = UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        for client in server.incoming() {
            // Answers in capitals, when all has been said.
            let mut client = client.unwrap();
            let mut text = String::new();
            client.read_to_string(&mut text).unwrap();
            client.write_all(text.to_uppercase().as_bytes()).unwrap();
        }
    });
    let forward = link.forward(0, path.to_str().unwrap()).unwrap();
    let long = "abc".repeat(100_000);
    for text in ["first", "second", &long] {
        let mut client = TcpStream::connect(forward.address()).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.write_all(text.as_bytes()).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer == text.to_uppercase(), "{} bytes", answer.len());
    }
    // Nobody listens there: the client sees the end, not a hang.
    let nowhere = link.forward(0, "/no/such/socket").unwrap();
    let mut client = TcpStream::connect(nowhere.address()).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(client.read(&mut [0; 8]).unwrap_or(0), 0);
    let address = forward.address();
    drop(forward);
    let until = Instant::now() + PATIENCE;
    while TcpStream::connect(address).is_ok() {
        assert!(Instant::now() < until, "still listening");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_broken_stream_is_an_error_for_all_who_wait() {
    let (here, there) = UnixStream::pair().unwrap();
    let agent_end = there.try_clone().unwrap();
    thread::spawn(move || crate::agent::serve_stream(File::from(OwnedFd::from(agent_end))));
    let link = Link::new(here).unwrap();
    assert!(link.ready(PATIENCE).unwrap());
    let process = command(&link, "sleep 300").spawn().unwrap();
    let pid = nix::unistd::Pid::from_raw(process.pid());
    there.shutdown(Shutdown::Both).unwrap();
    let error = process.wait(PATIENCE).unwrap_err();
    assert!(matches!(error, Dom0Error::Lost { .. }), "{error}");
    nix::sys::signal::killpg(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
}

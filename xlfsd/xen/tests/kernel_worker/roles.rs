//! What the child process of a test can be, other than the real worker.

use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use xlfs_xen::kernel::{Limits, worker};

type Role = (&'static str, fn() -> ExitCode);

/// The children that do what is forbidden, and do it confined.
pub(crate) const CRIMES: &[&str] = &[
    "read-stdin",
    "open",
    "connect",
    "fork",
    "exec",
    "kill-init",
    "prctl",
    "executable-memory",
    "map-file",
    "duplicate",
    "write-image",
    "read-reply",
];

pub(crate) const BY_NAME: &[Role] = &[
    ("read-stdin", || confined(|| io::stdin().read(&mut [0]))),
    ("open", || confined(|| std::fs::File::open("/"))),
    ("connect", || confined(|| TcpListener::bind("127.0.0.1:0"))),
    ("fork", || confined(|| Command::new("/bin/true").spawn())),
    ("exec", || confined(|| Command::new("/bin/true").exec())),
    ("kill-init", || confined(|| kill(Pid::from_raw(1), Signal::SIGURG))),
    ("prctl", || confined(|| nix::sys::prctl::set_dumpable(true))),
    ("executable-memory", || confined(executable_memory)),
    ("map-file", || confined(map_file)),
    ("duplicate", || confined(|| nix::unistd::dup(io::stdin()))),
    ("write-image", || confined(|| nix::unistd::write(io::stdin(), b"x"))),
    ("read-reply", || confined(|| nix::sys::uio::pread(io::stderr(), &mut [0], 0))),
    ("harmless", || confined(|| io::stderr().write_all(b"hello"))),
    ("linger", linger),
    ("hog", || confined(|| std::hint::black_box(vec![1u8; 8 << 30]))),
    ("spin", || confined(|| while std::hint::black_box(true) {})),
    ("counted", counted),
    ("silent", silent),
    ("talkative", || say(&[b'x'; 1 << 20])),
    ("garbage", || say(b"{\"plan\":{}}\x07")),
    ("speechless", || say(b"")),
    ("not-confined", || say(br#"{"not_confined":{"step":"user","reason":"EPERM"}}"#)),
    ("panicked", || say(br#"{"panicked":"index out of\nbounds"}"#)),
    ("liar", || say(&super::lies::plan_outside_the_payload())),
    ("stray", || {
        // Says that the image is the payload, but has written one.
        let _ = io::stdout().write_all(b"stray");
        let _ = io::stdout().flush();
        say(&super::lies::plan_of_bare_kernel())
    }),
];

/// Commits `crime` in the worker's sandbox, with a second of time to do it in.
fn confined<T>(crime: fn() -> T) -> ExitCode {
    if let Err(error) = worker::confine(&Limits::default(), 1) {
        eprint!("{error}");
        return ExitCode::from(77);
    }
    drop(crime());
    ExitCode::SUCCESS
}

/// Stays in the sandbox to be looked at, until it is killed.
fn linger() -> ExitCode {
    // A descriptor that a careless daemon let through.
    let leaked = std::fs::File::open("/").map(|f| nix::unistd::dup(f).map(std::mem::forget));
    assert!(matches!(leaked, Ok(Ok(()))), "cannot leak a descriptor");
    if let Err(error) = worker::confine(&Limits::default(), 60) {
        return say(error.to_string().as_bytes());
    }
    let _ = io::stderr().write_all(b"confined");
    loop {
        std::thread::yield_now();
    }
}

/// The real worker, after a mark in the file `count` beside its own name.
fn counted() -> ExitCode {
    let own_name = std::env::args().next().unwrap();
    let count = std::path::Path::new(&own_name).with_file_name("count");
    let count = std::fs::OpenOptions::new().create(true).append(true).open(count);
    if count.and_then(|mut count| count.write_all(b"x")).is_err() {
        return ExitCode::from(77);
    }
    worker::run_child()
}

/// Says who it is in the payload, and then nothing.
fn silent() -> ExitCode {
    let _ = write!(io::stdout(), "{}", std::process::id());
    let _ = io::stdout().flush();
    std::thread::sleep(Duration::from_secs(600));
    ExitCode::SUCCESS
}

fn say(words: &[u8]) -> ExitCode {
    let _ = io::stderr().write_all(words);
    ExitCode::SUCCESS
}

#[allow(unsafe_code, reason = "only a raw mmap asks for what is forbidden")]
fn executable_memory() -> nix::Result<std::ptr::NonNull<std::ffi::c_void>> {
    use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};
    let all = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE | ProtFlags::PROT_EXEC;
    let size = std::num::NonZeroUsize::new(4096).unwrap();
    // SAFETY: a new private mapping at an address of the kernel's choice.
    unsafe { mmap_anonymous(None, size, all, MapFlags::MAP_PRIVATE) }
}

#[allow(unsafe_code, reason = "only a raw mmap asks for what is forbidden")]
fn map_file() -> nix::Result<std::ptr::NonNull<std::ffi::c_void>> {
    use nix::sys::mman::{MapFlags, ProtFlags, mmap};
    let size = std::num::NonZeroUsize::new(4096).unwrap();
    let flags = MapFlags::MAP_PRIVATE;
    // SAFETY: a new private mapping at an address of the kernel's choice.
    unsafe { mmap(None, size, ProtFlags::PROT_READ, flags, io::stdin(), 0) }
}

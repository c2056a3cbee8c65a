//! `console` and `logs`: what is typed and shown, and the terminal afterwards.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, Termios, tcgetattr};
use nix::unistd::Pid;

use crate::fake::{Fake, World, serve};
use crate::run::{PATIENCE, command, finish, read, xlfsctl};

fn talking() -> Fake {
    serve(World { console_log: b"booting\r\nlogin: ".to_vec(), ..World::default() })
}

/// xlfsctl on a terminal of its own.
struct OnTerminal {
    child: Child,
    slave: OwnedFd,
    keyboard: File,
    screen: std::sync::Arc<std::sync::Mutex<String>>,
    before: Termios,
}

fn on_terminal(fake: &Fake, args: &[&str]) -> OnTerminal {
    let pty = openpty(None, None).expect("pty");
    let before = tcgetattr(&pty.slave).expect("termios");
    let slave = || Stdio::from(pty.slave.try_clone().expect("clone"));
    let mut command = command(&fake.socket, args);
    let child = command.stdin(slave()).stdout(slave()).stderr(slave()).spawn().expect("started");
    let screen = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let mut output = File::from(pty.master.try_clone().expect("clone"));
    let shown = screen.clone();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = output.read(&mut buffer) {
            shown.lock().expect("lock").push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    });
    OnTerminal { child, slave: pty.slave, keyboard: File::from(pty.master), screen, before }
}

impl OnTerminal {
    fn is_raw(&self) -> bool {
        let now = tcgetattr(&self.slave).expect("termios");
        !now.local_flags.intersects(LocalFlags::ICANON | LocalFlags::ECHO)
    }

    fn screen(&self) -> String {
        self.screen.lock().expect("lock").clone()
    }

    async fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !holds() {
            assert!(begun.elapsed() < PATIENCE, "never {what}; screen: {:?}", self.screen());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn attached(&self) {
        self.until("raw", || self.is_raw()).await;
        self.until("attached", || self.screen().contains("hello]")).await;
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).expect("sent");
    }

    /// Waits for the end, and checks that the terminal is as it was.
    async fn ends_with(mut self, code: i32) -> String {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("waited") {
                break status;
            }
            if begun.elapsed() > PATIENCE {
                let _ = self.child.kill();
                panic!("it hangs; screen: {:?}", self.screen());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        // Its last words may still be on their way through the terminal.
        let mut screen = self.screen();
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let later = self.screen();
            if later == screen {
                break;
            }
            screen = later;
        }
        assert_eq!(status.code(), Some(code), "screen: {screen:?}");
        assert_eq!(tcgetattr(&self.slave).expect("termios"), self.before);
        screen
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn typing_reaches_the_guest_until_ctrl_bracket() {
    let fake = talking();
    let mut terminal = on_terminal(&fake, &["console", "web"]);
    terminal.attached().await;
    // CTRL-C, CTRL-S and CTRL-Z belong to the guest.
    terminal.keyboard.write_all(b"root\r\x03\x13\x1a").expect("typed");
    terminal.until("typed", || fake.stage.world().typed == b"root\r\x03\x13\x1a").await;
    terminal.keyboard.write_all(b"\x1d").expect("typed");
    let screen = terminal.ends_with(0).await;
    assert!(screen.contains("login: "), "{screen:?}");
    assert!(screen.contains("Left the console"), "{screen:?}");
    let open = fake.stage.world().requests[0].clone();
    assert!(open.contains("write: true") && open.contains("force: false"), "{open}");
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_leave_the_terminal_sane() {
    for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGHUP, 129), (Signal::SIGQUIT, 131)] {
        let fake = talking();
        let terminal = on_terminal(&fake, &["console", "web"]);
        terminal.attached().await;
        terminal.signal(signal);
        terminal.ends_with(code).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_floods_cannot_hold_the_user() {
    let fake = talking();
    let mut terminal = on_terminal(&fake, &["console", "flood"]);
    terminal.until("flooded", || terminal.screen().contains("xxxx")).await;
    terminal.keyboard.write_all(b"\x1d").expect("typed");
    terminal.ends_with(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_guest_ends_the_command() {
    let fake = talking();
    let mut terminal = on_terminal(&fake, &["console", "web"]);
    terminal.attached().await;
    terminal.keyboard.write_all(b"\x04").expect("typed");
    let screen = terminal.ends_with(0).await;
    assert!(screen.contains("console of web is closed"), "{screen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_types_nothing() {
    let fake = talking();
    let mut terminal = on_terminal(&fake, &["console", "busy", "--read-only", "--no-replay"]);
    terminal.attached().await;
    terminal.keyboard.write_all(b"root\r\x1d").expect("typed");
    let screen = terminal.ends_with(0).await;
    assert!(!screen.contains("login: "), "{screen:?}");
    assert!(fake.stage.world().typed.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_writer_is_told_what_to_do() {
    let fake = talking();
    let terminal = on_terminal(&fake, &["console", "busy"]);
    let screen = terminal.ends_with(5).await;
    assert!(screen.contains("it has a writer"), "{screen:?}");
    let mut terminal = on_terminal(&fake, &["console", "busy", "--take"]);
    terminal.attached().await;
    terminal.keyboard.write_all(b"\x1d").expect("typed");
    terminal.ends_with(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_passes_bytes_as_they_are() {
    let fake = talking();
    let mut command = command(&fake.socket, &["console", "web", "--no-replay"]);
    let mut child = command.stdin(Stdio::piped()).spawn().expect("started");
    // CTRL-] is a byte like any other here; CTRL-D ends the guest.
    let typed = b"one\x1dtwo\x00\xc3\xa4\x04";
    child.stdin.take().expect("stdin").write_all(typed).expect("written");
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output());
    let run = read(&ended.await.expect("joined").expect("waited")).expect(0);
    assert_eq!(run.out.as_bytes(), typed);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_pipe_does_not_end_the_console() {
    let fake = talking();
    let mut child = command(&fake.socket, &["console", "web"]).spawn().expect("started");
    let begun = Instant::now();
    while fake.stage.world().requests.is_empty() {
        assert!(begun.elapsed() < PATIENCE, "never attached");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(child.try_wait().expect("waited").is_none(), "it ended with its input");
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).expect("sent");
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output());
    let run = read(&ended.await.expect("joined").expect("waited")).expect(143);
    assert_eq!(run.out, "booting\r\nlogin: ");
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_come_as_they_are_and_gaps_are_told() {
    let fake = talking();
    let run = xlfsctl(&fake, &["logs", "web"]).await.expect(0);
    assert_eq!(run.out, "booting\r\nlogin: ");
    let run = xlfsctl(&fake, &["logs", "web", "--tail", "7"]).await.expect(0);
    assert_eq!(run.out, "login: ");
    assert!(run.err.contains("9 bytes are missing"), "{}", run.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_pipe_ends_the_console() {
    let fake = talking();
    let mut child = command(&fake.socket, &["console", "flood", "--read-only"]);
    let (reader, writer) = std::io::pipe().expect("pipe");
    drop(reader);
    child.stdout(Stdio::from(writer));
    finish(child).await.expect(0);
}

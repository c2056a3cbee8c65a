//! Completion, asked as the shells ask it; with bash also in the shell itself.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use xlfs_proto::v1::{Domain, DomainState, Snapshot};

use crate::fake::domains::domain;
use crate::fake::images::image;
use crate::fake::others::template;
use crate::fake::tasks::success;
use crate::fake::volumes::{pool, volume};
use crate::fake::{Fake, World, serve};
use crate::run::{Run, command, finish, no_daemon, xlfsctl};

fn world() -> World {
    let mut world = World {
        domains: vec![
            domain("web", DomainState::Running),
            Domain {
                snapshots: vec![Snapshot { name: "before".to_owned(), ..Snapshot::default() }],
                ..domain("mail", DomainState::Stopped)
            },
            Domain { name: "$(reboot)".to_owned(), managed: true, ..Domain::default() },
            Domain { name: "Domain-0".to_owned(), ..Domain::default() },
        ],
        templates: vec![template()],
        images: vec![image("lapp-kernel", "ab", &[])],
        volumes: vec![volume("web-xvda", "web"), volume("data", "")],
        pools: vec![pool("fast")],
        ..World::default()
    };
    world.tasks.insert("17".to_owned(), success("17", "start", "web"));
    world
}

/// What fish is told for a line whose last word is being typed.
async fn fish(socket: &Path, line: &str) -> Run {
    let words: Vec<_> = std::iter::once("--").chain(line.split(' ')).collect();
    let mut command = command(socket, &words);
    command.env("XLFSCTL_COMPLETE", "fish");
    finish(command).await.expect(0)
}

async fn candidates(fake: &Fake, line: &str) -> Vec<String> {
    let run = fish(&fake.socket, line).await;
    assert_eq!(run.err, "");
    let word = |line: &str| line.split('\t').next().unwrap_or_default().to_owned();
    run.out.lines().map(word).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn names_come_from_the_daemon() {
    let fake = serve(world());
    for (line, expected) in [
        ("xlfsctl show ", ["web", "mail"].as_slice()),
        ("xlfsctl show w", &["web"]),
        ("xlfsctl start ", &["mail"]),
        ("xlfsctl shutdown ", &["web"]),
        ("xlfsctl delete web m", &["mail"]),
        ("xlfsctl template show ", &["lapp"]),
        ("xlfsctl image show ", &["lapp-kernel"]),
        ("xlfsctl task show ", &["17"]),
        ("xlfsctl create new --template ", &["lapp"]),
        ("xlfsctl import web.cfg --template ", &["lapp"]),
        ("xlfsctl create new --template lapp --set ", &["hostname=", "php=", "password=", "tls="]),
        ("xlfsctl create new --set php= -t lapp --set php=8", &["php=8.2", "php=8.3"]),
        ("xlfsctl snapshot restore mail ", &["before"]),
        ("xlfsctl volume show ", &["web-xvda", "data"]),
        ("xlfsctl volume delete ", &["data"]),
        ("xlfsctl volume create x --pool ", &["fast"]),
        ("xlfsctl ima", &["image"]),
        ("xlfsctl show --soc", &["--socket"]),
        ("xlfsctl wait web --state run", &["running"]),
    ] {
        assert_eq!(candidates(&fake, line).await, expected, "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_on_the_line_counts() {
    let fake = serve(world());
    let (_folder, nobody) = no_daemon();
    let line = format!("xlfsctl --socket {} show w", fake.socket.display());
    assert!(fish(&nobody, &line).await.out.starts_with("web\t"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_daemon_it_is_silent() {
    let (_folder, nobody) = no_daemon();
    let run = fish(&nobody, "xlfsctl show w").await;
    assert_eq!((run.out.as_str(), run.err.as_str()), ("", ""));
    // Commands are known without one.
    assert!(fish(&nobody, "xlfsctl ima").await.out.starts_with("image\t"));
}

/// A daemon that takes the connection and says nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_hangs_is_not_waited_for() {
    let (_folder, socket) = no_daemon();
    let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("bind");
    let begun = Instant::now();
    let run = fish(&socket, "xlfsctl show w").await;
    assert_eq!((run.out.as_str(), run.err.as_str()), ("", ""));
    // It gives up after two seconds; the rest is for a busy machine.
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_silent_too() {
    let fake = serve(world());
    for (shell, args) in
        [("tcsh", ["--", "xlfsctl", ""].as_slice()), ("bash", &[]), ("zsh", &["--"]), ("1", &["x"])]
    {
        let mut command = command(&fake.socket, args);
        command.env("XLFSCTL_COMPLETE", shell);
        let run = finish(command).await.expect(0);
        assert_eq!((run.out.as_str(), run.err.as_str()), ("", ""), "{shell}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_shell_has_its_script() {
    let fake = serve(World::default());
    for (shell, words) in [
        ("bash", "complete -o bashdefault"),
        ("zsh", "#compdef xlfsctl"),
        ("fish", "--command xlfsctl"),
    ] {
        let run = xlfsctl(&fake, &["completion", shell]).await.expect(0);
        assert!(run.out.contains(words), "{shell}: {}", run.out);
        assert!(run.out.contains(&format!("XLFSCTL_COMPLETE={shell}")), "{}", run.out);
    }
}

/// Lets bash itself call its completion function for a line, and tells what it
/// would put in.
async fn bash(fake: &Fake, line: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_BIN_EXE_xlfsctl")).parent().expect("folder");
    // What readline does before it calls the function: it splits at
    // COMP_WORDBREAKS, and hands over the part behind the last break.
    let script = r#"
        source <(xlfsctl completion bash) || exit 9
        COMP_LINE="$1"; COMP_POINT=${#COMP_LINE}
        current="${COMP_LINE##*[ =]}"
        compopt() { :; }
        _xlfsctl xlfsctl "$current" ""
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let mut command = Command::new("bash");
    command.env_clear().env("PATH", format!("{}:/usr/bin:/bin", folder.display()));
    command.env("XLFSD_SOCKET", &fake.socket).args(["--norc", "-c", script, "bash", line]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let run = finish(command).await.expect(0);
    assert_eq!(run.err, "");
    run.out
        .lines()
        .filter(|line| !line.starts_with('-') && !line.is_empty())
        .map(str::to_owned)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn bash_completes_behind_an_equals_sign() {
    let fake = serve(world());
    assert_eq!(bash(&fake, "xlfsctl show ").await, ["web", "mail"]);
    assert_eq!(bash(&fake, "xlfsctl create x -t lapp --set ph").await, ["php="]);
    assert_eq!(bash(&fake, "xlfsctl create x -t lapp --set php=").await, ["8.2", "8.3"]);
    assert_eq!(bash(&fake, "xlfsctl create x -t lapp --set tls=f").await, ["false"]);
    assert_eq!(bash(&fake, "xlfsctl create x --template=la").await, ["lapp"]);
}

//! `lab`: the lab at the command line, and (as `lab agent`) its end in Dom0.

mod booted;
mod options;
mod terminal;

use std::error::Error;
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use xlfs_tests::agent;
use xlfs_tests::bench;
use xlfs_tests::demo;
use xlfs_tests::dom0::{Dom0, Stdin, Stream};
use xlfs_tests::e2e::{SCENARIOS, Scenario, runner};
use xlfs_tests::images::{self, Kind};
use xlfs_tests::look::look;
use xlfs_tests::pieces::{self, Choice};
use xlfs_tests::slots;

use options::{AgentVerb, Boot, Line, Verb};

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    match act(Line::parse().verb) {
        Ok(code) => code,
        Err(error) => {
            explain(error.as_ref());
            // Apart from what the command itself may return.
            ExitCode::from(125)
        }
    }
}

fn explain(error: &(dyn Error + 'static)) {
    eprintln!("lab: {}", runner::chain(error));
}

fn act(verb: Verb) -> Result<ExitCode, Failure> {
    match verb {
        Verb::Run { boot, get, stdin, command } => run(boot, &get, stdin, command),
        Verb::Shell { boot } => shell(boot),
        Verb::Serve { boot } => {
            let dom0 = boot.boot("serve")?;
            while dom0.ended().is_none() {
                thread::sleep(Duration::from_millis(500));
            }
            Ok(ExitCode::SUCCESS)
        }
        Verb::Pieces { choice, json, refresh } => show_pieces(&choice.choice(), json, refresh),
        Verb::Images { cache, names } => make_images(cache, &names),
        Verb::E2e { list, names } => e2e(list, &names),
        Verb::Host { disk, slot, guest, shell, verbose, names } => {
            let guest = match guest.as_slice() {
                [kernel, ramdisk] => Some((kernel.clone(), ramdisk.clone())),
                _ => None,
            };
            let images = slots::Images { disk, slot, guest };
            if shell {
                return host_shell(&images, verbose);
            }
            let passed = slots::scenarios::run(&images, &names, verbose)?;
            Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Verb::Demo => demonstrate(),
        Verb::Bench => {
            print!("{}", bench::run()?);
            Ok(ExitCode::SUCCESS)
        }
        Verb::Agent { verb: AgentVerb::Serve { port } } => {
            agent::serve(port.as_deref())?;
            Ok(ExitCode::SUCCESS)
        }
        Verb::Agent { verb: AgentVerb::Look { daemon } } => {
            println!("{}", serde_json::to_string(&look(daemon)?)?);
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn run(
    boot: Boot,
    get: &[(String, String)],
    stdin: bool,
    command: Vec<String>,
) -> Result<ExitCode, Failure> {
    let dom0 = boot.boot("run")?;
    let order = dom0.command(command);
    let process = if stdin { order.open_stdin().spawn()? } else { order.spawn()? };
    if stdin {
        feed_from_stdin(process.stdin());
    }
    let output = process.stream(print)?;
    for (from, to) in get {
        dom0.get(from, Path::new(to))?;
    }
    Ok(ExitCode::from(u8::try_from(output.shell_status()).unwrap_or(u8::MAX)))
}

fn demonstrate() -> Result<ExitCode, Failure> {
    let dom0 = demo::run()?;
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("\nA shell in Dom0: try xlfsctl; `exit` ends the machine.");
    shell_in(&dom0)
}

fn host_shell(images: &slots::Images, verbose: bool) -> Result<ExitCode, Failure> {
    let host = slots::Machine::boot(&images.disk, &vec![images.slot.clone()], verbose)?;
    host.up("a")?;
    println!("Slot a runs; {} is /dev/vdc. `exit` ends the machine.", images.slot.display());
    let status = host.ssh().status()?;
    Ok(ExitCode::from(u8::try_from(status.code().unwrap_or(1)).unwrap_or(u8::MAX)))
}

fn shell(boot: Boot) -> Result<ExitCode, Failure> {
    let booted = boot.boot("shell")?;
    shell_in(&booted)
}

fn shell_in(dom0: &Dom0) -> Result<ExitCode, Failure> {
    let (columns, rows) = terminal::size();
    let term = std::env::var("TERM").unwrap_or_else(|_| "vt100".to_owned());
    let process = dom0
        .command(["/bin/sh", "-l"])
        .env("TERM", &term)
        .env("PS1", "dom0:\\w# ")
        .terminal(columns, rows)
        .spawn()?;
    terminal::make_raw();
    feed_from_stdin(process.stdin());
    let output = process.stream(print);
    terminal::restore();
    Ok(ExitCode::from(u8::try_from(output?.shell_status()).unwrap_or(u8::MAX)))
}

fn print(stream: Stream, bytes: &[u8]) {
    // A reader that has gone wants no more output.
    let _ = match stream {
        Stream::Stdout => io::stdout().write_all(bytes).and_then(|()| io::stdout().flush()),
        Stream::Stderr => io::stderr().write_all(bytes),
    };
}

fn feed_from_stdin(stdin: Stdin) {
    thread::spawn(move || {
        let mut chunk = [0; 4096];
        loop {
            let length = io::stdin().read(&mut chunk).unwrap_or(0);
            let part = chunk.get(..length).unwrap_or_default();
            let sent = if part.is_empty() { stdin.close() } else { stdin.write(part) };
            if sent.is_err() || part.is_empty() {
                return;
            }
        }
    });
}

fn show_pieces(choice: &Choice, json: bool, refresh: bool) -> Result<ExitCode, Failure> {
    let pieces = pieces::gather(choice, refresh)?;
    if json {
        println!("{}", serde_json::to_string_pretty(&pieces)?);
        return Ok(ExitCode::SUCCESS);
    }
    for (name, path) in [
        ("hypervisor", &pieces.hypervisor),
        ("dom0-kernel", &pieces.dom0_kernel),
        ("dom0-modules", &pieces.dom0_modules),
        ("guest-kernel", &pieces.guest_kernel),
        ("guest-modules", &pieces.guest_modules),
        ("busybox", &pieces.busybox),
        ("xenstored", &pieces.xenstored),
    ] {
        println!("{name:14}{}", path.display());
    }
    for path in &pieces.xl {
        println!("{:14}{}", "benchmark", path.display());
    }
    for path in [&pieces.tools.nft, &pieces.tools.lvm, &pieces.tools.thin_check] {
        println!("{:14}{}", "tool", path.display());
    }
    for (name, version) in &pieces.packages {
        println!("{:14}{name} {version}", "package");
    }
    Ok(ExitCode::SUCCESS)
}

fn make_images(cache: Option<PathBuf>, kinds: &[Kind]) -> Result<ExitCode, Failure> {
    let cache = cache.unwrap_or_else(pieces::default_cache);
    let kinds = if kinds.is_empty() { &Kind::ALL } else { kinds };
    for kind in kinds {
        let start = Instant::now();
        let path = images::root(&cache, *kind)?;
        let file = path.metadata()?;
        let (size, room) = (file.len() >> 20, (file.blocks() * 512) >> 20);
        let seconds = start.elapsed().as_secs_f32();
        println!("{kind:6}{}  {size} MiB, {room} of them taken, {seconds:.1} s", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

fn e2e(list: bool, names: &[String]) -> Result<ExitCode, Failure> {
    if list {
        for scenario in SCENARIOS {
            println!("{:16}{}", scenario.name, scenario.about);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut chosen: Vec<&Scenario> = Vec::new();
    for name in names {
        let found = SCENARIOS.iter().find(|scenario| scenario.name == name);
        chosen.push(found.ok_or_else(|| format!("no scenario {name}; see lab e2e --list"))?);
    }
    if names.is_empty() {
        chosen = SCENARIOS.iter().collect();
    }
    let passed = runner::run(&chosen);
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

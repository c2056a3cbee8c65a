//! Guests that serve, from the templates and from images of Debian's packages:
//! made in one command, configured by themselves, asked over the network.

use std::time::{Duration, Instant};

use super::host::{Host, PATIENCE, Setup};
use super::{Outcome, Scenario, check};
use crate::images::{self, Kind};
use crate::pieces::{self, Choice};
use crate::qemu::Disk;

/// For `lab e2e`.
pub(super) const LAPP: Scenario =
    Scenario::alone("lapp", "one command makes a web server whose page counts in PostgreSQL", lapp);

/// The guest's address in the network of tests/e2e/xlfsd.toml.
const ADDRESS: &str = "10.9.0.2";
/// An emulated guest boots Debian for a minute or two.
const BOOTS: Duration = Duration::from_secs(900);

/// For `lab e2e`.
pub(super) const DNS: Scenario =
    Scenario::alone("dns", "one command makes a name server that answers with authority", dns);

/// A host that guests of this template can be made on.
fn host_for(kind: Kind) -> Outcome<Host> {
    let pieces = pieces::gather(&Choice::from_env(), false)?;
    let image = images::root(&pieces.cache, kind)?;
    let host = Host::boot_with(Setup {
        name: kind.name(),
        templates: &[kind.name()],
        disks: vec![Disk { path: image, read_only: true }],
        ..Setup::default()
    })?;
    host.import("/guest/vmlinuz", "kernel", "guest-kernel")?;
    host.import("/guest/initramfs-devices", "ramdisk", "guest-ramdisk")?;
    host.import("/dev/vdb", "disk", &format!("{}-root", kind.name()))?;
    Ok(host)
}

/// The guest is gone, and so is the host.
fn leave(host: &Host, guest: &str) -> Outcome {
    host.act(&format!("shutdown {guest} --timeout 600s"))?;
    host.act(&format!("delete {guest}"))?;
    host.nothing_left()?;
    host.dom0().stop();
    Ok(())
}

fn dns() -> Outcome {
    let host = host_for(Kind::Dns)?;
    host.dom0().write("/tmp/records", "www IN A 192.0.2.10\n")?;
    let what = "--template dns --memory 256 --set zone=example.org --set-file records=/tmp/records";
    host.create("ns1.example.org", &format!("{what} --ip {ADDRESS}/24"))?;
    host.printed("ns1.example.org", "xlfs-first-boot: done")?;
    // Queries over TCP, byte by byte: length, id 1234, no flags, one question.
    let question = |length: &str, name: &str, kind: &str| {
        format!(
            "\\000\\{length}\\022\\064\\000\\000\\000\\001\\000\\000\\000\\000\\000\\000{name}\\000{kind}\\000\\001"
        )
    };
    let www = question("041", "\\003www\\007example\\003org", "\\000\\001");
    let answer = ask(&host, &www)?;
    // A response, with authority, without an error; and the address in it.
    check(answer.contains("12 34 84 00"), "an authoritative answer", &answer)?;
    check(answer.contains("c0 00 02 0a"), "192.0.2.10 in it", &answer)?;
    let transfer = question("035", "\\007example\\003org", "\\000\\374");
    let answer = ask(&host, &transfer)?;
    check(answer.contains("12 34 80 05"), "a transfer to be refused", &answer)?;
    let stranger = question("035", "\\007example\\003net", "\\000\\001");
    let answer = ask(&host, &stranger)?;
    check(answer.contains("12 34 80 05"), "another's name to be refused", &answer)?;
    leave(&host, "ns1.example.org")
}

/// What the guest answers on port 53, in hexadecimal.
fn ask(host: &Host, query: &str) -> Outcome<String> {
    let line = format!("printf '{query}' | nc -w 20 {ADDRESS} 53 | od -An -v -tx1 | tr -d '\\n'");
    Ok(host.dom0().ok(["sh", "-c", &line])?.stdout)
}

fn lapp() -> Outcome {
    let host = host_for(Kind::Lapp)?;
    let made = host.create(
        "www.example.org",
        &format!("--template lapp --memory 512 --ip {ADDRESS}/24 --gateway 10.9.0.1"),
    )?;
    let password = made.generated.get("db-password").map_or(0, String::len);
    check(password >= 16, "a password that was made", password)?;
    host.printed("www.example.org", "xlfs-first-boot: done")?;
    let first = visits(&host)?;
    let second = visits(&host)?;
    check(second == first + 1, format!("{} visits", first + 1), second)?;
    host.act("reboot www.example.org --timeout 600s")?;
    let third = visits(&host)?;
    check(third == second + 1, format!("{} visits after a reboot", second + 1), third)?;
    let shown = host.dom0().ok(["xlfsctl", "show", "www.example.org"])?.stdout;
    check(shown.contains("db-password=(secret)"), "a secret that is not shown", shown)?;
    leave(&host, "www.example.org")
}

/// Asks for the page until the guest answers; what it has counted.
fn visits(host: &Host) -> Outcome<u64> {
    let ask = format!(
        "printf 'GET / HTTP/1.0\\r\\nHost: www.example.org\\r\\n\\r\\n' | nc -w 60 {ADDRESS} 80"
    );
    let until = Instant::now() + BOOTS.max(PATIENCE);
    loop {
        let page = host.dom0().run(["sh", "-c", &ask])?.stdout;
        let digits = page
            .split_once("visits: ")
            .map(|(_, rest)| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
        if let Some(Ok(count)) = digits.map(|digits| digits.parse()) {
            return Ok(count);
        }
        check(Instant::now() < until, "a page that counts its visits", page)?;
        std::thread::sleep(Duration::from_secs(1));
    }
}

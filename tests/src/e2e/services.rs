//! Guests that serve, from the templates and from images of Debian's packages:
//! made in one command, configured by themselves, asked over the network.

use std::time::{Duration, Instant};

use super::asked::{self, Asked};
use super::documents::Domain;
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

/// For `lab e2e`.
pub(super) const MAIL: Scenario = Scenario::alone(
    "mail",
    "one command makes a mail server: submission, DKIM, IMAPS, no relaying, by public clients",
    mail,
);

/// A host that guests of this template can be made on.
pub(super) fn host_for(kind: Kind, more: Setup<'_>) -> Outcome<Host> {
    let pieces = pieces::gather(&Choice::from_env(), false)?;
    let image = images::root(&pieces.cache, kind)?;
    let mut disks = vec![Disk { path: image, read_only: true }];
    disks.extend(more.disks);
    let host =
        Host::boot_with(Setup { name: kind.name(), templates: &[kind.name()], disks, ..more })?;
    host.import("/guest/vmlinuz", "kernel", "guest-kernel")?;
    host.import("/guest/initramfs-devices", "ramdisk", "guest-ramdisk")?;
    host.import("/dev/vdb", "disk", &format!("{}-root", kind.name()))?;
    Ok(host)
}

/// The template's health checks say what the clients saw. Then the guest is
/// gone, and so is the host.
fn leave(host: &Host, guest: &str) -> Outcome {
    let wait = format!("wait {guest} --health healthy --timeout 600s");
    host.ask::<Domain>(&wait)?;
    let list = host.dom0().ok(["xlfsctl", "list"])?.stdout;
    check(list.contains(" healthy"), "a healthy guest in the list", list)?;
    host.act(&format!("shutdown {guest} --timeout 600s"))?;
    host.act(&format!("delete {guest}"))?;
    host.nothing_left()?;
    host.dom0().stop();
    Ok(())
}

fn dns() -> Outcome {
    let asked = Asked::make(Kind::Dns, "256")?;
    asked.check("first")?;
    leave(&asked.host, &asked.guest)
}

fn mail() -> Outcome {
    let asked = Asked::make(Kind::Mail, "512")?;
    asked.check("first")?;
    swaks(&asked)?;
    leave(&asked.host, &asked.guest)
}

/// A client that knows nothing of the guest: it is served when it may be.
fn swaks(asked: &Asked) -> Outcome {
    let password = "it's a secret";
    let server = format!("{}:587", asked::GUEST);
    let submit = ["swaks", "--server", &server, "--tls", "--auth", "PLAIN"];
    let anna = ["--auth-user", "anna", "--from", "anna@example.org"];
    let to = ["--to", "anna@example.org"];
    let sent = asked
        .client(submit.into_iter().chain(anna).chain(["--auth-password", password]).chain(to))?;
    check(
        sent.success() && sent.stdout.contains(" 250 2.0.0 Ok: queued"),
        "a message taken",
        &sent,
    )?;
    let wrong = submit.into_iter().chain(anna).chain(["--auth-password", "wrong"]).chain(to);
    let wrong = asked.client(wrong)?;
    check(wrong.stdout.contains("<~* 535 "), "a wrong password refused", &wrong)?;
    let relay =
        ["swaks", "--server", asked::GUEST, "--from", "a@example.net", "--to", "b@example.com"];
    let relay = asked.client(relay)?;
    check(!relay.success() && relay.stdout.contains("<** 554 "), "relaying refused", &relay)
}

fn lapp() -> Outcome {
    let host = host_for(Kind::Lapp, Setup::default())?;
    let made = host.create(
        "www.example.org",
        &format!(
            "--template lapp --disk xvda,size=1G --memory 512 --ip {ADDRESS}/24 --gateway 10.9.0.1"
        ),
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

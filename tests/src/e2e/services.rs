//! Guests that serve, from the templates and from images of Debian's packages:
//! made in one command, configured by themselves, asked over the network.

use std::time::{Duration, Instant};

use super::host::{Host, PATIENCE};
use super::{Outcome, Scenario, check};
use crate::images::{self, Kind};
use crate::pieces::{self, Choice};

/// For `lab e2e`.
pub(super) const LAPP: Scenario =
    Scenario::alone("lapp", "one command makes a web server whose page counts in PostgreSQL", lapp);

/// The guest's address in the network of tests/e2e/xlfsd.toml.
const ADDRESS: &str = "10.9.0.2";
/// An emulated guest boots Debian for a minute or two.
const BOOTS: Duration = Duration::from_secs(900);

fn lapp() -> Outcome {
    let pieces = pieces::gather(&Choice::from_env(), false)?;
    let image = images::root(&pieces.cache, Kind::Lapp)?;
    let host = Host::boot_with("lapp", &["lapp"], vec![image])?;
    host.import("/guest/vmlinuz", "kernel", "guest-kernel")?;
    host.import("/guest/initramfs-devices", "ramdisk", "guest-ramdisk")?;
    host.import("/dev/vdb", "disk", "lapp-root")?;
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
    host.act("shutdown www.example.org --timeout 600s")?;
    host.act("delete www.example.org")?;
    host.nothing_left()?;
    host.dom0().stop();
    Ok(())
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

//! What a host on slots has to stand. All scenarios share one machine, in this order;
//! after each, slot a runs or the next one says so.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::variants::{ALL, Variant, make};
use super::{Images, Machine, SlotsError, check, system};

/// Xen's watchdog, what a reset takes until GRUB is back, and a busy machine.
const FALL_BACK: Duration = Duration::from_secs(300);
/// An order to end, with guests on the way.
const ORDER: Duration = Duration::from_secs(180);

/// Runs those of the given names (all, if there are none); whether all passed.
pub fn run(images: &Images, names: &[String], echo: bool) -> Result<bool, SlotsError> {
    let folder = tempfile::tempdir().map_err(system("make a folder"))?;
    let mut media: Vec<PathBuf> = Vec::new();
    for variant in &ALL {
        media.push(make(variant, &images.slot, folder.path())?);
    }
    let start = Instant::now();
    let host = Machine::boot(&images.disk, &media, echo)?;
    host.up("a")?;
    println!("the host is up after {:.1?}", start.elapsed());
    let mut report = Report::default();
    report.take(names, "first-boot", || first_boot(&host, images));
    report.take(names, "guest", || guest(&host, images));
    report.take(names, "upgrade", || upgrade(&host, images));
    report.take(names, "rollback", || rollback(&host));
    report.take(names, "refused", || refused(&host, images));
    for (at, variant) in ALL.iter().enumerate().skip(1) {
        report.take(names, variant.name, || broken(&host, variant, at));
    }
    report.take(names, "daemon-hangs", || daemon_hangs(&host));
    report.take(names, "daemon-stopped", || daemon_stopped(&host));
    println!("{} passed, {} failed", report.passed, report.failed);
    Ok(report.failed == 0)
}

#[derive(Debug, Default)]
struct Report {
    passed: usize,
    failed: usize,
}

impl Report {
    fn take(
        &mut self,
        names: &[String],
        name: &str,
        scenario: impl FnOnce() -> Result<String, SlotsError>,
    ) {
        if !names.is_empty() && !names.iter().any(|wanted| wanted == name) {
            return;
        }
        let start = Instant::now();
        match scenario() {
            Ok(told) => {
                self.passed += 1;
                println!("ok {name} {:.1?}{told}", start.elapsed());
            }
            Err(error) => {
                self.failed += 1;
                let chain = crate::e2e::runner::chain(&error);
                println!("FAILED {name} {:.1?}: {chain}", start.elapsed());
            }
        }
    }
}

/// What `xlfsctl host slots` says of one slot.
fn slot(host: &Machine, name: &str) -> Result<Value, SlotsError> {
    let text = host.sh("xlfsctl host slots -o json")?;
    let document: Value = serde_json::from_str(&text)
        .map_err(|error| SlotsError::Other(format!("no document: {error}\n{text}")))?;
    let slots = document["slots"].as_array().cloned().unwrap_or_default();
    let found = slots.into_iter().find(|slot| slot["name"] == name);
    found.ok_or_else(|| SlotsError::Other(format!("no slot {name} in {text}")))
}

fn is(slot: &Value, key: &str, wanted: impl Into<Value>) -> Result<(), SlotsError> {
    let wanted = wanted.into();
    check(slot[key] == wanted, || format!("{key} is {}, not {wanted}: {slot}", slot[key]))
}

/// The image as it is, on a machine of its own.
fn first_boot(host: &Machine, images: &Images) -> Result<String, SlotsError> {
    let name = host.sh("hostname")?;
    check(name.trim() == "host1.example.org", || format!("it is called {name}"))?;
    host.sh("test -s /etc/machine-id && test -s /var/etc/ssh/ssh_host_ed25519_key")?;
    host.sh("grep -q ' /var ext4 ' /proc/mounts")?;
    let written = host.sh("touch /etc/x 2>&1 || true")?;
    check(written.contains("Read-only"), || format!("the root can be written: {written}"))?;
    // After a boot the slot is, to the bit, what was built.
    let size = images.slot.metadata().map_err(system("look at the slot's image"))?.len();
    let command = format!(
        "head -c {size} $(findfs PARTLABEL=xlfs-root-a 2>/dev/null || echo /dev/vda3) | sha256sum"
    );
    let found = host.sh(&command)?;
    let ours = super::machine::digest(&images.slot)?;
    check(found.starts_with(&ours), || format!("slot a reads {found}, and {ours} was built"))?;
    host.until("slot a in the table", Duration::from_secs(60), |host| {
        slot(host, "a").is_ok_and(|a| a["digest"] == ours)
    })?;
    let a = slot(host, "a")?;
    for key in ["running", "good", "next"] {
        is(&a, key, true)?;
    }
    is(&a, "state", "good")?;
    is(&slot(host, "b")?, "state", "unknown")?;
    let guarded = host.sh("grep -c 'Xen resets this host' /var/log/messages")?;
    check(guarded.trim() != "0", || "nobody watches over the host".into())?;
    Ok(String::new())
}

/// xlfsd in it makes a guest.
fn guest(host: &Machine, images: &Images) -> Result<String, SlotsError> {
    let Some((kernel, ramdisk)) = &images.guest else {
        return Ok(" (no guest's images were given)".into());
    };
    host.put(kernel, "xlfsctl image import - --kind kernel --alias minimal-kernel")?;
    host.put(ramdisk, "xlfsctl image import - --kind ramdisk --alias minimal-ramdisk")?;
    host.sh("xlfsctl create web --template minimal --memory 128M --set banner=up-and-well")?;
    let start = Instant::now();
    host.until("word from the guest", ORDER, |host| {
        host.sh("xlfsctl logs web").is_ok_and(|log| log.contains("up-and-well"))
    })?;
    Ok(format!(" (its banner {:.1?} after create)", start.elapsed()))
}

/// To the second image: it is tried, and good.
fn upgrade(host: &Machine, images: &Images) -> Result<String, SlotsError> {
    let before = host.starts("b", true);
    host.sh("xlfsctl image import /dev/vdc --kind disk --alias second")?;
    let written = Instant::now();
    host.sh("xlfsctl host upgrade second")?;
    let written = written.elapsed();
    host.until("trial of slot b", ORDER, |host| host.starts("b", true) > before)?;
    let up = host.up("b")?;
    host.until("good slot b", ORDER, |host| {
        slot(host, "b").is_ok_and(|b| b["good"] == true && b["state"] == "good")
    })?;
    let b = slot(host, "b")?;
    is(&b, "image", "second")?;
    is(&b, "next", true)?;
    is(&slot(host, "a")?, "state", "good")?;
    let told = host.sh("cat /etc/motd")?;
    check(told.contains("second image"), || format!("it is another image: {told}"))?;
    if images.guest.is_some() {
        host.until("guest that runs again", ORDER, |host| {
            host.sh("xlfsctl list -o json").is_ok_and(|list| list.contains("\"running\""))
        })?;
    }
    Ok(format!(" (written in {written:.0?}, up {up:.0?} after GRUB)"))
}

/// Back to the first one.
fn rollback(host: &Machine) -> Result<String, SlotsError> {
    let before = host.starts("a", true);
    host.sh("xlfsctl host rollback --force --timeout 60s")?;
    host.until("start of slot a", ORDER, |host| host.starts("a", true) > before)?;
    host.up("a")?;
    host.until("good slot a", ORDER, |host| slot(host, "a").is_ok_and(|a| a["good"] == true))?;
    Ok(String::new())
}

/// What must not get into a slot.
fn refused(host: &Machine, images: &Images) -> Result<String, SlotsError> {
    let files = "head -c 1000000 /dev/urandom >/var/tmp/noise && truncate -s 520M /var/tmp/large";
    host.sh(files)?;
    for (name, why) in [("noise", "no ext4 file system"), ("large", "slot b takes")] {
        host.sh(&format!("xlfsctl image import /var/tmp/{name} --kind disk --alias {name}"))?;
        let said = host.sh(&format!("xlfsctl host upgrade {name} 2>&1; true"))?;
        check(said.contains(why), || format!("{name} is not refused for {why:?}: {said}"))?;
        host.sh(&format!("xlfsctl image delete {name} && rm /var/tmp/{name}"))?;
    }
    if images.guest.is_some() {
        let said = host.sh("xlfsctl host upgrade minimal-kernel 2>&1; true")?;
        check(said.contains("no disk"), || format!("a kernel is not refused: {said}"))?;
    }
    is(&slot(host, "a")?, "next", true)?;
    Ok(String::new())
}

/// An image that does not work: slot a is back by itself.
fn broken(host: &Machine, variant: &Variant, at: usize) -> Result<String, SlotsError> {
    let Some(reason) = variant.reason else { return Ok(String::new()) };
    // /dev/vda is the host's, /dev/vdb the configuration disk.
    let device = format!("/dev/vd{}", char::from(b'c' + at as u8));
    let (tries, backs) = (host.starts("b", true), host.starts("a", false));
    host.sh(&format!("xlfsctl image import {device} --kind disk --alias {}", variant.name))?;
    host.sh(&format!("xlfsctl host upgrade {} --force --timeout 60s", variant.name))?;
    host.until("trial of slot b", ORDER, |host| host.starts("b", true) > tries)?;
    let took = host.until("start of slot a", FALL_BACK, |host| host.starts("a", false) > backs)?;
    host.up("a")?;
    let mut b = Value::Null;
    host.until("word on slot b", ORDER, |host| {
        b = slot(host, "b").unwrap_or_default();
        b["state"] == "failed"
    })?;
    let told = b["problem"].as_str().unwrap_or_default();
    check(told.contains(reason), || format!("the reason should be {reason:?}: {told}"))?;
    let a = slot(host, "a")?;
    is(&a, "good", true)?;
    is(&a, "next", true)?;
    let log = host.sh("grep -c 'failed its trial' /var/log/messages || true")?;
    check(log.trim() != "0", || "the log does not tell of it".into())?;
    host.sh(&format!("xlfsctl image delete {}", variant.name))?;
    Ok(format!(" (slot a started {took:.0?} after slot b)"))
}

/// xlfsd on the good slot hangs: Xen resets the host.
fn daemon_hangs(host: &Machine) -> Result<String, SlotsError> {
    let before = host.starts("a", false);
    host.sh("kill -STOP $(pidof xlfsd)")?;
    let took = host.until("reset by Xen", FALL_BACK, |host| host.starts("a", false) > before)?;
    host.up("a")?;
    let console = host.console();
    check(console.contains("Watchdog timer"), || "Xen does not say why".into())?;
    Ok(format!(" (GRUB {took:.0?} after the hang)"))
}

/// xlfsd is stopped by hand: the host runs on for as long as that takes.
fn daemon_stopped(host: &Machine) -> Result<String, SlotsError> {
    let before = host.starts("a", false);
    host.sh("touch /run/service/xlfsd.off && kill $(pidof xlfsd)")?;
    let mut told = String::new();
    for _ in 0..10 {
        std::thread::sleep(Duration::from_secs(10));
        let _ = write!(told, "{}", host.sh("pidof xlfsd || true")?);
    }
    check(told.trim().is_empty(), || "xlfsd was started all the same".into())?;
    check(host.starts("a", false) == before, || "the host was reset".into())?;
    host.sh("rm /run/service/xlfsd.off")?;
    host.up("a")?;
    Ok(String::new())
}

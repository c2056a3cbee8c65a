//! Consoles that are shared, and one that never stops printing.

use std::time::Duration;

use super::host::Host;
use super::{Outcome, Scenario, check};

/// For `lab e2e`.
pub(super) const CONSOLES: Scenario = Scenario::shared(
    "consoles",
    "many read a console, one writes, another may take over",
    consoles,
);
/// For `lab e2e`.
pub(super) const FLOOD: Scenario =
    Scenario::shared("flood", "a guest that floods its console delays nobody", flood);

/// What the log of a run may take: its first bytes, its last, and one segment.
const CAP_KIB: u64 = 256 + 1024 + 512;

fn consoles(host: &Host) -> Outcome {
    host.create("web", "")?;
    host.ready("web")?;
    let mut readers = [host.attach("web", "--read-only")?, host.attach("web", "--read-only")?];
    let mut writer = host.shell("web")?;
    writer.says("echo seen-$((40+2))")?;
    writer.hears("seen-42")?;
    for reader in &mut readers {
        reader.hears("seen-42")?;
        // A reader's keys go nowhere.
        reader.says("echo typed-$((40+2))")?;
    }
    let readers_now = host.show("web")?.console.map_or(0, |console| console.readers);
    check(readers_now == 3, "three at the console", readers_now)?;
    let failure = host.refused("console web", 5)?;
    let text = failure.to_string();
    check(text.contains("--take"), "a hint: --take", text)?;
    let mut taker = host.attach("web", "--take --no-replay")?;
    taker.says("echo taken-$((40+2))")?;
    taker.hears("taken-42")?;
    for mut reader in readers {
        reader.hears("taken-42")?;
        let shown = reader.leaves()?;
        check(!shown.contains("typed-42"), "only what the writers typed", shown)?;
    }
    drop(writer.leaves()?);
    drop(taker.leaves()?);
    host.remove("web")
}

fn flood(host: &Host) -> Outcome {
    host.create("loud", "")?;
    host.create("web", "")?;
    host.ready("loud")?;
    host.ready("web")?;
    let mut keyboard = host.shell("loud")?;
    keyboard.says("yes flooding-the-console-of-this-host")?;
    keyboard.hears("\nflooding-the-console")?;
    keyboard.leaves()?;
    let enough = CAP_KIB * 2 * 1024;
    host.sees("loud", "more than its log may hold", |domain| {
        let printed = domain.console.as_ref().map_or(0, |console| console.bytes);
        (printed > enough).then_some(())
    })?;
    let listed = host.xlfsctl("list")?;
    let quick = listed.success() && listed.took < Duration::from_secs(15);
    check(quick, "a list within 15 s", &listed)?;
    let down = host.act("shutdown web --timeout 100s")?;
    check(down.took < Duration::from_secs(100), "web to shut down as ever", &down)?;
    let uuid = host.show("loud")?.uuid.unwrap_or_default();
    let folder = format!("/var/lib/xlfs/console/{uuid}");
    let used = host.dom0().ok(["du", "-sk", &folder])?.stdout;
    let kib = used.split_whitespace().next().and_then(|word| word.parse::<u64>().ok());
    check(kib.is_some_and(|kib| kib <= CAP_KIB), format!("at most {CAP_KIB} KiB of log"), used)?;
    // It can still be asked to go: its kernel runs poweroff beside the flood.
    host.act("destroy loud")?;
    host.act("delete loud web").map(drop)
}

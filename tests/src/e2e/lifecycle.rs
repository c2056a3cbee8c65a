//! The life of a guest: made, used, rebooted, paused, shut down.

use super::host::Host;
use super::{Outcome, Scenario, check};
use crate::initramfs::guest::{POWEROFF, READY, REBOOT};

/// For `lab e2e`.
pub(super) const LIFECYCLE: Scenario = Scenario::shared(
    "lifecycle",
    "create, boot, console, clean shutdown, start again, delete",
    lifecycle,
);
/// For `lab e2e`.
pub(super) const REBOOT_SCENARIO: Scenario =
    Scenario::shared("reboot", "a guest reboots itself, and is rebooted", reboot);
/// For `lab e2e`.
pub(super) const PAUSE: Scenario =
    Scenario::shared("pause", "a paused guest stands still, and goes on", pause);
/// For `lab e2e`.
pub(super) const VCPUS: Scenario = Scenario::shared("vcpus", "a guest with two vCPUs", vcpus);

fn lifecycle(host: &Host) -> Outcome {
    let created = host.create("web", "")?;
    let task = created.task.map(|task| task.state);
    check(task.as_deref() == Some("succeeded"), "the task to succeed", format!("{task:?}"))?;
    let domain = host.is("web", "running")?;
    check(domain.domid.is_some_and(|domid| domid > 0), "a domid", format!("{domain:?}"))?;
    host.ready("web")?;
    host.in_guest("web", "echo sum-$((20+22))", "sum-42")?;
    // What the guest prints last is kept.
    let keyboard = host.attach("web", "--read-only")?;
    host.act("shutdown web")?;
    let shown = keyboard.closes()?;
    check(shown.contains(POWEROFF), format!("{POWEROFF} at the console"), shown)?;
    let domain = host.is("web", "stopped")?;
    check(domain.domid.is_none() && !domain.wanted_running, "no domain", format!("{domain:?}"))?;
    let log = host.console_of("web")?;
    check(log.contains(POWEROFF) && log.contains(READY), "the whole log", log)?;
    host.act("start web")?;
    host.ready("web")?;
    // Ended from inside, it is as stopped as by us.
    host.shell("web")?.says("poweroff")?;
    let domain = host.reaches("web", "stopped")?;
    let end = domain.last_end.as_deref();
    check(end == Some("poweroff"), "poweroff for its last end", format!("{domain:?}"))?;
    host.act("delete web").map(drop)
}

fn reboot(host: &Host) -> Outcome {
    host.create("web", "")?;
    host.ready("web")?;
    let first = host.show("web")?.domid;
    host.shell("web")?.says("reboot -f")?;
    let second = host.sees("web", "a new domain that runs", |domain| {
        (domain.domid != first && domain.state == "running").then_some(domain.clone())
    })?;
    check(second.restarts == 1, "one restart to be counted", format!("{second:?}"))?;
    let end = second.last_end.as_deref();
    check(end == Some("reboot"), "reboot for its last end", format!("{second:?}"))?;
    host.ready("web")?;
    host.act("reboot web")?;
    let third = host.is("web", "running")?;
    check(third.domid != second.domid, "a new domain", format!("{third:?}"))?;
    host.ready("web")?;
    let shown = host.in_guest("web", "echo third-$((1+2))", "third-3")?;
    check(!shown.contains(REBOOT), "a console of the new domain only", shown)?;
    host.remove("web")
}

fn pause(host: &Host) -> Outcome {
    host.create("web", "")?;
    host.ready("web")?;
    let mut keyboard = host.shell("web")?;
    keyboard.says("while :; do echo tick-$((n=n+1)); sleep 1; done")?;
    keyboard.hears("tick-2")?;
    host.act("pause web")?;
    host.is("web", "paused")?;
    // What was on its way has arrived after a while; then it stands still.
    std::thread::sleep(std::time::Duration::from_secs(2));
    let before = host.show("web")?.console.map(|console| console.bytes);
    std::thread::sleep(std::time::Duration::from_secs(4));
    let after = host.show("web")?.console.map(|console| console.bytes);
    check(before == after, "a paused guest to print nothing", format!("{before:?} {after:?}"))?;
    let shutdown = host.refused("shutdown web", 5)?;
    check(shutdown.message.contains("paused"), "the refusal to say why", &shutdown)?;
    let ticks = keyboard.shown()?.matches("tick-").count();
    host.act("unpause web")?;
    host.is("web", "running")?;
    keyboard.hears(&format!("tick-{}", ticks + 2))?;
    keyboard.leaves()?;
    host.act("pause web")?;
    host.act("destroy web")?;
    host.is("web", "stopped")?;
    host.act("delete web").map(drop)
}

fn vcpus(host: &Host) -> Outcome {
    host.create("two", "--vcpus 2")?;
    host.ready("two")?;
    host.in_guest("two", "echo cpus-$(nproc)", "cpus-2")?;
    let domain = host.show("two")?;
    check(domain.vcpus == 2, "2 vCPUs in the list", format!("{domain:?}"))?;
    host.act("shutdown two")?;
    host.act("delete two").map(drop)
}

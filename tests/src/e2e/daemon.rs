//! The daemon ends: killed or told to, while guests run and while one is made.

use std::thread::sleep;
use std::time::Duration;

use super::destroy::{MOMENTS, begins, creation_takes};
use super::host::{Host, PATIENCE, failure_of};
use super::{Outcome, Scenario, Stage, check};

/// For `lab e2e`.
pub(super) const RESTART: Scenario =
    Scenario::shared("daemon-ends", "guests do not notice SIGKILL or SIGTERM of xlfsd", ends);
/// For `lab e2e`.
pub(super) const KILLED: Scenario =
    Scenario::shared("daemon-killed", "killed while it makes a guest, it leaves nothing", killed);
/// For `lab e2e`. On Xen 4.17 xenstored cannot be started again for domains that
/// it does not know any more: the host is spent.
pub(super) const XENSTORED: Scenario = Scenario {
    name: "xenstored-gone",
    about: "without xenstored, xlfsd says so and goes on",
    stage: Stage::Last(without_xenstored),
};

fn ends(host: &Host) -> Outcome {
    host.create("web", "")?;
    host.create("still", "--paused")?;
    host.ready("web")?;
    let mut keyboard = host.shell("web")?;
    keyboard.says("while :; do echo tick-$((n=n+1)); sleep 1; done &")?;
    keyboard.hears("tick-2")?;
    keyboard.leaves()?;
    let before = host.show("web")?;
    for (round, signal) in ["KILL", "TERM"].into_iter().enumerate() {
        let ended = host.end_daemon(signal)?;
        if signal == "TERM" {
            check(ended.success(), "xlfsd to end in order", &ended)?;
        }
        sleep(Duration::from_secs(3));
        host.start_daemon()?;
        host.sees("web", "that it runs", |domain| (domain.state == "running").then_some(()))?;
        let after = host.show("web")?;
        check(after.domid == before.domid, "the same domain", format!("{after:?}"))?;
        check(after.restarts == 0 && after.wanted_running, "no restart", format!("{after:?}"))?;
        host.is("still", "paused")?;
        // Both ways work, and the shell is the one from before.
        let mut keyboard = host.attach("web", "--no-replay")?;
        keyboard.says("echo alive-$((n+1000))")?;
        keyboard.hears("alive-1")?;
        let heard = keyboard.shown()?;
        check(!heard.contains("tick-1\r"), "a counter that went on", heard)?;
        keyboard.hears("tick-")?;
        keyboard.leaves()?;
        let log = host.console_of("web")?;
        let firsts = log.matches("tick-1\r").count();
        check(firsts == 1, format!("one log after end {round}"), log)?;
    }
    host.act("unpause still")?;
    host.ready("still")?;
    host.act("shutdown web still")?;
    host.act("delete web still").map(drop)
}

fn killed(host: &Host) -> Outcome {
    let whole = creation_takes(host)?;
    for moment in 0..MOMENTS {
        let begun = host.begin_create("web", "")?;
        begins(host, "web")?;
        sleep(whole * moment / MOMENTS);
        host.end_daemon("KILL")?;
        host.start_daemon()?;
        // Its client looks for the daemon and hears how the task ended, or that
        // nobody knows: then the guest is whole or gone, by itself.
        let created = begun.wait(Duration::from_secs(300))?;
        if created.success() {
            host.is("web", "running")?;
        }
        let whole_again = host.dom0().wait_until("the guest whole or gone", PATIENCE, || {
            let shown = host.dom0().run(["xlfsctl", "-o", "json", "show", "web"])?;
            let runs = shown.success() && shown.stdout.contains("\"state\": \"running\"");
            Ok(if runs { Some(true) } else { (shown.code == Some(3)).then_some(false) })
        })?;
        check(whole_again || !created.success(), "a guest that was created", &created)?;
        if whole_again {
            host.remove("web")?;
        }
        host.nothing_left()?;
        host.create("web", "--no-start")?;
        host.act("delete web")?;
    }
    Ok(())
}

/// Without xenstored a host is not well; xlfsd says so and does not fall over.
fn without_xenstored(host: &Host) -> Outcome {
    host.create("web", "")?;
    host.ready("web")?;
    host.dom0().ok(["sh", "-c", "kill -9 $(cat /run/xenstored.pid)"])?;
    for line in ["create other --template minimal --memory 96", "shutdown web"] {
        let output = host.xlfsctl(line)?;
        let failure = failure_of(line, &output)?;
        let unavailable = matches!(failure.exit_code, 9 | 11);
        let text = failure.to_string();
        let clear = text.contains("xenstore") && failure.hint.is_some();
        check(unavailable && clear, "xenstored to be named, and a hint", text)?;
    }
    // The hypervisor still answers, and the guest runs.
    host.is("web", "running")?;
    host.in_guest("web", "echo alive-$((40+2))", "alive-42")?;
    // Its domain can be ended, and what that leaves is said.
    let output = host.xlfsctl("destroy web")?;
    let failure = failure_of("destroy web", &output)?;
    check(!failure.leftovers.is_empty(), "what is left in xenstore", &failure)?;
    let domain = host.show("web")?;
    check(domain.domid.is_none(), "no domain", format!("{domain:?}"))?;
    check(host.daemon_runs()?, "xlfsd to be alive", "that it has ended")
}

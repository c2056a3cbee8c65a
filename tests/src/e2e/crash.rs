//! Guests that crash: what their policy says is done, and a loop is braked.

use super::host::Host;
use super::{Outcome, Scenario, check, tiny_kernel};

/// For `lab e2e`.
pub(super) const CRASH: Scenario =
    Scenario::shared("crash", "a crashed guest is destroyed, restarted or preserved", crash);
/// For `lab e2e`.
pub(super) const BRAKE: Scenario =
    Scenario::shared("brake", "a guest that crashes at once is held after 5 restarts", brake);

fn crash(host: &Host) -> Outcome {
    let policies = ["destroy", "restart", "preserve"];
    for policy in policies {
        host.create(policy, &format!("--on-crash {policy}"))?;
    }
    let mut domids = Vec::new();
    for policy in policies {
        host.ready(policy)?;
        domids.push(host.show(policy)?.domid);
    }
    for policy in policies {
        host.shell(policy)?.says("echo c >/proc/sysrq-trigger")?;
    }
    let gone = host.reaches("destroy", "stopped")?;
    let expected = "the crashed guest to be stopped, and to say so";
    let end = gone.last_end.as_deref() == Some("crash") && gone.domid.is_none();
    check(end && !gone.wanted_running, expected, format!("{gone:?}"))?;
    let kept = host.reaches("preserve", "crashed")?;
    check(kept.domid == domids[2], "the dead domain to be kept", format!("{kept:?}"))?;
    let log = host.console_of("preserve")?;
    check(log.contains("sysrq: Trigger a crash"), "the crash at the console", log)?;
    let anew = host.sees("restart", "a new domain that runs", |domain| {
        (domain.domid != domids[1] && domain.state == "running").then_some(domain.clone())
    })?;
    check(anew.restarts == 1, "one restart to be counted", format!("{anew:?}"))?;
    host.ready("restart")?;
    // The dead one can be looked at, not started; then it is taken away.
    host.refused("start preserve", 5)?;
    host.act("destroy preserve")?;
    host.is("preserve", "stopped")?;
    host.act("destroy restart")?;
    host.act("delete destroy restart preserve").map(drop)
}

fn brake(host: &Host) -> Outcome {
    host.dom0().write("/tmp/tiny", tiny_kernel::crashing())?;
    let imported = host.import("/tmp/tiny", "kernel", "tiny-kernel")?;
    host.create("looping", "--template tiny --memory 16 --on-crash restart")?;
    let held = host.reaches("looping", "held")?;
    check(held.restarts == 5, "5 restarts", format!("{held:?}"))?;
    check(held.domid.is_none(), "no domain of a held guest", format!("{held:?}"))?;
    check(held.last_end.as_deref() == Some("crash"), "crash as its end", format!("{held:?}"))?;
    // Its user may try again, and is braked again.
    host.act("start looping")?;
    let again = host.reaches("looping", "held")?;
    check(again.restarts == 5, "5 restarts since its start", format!("{again:?}"))?;
    host.act("delete looping")?;
    host.act(&format!("image delete {}", imported.image.digest)).map(drop)
}

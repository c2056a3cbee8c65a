//! A guest is destroyed at whatever moment, and nothing of it stays.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::host::Host;
use super::{Outcome, Scenario, check};

/// For `lab e2e`.
pub(super) const DESTROY: Scenario =
    Scenario::shared("destroy", "destroyed at any moment of its creation and shutdown", destroy);
/// Moments in a creation that are tried.
pub(super) const MOMENTS: u32 = 6;

fn destroy(host: &Host) -> Outcome {
    let whole = creation_takes(host)?;
    for moment in 0..MOMENTS {
        let begun = host.begin_create("web", "")?;
        begins(host, "web")?;
        sleep(whole * moment / MOMENTS);
        // Undone by then, it may be known no more.
        let destroyed = host.xlfsctl("destroy web")?;
        let expected = format!("destroy to succeed at moment {moment}");
        check(matches!(destroyed.code, Some(0 | 3)), expected, &destroyed)?;
        let created = begun.wait(Duration::from_secs(300))?;
        check(matches!(created.code, Some(0 | 8)), "create to be done or cancelled", &created)?;
        if created.success() {
            host.act("delete web --force")?;
        }
        host.nothing_left()?;
    }
    host.create("web", "")?;
    host.ready("web")?;
    host.act("shutdown web --no-wait")?;
    host.act("destroy web")?;
    host.is("web", "stopped")?;
    host.act("start web --paused")?;
    host.act("destroy web")?;
    host.is("web", "stopped")?;
    // Twice is as good as once.
    host.act("destroy web")?;
    host.act("delete web").map(drop)
}

/// How long a creation takes here and now.
pub(super) fn creation_takes(host: &Host) -> Outcome<Duration> {
    let start = Instant::now();
    host.create("probe", "")?;
    let took = start.elapsed();
    host.remove("probe")?;
    Ok(took)
}

/// Waits until xlfsd knows of the guest.
pub(super) fn begins(host: &Host, name: &str) -> Outcome {
    host.dom0().wait_until("the creation's begin", super::host::PATIENCE, || {
        Ok(host.dom0().run(["xlfsctl", "show", name])?.success().then_some(()))
    })?;
    Ok(())
}

//! What xlfsd refuses, and what it only says it would do.

use super::documents::{Change, Images, Results, Tasks};
use super::guests::one;
use super::host::Host;
use super::{Outcome, Scenario, check};

/// For `lab e2e`.
pub(super) const BAD_INPUT: Scenario =
    Scenario::shared("bad-input", "mistakes have their exit code, a reason and a hint", bad_input);
/// For `lab e2e`.
pub(super) const DRY_RUNS: Scenario =
    Scenario::shared("dry-runs", "a dry run shows its plan and changes nothing", dry_runs);
/// For `lab e2e`.
pub(super) const UNMANAGED: Scenario =
    Scenario::shared("unmanaged", "domains of others are listed and not touched", unmanaged);

fn bad_input(host: &Host) -> Outcome {
    host.create("web", "--no-start")?;
    for (line, exit_code, said) in [
        ("create x --template nosuch", 3, "nosuch"),
        ("create x --template minimal --set nosuch=1", 10, "nosuch"),
        ("create x --template minimal --set loglevel=9", 10, "loglevel"),
        ("create x --template minimal --set loglevel=many", 10, "loglevel"),
        ("create x --template minimal --memory 1", 10, "memory"),
        ("create x --template minimal --vcpus 100000", 10, "vcpus"),
        ("create x --template minimal --memory 900G", 6, "memory"),
        ("create Bad_Name --template minimal", 10, "Bad_Name"),
        ("create web --template minimal", 4, "web"),
        ("create x --template tiny", 5, "tiny-kernel"),
        ("start nobody", 3, "nobody"),
        ("console nobody", 3, "nobody"),
        ("shutdown web --memory", 2, "--memory"),
        ("pause web", 5, "web"),
        ("image import /nonexistent --kind kernel", 3, "/nonexistent"),
        ("image delete nosuch", 3, "nosuch"),
        ("task show 999999", 3, "999999"),
    ] {
        let failure = host.refused(line, exit_code)?;
        let text = format!("{failure}");
        check(text.contains(said), format!("{said} in the error of `{line}`"), text)?;
    }
    let names: Vec<_> = host.list()?.into_iter().map(|domain| domain.name).collect();
    check(!names.iter().any(|name| name == "x"), "no guest x", format!("{names:?}"))?;
    host.act("delete web").map(drop)
}

fn dry_runs(host: &Host) -> Outcome {
    host.create("web", "--no-start")?;
    let before = everything(host)?;
    let plan = |line: &str| -> Outcome<Change> {
        let change = one(host.ask::<Results>(&format!("{line} --dry-run"))?)?;
        let empty = change.plan.is_empty() || !change.dry_run || change.task.is_some();
        check(!empty, format!("a plan from `{line} --dry-run`"), format!("{change:?}"))?;
        Ok(change)
    };
    let change = plan("create other --template minimal")?;
    let names: Vec<_> = change.plan.into_iter().map(|step| step.name).collect();
    check(names.contains(&"create-domain".into()), "create-domain", format!("{names:?}"))?;
    plan("start web")?;
    plan("delete web")?;
    host.act("image import /guest/vmlinuz --kind kernel --alias other --dry-run")?;
    host.act("image delete minimal-ramdisk --dry-run").or_else(|_| {
        host.refused("image delete minimal-ramdisk --dry-run", 5).map(|_| Default::default())
    })?;
    host.refused("create web --template minimal --dry-run", 4)?;
    let after = everything(host)?;
    check(before == after, format!("as before: {before}"), after)?;
    host.create("runs", "--paused")?;
    plan("destroy runs")?;
    plan("unpause runs")?;
    host.is("runs", "paused")?;
    host.act("delete runs web --force").map(drop)
}

/// Guests, images and tasks, as one text.
fn everything(host: &Host) -> Outcome<String> {
    let mut guests = host.list()?;
    guests.retain(|domain| domain.managed);
    let images = host.ask::<Images>("image list")?.images;
    let tasks = host.ask::<Tasks>("task list")?.tasks;
    let tasks: Vec<_> = tasks.into_iter().map(|task| (task.id, task.state)).collect();
    Ok(format!("{guests:?} {images:?} {tasks:?}"))
}

fn unmanaged(host: &Host) -> Outcome {
    let list = host.list()?;
    let dom0 = list.iter().find(|domain| domain.domid == Some(0));
    let seen = dom0.is_some_and(|dom0| !dom0.managed && dom0.state == "running");
    check(seen, "Dom0 in the list, running and unmanaged", format!("{list:?}"))?;
    let name = dom0.map(|dom0| dom0.name.clone()).unwrap_or_default();
    for verb in ["destroy", "shutdown", "reboot", "pause", "delete", "delete --force"] {
        let failure = host.refused(&format!("{verb} {name}"), 5)?;
        let text = failure.to_string();
        check(text.contains("not made"), "the refusal to say why", text)?;
    }
    host.create("web", "--paused")?;
    check(host.list()?.len() == 2, "two domains", format!("{:?}", host.list()?))?;
    host.remove("web")
}

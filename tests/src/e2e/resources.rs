//! Guests small and large, and many at once.

use super::documents::Domain;
use super::guests::done;
use super::host::Host;
use super::{Outcome, Scenario, ScenarioError, check};

/// For `lab e2e`.
pub(super) const MEMORY: Scenario = Scenario::shared(
    "memory",
    "guests with 84 to 512 MiB see their memory, smaller ones are refused",
    memory,
);
/// For `lab e2e`.
pub(super) const TWENTY: Scenario = Scenario::shared("twenty", "20 guests at once", twenty);

/// MiB in which Debian's kernel of today boots.
const LEAST: u64 = 84;
/// MiB that a kernel takes before it counts: itself, and a table entry for each
/// page.
const OVERHEAD: u64 = 64;

fn memory(host: &Host) -> Outcome {
    // Less than Debian's kernel takes is refused before anything is made.
    for mib in [32, 64] {
        let failure =
            host.refused(&format!("create small --template minimal --memory {mib}"), 5)?;
        let text = failure.to_string();
        let clear = text.contains("MiB") && text.contains("--memory");
        check(clear, "how much it takes, and what to do", text)?;
        host.refused("show small", 3)?;
    }
    for mib in [LEAST, 128, 512] {
        let name = format!("m{mib}");
        host.create(&name, &format!("--memory {mib}"))?;
        host.ready(&name)?;
        let total = mem_total(host, &name)? >> 10;
        let fits = (mib - OVERHEAD..=mib).contains(&total);
        check(fits, format!("{mib} MiB in a guest with {mib}"), format!("{total} MiB"))?;
        let listed = host.show(&name)?.memory_mib;
        check(listed == mib, format!("{mib} MiB in the list"), listed)?;
        host.remove(&name)?;
        host.nothing_left()?;
    }
    Ok(())
}

/// KiB that the guest's kernel counts.
fn mem_total(host: &Host, name: &str) -> Outcome<u64> {
    let shown = host.in_guest(name, "grep MemTotal /proc/meminfo; echo end-$((1+1))", "end-2")?;
    let line = shown.lines().find_map(|line| line.trim().strip_prefix("MemTotal:"));
    let total = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    total.ok_or_else(|| ScenarioError::Broken { expected: "MemTotal".into(), observed: shown })
}

fn twenty(host: &Host) -> Outcome {
    // Begun at once, and let go when all are built: twenty kernels that boot on
    // two emulated CPUs leave Dom0 a tenth of one, too little to build others.
    let names: Vec<_> = (1..=20).map(|number| format!("g{number}")).collect();
    let begun: Vec<_> =
        names.iter().map(|name| host.begin_create(name, "--paused")).collect::<Outcome<_>>()?;
    for (name, process) in names.iter().zip(begun) {
        let created = done(&format!("create {name}"), process)?;
        check(created.name == *name, format!("the guest {name}"), created.name)?;
    }
    host.act(&format!("unpause {}", names.join(" ")))?;
    let running = |domain: &Domain| domain.managed && domain.state == "running";
    let count = host.list()?.iter().filter(|domain| running(domain)).count();
    check(count == 20, "20 running guests", count)?;
    let listed = host.dom0().ok(["xlfsctl", "list"])?;
    check(listed.stdout.lines().count() >= 22, "a line for each", &listed)?;
    for name in &names {
        host.ready(name)?;
    }
    let (some, others) = names.split_at(3);
    host.act(&format!("shutdown {}", some.join(" ")))?;
    host.act(&format!("destroy {}", others.join(" ")))?;
    host.act(&format!("delete {}", names.join(" "))).map(drop)
}

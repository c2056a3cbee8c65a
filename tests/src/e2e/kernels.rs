//! Kernels in every form boot; malformed ones are refused with a reason.

use std::path::Path;

use super::host::Host;
use super::{Outcome, Scenario, check, tiny_kernel};
use crate::kernels::{self, Compression};

/// For `lab e2e`.
pub(super) const FORMS: Scenario =
    Scenario::shared("kernel-forms", "a kernel as ELF and in each compression boots", forms);
/// For `lab e2e`.
pub(super) const MALFORMED: Scenario =
    Scenario::shared("malformed", "each kind of malformed kernel is refused, clearly", malformed);

fn forms(host: &Host) -> Outcome {
    let pieces = host.dom0().pieces();
    boots(host, "elf", &kernels::elf(&pieces.guest_kernel, &pieces.cache)?)?;
    for form in Compression::ALL {
        let image = kernels::repacked(&pieces.guest_kernel, &pieces.cache, form)?;
        boots(host, form.name(), &image)?;
    }
    Ok(())
}

fn boots(host: &Host, form: &str, image: &Path) -> Outcome {
    host.dom0().put(image, "/tmp/kernel")?;
    let imported = host.import("/tmp/kernel", "kernel", "form-kernel")?.image;
    let summary = imported.summary.unwrap_or_default();
    check(summary.contains(form), format!("{form} in its summary"), summary)?;
    host.create(form, "--template form --memory 128")?;
    host.ready(form)?;
    host.remove(form)?;
    host.act(&format!("image delete {}", imported.digest))?;
    host.dom0().ok(["rm", "/tmp/kernel"])?;
    // Its plan and its unpacked payload have gone with it.
    let plans = host.dom0().ok(["ls", "/var/lib/xlfs/kernels"])?.stdout;
    let digest = imported.digest.trim_start_matches("sha256:");
    check(!plans.contains(digest), "no plan of a deleted kernel", plans)
}

fn malformed(host: &Host) -> Outcome {
    for one in tiny_kernel::malformed() {
        refused(host, &one).map_err(|error| super::ScenarioError::Broken {
            expected: format!("{} to be refused as {}", one.name, one.error),
            observed: super::runner::chain(&error),
        })?;
    }
    check(host.daemon_runs()?, "xlfsd to be alive", "that it has ended")
}

/// At its import: nothing of it stays.
fn refused(host: &Host, one: &tiny_kernel::Malformed) -> Outcome {
    host.dom0().write("/tmp/malformed", &one.image)?;
    let import = "image import /tmp/malformed --kind kernel --alias tiny-kernel";
    let failure = host.refused(import, 10)?;
    let told = !failure.causes.is_empty() || failure.message.contains("empty");
    check(told, "a cause", &failure)?;
    host.refused("image show tiny-kernel", 3)?;
    let failure = host.refused("create bad --template tiny --memory 32", 5)?;
    check(failure.to_string().contains("tiny-kernel"), "the missing kernel", &failure)?;
    host.refused("show bad", 3).map(drop)
}

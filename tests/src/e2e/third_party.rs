//! A client in another language, with nothing of this project but the socket:
//! Python, grpcio, and stubs from the server's reflection alone.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::host::Host;
use super::{Outcome, Scenario, ScenarioError, check};

/// For `lab e2e`.
pub(super) const SCENARIO: Scenario = Scenario::shared(
    "third-party",
    "a Python client with stubs from reflection makes and ends a guest",
    run,
);

/// From PyPI, into an environment of its own.
const PACKAGES: [&str; 2] = ["grpcio==1.85.1", "grpcio-reflection==1.85.1"];

fn run(host: &Host) -> Outcome {
    let python = environment(&host.dom0().pieces().cache)?;
    let forward = host.dom0().forward(0, "/run/xlfsd/xlfsd.sock")?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/third_party.py");
    let address = forward.address().to_string();
    let said = output(Command::new(python).arg(script).args([&address, "third"]))?;
    check(said.contains("content"), "the client to be content", said)
}

/// The interpreter of a virtual environment with what the client needs.
fn environment(cache: &Path) -> Outcome<PathBuf> {
    let folder = cache.join("python");
    let python = folder.join("bin/python");
    let complete = folder.join("complete");
    let packages = PACKAGES.join("\n");
    if std::fs::read_to_string(&complete).is_ok_and(|found| found == packages) {
        return Ok(python);
    }
    output(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    output(Command::new(&python).args(install).args(PACKAGES))?;
    std::fs::write(&complete, packages).map_err(|source| ScenarioError::Host { source })?;
    Ok(python)
}

/// Runs a program of the host that must succeed.
fn output(command: &mut Command) -> Outcome<String> {
    let ran = command.output().map_err(|source| ScenarioError::Host { source })?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let expected = format!("{:?} to succeed", command.get_program());
    check(ran.status.success(), expected, format!("{}: {}", ran.status, text(&ran.stderr)))?;
    Ok(text(&ran.stdout))
}

//! The machine ends with the lab, however the lab ends. A QEMU that stays
//! behind would eat a core of somebody's laptop for ever.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Scenario, ScenarioError, check};

/// For `lab e2e`.
pub(super) const SCENARIO: Scenario =
    Scenario::alone("lifetime", "QEMU ends with the lab, even a killed one", run);

fn run() -> Result<(), ScenarioError> {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGKILL] {
        let (mut lab, qemu) = start().map_err(|source| ScenarioError::Host { source })?;
        let running = is_qemu(qemu);
        let lab_pid = Pid::from_raw(i32::try_from(lab.id()).unwrap_or_default());
        let sent = kill(lab_pid, signal).map_err(std::io::Error::from);
        let status = sent.and_then(|()| lab.wait());
        let status = status.map_err(|source| ScenarioError::Host { source })?;
        check(running, "a QEMU while the lab runs", format!("none with pid {qemu}"))?;
        let until = Instant::now() + Duration::from_secs(60);
        while is_qemu(qemu) {
            check(
                Instant::now() < until,
                format!("no QEMU after {signal} to the lab"),
                format!("pid {qemu} still runs; the lab ended with {status}"),
            )?;
            thread::sleep(Duration::from_millis(50));
        }
    }
    Ok(())
}

/// A lab that waits in Dom0, and its QEMU's pid, from the line it says.
fn start() -> std::io::Result<(Child, i32)> {
    let lab = crate::lab::program().map_err(std::io::Error::other)?;
    let mut child = Command::new(lab)
        .args(["run", "--timeout", "300", "--", "sleep", "300"])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut said = String::new();
    for line in child.stderr.take().into_iter().flat_map(|stderr| BufReader::new(stderr).lines()) {
        said = line?;
        let pid = said.split_once("(QEMU ").and_then(|(_, rest)| rest.split_once(')'));
        if let Some(Ok(pid)) = pid.map(|(pid, _)| pid.parse()) {
            return Ok((child, pid));
        }
    }
    child.wait()?;
    Err(std::io::Error::other(format!("the lab did not come up: {said}")))
}

fn is_qemu(pid: i32) -> bool {
    let comm = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
    // A zombie has ended; only its parent has not looked yet.
    comm.is_ok_and(|stat| stat.contains("(qemu-system") && !stat.contains(") Z "))
}

//! The lab itself: Xen and Dom0 are up, and xenstored answers.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::{Scenario, ScenarioError, check};
use crate::lab::{Config, boot};

/// For `lab e2e`.
pub(super) const SCENARIO: Scenario =
    Scenario::alone("boot", "Xen and Dom0 boot, and xenstored answers", run);

/// XS_DIRECTORY of "/", as it goes over the wire: type, request and transaction
/// ids, length (xen/include/public/io/xs_wire.h).
const DIRECTORY_OF_ROOT: [u8; 18] = *b"\x01\0\0\0\x07\0\0\0\0\0\0\0\x02\0\0\0/\0";

fn run() -> Result<(), ScenarioError> {
    let dom0 = boot(Config::named("boot"))?;
    let capabilities = dom0.sh("cat /proc/xen/capabilities")?;
    check(capabilities.stdout.contains("control_d"), "a control domain", &capabilities)?;
    let socket = "/run/xenstored/socket";
    dom0.wait_until("xenstored's socket", Duration::from_secs(60), || {
        Ok(dom0.run(["test", "-S", socket])?.success().then_some(()))
    })?;
    // From this side of the machine, so that the lab's forwarding is shown too.
    let forward = dom0.forward(0, socket)?;
    let answer = exchange(forward.address()).map_err(|source| ScenarioError::Host { source })?;
    check(answer == DIRECTORY_OF_ROOT[..8], "xenstored's answer to XS_DIRECTORY", {
        format!("{answer:?}")
    })?;
    let release = dom0.ok(["uname", "-r"])?;
    println!("Dom0 runs Linux {}", release.stdout.trim());
    Ok(())
}

/// Asks, and returns type and request id of the answer: those of the question.
fn exchange(address: SocketAddr) -> io::Result<[u8; 8]> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.write_all(&DIRECTORY_OF_ROOT)?;
    let mut answer = [0; 8];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

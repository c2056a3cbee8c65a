//! Guests on a bridge: they reach each other and Dom0, and nothing is left.

use super::host::Host;
use super::{Outcome, Scenario, check};

/// For `lab e2e`.
pub(super) const NETWORK: Scenario =
    Scenario::shared("network", "two guests on a bridge reach each other and Dom0", network);
/// For `lab e2e`.
pub(super) const NO_NETWORK: Scenario =
    Scenario::shared("bad-network", "interfaces that cannot be had are refused", bad_network);

/// Addresses that the scenario gives its guests.
const ONE: &str = "10.9.0.11";
const TWO: &str = "10.9.0.12";

fn network(host: &Host) -> Outcome {
    for (name, address) in [("one", ONE), ("two", TWO)] {
        host.create(name, &format!("--template disks --ip {address}/24"))?;
    }
    for (name, address) in [("one", ONE), ("two", TWO)] {
        host.ready(name)?;
        up(host, name, address)?;
    }
    let nics = host.show("one")?.nics;
    let mac = nics.first().map(|nic| nic.mac.clone()).unwrap_or_default();
    check(mac.starts_with("00:16:3e:"), "a MAC address in 00:16:3e", &mac)?;
    host.in_guest("one", "cat /sys/class/net/eth0/address", &mac)?;
    host.in_guest("one", &answers(TWO), "answers-7")?;
    answers_dom0(host, ONE)?;
    // A guest that is rebooted is on the bridge again, with the same address.
    host.act("reboot two")?;
    host.ready("two")?;
    up(host, "two", TWO)?;
    host.in_guest("one", &answers(TWO), "answers-7")?;
    host.act("destroy one two")?;
    host.act("delete one two").map(drop)
}

/// Sets up the interface of a guest that has no first-boot program.
pub(super) fn up(host: &Host, name: &str, address: &str) -> Outcome {
    let line = format!(
        "modprobe xen-netfront 2>/dev/null; ip addr add {address}/24 dev eth0 && \
         ip link set eth0 up && echo up-$((2+2))"
    );
    host.in_guest(name, &line, "up-4").map(drop)
}

/// Dom0 reaches the address. Not always at once: a kernel keeps to the MAC
/// address that it has learnt for a second at least.
pub(super) fn answers_dom0(host: &Host, address: &str) -> Outcome {
    let line = format!("for try in $(seq 20); do ping -c 1 -W 3 {address} && exit 0; done; exit 1");
    host.dom0().sh(&line)?;
    Ok(())
}

/// A line of shell that says `answers-7` when the address does.
pub(super) fn answers(address: &str) -> String {
    format!("ping -c 2 -W 30 {address} >/dev/null && echo answers-$((3+4))")
}

fn bad_network(host: &Host) -> Outcome {
    host.create("one", "--template disks --no-start --nic network=lan,mac=00:16:3e:00:00:01")?;
    for (nic, exit_code, said) in [
        ("--network nosuch", 3, "nosuch"),
        ("--nic mac=00:16:3e:00:00:01", 4, "one"),
        ("--nic mac=01:00:00:00:00:01", 10, "mac"),
        ("--ip 10.9.0.300/24", 10, "addresses"),
        ("--ip 10.9.0.9/24 --gateway 10.8.0.1", 10, "10.8.0.1"),
        ("--ip 10.9.0.9/24,10.9.0.9/24", 10, "twice"),
        ("--nic rate=fast", 10, "rate"),
        ("--nic bridge=br0", 2, "bridge"),
    ] {
        let failure = host.refused(&format!("create x --template disks {nic}"), exit_code)?;
        let text = failure.to_string();
        check(text.contains(said), format!("{said} in the error of `{nic}`"), text)?;
        host.refused("show x", 3)?;
    }
    // A bridge that went after xlfsd had made it.
    host.dom0().sh("ip link set lan0 down && ip link set lan0 name away0")?;
    let failure = host.refused("create x --template disks --memory 96 --network lan", 5)?;
    host.dom0().sh("ip link set away0 name lan0 && ip link set lan0 up")?;
    let text = failure.to_string();
    check(text.contains("lan0"), "the missing bridge in the error", text)?;
    host.refused("show x", 3)?;
    host.act("delete one")?;
    // A refused guest's address is free, and so is a deleted one's.
    host.create("two", "--template disks --no-start --nic mac=00:16:3e:00:00:01")?;
    host.act("delete two").map(drop)
}

//! A guest that is held to its addresses, and one that is not, tell the same lies.

use super::host::Host;
use super::network::{answers, answers_dom0, up};
use super::{Outcome, Scenario, check};

/// For `lab e2e`.
pub(super) const SCENARIO: Scenario = Scenario::shared(
    "anti-spoofing",
    "a forged MAC and a forged IP address get nowhere, and the rules go with the guest",
    spoofing,
);

/// Dom0 on the bridge (tests/e2e/xlfsd.toml).
const DOM0: &str = "10.9.0.1";
const HELD: &str = "10.9.0.21";
const FREE: &str = "10.9.0.22";

fn spoofing(host: &Host) -> Outcome {
    check(tables(host)?.is_empty(), "no table of a bridge", tables(host)?.join(", "))?;
    host.create("held", &format!("--template disks --ip {HELD}/24 --anti-spoofing"))?;
    host.create("free", &format!("--template disks --ip {FREE}/24"))?;
    for (name, address) in [("held", HELD), ("free", FREE)] {
        host.ready(name)?;
        up(host, name, address)?;
        host.in_guest(name, &answers(DOM0), "answers-7")?;
    }
    host.in_guest("held", &answers(FREE), "answers-7")?;
    answers_dom0(host, HELD)?;
    guarded(host)?;

    // The same words in both, so that what one is denied is seen to be possible.
    let (lie, other_lie) = ("00:16:3e:66:66:01", "00:16:3e:66:66:02");
    forge(host, "free", other_lie)?;
    host.in_guest("free", &answers(DOM0), "answers-7")?;
    forge(host, "held", lie)?;
    host.in_guest("held", &silence(DOM0), "silence-8")?;
    host.in_guest("held", &silence(FREE), "silence-8")?;
    // The bridge has learnt where the one address is, and not the other.
    let table = "od -An -v -tx1 /sys/class/net/lan0/brforward | tr -d ' \\n'";
    let table = host.dom0().sh(table)?.stdout;
    let learnt = |mac: &str| table.contains(&mac.replace(':', ""));
    check(learnt(other_lie) && !learnt(lie), format!("{other_lie} and not {lie}"), &table)?;
    let own = host.show("held")?.nics.first().map(|nic| nic.mac.clone()).unwrap_or_default();
    forge(host, "held", &own)?;
    host.in_guest("held", &answers(DOM0), "answers-7")?;

    // Another's address: in IP, and in ARP, where it would take that one's mail.
    host.in_guest("free", &second("10.9.0.32"), "added-5")?;
    host.in_guest("free", &from("10.9.0.32", &answers(DOM0)), "answers-7")?;
    host.in_guest("held", &second("10.9.0.31"), "added-5")?;
    host.in_guest("held", &from("10.9.0.31", &silence(DOM0)), "silence-8")?;
    answers_dom0(host, FREE)?;
    let before = neighbour(host)?;
    let claim = format!("arping -c 2 -w 5 -U -I eth0 {FREE}; arping -c 2 -w 5 -A -I eth0 {FREE}");
    host.in_guest("held", &format!("{claim}; echo claimed-$((3+3))"), "claimed-6")?;
    // What it says as itself arrives, behind what it has just said.
    host.in_guest("held", &answers(DOM0), "answers-7")?;
    let after = neighbour(host)?;
    check(before == after && !before.is_empty(), format!("{FREE} at {before}"), after)?;
    host.in_guest("free", &answers(DOM0), "answers-7")?;

    // The next boot has another vif, and is held as well.
    host.act("reboot held")?;
    host.ready("held")?;
    up(host, "held", HELD)?;
    host.in_guest("held", &answers(DOM0), "answers-7")?;
    guarded(host)?;
    forge(host, "held", lie)?;
    host.in_guest("held", &silence(DOM0), "silence-8")?;
    host.act("destroy held")?;
    check(tables(host)?.is_empty(), "no table of a bridge", tables(host)?.join(", "))?;
    host.in_guest("free", &answers(DOM0), "answers-7")?;
    host.act("destroy free")?;
    host.act("delete held free").map(drop)
}

/// Exactly one vif is held: that of the guest `held`.
fn guarded(host: &Host) -> Outcome {
    let domid = host.show("held")?.domid.unwrap_or_default();
    let (wanted, found) = (format!("xlfs-vif{domid}.0"), tables(host)?);
    check(found == [wanted.clone()], wanted, found.join(", "))
}

/// Names of the firewall's tables for bridges, by nft itself.
fn tables(host: &Host) -> Outcome<Vec<String>> {
    let list = host.dom0().sh("nft list tables bridge")?.stdout;
    let name = |line: &str| line.strip_prefix("table bridge ").map(str::to_owned);
    Ok(list.lines().filter_map(name).collect())
}

/// The MAC address that Dom0 sends to when it means [`FREE`].
fn neighbour(host: &Host) -> Outcome<String> {
    let line = format!("ip neigh show to {FREE} dev lan0");
    let shown = host.dom0().sh(&line)?.stdout;
    let mut words = shown.split_whitespace().skip_while(|word| *word != "lladdr");
    Ok(words.nth(1).unwrap_or_default().to_owned())
}

/// Gives the guest's interface another MAC address; its IP address stays.
fn forge(host: &Host, name: &str, mac: &str) -> Outcome {
    let line = format!(
        "ip link set eth0 down && ip link set eth0 address {mac} && ip link set eth0 up && \
         ip neigh flush dev eth0 && echo forged-$((1+3))"
    );
    host.in_guest(name, &line, "forged-4").map(drop)
}

fn second(address: &str) -> String {
    format!("ip addr add {address}/32 dev eth0 && echo added-$((2+3))")
}

/// A ping of [`answers`] or [`silence`], from an address.
fn from(address: &str, line: &str) -> String {
    line.replace("ping ", &format!("ping -I {address} "))
}

fn silence(address: &str) -> String {
    format!("ping -c 3 -W 3 {address} >/dev/null || echo silence-$((4+4))")
}

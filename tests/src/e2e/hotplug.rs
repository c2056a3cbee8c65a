//! Disks and interfaces come to guests that run, and go again.

use std::thread::sleep;
use std::time::Duration;

use super::disks;
use super::host::{Host, PATIENCE};
use super::network::answers_dom0;
use super::{Outcome, Scenario, check};

/// For `lab e2e`.
pub(super) const HOTPLUG: Scenario = Scenario::shared(
    "hotplug",
    "disks and interfaces come to a guest that uses others, and go",
    hotplug,
);
/// For `lab e2e`.
pub(super) const BAD_HOTPLUG: Scenario = Scenario::shared(
    "bad-hotplug",
    "what cannot be attached or detached is refused, and a kill leaves nothing",
    bad_hotplug,
);

/// In a guest: works on a file of `/mnt`, without end, and counts.
const WRITER: &str = "mount -t ext4 /dev/xvda /mnt && \
    while dd if=/dev/zero of=/mnt/block bs=64k count=8 conv=fsync 2>/dev/null; \
    do echo $((n=n+1)) >/tmp/rounds; done &";
const ADDRESS: &str = "10.9.0.31";

fn hotplug(host: &Host) -> Outcome {
    disks::image(host)?;
    let devices =
        format!("--template disks --memory 192 --disk xvda,image=data,size=24M --ip {ADDRESS}/24");
    host.create("web", &devices)?;
    host.ready("web")?;
    let up =
        format!("ip addr add {ADDRESS}/24 dev eth0 && ip link set eth0 up && echo up-$((2+2))");
    host.in_guest("web", &up, "up-4")?;
    host.in_guest("web", &format!("{WRITER} echo begun-$((1+1))"), "begun-2")?;
    writes_on(host)?;

    // A disk: the guest finds it, and what it writes is there after a reboot.
    host.act("disk attach web size=8M")?;
    let names: Vec<_> = host.show("web")?.disks.into_iter().map(|disk| disk.name).collect();
    check(names == ["xvda", "xvdb"], "the next free name", format!("{names:?}"))?;
    appears(host, "/sys/block/xvdb")?;
    host.in_guest("web", "echo written >/dev/xvdb && sync && echo synced-$((3+3))", "synced-6")?;
    host.act("disk attach web xvdc,image=data,ro")?;
    appears(host, "/sys/block/xvdc")?;
    host.in_guest("web", "echo ro-$(cat /sys/block/xvdc/ro)", "ro-1")?;
    writes_on(host)?;

    // It goes while the guest reads from it and writes to another.
    let reader =
        "while dd if=/dev/xvdc of=/dev/null bs=64k 2>/dev/null; do :; done & echo r-$((4+4))";
    host.in_guest("web", reader, "r-8")?;
    host.act("disk detach web xvdc --remove-volume")?;
    vanishes(host, "/sys/block/xvdc")?;
    writes_on(host)?;

    // An interface, while frames go over the other.
    host.act("nic attach web mac=00:16:3e:00:00:77")?;
    appears(host, "/sys/class/net/eth1")?;
    host.in_guest("web", "cat /sys/class/net/eth1/address", "00:16:3e:00:00:77")?;
    let up = "ip link set eth0 down && ip addr flush dev eth0 && ip addr add 10.9.0.32/24 dev eth1 \
              && ip link set eth1 up && echo over-$((5+5))";
    host.in_guest("web", up, "over-10")?;
    answers_dom0(host, "10.9.0.32")?;
    host.act("nic detach web eth0")?;
    vanishes(host, "/sys/class/net/eth0")?;
    answers_dom0(host, "10.9.0.32")?;
    writes_on(host)?;

    // The guest keeps them, and loses what went, when it is built anew.
    host.act("reboot web")?;
    host.ready("web")?;
    host.in_guest("web", "head -c 7 /dev/xvdb && echo", "written")?;
    host.in_guest("web", "test ! -e /sys/block/xvdc && echo none-$((6+6))", "none-12")?;
    // One that does not run gets and loses devices, too.
    host.act("shutdown web")?;
    host.act("disk attach web xvdd,size=4M")?;
    host.act("disk detach web xvdb --remove-volume")?;
    host.act("start web")?;
    host.ready("web")?;
    host.in_guest("web", "echo size-$(cat /sys/block/xvdd/size)", "size-8192")?;
    host.in_guest("web", "test ! -e /sys/block/xvdb && echo none-$((7+7))", "none-14")?;
    host.remove("web")?;
    host.act("image delete data").map(drop)
}

/// The guest's writer gets on.
fn writes_on(host: &Host) -> Outcome {
    let line = "a=$(cat /tmp/rounds); for t in $(seq 60); do sleep 1; \
                [ \"$(cat /tmp/rounds)\" != \"$a\" ] && echo goes-$((8+8)) && break; done";
    host.in_guest("web", line, "goes-16").map(drop)
}

fn appears(host: &Host, path: &str) -> Outcome {
    let line = format!(
        "for t in $(seq 30); do test -e {path} && echo there-$((9+9)) && break; sleep 1; done"
    );
    host.in_guest("web", &line, "there-18").map(drop)
}

fn vanishes(host: &Host, path: &str) -> Outcome {
    let line = format!(
        "for t in $(seq 30); do test -e {path} || {{ echo gone-$((9+10)); break; }}; sleep 1; done"
    );
    host.in_guest("web", &line, "gone-19").map(drop)
}

fn bad_hotplug(host: &Host) -> Outcome {
    disks::image(host)?;
    host.create(
        "web",
        "--template disks --memory 192 --disk xvda,image=data,size=24M --nic mac=00:16:3e:00:00:01",
    )?;
    host.ready("web")?;
    for (line, exit_code, said) in [
        ("disk attach nosuch size=1M", 3, "nosuch"),
        ("disk attach web xvda,size=1M", 10, "xvda already"),
        ("disk attach web xvdb", 10, "needs a size"),
        ("disk attach web xvdb,image=nosuch", 5, "nosuch"),
        ("disk attach web xvdb,size=1M,pool=nosuch", 3, "nosuch"),
        ("disk detach web xvdb", 3, "xvda"),
        ("disk detach web sda", 10, "sda"),
        ("nic attach web network=nosuch", 3, "nosuch"),
        ("nic attach web mac=00:16:3e:00:00:01", 4, "interface 0 of web"),
        ("nic detach web eth1", 3, "eth0"),
        ("nic detach web wlan0", 2, "eth0"),
    ] {
        let failure = host.refused(line, exit_code)?;
        let text = failure.to_string();
        check(text.contains(said), format!("{said} in the error of `{line}`"), text)?;
    }
    // A paused guest cannot let go, and is made to.
    host.act("pause web")?;
    host.refused("nic detach web eth0", 5)?;
    host.act("nic detach web eth0 --force")?;
    host.act("disk attach web xvdb,size=4M")?;
    host.act("unpause web")?;
    appears(host, "/sys/block/xvdb")?;
    // Nothing but the guest is left of an attach that a kill cut off.
    for moment in 0..6 {
        let begun = host.start("disk attach web xvdc,image=data")?;
        sleep(Duration::from_millis(60 * moment));
        host.end_daemon("KILL")?;
        host.start_daemon()?;
        begun.wait(Duration::from_secs(120))?;
        let settled = host.dom0().wait_until("the guest settled", PATIENCE, || {
            let shown = host.show("web");
            Ok(shown.ok().filter(|domain| domain.task_id.is_none() && domain.state == "running"))
        })?;
        let has = settled.disks.iter().any(|disk| disk.name == "xvdc");
        if has {
            appears(host, "/sys/block/xvdc")?;
            host.act("disk detach web xvdc --remove-volume")?;
        }
        vanishes(host, "/sys/block/xvdc")?;
    }
    host.remove("web")?;
    host.act("image delete data").map(drop)
}

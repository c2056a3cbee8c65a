//! What a guest's console costs in memory. A test of its own, so that nothing
//! else in the process moves the numbers.

// All of this is test code; clippy sees that only within #[test] functions.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use uuid::Uuid;
use xlfsd::console::{ConsoleLimits, Consoles};
use xlfsd::event::{EventBus, EventLimits, Numbering};

const GUESTS: u64 = 400;
/// What the daemon promises for each guest.
const PROMISED_KIB: u64 = 128;

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_guest_that_floods_its_console_costs_no_more_than_promised() {
    let dir = tempfile::tempdir().unwrap();
    let events = EventBus::new(Numbering::starting_at(0), EventLimits::default());
    let consoles = Consoles::new(dir.path(), ConsoleLimits::default(), events);
    let before = resident_kib();
    let mut hubs = Vec::new();
    for guest in 0..GUESTS {
        let hub = consoles.hub(Uuid::from_u128(guest.into()), "guest").unwrap();
        hub.begin_domain().await;
        hubs.push(hub);
    }
    let idle = resident_kib() - before;
    // Nobody but the feed runs meanwhile: nothing reaches the disk.
    for hub in &hubs {
        for _ in 0..100 {
            hub.feed(&[b'x'; 2048]);
        }
    }
    let flooded = resident_kib() - before;
    tokio::task::spawn_blocking(move || consoles.flush()).await.unwrap();
    println!("{GUESTS} guests: idle {idle} KiB, flooded {flooded} KiB");
    assert!(idle / GUESTS <= 16, "{idle} KiB for {GUESTS} idle guests");
    assert!(flooded / GUESTS <= PROMISED_KIB, "{flooded} KiB for {GUESTS} flooding guests");
    assert!(flooded / GUESTS >= 32, "the flood was felt, or this measures nothing");
    assert!(hubs.iter().all(|hub| hub.stats().bytes == 204_800));
}

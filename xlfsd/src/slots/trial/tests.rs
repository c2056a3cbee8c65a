use std::collections::VecDeque;

use async_trait::async_trait;
use futures::{FutureExt, StreamExt};
use parking_lot::Mutex;

use super::*;
use crate::event::{EventBus, EventFilter, EventLimits, Numbering};
use crate::image::Digest;
use crate::slots::environment::{Environment, SIZE};
use crate::slots::{Boot, Loader, Partition, Power};
use crate::watchdog::Pulse;

/// Fails as often as there are texts, then passes.
#[derive(Debug)]
struct Script(Mutex<VecDeque<&'static str>>, bool);

#[async_trait]
impl Checks for Script {
    async fn failures(&self) -> Vec<String> {
        let mut texts = self.0.lock();
        let text = if self.1 { texts.front().copied() } else { texts.pop_front() };
        text.map(str::to_owned).into_iter().collect()
    }
}

/// Notes what it was told.
#[derive(Debug, Default)]
struct Told(Mutex<Vec<Restart>>);

impl Power for Told {
    fn end(&self, how: Restart) -> Result<(), Problem> {
        self.0.lock().push(how);
        Ok(())
    }
}

struct World {
    slots: Slots,
    told: Arc<Told>,
    events: EventBus,
    dir: tempfile::TempDir,
}

/// A host that runs slot b, with these variables in GRUB's block.
fn world(trial: bool, slot: Slot, variables: &str) -> World {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("grub")).unwrap();
    let mut block = format!("# GRUB Environment Block\n{variables}").into_bytes();
    block.resize(SIZE, b'#');
    std::fs::write(dir.path().join("grub/grubenv"), block).unwrap();
    let events = EventBus::new(Numbering::starting_at(0), EventLimits::default());
    let told = Arc::new(Told::default());
    let nowhere = dir.path().join("slot");
    let slots = Slots::with(
        Boot { slot, trial },
        (Loader::new(dir.path()), told.clone()),
        Box::new(move |_| Ok(Partition { device: nowhere.clone(), bytes: 1 << 20 })),
        dir.path(),
        events.clone(),
        Pulse::default(),
    );
    World { slots: slots.unwrap(), told, events, dir }
}

impl World {
    fn variable(&self, name: &str) -> Option<String> {
        let environment = Environment::read(&self.dir.path().join("grub/grubenv")).unwrap();
        environment.get(name).map(str::to_owned)
    }

    fn warnings(&self) -> Vec<String> {
        let mut stream = self.events.subscribe(Some(0), EventFilter::all());
        let next = || stream.next().now_or_never().flatten();
        std::iter::from_fn(next).map(|event| event.text.clone()).collect()
    }

    fn written(&self, slot: Slot) {
        let record = SlotRecord {
            format: SlotRecord::FORMAT,
            content: Content::Untried,
            digest: Digest::new([1; 32]),
            size: 1,
            name: "dom0-2".into(),
            written_ms: 1,
            judged_ms: 0,
            reason: String::new(),
        };
        self.slots.records.write(slot, &record).unwrap();
    }
}

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn a_slot_is_good_once_all_checks_pass() {
    let world = world(true, Slot::B, "good=a\ntry=\ntried=b\n");
    world.written(Slot::B);
    let checks = Script(Mutex::new(["sshd", "sshd"].into()), false);
    assert!(world.slots.judge(&checks, LONG, CancellationToken::new()).await);
    assert_eq!(world.variable("good").as_deref(), Some("b"));
    assert_eq!(world.variable("tried"), None);
    assert_eq!(world.slots.records.read(Slot::B).unwrap().content, Content::Good);
    assert!(world.told.0.lock().is_empty());
}

#[tokio::test]
async fn a_slot_that_never_passes_is_left_and_told_why() {
    let world = world(true, Slot::B, "good=a\ntry=\ntried=b\n");
    world.written(Slot::B);
    let checks = Script(Mutex::new(["sshd does not answer"].into()), true);
    assert!(!world.slots.judge(&checks, SHORT, CancellationToken::new()).await);
    assert_eq!(*world.told.0.lock(), [Restart::Reboot]);
    assert_eq!(world.variable("good").as_deref(), Some("a"));
    let record = world.slots.records.read(Slot::B).unwrap();
    assert_eq!((record.content, record.reason.as_str()), (Content::Failed, "sshd does not answer"));
    // init did not do it: from here on the watchdog does.
    assert!(world.slots.pulse.missing(LONG).unwrap().contains("failed trial"));
}

#[tokio::test]
async fn a_slot_is_not_good_when_grub_cannot_be_told() {
    let world = world(true, Slot::B, "good=a\n");
    std::fs::write(world.dir.path().join("grub/grubenv"), "damaged").unwrap();
    let checks = Script(Mutex::default(), false);
    assert!(!world.slots.judge(&checks, SHORT, CancellationToken::new()).await);
    assert_eq!(*world.told.0.lock(), [Restart::Reboot]);
}

#[tokio::test]
async fn a_daemon_that_is_told_to_stop_judges_nothing() {
    let world = world(true, Slot::B, "good=a\ntried=b\n");
    let stopping = CancellationToken::new();
    stopping.cancel();
    let checks = Script(Mutex::new(["sshd"].into()), true);
    assert!(!world.slots.judge(&checks, LONG, stopping).await);
    assert!(world.told.0.lock().is_empty() && world.warnings().is_empty());
}

#[test]
fn a_trial_that_failed_is_told_once_by_the_slot_that_runs_again() {
    let world = world(false, Slot::A, "good=a\ntry=\ntried=b\n");
    world.written(Slot::B);
    world.slots.look_back().unwrap();
    let warnings = world.warnings();
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("slot b failed its trial"), "{warnings:?}");
    let record = world.slots.records.read(Slot::B).unwrap();
    assert_eq!(record.content, Content::Failed);
    assert!(record.reason.contains("could say why") && record.judged_ms > 0);
    world.slots.look_back().unwrap();
    assert_eq!(world.warnings().len(), 1);
}

#[test]
fn the_reason_that_the_failed_slot_noted_is_kept() {
    let world = world(false, Slot::A, "good=a\ntried=b\n");
    world.written(Slot::B);
    world.slots.judged(Slot::B, Content::Failed, "network lan: it is none");
    world.slots.look_back().unwrap();
    assert!(world.warnings()[0].ends_with("network lan: it is none"));
}

#[test]
fn a_daemon_that_dies_gets_no_more_time() {
    let dir = tempfile::tempdir().unwrap();
    let (began, uptime) = (dir.path().join("began"), dir.path().join("uptime"));
    std::fs::write(&uptime, "100.5 300.1\n").unwrap();
    assert_eq!(remaining(&began, &uptime), DEADLINE);
    std::fs::write(&uptime, "145.5 400.1\n").unwrap();
    assert_eq!(remaining(&began, &uptime), DEADLINE - Duration::from_secs(45));
    std::fs::write(&uptime, "1000 1\n").unwrap();
    assert_eq!(remaining(&began, &uptime), Duration::ZERO);
}

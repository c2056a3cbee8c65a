use std::collections::HashSet;
use std::time::Duration;

use futures::FutureExt;
use tempfile::TempDir;
use xlfs_proto::v1::console_output::Part;

use super::*;
use crate::console::Consoles;
use crate::event::{EventLimits, Numbering};
use crate::size::ByteSize;

const GUEST: Uuid = Uuid::from_u128(7);

const LIMITS: ConsoleLimits =
    ConsoleLimits { first: ByteSize(1000), recent: ByteSize(4000), disk_rate: ByteSize(1 << 30) };

fn open(dir: &TempDir, limits: ConsoleLimits) -> (Consoles, Arc<ConsoleHub>) {
    let events = EventBus::new(Numbering::starting_at(0), EventLimits::default());
    let consoles = Consoles::new(dir.path(), limits, events);
    let hub = consoles.hub(GUEST, "web").unwrap();
    (consoles, hub)
}

async fn running(limits: ConsoleLimits) -> (TempDir, Consoles, Arc<ConsoleHub>) {
    let dir = tempfile::tempdir().unwrap();
    let (consoles, hub) = open(&dir, limits);
    hub.begin_domain().await;
    (dir, consoles, hub)
}

/// The byte that the test's guest prints at an offset.
fn printed(offset: u64) -> u8 {
    (offset.wrapping_mul(0x9e37_79b9) >> 11) as u8
}

fn print(hub: &ConsoleHub, from: u64, len: u64) {
    hub.feed(&(from..from + len).map(printed).collect::<Vec<_>>());
}

/// Reads to the end, and checks that every byte is the right one for its place.
/// Answers how many came, how many were missing, and the end.
async fn check(reader: &mut ConsoleReader, mut offset: u64) -> (u64, u64, u64) {
    let (mut came, mut missing) = (0, 0);
    while let Some(output) = reader.next().await {
        match output.part.unwrap() {
            Part::Data(bytes) => {
                for byte in bytes {
                    assert_eq!(byte, printed(offset), "at {offset}");
                    offset += 1;
                    came += 1;
                }
            }
            Part::Gap(count) => {
                assert!(count > 0);
                offset += count;
                missing += count;
            }
            Part::Notice(notice) => panic!("{notice}"),
        }
    }
    (came, missing, offset)
}

/// All that is there now, as text; gaps as [n], notices as (text).
async fn ready(reader: &mut ConsoleReader) -> String {
    let mut text = String::new();
    let patience = Duration::from_millis(200);
    while let Ok(Some(output)) = tokio::time::timeout(patience, reader.next()).await {
        match output.part.unwrap() {
            Part::Data(bytes) => text.push_str(std::str::from_utf8(&bytes).unwrap()),
            Part::Gap(count) => text.push_str(&format!("[{count}]")),
            Part::Notice(notice) => text.push_str(&format!("({notice})")),
        }
    }
    text
}

const REPLAY: Attach = Attach { write: false, force: false, replay: true, follow_restarts: false };
const WRITE: Attach = Attach { write: true, force: false, replay: false, follow_restarts: false };

#[tokio::test]
async fn a_replay_goes_over_into_live_output_without_a_seam() {
    let (_dir, _consoles, hub) = running(LIMITS).await;
    print(&hub, 0, 700);
    hub.flush_all();
    print(&hub, 700, 50);
    let mut reader = hub.attach(REPLAY).unwrap().output;
    let reading = tokio::spawn(async move { check(&mut reader, 0).await });
    let mut offset = 750;
    for len in (1..60).cycle().take(200) {
        // Never so much at a time that the reader could fall behind the log.
        print(&hub, offset, len % 13);
        offset += len % 13;
        tokio::task::yield_now().await;
        if len % 7 == 0 {
            hub.flush();
        }
    }
    hub.end_domain().await;
    let (came, missing, end) = reading.await.unwrap();
    assert_eq!((came + missing, end), (offset, offset));
    assert_eq!(missing, 0);
}

#[tokio::test]
async fn the_log_keeps_the_first_and_the_recent_part_also_over_a_restart() {
    let (dir, consoles, hub) = running(LIMITS).await;
    for offset in (0..50_000).step_by(500) {
        print(&hub, offset, 500);
        hub.flush();
    }
    for (consoles, hub) in [(consoles, hub), open(&dir, LIMITS)] {
        let (came, missing, end) = check(&mut hub.read_log(false, 0).unwrap(), 0).await;
        assert_eq!((came + missing, end), (50_000, 50_000));
        assert!((4500..=5000).contains(&came), "{came}");
        let stats = hub.stats();
        assert_eq!((stats.bytes, stats.dropped), (50_000, missing));
        let tail = check(&mut hub.read_log(false, 300).unwrap(), 49_700).await;
        assert_eq!(tail, (300, 0, 50_000));
        drop(consoles);
    }
    // The daemon came back and the guest prints on.
    let (_consoles, hub) = open(&dir, LIMITS);
    hub.resume_domain();
    print(&hub, 50_000, 10);
    assert_eq!(check(&mut hub.read_log(false, 100).unwrap(), 49_910).await, (100, 0, 50_010));
}

#[tokio::test]
async fn output_reaches_the_disk_by_itself() {
    let (dir, _consoles, hub) = running(ConsoleLimits::default()).await;
    hub.feed(b"hello");
    let path = dir.path().join(format!("console/{GUEST}/0000000002/00000000000000000000"));
    let written = async {
        while std::fs::read(&path).unwrap_or_default() != b"hello" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), written).await.unwrap();
    let stats = hub.stats();
    assert_eq!((stats.bytes, stats.dropped), (5, 0));
}

#[tokio::test]
async fn a_flood_costs_the_guest_its_own_bytes_and_says_so() {
    let limits = ConsoleLimits { disk_rate: ByteSize(0), ..LIMITS };
    let (_dir, _consoles, hub) = running(limits).await;
    let mut reader = hub.attach(REPLAY).unwrap().output;
    let total = 3_000_000;
    for offset in (0..total).step_by(2000) {
        print(&hub, offset, 2000);
        if offset % 100_000 == 0 {
            hub.flush();
        }
    }
    hub.end_domain().await;
    let (came, missing, end) = check(&mut reader, 0).await;
    assert_eq!((came + missing, end), (total, total));
    assert!(missing > 2_000_000, "{missing}");
    assert_eq!(hub.stats().dropped, missing);
}

#[tokio::test]
async fn each_domain_has_its_own_run_and_the_log_keeps_two() {
    let (_dir, _consoles, hub) = running(LIMITS).await;
    hub.feed(b"one");
    let mut stays = hub.attach(Attach { follow_restarts: true, ..REPLAY }).unwrap().output;
    let mut leaves = hub.attach(REPLAY).unwrap().output;
    for text in [&b"two"[..], b"three"] {
        hub.end_domain().await;
        hub.begin_domain().await;
        hub.feed(text);
    }
    let restarted = "(the guest was restarted)";
    assert_eq!(ready(&mut hub.read_log(false, 0).unwrap()).await, format!("two{restarted}three"));
    assert_eq!(ready(&mut hub.read_log(false, 6).unwrap()).await, format!("o{restarted}three"));
    assert_eq!(ready(&mut hub.read_log(false, 5).unwrap()).await, "three");
    // This one slept through two restarts, and what it did not read is gone.
    assert_eq!(ready(&mut stays).await, format!("{restarted}two{restarted}three"));
    assert_eq!(ready(&mut leaves).await, "");
    assert_eq!(ready(&mut hub.attach(REPLAY).unwrap().output).await, "three");
    assert_eq!(hub.stats().bytes, 5);
}

#[tokio::test]
async fn one_writes_and_another_may_take_over() {
    let (_dir, _consoles, hub) = running(LIMITS).await;
    let mut first = hub.attach(WRITE).unwrap();
    assert_eq!(hub.attach(WRITE).unwrap_err().reason, "WRITER_ATTACHED");
    first.input.as_ref().unwrap().send(b"ls\n").unwrap();
    let second = hub.attach(Attach { force: true, ..WRITE }).unwrap();
    assert!(ready(&mut first.output).await.contains("took over"));
    let refused = first.input.as_ref().unwrap().send(b"x").unwrap_err();
    assert_eq!(refused.reason, "WRITER_REPLACED");
    second.input.as_ref().unwrap().send(b"pwd\n").unwrap();
    assert_eq!(hub.take_input(4), "ls\np");
    assert_eq!(hub.take_input(100), "wd\n");
    drop(first);
    assert!(hub.stats().writer_attached, "the old writer's end is not the new one's");
    drop(second);
    assert!(!hub.stats().writer_attached);
    assert_eq!(hub.stats().readers, 0);
}

#[tokio::test]
async fn a_guest_that_never_reads_delays_no_output() {
    let (_dir, _consoles, hub) = running(LIMITS).await;
    let mut writer = hub.attach(WRITE).unwrap();
    let input = writer.input.take().unwrap();
    for _ in 0..100 {
        input.send(&[b'x'; 1000]).unwrap();
    }
    hub.feed(b"alive");
    let output = ready(&mut writer.output).await;
    let refused = 100_000 - (64 << 10);
    assert_eq!(
        output,
        format!(
            "({refused} bytes of input were refused: the guest does not read its console)alive"
        )
    );
    hub.end_domain().await;
    assert!(hub.take_input(10).is_empty(), "input is not for the next domain");
    input.send(b"x").unwrap();
    assert!(ready(&mut writer.output).await.contains("the guest does not run"));
}

#[tokio::test]
async fn input_wakes_the_ring_pump() {
    let (_dir, _consoles, hub) = running(LIMITS).await;
    let input = hub.attach(WRITE).unwrap().input.unwrap();
    let pump = hub.clone();
    let pump = tokio::spawn(async move {
        pump.input_ready().await;
        pump.take_input(10)
    });
    tokio::task::yield_now().await;
    input.send(b"hi").unwrap();
    assert_eq!(tokio::time::timeout(Duration::from_secs(30), pump).await.unwrap().unwrap(), "hi");
    input.send(b"x").unwrap();
    hub.input_ready().await;
}

#[tokio::test]
async fn text_is_found_before_after_and_across() {
    let (_dir, _consoles, hub) = running(LIMITS).await;
    hub.feed(b"boot\nlog");
    hub.flush_all();
    hub.contains(b"boot").await.unwrap();
    let mut across = Box::pin(hub.contains(b"login: "));
    assert!((&mut across).now_or_never().is_none());
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!((&mut across).now_or_never().is_none());
    hub.feed(b"in:");
    assert!((&mut across).now_or_never().is_none());
    hub.feed(b" ");
    across.await.unwrap();
    for bad in [&b""[..], &[0; 5000]] {
        assert_eq!(hub.contains(bad).await.unwrap_err().reason, "BAD_CONSOLE_TEXT");
    }
}

#[tokio::test]
async fn text_is_not_pieced_together_across_what_is_missing() {
    let (_dir, _consoles, hub) = running(LIMITS).await;
    hub.feed(&[vec![b'x'; 997], b"log".to_vec()].concat());
    hub.flush_all();
    // Files of the recent part hold 500 bytes: after the gap comes "in:".
    let file = [b"in:".to_vec(), vec![b'x'; 497]].concat();
    for _ in 0..20 {
        hub.feed(&file);
        hub.flush_all();
    }
    let mut kept = hub.read_log(false, 0).unwrap();
    let text = ready(&mut kept).await;
    assert!(text.contains("log[6000]in:"), "the log is not as this test means it to be");
    assert!(hub.contains(b"login:").now_or_never().is_none());
    let searching = tokio::time::timeout(Duration::from_millis(300), hub.contains(b"login:"));
    assert!(searching.await.is_err());
}

#[tokio::test]
async fn a_search_counts_the_present_domain_and_misses_nothing_in_a_flood() {
    let (_dir, _consoles, hub) = running(ConsoleLimits { disk_rate: ByteSize(0), ..LIMITS }).await;
    hub.feed(b"ready");
    hub.end_domain().await;
    let waiting = hub.clone();
    let waiting = tokio::spawn(async move { waiting.contains(b"ready").await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!waiting.is_finished(), "that was another domain");
    hub.begin_domain().await;
    hub.feed(b"rea");
    hub.end_domain().await;
    hub.begin_domain().await;
    hub.feed(b"dy");
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!waiting.is_finished(), "half a text of each of two domains");
    for _ in 0..100 {
        hub.feed(&[b'x'; 4000]);
    }
    hub.feed(b"ready");
    for _ in 0..100 {
        hub.feed(&[b'x'; 4000]);
    }
    let found = tokio::time::timeout(Duration::from_secs(30), waiting).await.unwrap();
    found.unwrap().unwrap();
}

#[tokio::test]
async fn a_stopped_guest_shows_its_log_and_can_be_waited_for() {
    let (_dir, _consoles, hub) = running(LIMITS).await;
    hub.feed(b"last words");
    hub.end_domain().await;
    let refused = hub.attach(Attach { replay: false, ..REPLAY }).unwrap_err();
    assert_eq!(refused.reason, "NOT_RUNNING");
    let mut replay = hub.attach(REPLAY).unwrap().output;
    assert_eq!(ready(&mut replay).await, "last words");
    assert!(replay.next().await.is_none());
    let follow = Attach { replay: false, follow_restarts: true, ..REPLAY };
    let mut follow = hub.attach(follow).unwrap().output;
    hub.begin_domain().await;
    hub.feed(b"again");
    assert_eq!(ready(&mut follow).await, "(the guest was restarted)again");
}

#[tokio::test]
async fn forgetting_a_guest_ends_its_readers_and_removes_its_log() {
    let (dir, consoles, hub) = running(LIMITS).await;
    hub.feed(b"x");
    hub.flush_all();
    let mut reader = hub.attach(Attach { follow_restarts: true, ..REPLAY }).unwrap().output;
    let searching = hub.clone();
    let searching = tokio::spawn(async move { searching.contains(b"never").await });
    tokio::time::sleep(Duration::from_millis(20)).await;
    consoles.remove(GUEST);
    assert!(reader.next().await.is_none());
    assert_eq!(searching.await.unwrap().unwrap_err().reason, "NO_SUCH_DOMAIN");
    hub.feed(b"late");
    hub.flush_all();
    assert!(!dir.path().join(format!("console/{GUEST}")).exists());
}

#[tokio::test]
async fn logs_of_unknown_guests_are_swept() {
    let (dir, consoles, hub) = running(LIMITS).await;
    hub.feed(b"x");
    hub.flush_all();
    let stray = dir.path().join(format!("console/{}", Uuid::from_u128(8)));
    std::fs::create_dir(&stray).unwrap();
    consoles.sweep(&HashSet::from([GUEST]));
    assert!(!stray.exists());
    assert!(dir.path().join(format!("console/{GUEST}")).exists());
}

#[tokio::test]
async fn a_disk_that_cannot_be_written_stops_nobody() {
    let (dir, _consoles, hub) = running(LIMITS).await;
    let place = dir.path().join("console");
    std::fs::write(&place, b"a file where the folder should be").unwrap();
    let mut events = hub.events.subscribe(None, crate::event::EventFilter::all());
    let mut reader = hub.attach(REPLAY).unwrap().output;
    for text in ["abc", "def"] {
        hub.feed(text.as_bytes());
        hub.flush_all();
        assert_eq!(ready(&mut reader).await, text);
    }
    let warning = futures::StreamExt::next(&mut events).await.unwrap();
    assert!(warning.text.contains("the console log cannot be written"), "{}", warning.text);
    assert!(futures::StreamExt::next(&mut events).now_or_never().is_none(), "told once");
    assert_eq!(hub.stats().dropped, 0, "there is room in memory");
    std::fs::remove_file(&place).unwrap();
    hub.feed(b"ghi");
    hub.flush_all();
    assert_eq!(hub.state.lock().tail.held(), 0);
    assert_eq!(ready(&mut hub.read_log(false, 0).unwrap()).await, "abcdefghi");
}

#[tokio::test]
async fn readers_are_limited() {
    let (_dir, _consoles, hub) = running(LIMITS).await;
    let readers: Vec<_> = (0..MAX_READERS).map(|_| hub.attach(REPLAY).unwrap()).collect();
    assert_eq!(hub.attach(REPLAY).unwrap_err().reason, "CONSOLE_READERS");
    assert_eq!(hub.stats().readers, MAX_READERS);
    drop(readers);
    assert_eq!(hub.stats().readers, 0);
}

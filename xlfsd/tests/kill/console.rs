//! A kill while a guest prints: what is older than a batch is on disk.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use uuid::Uuid;
use xlfs_proto::v1::console_output::Part;
use xlfsd::console::{ConsoleLimits, Consoles};
use xlfsd::event::{EventBus, EventLimits, Numbering};

/// Where the process that is killed keeps its logs.
const DIR: &str = "XLFSD_TEST_CONSOLE_DIR";
const GUEST: Uuid = Uuid::from_u128(1);
/// Far more than the batch takes, as the machine may be busy.
const LATE: Duration = Duration::from_secs(5);

fn consoles(dir: &Path) -> Consoles {
    let events = EventBus::new(Numbering::starting_at(0), EventLimits::default());
    Consoles::new(dir, ConsoleLimits::default(), events)
}

fn printed(offset: u64) -> u8 {
    (offset * 31 % 251) as u8
}

/// Not a test: the process to be killed. Prints how far it fed.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "no test: the process that the test below starts, and kills"]
async fn feeder() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let consoles = consoles(Path::new(&dir));
    let hub = consoles.hub(GUEST, "web").unwrap();
    hub.begin_domain().await;
    for offset in (0..).step_by(97) {
        hub.feed(&(offset..offset + 97).map(printed).collect::<Vec<_>>());
        println!("fed {}", offset + 97);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn only_the_last_moment_of_output_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let mut feeder = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "console::feeder", "--nocapture"])
        .env(DIR, dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(feeder.stdout.take().unwrap()).lines();
    let mut fed: Vec<(Instant, u64)> = Vec::new();
    for line in lines.map_while(Result::ok) {
        // libtest writes the test's name without a line's end before it.
        let Some((_, offset)) = line.split_once("fed ") else { continue };
        fed.push((Instant::now(), offset.parse().unwrap()));
        if fed[0].0.elapsed() > LATE + Duration::from_secs(2) {
            break;
        }
    }
    feeder.kill().unwrap();
    feeder.wait().unwrap();
    let old = fed.iter().rfind(|(at, _)| at.elapsed() > LATE).unwrap().1;

    let consoles = consoles(dir.path());
    let hub = consoles.hub(GUEST, "web").unwrap();
    let mut log = hub.read_log(false, 0).unwrap();
    let mut offset = 0;
    while let Some(output) = log.next().await {
        let Some(Part::Data(bytes)) = output.part else { panic!("{output:?}") };
        for byte in bytes {
            assert_eq!(byte, printed(offset), "at {offset}");
            offset += 1;
        }
    }
    println!("fed {}, {old} of that {LATE:?} ago; {offset} on disk", fed.last().unwrap().1);
    assert!(offset >= old && old > 0);
    assert_eq!(hub.stats().bytes, offset);
}

//! Children that are not what they should be, seen from the daemon's side.
//! `inspect_in_child` gives every child the same argument, so these go by the
//! name they are called by: a link to this program.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use xlfs_xen::kernel::worker::{self, Error, Step};
use xlfs_xen::kernel::{Error as Refusal, Limits, inspect};

use crate::kernel_images::kernel;
use crate::work::{DEADLINE, block_on, file, own_exe, run};

pub(crate) fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// This program under another name.
pub(crate) fn child_named(scratch: &tempfile::TempDir, role: &str) -> PathBuf {
    let path = scratch.path().join(role);
    std::os::unix::fs::symlink(own_exe(), &path).unwrap();
    path
}

fn bare_plan() -> Value {
    let plan = inspect(kernel().bytes().as_slice(), &Limits::default(), &mut Vec::new());
    serde_json::to_value(plan.unwrap()).unwrap()
}

pub(crate) fn plan_of_bare_kernel() -> Vec<u8> {
    serde_json::to_vec(&json!({ "plan": bare_plan() })).unwrap()
}

pub(crate) fn plan_outside_the_payload() -> Vec<u8> {
    let mut plan = bare_plan();
    plan["segments"][0]["file_offset"] = json!(u64::MAX - 4096);
    serde_json::to_vec(&json!({ "plan": plan })).unwrap()
}

pub(crate) fn lies_are_found_out() {
    let scratch = scratch();
    let image = kernel().bytes();
    let answer =
        |role: &str| run(&child_named(&scratch, role), &image, &Limits::default()).0.unwrap_err();
    let error = answer("talkative");
    assert!(matches!(error, Error::Talkative { limit: 65536 }), "{error:?}");
    let error = answer("garbage");
    let Error::Unintelligible { code: Some(0), said } = &error else { panic!("{error:?}") };
    assert_eq!(said, "{\"plan\":{}}?", "cleaned");
    let error = answer("speechless");
    assert!(matches!(error, Error::Unintelligible { code: Some(0), .. }), "{error:?}");
    let error = answer("not-confined");
    assert!(
        matches!(&error, Error::NotConfined { source } if source.step == Step::User),
        "{error:?}"
    );
    let error = answer("panicked");
    assert!(error.to_string().contains("index out of?bounds"), "{error}");
    let error = answer("liar");
    let Error::Distrusted { source: Refusal::SegmentOutside { .. } } = error else {
        panic!("{error:?}")
    };
    let error = answer("stray");
    assert!(matches!(error, Error::StrayPayload { size: 5 }), "{error:?}");
}

/// Waits for the silent child to say who it is, and returns that.
fn pid_in(payload: &std::fs::File) -> String {
    let begun = Instant::now();
    loop {
        let mut pid = [0; 16];
        let n = payload.read_at(&mut pid, 0).unwrap();
        if n > 0 {
            return String::from_utf8(pid[..n].to_vec()).unwrap();
        }
        assert!(begun.elapsed() < DEADLINE, "the child never started");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn gone(pid: &str) -> bool {
    !Path::new("/proc").join(pid).exists()
}

pub(crate) fn silence_ends_at_the_deadline() {
    let scratch = scratch();
    let payload = file(b"");
    let exe = child_named(&scratch, "silent");
    let (limits, deadline) = (Limits::default(), Duration::from_secs(5));
    let clone = payload.try_clone().unwrap();
    let error = block_on(worker::inspect_in_child(&exe, file(b""), clone, &limits, deadline));
    assert!(matches!(error, Err(Error::Deadline { .. })), "{error:?}");
    assert!(gone(&pid_in(&payload)), "the child was not killed and reaped");
}

pub(crate) fn dropping_the_future_kills() {
    let scratch = scratch();
    let payload = file(b"");
    let exe = child_named(&scratch, "silent");
    let clone = payload.try_clone().unwrap();
    block_on(async {
        let task = tokio::spawn(async move {
            worker::inspect_in_child(&exe, file(b""), clone, &Limits::default(), DEADLINE).await
        });
        tokio::task::yield_now().await;
        let (pid, _payload) =
            tokio::task::spawn_blocking(move || (pid_in(&payload), payload)).await.unwrap();
        assert!(!gone(&pid));
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        let begun = Instant::now();
        while !gone(&pid) {
            assert!(begun.elapsed() < DEADLINE, "the child lives on");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
}

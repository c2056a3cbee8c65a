//! Failures: exit codes, the text with all details, JSON on standard error.

use tonic::{Code, Status};
use xlfs_proto::v1::OperationReply;

use crate::fake::{World, refusal, serve};
use crate::run::{command, finish, no_daemon, xlfsctl};

fn refusing(status: Status) -> World {
    let mut world = World::default();
    world.replies.insert("web".to_owned(), Err(status));
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_names_step_cause_and_hint() {
    let status = refusal(Code::ResourceExhausted, "MEMORY_EXHAUSTED", "not enough free memory");
    let fake = serve(refusing(status));
    let run = xlfsctl(&fake, &["create", "web", "--template", "lapp"]).await.expect(6);
    assert_eq!(
        run.err,
        "\
xlfsctl: cannot create guest \"web\": not enough free memory
  step:   reserve-memory (256 MiB)
  cause:  the hypervisor has 180 MiB free, 64 MiB of them reserved
  hint:   lower --memory, or stop a guest: xlfsctl list
"
    );
    assert_eq!(run.out, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn json_failures_go_to_stderr() {
    let status = refusal(Code::ResourceExhausted, "MEMORY_EXHAUSTED", "not enough free memory");
    let fake = serve(refusing(status));
    let run = xlfsctl(&fake, &["-o", "json", "start", "web"]).await.expect(6);
    let failure = run.failure();
    assert_eq!(failure["code"], "resource_exhausted");
    assert_eq!(failure["exit_code"], 6);
    assert_eq!(failure["reason"], "MEMORY_EXHAUSTED");
    assert_eq!(failure["message"], "cannot start guest \"web\": not enough free memory");
    assert_eq!(failure["hint"], "lower --memory, or stop a guest: xlfsctl list");
    assert_eq!(run.json()["results"].as_array().map(Vec::len), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_code_has_its_exit() {
    let exits = [
        (Code::Internal, 1),
        (Code::NotFound, 3),
        (Code::AlreadyExists, 4),
        (Code::FailedPrecondition, 5),
        (Code::ResourceExhausted, 6),
        (Code::DeadlineExceeded, 7),
        (Code::Cancelled, 8),
        (Code::Aborted, 8),
        (Code::InvalidArgument, 10),
        (Code::Unavailable, 9),
        (Code::PermissionDenied, 12),
    ];
    for (code, exit) in exits {
        let fake = serve(refusing(refusal(code, "REASON", "no")));
        let run = xlfsctl(&fake, &["start", "web"]).await;
        assert_eq!(run.code, exit, "{code:?}: {}", run.err);
    }
    let fake = serve(refusing(refusal(Code::Unavailable, "NO_HYPERVISOR", "not on Xen")));
    xlfsctl(&fake, &["start", "web"]).await.expect(11);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_failed_name_does_not_stop_the_others() {
    let mut world = refusing(refusal(Code::NotFound, "NOT_FOUND", "there is no guest \"web\""));
    world.replies.insert("dns".to_owned(), Err(refusal(Code::FailedPrecondition, "R", "no")));
    world.replies.insert("mail".to_owned(), Ok(OperationReply::default()));
    let fake = serve(world);
    let run = xlfsctl(&fake, &["start", "web", "mail", "dns"]).await.expect(3);
    assert!(run.err.contains("start guest \"web\"") && run.err.contains("start guest \"dns\""));
    assert_eq!(fake.stage.world().requests.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_daemon_is_explained() {
    let (_folder, socket) = no_daemon();
    let run = finish(command(&socket, &["list"])).await.expect(9);
    assert!(run.err.contains("cannot reach xlfsd"), "{}", run.err);
    assert!(run.err.contains("does not exist"), "{}", run.err);
    assert!(run.err.contains("start xlfsd"), "{}", run.err);
    let run = finish(command(&socket, &["-o", "json", "list"])).await.expect(9);
    assert_eq!(run.failure()["code"], "unreachable");
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_on_the_command_line_get_hints() {
    let (_folder, socket) = no_daemon();
    for (args, words) in [
        (["stop", "web"].as_slice(), "xlfsctl shutdown NAME"),
        (&["lsit"], "list"),
        (&["create", "web", "-t", "a", "--set", "hostname"], "write hostname=VALUE"),
        (&["create", "web", "-t", "a", "--memory", "lots"], "256M"),
        (&["create", "web"], "--template"),
        (&["shutdown", "web", "--timeout", "soon"], "2m"),
        (&["create", "a", "-t", "b", "--set", "x=1", "--set", "x=2"], "given twice"),
        (&[], "Usage:"),
    ] {
        let run = finish(command(&socket, args)).await;
        assert_eq!(run.code, 2, "{args:?}: {}", run.err);
        assert!(run.err.contains(words), "{args:?}: {}", run.err);
    }
    let run = finish(command(&socket, &["-o", "json", "frob"])).await.expect(2);
    assert_eq!(run.failure()["code"], "usage");
}

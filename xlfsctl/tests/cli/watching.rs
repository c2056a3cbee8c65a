//! `events`, `wait`, `task`, `template` and `host`.

use xlfs_proto::v1::{Domain, DomainState, Host, TaskState};

use crate::fake::domains::{domain, ill};
use crate::fake::others::{host, lagged, started, template};
use crate::fake::tasks::{failure, success, task};
use crate::fake::{World, serve};
use crate::run::xlfsctl;

#[tokio::test(flavor = "multi_thread")]
async fn events_go_on_over_a_broken_connection() {
    let events =
        vec![vec![started(6), started(7)], vec![lagged(12, 40)], vec![started(41)], Vec::new()];
    let fake = serve(World { events, ..World::default() });
    // The play ends with a refusal.
    let run = xlfsctl(&fake, &["events", "--after", "5", "--domain", "web"]).await.expect(10);
    let lines: Vec<_> = run.out.lines().collect();
    assert_eq!(lines.len(), 3, "{}", run.out);
    assert_eq!(lines[0], "6 2026-11-22 05:18:00 web                running (was starting)");
    assert!(run.err.contains("12 events are missing"), "{}", run.err);
    assert!(run.err.contains("connected again"), "{}", run.err);
    let asked = fake.stage.world().requests.clone();
    let after: Vec<_> = [5, 7, 40, 41].iter().map(|n| format!("after: Some({n})")).collect();
    for (request, after) in asked.iter().zip(&after) {
        assert!(request.contains(after) && request.contains("\"web\""), "{after}: {request}");
    }
    assert!(run.err.contains("go on with --after 41"), "{}", run.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_one_document_each() {
    let events = || vec![vec![started(6), lagged(12, 40)]];
    let fake = serve(World { events: events(), ..World::default() });
    let run = xlfsctl(&fake, &["events", "-o", "json"]).await.expect(10);
    let documents: Vec<serde_json::Value> =
        run.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(documents[0]["kind"], "domain_state");
    assert_eq!(documents[0]["domain_state"]["previous"], "starting");
    assert_eq!(documents[1]["lagged"]["resync_from"], 40);
    assert_eq!(documents[1]["task"], serde_json::Value::Null);

    let fake = serve(World { events: events(), ..World::default() });
    let run = xlfsctl(&fake, &["events", "-o", "yaml"]).await.expect(10);
    assert_eq!(run.out.matches("---\nsequence: ").count(), 2, "{}", run.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_ends_in_a_state_or_in_time() {
    let domains = vec![Domain { health: Some(ill()), ..domain("web", DomainState::Running) }];
    let fake = serve(World { domains, ..World::default() });
    let args = ["wait", "web", "--state", "crashed,running", "--timeout", "90"];
    let run = xlfsctl(&fake, &args).await.expect(0);
    assert_eq!(run.out, "web: running\n");
    let request = fake.stage.world().requests[0].clone();
    assert!(request.contains("states: [Crashed, Running]"), "{request}");
    assert!(request.contains("seconds: 90"), "{request}");

    let run = xlfsctl(&fake, &["wait", "web", "--health", "healthy,unhealthy"]).await.expect(0);
    assert_eq!(run.out, "web: running, unhealthy\n");
    let request = fake.stage.world().requests[1].clone();
    assert!(request.contains("health: [Healthy, Unhealthy]"), "{request}");

    let run = xlfsctl(&fake, &["wait", "web", "--console-contains", "login:"]).await.expect(7);
    assert!(run.err.contains("cannot wait for guest \"web\""), "{}", run.err);
    xlfsctl(&fake, &["wait", "web"]).await.expect(2);
    xlfsctl(&fake, &["wait", "web", "--state", "happy"]).await.expect(2);
    xlfsctl(&fake, &["wait", "nix", "--state", "running"]).await.expect(3);
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_are_listed_and_shown() {
    let mut world = World::default();
    world.tasks.insert("1".to_owned(), success("1", "start", "web"));
    world.tasks.insert("2".to_owned(), vec![failure("2", "create", "mail")]);
    let fake = serve(world);
    let list = xlfsctl(&fake, &["task", "list"]).await.expect(0).out;
    let row = list.lines().nth(1).expect("a row");
    assert_eq!(
        row.split_whitespace().take(4).collect::<Vec<_>>(),
        ["2", "create", "mail", "failed"]
    );

    let show = xlfsctl(&fake, &["task", "show", "2"]).await.expect(0).out;
    for words in ["Left behind   domain 7", "Hint          import another kernel", "load-kernel"] {
        assert!(show.contains(words), "{words}: {show}");
    }
    let json = xlfsctl(&fake, &["-o", "json", "task", "show", "2"]).await.expect(0).json();
    assert_eq!(json["error"]["code"], "failed");
    assert_eq!(json["steps"][1]["state"], "failed");
    assert_eq!(json["steps"][1]["took_seconds"], 1.25);
    xlfsctl(&fake, &["task", "show", "9"]).await.expect(3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_waits_until_all_is_undone() {
    let mut world = World::default();
    world.tasks.insert("1".to_owned(), vec![task("1", "start", "web", TaskState::Running, 1)]);
    world.tasks.insert("2".to_owned(), success("2", "start", "mail"));
    let fake = serve(world);
    let dry = xlfsctl(&fake, &["task", "cancel", "1", "--dry-run"]).await.expect(0);
    assert_eq!(dry.out, "would cancel task 1: start web\n");
    assert!(fake.stage.world().cancelled.is_empty());

    let run = xlfsctl(&fake, &["-o", "json", "task", "cancel", "1"]).await.expect(0);
    assert_eq!(run.json()["results"][0]["task"]["state"], "cancelled");
    // Too late: the task reaches its end all the same.
    let run = xlfsctl(&fake, &["task", "cancel", "2"]).await.expect(5);
    assert!(run.err.contains("cannot cancel task 2: it had succeeded already"), "{}", run.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn templates_say_what_they_take() {
    let fake = serve(World { templates: vec![template()], ..World::default() });
    let list = xlfsctl(&fake, &["template", "list"]).await.expect(0);
    assert!(list.out.lines().all(|line| line.len() <= 80), "{}", list.out);
    assert!(list.err.contains("lapp: the store has no image"), "{}", list.err);
    let show = xlfsctl(&fake, &["template", "show", "lapp"]).await.expect(0).out;
    assert!(show.contains("one of 8.2, 8.3; default \"8.2\""), "{show}");
    assert!(show.contains("lapp-ramdisk (not in the store)"), "{show}");
    for words in [
        "Disks         root as xvda: 2.0 GiB, at least 1.0 GiB, from lapp-root (efefefefefef)",
        "Swap          xvdb: 1.5 times the memory",
        "Network       2 interfaces on lan, then on the host's first network",
        "First boot    10-database.sh, 20-web.sh",
        "Services      http: Apache httpd with PHP",
        "Health        http port 80 /xlfs-health holds \"ok\"; every 30s",
        "(secret; never shown again; made when not given, 20 characters)",
    ] {
        let one_line = show.split_whitespace().collect::<Vec<_>>().join(" ");
        let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(one_line.contains(&words), "{words}: {show}");
    }
    assert!(show.lines().all(|line| line.len() <= 80), "{show}");
    let json = xlfsctl(&fake, &["-o", "json", "template", "show", "lapp"]).await.expect(0).json();
    assert_eq!(json["parameters"][0]["type"], "hostname");
    assert_eq!(json["parameters"][0]["default"], serde_json::Value::Null);
    xlfsctl(&fake, &["template", "show", "nix"]).await.expect(3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_is_shown_with_and_without_xen() {
    let fake = serve(World { host: host(), ..World::default() });
    let info = xlfsctl(&fake, &["host", "info"]).await.expect(0).out;
    assert!(info.contains("Xen 4.17.7") && info.contains("1180 free"), "{info}");
    assert!(info.lines().all(|line| line.len() <= 80), "{info}");
    let json = xlfsctl(&fake, &["-o", "json", "host", "info"]).await.expect(0).json();
    assert_eq!(json["hypervisor"]["free_mib"], 1180);

    let problem = "the kernel has no /dev/xen/privcmd";
    let host = Host { hypervisor_problem: problem.to_owned(), ..Host::default() };
    let fake = serve(World { host, ..World::default() });
    let info = xlfsctl(&fake, &["host", "info"]).await.expect(0).out;
    assert!(info.contains("not on Xen") && info.contains(problem), "{info}");
    let json = xlfsctl(&fake, &["-o", "json", "host", "info"]).await.expect(0).json();
    assert_eq!(json["hypervisor"], serde_json::Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hypervisors_log_is_cleared_only_when_asked() {
    let hypervisor_log = "(XEN) hello\n".to_owned();
    let fake = serve(World { hypervisor_log, ..World::default() });
    let dry = xlfsctl(&fake, &["host", "dmesg", "--clear", "--dry-run"]).await.expect(0);
    assert!(dry.err.contains("would now empty"), "{}", dry.err);
    assert_eq!(xlfsctl(&fake, &["host", "dmesg", "--clear"]).await.expect(0).out, "(XEN) hello\n");
    let run = xlfsctl(&fake, &["host", "dmesg"]).await.expect(0);
    assert_eq!(run.out, "");
    assert!(run.err.contains("is empty"), "{}", run.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_vanishes_is_a_failure() {
    let mut world = World::default();
    let first = task("7", "start", "web", TaskState::Running, 1);
    let reply =
        xlfs_proto::v1::OperationReply { task: Some(first), changed: true, ..Default::default() };
    world.replies.insert("web".to_owned(), Ok(reply));
    let fake = serve(world);
    let run = xlfsctl(&fake, &["start", "web"]).await.expect(3);
    assert!(run.err.contains("cannot follow task 7"), "{}", run.err);
}

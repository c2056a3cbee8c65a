//! Commands that change guests: plans, waiting, several names, Ctrl-C.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use xlfs_proto::v1::{OperationReply, PlannedStep, Task, TaskState};

use crate::fake::tasks::{failure, success, task};
use crate::fake::{World, serve};
use crate::run::{PATIENCE, command, read, xlfsctl};

/// A world in which a change of `name` starts a task that goes through `states`.
fn with_task(world: &mut World, name: &str, states: Vec<Task>) {
    let first = states.first().cloned();
    let id = first.as_ref().expect("a state").id.clone();
    let reply = OperationReply { task: first, changed: true, ..OperationReply::default() };
    world.replies.insert(name.to_owned(), Ok(reply));
    world.tasks.insert(id, states);
}

#[tokio::test(flavor = "multi_thread")]
async fn create_sends_what_was_asked_and_waits() {
    let mut world = World::default();
    with_task(&mut world, "web", success("7", "create", "web"));
    let fake = serve(world);
    let args = ["create", "web", "-t", "lapp", "--set", "a=b=c", "--memory", "1G", "--vcpus", "2"];
    let run = xlfsctl(&fake, &[&args[..], &["--on-crash", "preserve"]].concat()).await.expect(0);
    assert_eq!(run.out, "");
    let steps: Vec<_> = run.err.lines().collect();
    assert_eq!(steps.last(), Some(&"web: create done in 4.0s"), "{}", run.err);
    assert!(steps.contains(&"web: create: 2/3 load-kernel"), "{}", run.err);

    let request = fake.stage.world().requests[0].clone();
    for part in ["\"a\": \"b=c\"", "memory_mib: Some(1024)", "vcpus: Some(2)", "on_crash: Preserve"]
    {
        assert!(request.contains(part), "{part}: {request}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_come_and_go() {
    let fake = serve(World::default());
    for (line, parts) in [
        (
            "disk attach web size=1G,ro",
            &["AttachDiskRequest", "size_bytes: 1073741824", "read_only: true"][..],
        ),
        (
            "disk detach web xvdb --remove-volume --timeout 5s",
            &["disk: \"xvdb\"", "remove_volume: true", "seconds: 5", "force: false"],
        ),
        ("nic attach web", &["AttachNicRequest", "network: \"\""]),
        ("nic attach web network=lan,anti-spoofing", &["network: \"lan\"", "anti_spoofing: true"]),
        ("nic detach web eth1 --force --dry-run", &["index: 1", "force: true", "dry_run: true"]),
    ] {
        let args: Vec<_> = line.split(' ').collect();
        xlfsctl(&fake, &args).await.expect(0);
        let request = fake.stage.world().requests.last().cloned().unwrap_or_default();
        for part in parts {
            assert!(request.contains(part), "{part} of `{line}`: {request}");
        }
    }
    let failure = xlfsctl(&fake, &["nic", "detach", "web", "wlan0"]).await.expect(2);
    assert!(failure.err.contains("eth0, eth1"), "{}", failure.err);
}

/// As when xlfsd is restarted: the task goes on, and so does the command.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_stream_is_taken_up_again() {
    let mut world = World { cut_once: vec!["7".to_owned()], ..World::default() };
    with_task(&mut world, "web", success("7", "start", "web"));
    let fake = serve(world);
    let run = xlfsctl(&fake, &["start", "web"]).await.expect(0);
    assert!(run.err.ends_with("web: start done in 4.0s\n"), "{}", run.err);
    assert!(fake.stage.world().cut_once.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_daemon_may_have_forgotten_the_task() {
    let mut world = World { cut_once: vec!["7".to_owned()], forgets: true, ..World::default() };
    with_task(&mut world, "web", success("7", "start", "web"));
    let fake = serve(world);
    let run = xlfsctl(&fake, &["start", "web"]).await.expect(9);
    assert!(run.err.contains("no longer knows task"), "{}", run.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn quiet_says_nothing_when_all_is_well() {
    let mut world = World::default();
    with_task(&mut world, "web", success("7", "start", "web"));
    let fake = serve(world);
    let run = xlfsctl(&fake, &["-q", "start", "web"]).await.expect(0);
    assert_eq!((run.out.as_str(), run.err.as_str()), ("", ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_wait_names_the_task() {
    let mut world = World::default();
    with_task(&mut world, "web", success("7", "start", "web"));
    let fake = serve(world);
    let run = xlfsctl(&fake, &["start", "web", "--no-wait"]).await.expect(0);
    assert_eq!(run.out, "web: start started as task 7\n");
    assert_eq!(xlfsctl(&fake, &["start", "web", "--no-wait", "-q"]).await.expect(0).out, "7\n");
    // The last of the two counts.
    let run = xlfsctl(&fake, &["start", "web", "--no-wait", "--wait"]).await.expect(0);
    assert_eq!(run.out, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_guests_are_waited_for_together() {
    let mut world = World::default();
    for (id, name) in [("1", "a"), ("2", "b")] {
        with_task(&mut world, name, success(id, "shutdown", name));
    }
    with_task(
        &mut world,
        "c",
        vec![task("3", "shutdown", "c", TaskState::Running, 1), failure("3", "shutdown", "c")],
    );
    let fake = serve(world);
    let run = xlfsctl(&fake, &["-o", "json", "shutdown", "a", "b", "c", "a"]).await.expect(1);
    let results = run.json()["results"].clone();
    assert_eq!(results.as_array().map(Vec::len), Some(3), "a name given twice counts once");
    assert_eq!(results[0]["operation"], "shutdown");
    assert_eq!(results[0]["task"]["state"], "succeeded");
    assert_eq!(results[2]["task"]["state"], "failed");
    assert_eq!(results[2]["task"]["error"]["reason"], "KERNEL_UNREADABLE");
    let failed = run.failure();
    assert_eq!(failed["message"], "cannot shut down guest \"c\": the kernel cannot be loaded");
    assert_eq!(failed["leftovers"][0], "domain 7");
    assert_eq!(failed["task_id"], "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_prints_the_plan() {
    let mut world = World::default();
    let step = |name: &str, object: &str| PlannedStep { name: name.into(), object: object.into() };
    let reply = OperationReply {
        plan: vec![step("destroy-domain", "domain 5"), step("forget", "guest web")],
        changed: true,
        summary: "guest \"web\" would be deleted".to_owned(),
        task: None,
        ..OperationReply::default()
    };
    world.replies.insert("web".to_owned(), Ok(reply));
    let fake = serve(world);
    let run = xlfsctl(&fake, &["delete", "web", "--force", "--dry-run"]).await.expect(0);
    assert_eq!(
        run.out,
        "\
guest \"web\" would be deleted
#  STEP            OBJECT
1  destroy-domain  domain 5
2  forget          guest web
"
    );
    let request = fake.stage.world().requests[0].clone();
    assert!(request.contains("dry_run: true") && request.contains("force: true"), "{request}");
    let json = xlfsctl(&fake, &["delete", "web", "--dry-run", "-o", "json"]).await.expect(0).json();
    assert_eq!(json["results"][0]["plan"][1]["name"], "forget");
    assert_eq!(json["results"][0]["dry_run"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_to_do_is_no_failure() {
    let fake = serve(World::default());
    let run = xlfsctl(&fake, &["start", "web"]).await.expect(0);
    assert_eq!(run.err, "guest \"web\" is so already\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_interrupt_cancels() {
    let mut world = World::default();
    with_task(&mut world, "web", vec![task("7", "start", "web", TaskState::Running, 1)]);
    let fake = serve(world);
    let mut child = command(&fake.socket, &["start", "web"]).spawn().expect("started");
    let pid = Pid::from_raw(child.id().cast_signed());
    let stderr = child.stderr.take().expect("stderr");
    let reader = tokio::task::spawn_blocking(move || {
        let mut lines = Vec::new();
        for line in BufReader::new(stderr).lines() {
            lines.push(line.expect("text"));
            // Once it tells of the step, it also listens for signals.
            if lines.len() == 1 {
                kill(pid, Signal::SIGINT).expect("sent");
            }
        }
        lines
    });
    let lines = tokio::time::timeout(PATIENCE, reader).await.expect("it ends").expect("read");
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output());
    read(&ended.await.expect("joined").expect("waited")).expect(8);
    assert_eq!(
        lines,
        [
            "web: start: 2/3 load-kernel",
            "xlfsctl: cancelling; press Ctrl-C again to leave without waiting",
            "web: start cancelled after 4.0s",
            "xlfsctl: cannot start guest \"web\": the task was cancelled",
        ]
    );
    assert_eq!(fake.stage.world().cancelled, ["7"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_interrupt_leaves() {
    let mut world = World { deaf: true, ..World::default() };
    with_task(&mut world, "web", vec![task("7", "start", "web", TaskState::Running, 1)]);
    let fake = serve(world);
    let mut child = command(&fake.socket, &["start", "web"]).spawn().expect("started");
    let pid = Pid::from_raw(child.id().cast_signed());
    let stderr = child.stderr.take().expect("stderr");
    let reader = tokio::task::spawn_blocking(move || {
        let mut last = String::new();
        for line in BufReader::new(stderr).lines() {
            last = line.expect("text");
            if last.contains("load-kernel") || last.contains("cancelling") {
                kill(pid, Signal::SIGINT).expect("sent");
            }
        }
        last
    });
    let last = tokio::time::timeout(PATIENCE, reader).await.expect("it ends").expect("read");
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output());
    read(&ended.await.expect("joined").expect("waited")).expect(130);
    assert_eq!(last, "xlfsctl: left; what runs goes on: xlfsctl task show 7");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_pipe_is_no_failure() {
    let fake = serve(World::default());
    let mut child = command(&fake.socket, &["list", "-o", "json"]);
    let (reader, writer) = std::io::pipe().expect("pipe");
    drop(reader);
    child.stdout(Stdio::from(writer));
    crate::run::finish(child).await.expect(0);
}

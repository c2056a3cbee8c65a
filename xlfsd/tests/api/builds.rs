//! Builds with the real builder, on tiny recipes.

use std::fs;

use tokio_stream::StreamExt;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use xlfs_proto::v1::build_event::Kind;
use xlfs_proto::v1::build_log_part::Part as LogPart;
use xlfs_proto::v1::build_service_client::BuildServiceClient;
use xlfs_proto::v1::task_service_client::TaskServiceClient;
use xlfs_proto::v1::{
    BuildRequest, BuildState, CancelBuildRequest, CollectStoreRequest, DrawBuildRequest,
    FailureCause, GetBuildRequest, GetTaskRequest, ListBuildsRequest, ListTasksRequest,
    PackageRequest, PackageStanding, TaskState, WatchBuildRequest,
};

use crate::daemon::{Daemon, reason};
use crate::tiny::{
    build, built, client, daemon, daemon_with, package, reach, request, start, state, watch, write,
};

#[tokio::test]
async fn a_build_is_planned_watched_and_remembered() {
    let daemon = daemon().await;
    let mut client = client(&daemon).await;
    package(&daemon, "a", &[], "echo a > $OUT/a");
    package(&daemon, "b", &["a"], "cat /a > $OUT/b; echo said by b");
    let plan = client.plan_build(request(&["b"])).await.unwrap().into_inner();
    assert_eq!((plan.set.as_str(), plan.guessed, plan.estimate_seconds), ("t", 2, 120.0));
    let standing = |at: usize| plan.packages[at].standing();
    assert_eq!((standing(0), standing(1)), (PackageStanding::Build, PackageStanding::Build));
    assert_eq!(plan.packages[0].reasons, ["never built"]);

    let begun = start(&mut client, &["b"]).await.unwrap();
    assert_eq!((begun.id.as_str(), begun.state()), ("1", BuildState::Running));
    assert_eq!(begun.plan.unwrap().packages.len(), 2);
    // Two that watch, one of them from the middle, see the same.
    let mut other = client.clone();
    let second = tokio::spawn(async move { watch(&mut other, "1", 3).await });
    let events = watch(&mut client, "1", 0).await;
    assert_eq!(second.await.unwrap(), events[3..]);
    assert_eq!(built(&events), ["a", "b"]);
    assert_eq!(state(&events), BuildState::Succeeded);
    assert!(events.iter().enumerate().all(|(at, event)| event.number == at as u64));

    // So does one that comes when it is over.
    assert_eq!(watch(&mut client, "1", 0).await, events);
    let known = client.get_build(GetBuildRequest::default()).await.unwrap().into_inner();
    assert_eq!((known.id.as_str(), known.state()), ("1", BuildState::Succeeded));
    assert_eq!((known.events, known.counts.unwrap().built), (events.len() as u64, 2));
    let mut tasks = TaskServiceClient::new(daemon.connect().await);
    let task = tasks.get_task(GetTaskRequest { id: begun.task_id }).await.unwrap().into_inner();
    assert_eq!((task.kind.as_str(), task.object.as_str(), task.percent), ("build", "b", 100));

    // The next one finds it all there, and a change is named.
    assert!(built(&build(&mut client, &["b"]).await).is_empty());
    package(&daemon, "a", &[], "echo a >> $OUT/a");
    let plan = client.plan_build(request(&["b"])).await.unwrap().into_inner();
    assert!(plan.packages[0].reasons[0].starts_with("step install changed ("), "{plan:?}");
    assert!(plan.packages[0].seconds.is_some());
    assert_eq!(plan.packages[1].standing(), PackageStanding::Perhaps);
    assert_eq!(plan.packages[1].reasons, ["a"]);
    // An equal result stops the wave.
    assert_eq!(built(&build(&mut client, &["b"]).await), ["a"]);

    let list = client.list_builds(ListBuildsRequest {}).await.unwrap().into_inner().builds;
    assert_eq!(list.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(), ["3", "2", "1"]);
    let svg = client.draw_build(DrawBuildRequest::default()).await.unwrap().into_inner().svg;
    assert!(svg.starts_with("<svg"), "{svg}");
    let parts = log(&mut client, "b", "").await.unwrap();
    assert!(
        matches!(&parts[0], LogPart::Header(it) if it.failure.is_none() && !it.steps.is_empty())
    );
    assert!(parts.contains(&LogPart::Step("install".to_owned())));
    assert_eq!(parts.last().unwrap(), &LogPart::Data(b"said by b\n".to_vec()));
    let request = PackageRequest { package: "b".to_owned(), ..PackageRequest::default() };
    let files = client.list_package_files(request).await.unwrap().into_inner();
    let files: Vec<_> = files.map(|part| part.unwrap().files).collect().await;
    assert_eq!((files[0][0].path.as_str(), files[0][0].size), ("b", 2));
}

async fn log(
    client: &mut BuildServiceClient<Channel>,
    package: &str,
    step: &str,
) -> Result<Vec<LogPart>, Status> {
    let (package, step) = (package.to_owned(), step.to_owned());
    let request = PackageRequest { package, step, ..PackageRequest::default() };
    let parts = client.read_build_log(request).await?.into_inner();
    Ok(parts.map(|part| part.unwrap().part.unwrap()).collect().await)
}

#[tokio::test]
async fn a_failure_is_told_with_its_log_and_stops_only_what_needs_it() {
    let daemon = daemon().await;
    let mut client = client(&daemon).await;
    package(&daemon, "bad", &[], "echo of no use; exit 3");
    package(&daemon, "needs-bad", &["bad"], "true");
    package(&daemon, "good", &[], "echo x > $OUT/x");
    let begun = start(&mut client, &["needs-bad", "good"]).await.unwrap();
    let events = watch(&mut client, &begun.id, 0).await;
    assert_eq!(state(&events), BuildState::Failed);
    assert_eq!(built(&events), ["good"]);
    let failed = events.iter().find_map(|event| match &event.kind {
        Some(Kind::Failed(failed)) => Some(failed.clone()),
        _ => None,
    });
    let failed = failed.unwrap();
    assert_eq!((failed.package.as_str(), failed.step.as_str()), ("bad", "install"));
    assert_eq!(failed.tail, ["of no use"]);
    assert_eq!(failed.cause(), FailureCause::Recipe);
    let known = client.get_build(GetBuildRequest::default()).await.unwrap().into_inner();
    assert_eq!(known.problem, "bad failed: step install failed (exit code 3)");
    assert_eq!(known.counts.unwrap().skipped, 1);
    let mut tasks = TaskServiceClient::new(daemon.connect().await);
    let task = tasks.get_task(GetTaskRequest { id: begun.task_id }).await.unwrap().into_inner();
    assert_eq!(task.state(), TaskState::Failed);
    assert_eq!(task.error.unwrap().reason, "BUILD_FAILED");

    let plan = client.plan_build(request(&["bad"])).await.unwrap().into_inner();
    let failure = plan.packages[0].failure.clone().unwrap();
    assert_eq!((failure.step.as_str(), plan.packages.len()), ("install", 1));
    let parts = log(&mut client, "bad", "install").await.unwrap();
    assert!(matches!(&parts[0], LogPart::Header(it) if it.failure.is_some()));
    assert_eq!(parts[2], LogPart::Data(b"of no use\n".to_vec()));
    let status = log(&mut client, "bad", "check").await.unwrap_err();
    assert_eq!(reason(&status), "NO_SUCH_STEP");
    let status = log(&mut client, "bda", "").await.unwrap_err();
    assert!(status.message().contains("did you mean \"bad\"?"), "{status}");
    let status = log(&mut client, "needs-bad", "").await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::FailedPrecondition, "NOT_BUILT"));
}

#[tokio::test]
async fn a_step_that_hangs_fails_with_its_cause() {
    let daemon = daemon().await;
    let mut client = client(&daemon).await;
    package(&daemon, "quiet", &[], "sleep 600");
    let path = daemon.path("recipes/t/quiet.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("deadline = 1\n{text}")).unwrap();
    let begun = start(&mut client, &["quiet"]).await.unwrap();
    let events = watch(&mut client, &begun.id, 0).await;
    assert!(events.iter().any(|event| matches!(
        &event.kind,
        Some(Kind::Failed(failed)) if failed.cause() == FailureCause::Silent
    )));
    let mut tasks = TaskServiceClient::new(daemon.connect().await);
    let task = tasks.get_task(GetTaskRequest { id: begun.task_id }).await.unwrap().into_inner();
    assert_eq!(Code::from(task.error.unwrap().code), Code::DeadlineExceeded);
}

#[tokio::test]
async fn a_source_that_no_place_has_is_told_with_all_places() {
    let daemon = daemon_with(|config| {
        config.builder.sources = vec!["/nonexistent/one".into(), "/nonexistent/two".into()];
    })
    .await;
    let mut client = client(&daemon).await;
    let sha256 = "0".repeat(64);
    let lock = format!("[[source]]\nfile = \"a.tar\"\nsize = 1\nsha256 = \"{sha256}\"\n");
    write(&daemon, "sources.lock", &lock);
    package(&daemon, "a", &[], "true");
    let path = daemon.path("recipes/t/a.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("[depends]", "[[source]]\nfile = \"a.tar\"\n[depends]")).unwrap();
    let begun = start(&mut client, &["a"]).await.unwrap();
    assert_eq!(state(&watch(&mut client, &begun.id, 0).await), BuildState::Failed);
    let mut tasks = TaskServiceClient::new(daemon.connect().await);
    let task = tasks.get_task(GetTaskRequest { id: begun.task_id }).await.unwrap().into_inner();
    let error = task.error.unwrap();
    assert_eq!((Code::from(error.code), error.reason.as_str()), (Code::Unavailable, "NO_SOURCE"));
    for place in ["/nonexistent/one", "/nonexistent/two", sha256.as_str()] {
        assert!(error.causes[0].contains(place), "{error:?}");
    }
}

#[tokio::test]
async fn one_build_at_a_time_goes_on_without_its_client_and_is_cancelled_by_anybody() {
    let daemon = daemon().await;
    package(&daemon, "first", &[], "echo 1 > $OUT/1");
    package(&daemon, "long", &["first"], "echo begun; sleep 600");
    let (channel, wire) = daemon.connect_to_cut().await;
    let mut gone = BuildServiceClient::new(channel);
    let begun = start(&mut gone, &["long"]).await.unwrap();
    reach(&mut gone, &begun.id, "long").await;
    // The client is killed.
    wire.shutdown(std::net::Shutdown::Both).unwrap();
    drop(gone);

    let mut client = client(&daemon).await;
    let known = client.get_build(GetBuildRequest::default()).await.unwrap().into_inner();
    assert_eq!((known.state(), known.counts.unwrap().built), (BuildState::Running, 1));
    let status = start(&mut client, &["first"]).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::FailedPrecondition, "BUILD_RUNNING")
    );
    assert_eq!(status.message(), "build 1 runs (long)");
    let status = client.collect_store(CollectStoreRequest::default()).await.unwrap_err();
    assert_eq!(reason(&status), "BUILD_RUNNING");
    // What only looks is served.
    assert_eq!(client.plan_build(request(&["first"])).await.unwrap().into_inner().guessed, 0);
    let mut tasks = TaskServiceClient::new(daemon.connect().await);
    let running = ListTasksRequest { running_only: true, ..ListTasksRequest::default() };
    let running = tasks.list_tasks(running).await.unwrap().into_inner().tasks;
    assert_eq!((running[0].kind.as_str(), running[0].percent), ("build", 50));

    let dry = CancelBuildRequest { dry_run: true, ..CancelBuildRequest::default() };
    assert_eq!(client.cancel_build(dry).await.unwrap().into_inner().id, "1");
    client.cancel_build(CancelBuildRequest::default()).await.unwrap();
    let events = watch(&mut client, "1", 0).await;
    assert_eq!(state(&events), BuildState::Cancelled);
    let status = client.cancel_build(CancelBuildRequest::default()).await.unwrap_err();
    assert_eq!(reason(&status), "BUILD_ENDED");
    // It can be started again at once, and goes on with the rest.
    let begun = start(&mut client, &["long"]).await.unwrap();
    reach(&mut client, &begun.id, "long").await;
    let known = client.get_build(GetBuildRequest::default()).await.unwrap().into_inner();
    assert_eq!((known.id.as_str(), known.counts.unwrap().cached), ("2", 1));
    // As a task it is cancelled like any other.
    let cancel = xlfs_proto::v1::CancelTaskRequest { id: begun.task_id, dry_run: false };
    tasks.cancel_task(cancel).await.unwrap();
    assert_eq!(state(&watch(&mut client, "2", 0).await), BuildState::Cancelled);
}

#[tokio::test]
async fn verify_compares_and_gc_removes_what_no_recipe_leads_to() {
    let daemon = daemon().await;
    let mut client = client(&daemon).await;
    package(&daemon, "same", &[], "echo x > $OUT/x");
    package(&daemon, "random", &[], "cat /proc/sys/kernel/random/uuid > $OUT/uuid");
    let status = client.verify_build(request(&["same"])).await.unwrap().into_inner().next().await;
    assert_eq!(reason(&status.unwrap().unwrap_err()), "NOT_BUILT");
    build(&mut client, &["same", "random"]).await;
    let verified = client.verify_build(request(&["same", "random"])).await.unwrap().into_inner();
    let verified: Vec<_> = verified.map(|one| one.unwrap()).collect().await;
    let names: Vec<_> = verified.iter().map(|it| it.package.as_str()).collect();
    assert_eq!(names, ["random", "same"]);
    assert_eq!(verified[0].differences[0].path, "uuid");
    assert!(verified[1].differences.is_empty());

    fs::remove_file(daemon.path("recipes/t/random.toml")).unwrap();
    let dry = CollectStoreRequest { dry_run: true, ..CollectStoreRequest::default() };
    let would = client.collect_store(dry).await.unwrap().into_inner();
    assert_eq!(would.results, 1);
    let did = client.collect_store(CollectStoreRequest::default()).await.unwrap().into_inner();
    assert_eq!(did, would);
    let again = client.collect_store(CollectStoreRequest::default()).await.unwrap().into_inner();
    assert_eq!((again.results, again.files), (0, 0));
    // What the set has is still there.
    assert!(built(&build(&mut client, &["same"]).await).is_empty());
}

#[tokio::test]
async fn what_cannot_be_built_says_why() {
    let bare = Daemon::start_with(|config| {
        config.builder.recipes = vec![config.state_dir.with_file_name("nothing")];
    })
    .await;
    let status = client(&bare).await.plan_build(request(&[])).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::FailedPrecondition, "NO_RECIPES"));
    // Nothing of the builder is there before somebody builds.
    assert!(!bare.path("state/store").exists());

    let daemon = daemon().await;
    let mut client = client(&daemon).await;
    package(&daemon, "a", &["b"], "true");
    package(&daemon, "b", &["a"], "true");
    package(&daemon, "c", &["d"], "true");
    let mut fails = async |request: BuildRequest| {
        let status = client.plan_build(request).await.unwrap_err();
        (status.code(), reason(&status), status)
    };
    let (code, name, status) = fails(request(&["zlib"])).await;
    assert_eq!((code, name.as_str()), (Code::NotFound, "NO_SUCH_PACKAGE"), "{status}");
    let (code, name, status) = fails(request(&["a"])).await;
    assert_eq!((code, name.as_str()), (Code::FailedPrecondition, "CYCLE"));
    assert!(status.message().contains("a -> b -> a"), "{status}");
    let (_, name, status) = fails(request(&["c"])).await;
    assert_eq!(name, "BROKEN_RECIPE");
    let causes = status.get_error_details().debug_info().unwrap().stack_entries.clone();
    assert!(causes[0].contains("there is no package \"d\""), "{causes:?}");
    let other = BuildRequest { toolchain: "gcc".to_owned(), ..request(&["a"]) };
    assert_eq!(fails(other).await.1, "NO_SUCH_TOOLCHAIN");
    let other = BuildRequest { set: "13".to_owned(), ..request(&["a"]) };
    assert_eq!(fails(other).await.1, "NO_SUCH_SET");
    let other = BuildRequest { rebuild: vec!["e".to_owned()], ..request(&["a"]) };
    assert_eq!(fails(other).await.0, Code::InvalidArgument);
    let status = client.get_build(GetBuildRequest::default()).await.unwrap_err();
    assert_eq!(reason(&status), "NO_BUILD");
    let unknown = WatchBuildRequest { id: "x\u{1b}".to_owned(), from: 0 };
    assert_eq!(reason(&client.watch_build(unknown).await.unwrap_err()), "NO_SUCH_BUILD");
}

#[tokio::test]
async fn a_full_disk_is_told_before_anything_is_built() {
    let daemon = daemon_with(|config| {
        config.builder.min_free = "1000000T".parse().unwrap();
    })
    .await;
    package(&daemon, "a", &[], "true");
    let mut client = client(&daemon).await;
    let status = start(&mut client, &["a"]).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "DISK_FULL"));
    // The place is free again.
    let status = start(&mut client, &["a"]).await.unwrap_err();
    assert_eq!(reason(&status), "DISK_FULL");
}

//! A build whose daemon is killed: said to be interrupted, its events still there, and
//! gone on with by the same request.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio_stream::StreamExt;
use tonic::transport::Channel;
use xlfs_proto::v1::build_event::Kind;
use xlfs_proto::v1::build_service_client::BuildServiceClient;
use xlfs_proto::v1::{
    Build, BuildRequest, BuildState, ListBuildsRequest, StartBuildRequest, WatchBuildRequest,
};

use crate::process::Daemon;

const SET: &str = "name = \"t\"\nsummary = \"t\"\nsource_date_epoch = 1686355200\n\
                   toolchain = \"shell\"\n[toolchains.shell]\nsummary = \"A shell\"\n\
                   debian = [\"dash\", \"coreutils\", \"tar\"]\ntarget = \"x86_64-pc-linux-gnu\"\n";

fn recipe(set: &Path, name: &str, build: &str, install: &str) {
    let text = format!(
        "name = \"{name}\"\nversion = \"1\"\nlicence = \"MIT\"\nsummary = \"s\"\nwhy = \"w\"\n\
         strip = false\n[depends]\nbuild = [{build}]\n[steps]\ninstall = \"{install}\"\n"
    );
    fs::write(set.join(format!("{name}.toml")), text).unwrap();
}

async fn start(client: &mut BuildServiceClient<Channel>) -> Build {
    let build = BuildRequest { targets: vec!["b".to_owned()], ..BuildRequest::default() };
    let request = StartBuildRequest { build: Some(build), import: false };
    client.start_build(request).await.unwrap().into_inner()
}

async fn list(client: &mut BuildServiceClient<Channel>) -> Vec<Build> {
    client.list_builds(ListBuildsRequest {}).await.unwrap().into_inner().builds
}

/// Nothing that the daemon started runs any more.
fn all_is_dead(store: &Path) {
    let store = store.to_str().unwrap().to_owned();
    let left = || {
        fs::read_dir("/proc").unwrap().flatten().any(|entry| {
            let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&command).contains(&store)
        })
    };
    let deadline = Instant::now() + Duration::from_secs(30);
    while left() {
        assert!(Instant::now() < deadline, "something of the sandbox is left");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test]
async fn a_build_that_was_cut_off_is_said_to_be_and_goes_on() {
    // Sandboxes of root run as another user, who must get to the store.
    let dir =
        tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir().unwrap();
    let set = dir.path().join("recipes/t");
    fs::create_dir_all(&set).unwrap();
    fs::write(set.join("set.toml"), SET).unwrap();
    recipe(&set, "a", "", "echo a > $OUT/a");
    recipe(&set, "b", "\"a\"", "sleep 600");

    let (daemon, channel) = Daemon::start(dir.path()).await;
    let mut client = BuildServiceClient::new(channel);
    let begun = start(&mut client).await;
    let request = WatchBuildRequest { id: begun.id.clone(), from: 0 };
    let mut events = client.watch_build(request).await.unwrap().into_inner();
    let mut seen = Vec::new();
    loop {
        let event = events.next().await.unwrap().unwrap();
        seen.push(event.clone());
        if matches!(event.kind, Some(Kind::Step(step)) if step.package == "b") {
            break;
        }
    }
    // SIGKILL.
    drop(daemon);
    all_is_dead(&dir.path().join("state/store"));

    let (_daemon, channel) = Daemon::start(dir.path()).await;
    let mut client = BuildServiceClient::new(channel);
    let known = list(&mut client).await;
    assert_eq!((known.len(), known[0].state()), (1, BuildState::Interrupted));
    assert!(known[0].ended.is_some() && !known[0].problem.is_empty());
    let request = WatchBuildRequest { id: begun.id.clone(), from: 2 };
    let events = client.watch_build(request).await.unwrap().into_inner();
    let events: Vec<_> = events.map(|event| event.unwrap()).collect().await;
    assert_eq!(events[..seen.len() - 2], seen[2..]);
    match &events.last().unwrap().kind {
        Some(Kind::Finished(finished)) => assert_eq!(finished.state(), BuildState::Interrupted),
        other => panic!("{other:?}"),
    }

    recipe(&set, "b", "\"a\"", "cat /a > $OUT/b");
    let again = start(&mut client).await;
    assert_eq!(again.id, "2", "numbers are never used again");
    let request = WatchBuildRequest { id: again.id, from: 0 };
    let events = client.watch_build(request).await.unwrap().into_inner();
    let events: Vec<_> = events.map(|event| event.unwrap().kind.unwrap()).collect().await;
    assert!(events.contains(&Kind::Cached("a".to_owned())), "{events:?}");
    let known = list(&mut client).await;
    assert_eq!((known.len(), known[0].state()), (2, BuildState::Succeeded));
    assert!(fs::read_dir(dir.path().join("state/store/work")).unwrap().next().is_none());
}

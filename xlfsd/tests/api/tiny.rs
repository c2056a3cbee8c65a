//! A daemon with a release set of tiny recipes, and its client.

use std::fs;
use std::time::Duration;

use tokio_stream::StreamExt;
use tonic::Status;
use tonic::transport::Channel;
use xlfs_proto::v1::build_event::Kind;
use xlfs_proto::v1::build_service_client::BuildServiceClient;
use xlfs_proto::v1::{
    Build, BuildEvent, BuildRequest, BuildState, StartBuildRequest, WatchBuildRequest,
};
use xlfsd::config::Config;

use crate::daemon::Daemon;

pub(crate) const SET: &str = r#"
name = "t"
summary = "Tiny recipes"
source_date_epoch = 1686355200
toolchain = "shell"

[toolchains.shell]
summary = "A shell and little else"
debian = ["dash", "coreutils", "tar", "gzip"]
target = "x86_64-pc-linux-gnu"
"#;

/// A daemon with a release set of its own.
pub(crate) async fn daemon() -> Daemon {
    daemon_with(|_| {}).await
}

pub(crate) async fn daemon_with(change: impl FnOnce(&mut Config)) -> Daemon {
    let daemon = Daemon::start_with(|config| {
        config.builder.recipes = vec![config.state_dir.with_file_name("recipes")];
        config.builder.jobs = 2;
        change(config);
    })
    .await;
    write(&daemon, "set.toml", SET);
    daemon
}

/// Writes a file of the set.
pub(crate) fn write(daemon: &Daemon, path: &str, text: &str) {
    let path = daemon.path("recipes/t").join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A package that depends on `build` and whose install step is `install`.
pub(crate) fn package(daemon: &Daemon, name: &str, build: &[&str], install: &str) {
    let text = format!(
        "name = \"{name}\"\nversion = \"1\"\nlicence = \"MIT\"\nsummary = \"{name}\"\n\
         why = \"A test.\"\nstrip = false\n[depends]\nbuild = {build:?}\n\
         [steps]\ninstall = '''\n{install}\n'''\n"
    );
    write(daemon, &format!("{name}.toml"), &text);
}

pub(crate) fn request(targets: &[&str]) -> BuildRequest {
    let targets = targets.iter().map(|it| (*it).to_owned()).collect();
    BuildRequest { targets, ..BuildRequest::default() }
}

pub(crate) async fn client(daemon: &Daemon) -> BuildServiceClient<Channel> {
    BuildServiceClient::new(daemon.connect().await)
}

pub(crate) async fn start(
    client: &mut BuildServiceClient<Channel>,
    targets: &[&str],
) -> Result<Build, Status> {
    let request = StartBuildRequest { build: Some(request(targets)), import: false };
    Ok(client.start_build(request).await?.into_inner())
}

pub(crate) async fn watch(
    client: &mut BuildServiceClient<Channel>,
    id: &str,
    from: u64,
) -> Vec<BuildEvent> {
    let request = WatchBuildRequest { id: id.to_owned(), from };
    let events = client.watch_build(request).await.unwrap().into_inner();
    let all = events.map(|event| event.unwrap()).collect();
    tokio::time::timeout(Duration::from_secs(120), all).await.unwrap()
}

/// Builds to the end.
pub(crate) async fn build(
    client: &mut BuildServiceClient<Channel>,
    targets: &[&str],
) -> Vec<BuildEvent> {
    let build = start(client, targets).await.unwrap();
    watch(client, &build.id, 0).await
}

pub(crate) fn state(events: &[BuildEvent]) -> BuildState {
    match &events.last().unwrap().kind {
        Some(Kind::Finished(finished)) => finished.state(),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn built(events: &[BuildEvent]) -> Vec<&str> {
    let mut names = Vec::new();
    for event in events {
        if let Some(Kind::Built(built)) = &event.kind {
            names.push(built.package.as_str());
        }
    }
    names
}

/// Waits until a step of a package runs.
pub(crate) async fn reach(client: &mut BuildServiceClient<Channel>, id: &str, package: &str) {
    let request = WatchBuildRequest { id: id.to_owned(), from: 0 };
    let mut events = client.watch_build(request).await.unwrap().into_inner();
    while let Some(event) = events.next().await {
        if matches!(event.unwrap().kind, Some(Kind::Step(step)) if step.package == package) {
            return;
        }
    }
    panic!("{package} did not begin");
}

//! Sources: listed, fetched, taken by hand, read again.

use std::fs;

use sha2::{Digest, Sha256};
use tokio_stream::StreamExt;
use tonic::Code;
use tonic::transport::Channel;
use xlfs_proto::v1::add_source_request::{Header, Part};
use xlfs_proto::v1::source_event::Kind;
use xlfs_proto::v1::source_service_client::SourceServiceClient;
use xlfs_proto::v1::{
    AddSourceRequest, AddSourceResponse, ListSourcesRequest, SourceEvent, VerifySourcesRequest,
};

use crate::daemon::{Daemon, reason};
use crate::tiny::{daemon, request, write};

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Two sources of one package.
async fn with_sources() -> (Daemon, SourceServiceClient<Channel>) {
    let daemon = daemon().await;
    let entry = |file: &str, bytes: &[u8]| {
        let (size, sha256) = (bytes.len(), hash(bytes));
        format!("[[source]]\nfile = \"{file}\"\nsize = {size}\nsha256 = \"{sha256}\"\n")
    };
    let lock = entry("one-1.tar", b"first") + &entry("two-1.tar", b"second one");
    write(&daemon, "sources.lock", &lock);
    let recipe = "name = \"a\"\nversion = \"1\"\nlicence = \"MIT\"\nsummary = \"a\"\nwhy = \"w\"\n\
                  [[source]]\nfile = \"one-1.tar\"\nunpack = false\n\
                  [[source]]\nfile = \"two-1.tar\"\nunpack = false\n\
                  [steps]\ninstall = \"true\"\n";
    write(&daemon, "a.toml", recipe);
    let client = SourceServiceClient::new(daemon.connect().await);
    (daemon, client)
}

async fn add(
    client: &mut SourceServiceClient<Channel>,
    name: &str,
    content: &[u8],
    dry_run: bool,
) -> Result<AddSourceResponse, tonic::Status> {
    let header = Header { name: name.to_owned(), dry_run, ..Header::default() };
    let parts = content.chunks(3).map(|chunk| Part::Chunk(chunk.to_vec()));
    let parts: Vec<_> = std::iter::once(Part::Header(header))
        .chain(parts)
        .map(|part| AddSourceRequest { part: Some(part) })
        .collect();
    Ok(client.add_source(tokio_stream::iter(parts)).await?.into_inner())
}

fn work_is_empty(daemon: &Daemon) -> bool {
    fs::read_dir(daemon.path("state/store/work")).unwrap().count() == 0
}

#[tokio::test]
async fn a_file_is_taken_by_its_hash_and_refused_with_both() {
    let (daemon, mut client) = with_sources().await;
    let dry = add(&mut client, "one-1.tar", b"first", true).await.unwrap();
    assert!(dry.changed && !dry.source.unwrap().stored);
    // Its name does not matter.
    let added = add(&mut client, "whatever", b"first", false).await.unwrap();
    let source = added.source.unwrap();
    assert_eq!((source.file.as_str(), added.changed, source.stored), ("one-1.tar", true, true));
    assert_eq!(source.packages, ["a"]);
    assert!(!add(&mut client, "one-1.tar", b"first", false).await.unwrap().changed);

    let status = add(&mut client, "two-1.tar", b"sec0nd one", false).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "WRONG_HASH"));
    for part in [hash(b"sec0nd one"), hash(b"second one"), "10 bytes".to_owned()] {
        assert!(status.message().contains(&part), "{status}");
    }
    let status = add(&mut client, "two-2.tar", b"other", false).await.unwrap_err();
    assert_eq!(reason(&status), "NOT_IN_LOCK");
    assert!(status.message().contains("did you mean \"two-1.tar\"?"), "{status}");
    // More than any file of the lock has: refused before all of it has come.
    let status = add(&mut client, "two-1.tar", &[0; 100], false).await.unwrap_err();
    assert_eq!(reason(&status), "NOT_IN_LOCK");
    assert!(work_is_empty(&daemon));
    let list = client.list_sources(ListSourcesRequest::default()).await.unwrap().into_inner();
    let stored: Vec<_> = list.sources.iter().map(|it| (it.file.as_str(), it.stored)).collect();
    assert_eq!(stored, [("one-1.tar", true), ("two-1.tar", false)]);
}

#[tokio::test]
async fn what_no_place_has_does_not_keep_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("two-1.tar"), "second one").unwrap();
    fs::write(folder.path().join("one-1.tar"), "not what it should be").unwrap();
    let (daemon, _) = with_sources().await;
    let from = folder.path().to_owned();
    // The same set, served with a folder of sources.
    let recipes = daemon.path("recipes");
    let other = Daemon::start_with(|config| {
        config.builder.recipes = vec![recipes];
        config.builder.sources = vec![from];
    })
    .await;
    let mut client = SourceServiceClient::new(other.connect().await);
    let events = client.fetch_sources(request(&["a"])).await.unwrap().into_inner();
    let events: Vec<SourceEvent> = events.map(|event| event.unwrap()).collect().await;
    let missing = events.iter().find_map(|event| match &event.kind {
        Some(Kind::Missing(missing)) => Some(missing.clone()),
        _ => None,
    });
    let missing = missing.unwrap();
    assert_eq!(missing.file, "one-1.tar");
    for part in ["has another file", &hash(b"not what it should be"), &hash(b"first")] {
        assert!(missing.reason.contains(part), "{part}: {}", missing.reason);
    }
    let there = |event: &SourceEvent| matches!(&event.kind, Some(Kind::There(it)) if it.file == "two-1.tar");
    assert!(events.iter().any(there), "{events:?}");

    // Damage is found, and the file can be had again.
    let name = hash(b"second one");
    let path = other.path("state/store/blobs").join(&name[..2]).join(&name);
    fs::write(&path, "second 0ne").unwrap();
    for damaged in [1, 0] {
        let request = VerifySourcesRequest::default();
        let events = client.verify_sources(request).await.unwrap().into_inner();
        let events: Vec<_> = events.map(|event| event.unwrap().kind.unwrap()).collect().await;
        assert_eq!(events[0], Kind::Total(1));
        let found = events.iter().filter(|kind| matches!(kind, Kind::Damaged(_))).count();
        assert_eq!(found, damaged, "{events:?}");
        let again = client.fetch_sources(request_again()).await.unwrap().into_inner();
        assert!(again.map(|it| it.unwrap()).collect::<Vec<_>>().await.iter().any(there));
    }
}

fn request_again() -> xlfs_proto::v1::BuildRequest {
    request(&["a"])
}

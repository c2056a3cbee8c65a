//! Kills in the middle of making, copying, growing and deleting volumes.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use futures::StreamExt;
use tonic::transport::Channel;
use tonic::{Response, Status};
use xlfs_proto::v1::image_service_client::ImageServiceClient;
use xlfs_proto::v1::import_image_request::{Header, Part};
use xlfs_proto::v1::task_service_client::TaskServiceClient;
use xlfs_proto::v1::volume_service_client::VolumeServiceClient;
use xlfs_proto::v1::{
    CloneVolumeRequest, CreateVolumeRequest, DeleteVolumeRequest, GetTaskRequest,
    GrowVolumeRequest, ImageKind, ImportImageRequest, ListVolumesRequest, OperationReply,
    TaskState, Volume,
};

use crate::process::Daemon;

const KILLS: u64 = 10;
const MIB: u64 = 1 << 20;

/// Whether the task that was begun was seen to succeed.
async fn done(
    channel: &Channel,
    begun: Result<Response<OperationReply>, Status>,
) -> Result<(), Status> {
    let id = begun?.into_inner().task.expect("a task").id;
    let mut tasks = TaskServiceClient::new(channel.clone());
    let mut watch = tasks.watch_task(GetTaskRequest { id }).await?.into_inner();
    while let Some(task) = watch.next().await {
        let task = task?;
        if task.ended.is_some() {
            assert_eq!(task.state(), TaskState::Succeeded, "{task:?}");
            return Ok(());
        }
    }
    Err(Status::aborted("the daemon went away"))
}

/// Works until the daemon is gone; answers the size of each volume as it was
/// told last: 0 for none, nothing where nobody knows.
async fn work(channel: Channel, round: u64) -> HashMap<String, Option<u64>> {
    let mut told = HashMap::new();
    let mut client = VolumeServiceClient::new(channel.clone());
    for number in 0.. {
        let (name, copy) = (format!("v{round}-{number}"), format!("c{round}-{number}"));
        let steps = async {
            told.insert(name.clone(), None);
            let create = CreateVolumeRequest {
                name: name.clone(),
                size_bytes: 4 * MIB,
                image: "content".into(),
                ..CreateVolumeRequest::default()
            };
            done(&channel, client.create_volume(create).await).await?;
            told.insert(name.clone(), Some(4 * MIB));
            told.insert(copy.clone(), None);
            let clone = CloneVolumeRequest {
                reference: name.clone(),
                name: copy.clone(),
                ..CloneVolumeRequest::default()
            };
            done(&channel, client.clone_volume(clone).await).await?;
            told.insert(copy.clone(), Some(4 * MIB));
            told.insert(copy.clone(), None);
            let grow =
                GrowVolumeRequest { reference: copy.clone(), size_bytes: 6 * MIB, dry_run: false };
            done(&channel, client.grow_volume(grow).await).await?;
            told.insert(copy.clone(), Some(6 * MIB));
            told.insert(name.clone(), None);
            let delete = DeleteVolumeRequest { reference: name.clone(), dry_run: false };
            done(&channel, client.delete_volume(delete).await).await?;
            told.insert(name.clone(), Some(0));
            Ok::<(), Status>(())
        };
        if steps.await.is_err() {
            break;
        }
    }
    told
}

fn check(dir: &Path, volumes: &[Volume], told: &HashMap<String, Option<u64>>) {
    let state = dir.join("state");
    for volume in volumes {
        assert_eq!(volume.problem, "", "{volume:?}");
        let content = std::fs::read(state.join(format!("volumes/{}.img", volume.uuid))).unwrap();
        assert_eq!(content.len() as u64, volume.size_bytes);
        assert!(content[..3 << 20].iter().all(|byte| *byte == 7), "{volume:?} is whole");
    }
    for (name, size) in told {
        let found = volumes.iter().find(|volume| volume.name == *name);
        let found = found.map_or(0, |volume| volume.size_bytes);
        assert!(size.is_none_or(|size| size == found), "{name}: told {size:?}, has {found}");
    }
    let count = |path: &str| std::fs::read_dir(state.join(path)).unwrap().count();
    assert_eq!(count("volumes"), volumes.len(), "a file for each, and nothing unfinished");
    assert_eq!(count("volume-records"), volumes.len());
    assert!(!state.join("quarantine").exists(), "a kill is no damage");
}

async fn list(channel: &Channel) -> Vec<Volume> {
    let mut client = VolumeServiceClient::new(channel.clone());
    client.list_volumes(ListVolumesRequest {}).await.unwrap().into_inner().volumes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_is_there_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    {
        let (_daemon, channel) = Daemon::start(dir.path()).await;
        let header =
            Header { kind: ImageKind::Disk.into(), alias: "content".into(), ..Header::default() };
        let chunks = (0..3).map(|_| Part::Chunk(vec![7; 1 << 20]));
        let parts = [Part::Header(header)].into_iter().chain(chunks);
        let parts: Vec<_> = parts.map(|part| ImportImageRequest { part: Some(part) }).collect();
        ImageServiceClient::new(channel).import_image(tokio_stream::iter(parts)).await.unwrap();
    }
    let mut told = HashMap::new();
    for round in 0..KILLS {
        let (daemon, channel) = Daemon::start(dir.path()).await;
        check(dir.path(), &list(&channel).await, &told);
        told.retain(|_, size| size.is_some());
        let working = tokio::spawn(work(channel, round));
        tokio::time::sleep(Duration::from_millis(40 + round * 53 % 250)).await;
        drop(daemon);
        told.extend(working.await.unwrap());
    }
    let (_daemon, channel) = Daemon::start(dir.path()).await;
    let left = list(&channel).await;
    check(dir.path(), &left, &told);
    assert!(!left.is_empty() && told.values().any(|size| *size == Some(0)));
}

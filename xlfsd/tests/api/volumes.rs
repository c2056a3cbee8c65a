//! Volumes and pools: made, grown, copied and deleted by tasks, and guests' disks
//! among them.

use tonic::transport::Channel;
use tonic::{Code, Status};
use xlfs_proto::v1::domain_service_client::DomainServiceClient;
use xlfs_proto::v1::network_service_client::NetworkServiceClient;
use xlfs_proto::v1::volume_service_client::VolumeServiceClient;
use xlfs_proto::v1::{
    CloneVolumeRequest, CopyMethod, CreateDomainRequest, CreateVolumeRequest, DeleteDomainRequest,
    DeleteVolumeRequest, DiskRequest, GetVolumeRequest, GrowVolumeRequest, ListNetworksRequest,
    ListPoolsRequest, ListVolumesRequest, NetworkState, TaskState, Volume, VolumeKind,
};

use crate::daemon::{Daemon, reason};
use crate::images::{disk, kernel};

pub(crate) const MIB: u64 = 1 << 20;

pub(crate) async fn volumes(daemon: &Daemon) -> VolumeServiceClient<Channel> {
    VolumeServiceClient::new(daemon.connect().await)
}

pub(crate) async fn guests(daemon: &Daemon) -> DomainServiceClient<Channel> {
    DomainServiceClient::new(daemon.connect().await)
}

pub(crate) async fn get(daemon: &Daemon, name: &str) -> Result<Volume, Status> {
    let request = GetVolumeRequest { reference: name.into() };
    Ok(volumes(daemon).await.get_volume(request).await?.into_inner())
}

pub(crate) async fn make(daemon: &Daemon, name: &str, image: &str, size: u64) {
    let (name, image) = (name.to_owned(), image.to_owned());
    let request =
        CreateVolumeRequest { name, image, size_bytes: size, ..CreateVolumeRequest::default() };
    let reply = volumes(daemon).await.create_volume(request).await.unwrap().into_inner();
    assert_eq!(daemon.end_of(reply).await.state(), TaskState::Succeeded);
}

/// A guest that is not started, of the template disks.
pub(crate) fn guest(name: &str, disks: Vec<DiskRequest>) -> CreateDomainRequest {
    CreateDomainRequest {
        name: name.into(),
        template: "minimal".into(),
        disks,
        no_start: true,
        ..CreateDomainRequest::default()
    }
}

pub(crate) async fn define(daemon: &Daemon, name: &str, disks: Vec<DiskRequest>) {
    let reply = guests(daemon).await.create_domain(guest(name, disks)).await.unwrap();
    let task = daemon.end_of(reply.into_inner()).await;
    assert_eq!(task.state(), TaskState::Succeeded, "{task:?}");
}

pub(crate) async fn delete(daemon: &Daemon, name: &str) {
    let request = DeleteDomainRequest { name: name.into(), ..DeleteDomainRequest::default() };
    let reply = guests(daemon).await.delete_domain(request).await.unwrap().into_inner();
    assert_eq!(daemon.end_of(reply).await.state(), TaskState::Succeeded);
}

pub(crate) fn empty(name: &str, size_bytes: u64) -> DiskRequest {
    DiskRequest { name: name.into(), size_bytes, ..DiskRequest::default() }
}

/// Files of volumes and their records.
pub(crate) fn files(daemon: &Daemon) -> usize {
    let count = |path: &str| std::fs::read_dir(daemon.path(path)).map_or(0, Iterator::count);
    count("state/volumes") + count("state/volume-records")
}

/// The content of a volume that is a file.
pub(crate) fn content(daemon: &Daemon, uuid: &str) -> Vec<u8> {
    std::fs::read(daemon.path(&format!("state/volumes/{uuid}.img"))).unwrap()
}

#[tokio::test]
async fn a_volume_is_made_grown_copied_and_deleted() {
    let daemon = Daemon::with_guests().await;
    disk(&daemon, "data", b"content").await;
    make(&daemon, "first", "data", 2 * MIB).await;
    make(&daemon, "second", "", 1).await;
    let first = get(&daemon, "first").await.unwrap();
    assert_eq!((first.size_bytes, first.kind()), (2 * MIB, VolumeKind::Image));
    assert!(first.kept && first.holders.is_empty() && first.allocated_bytes.is_some());
    assert_eq!(get(&daemon, &first.uuid).await.unwrap(), first);
    assert_eq!(get(&daemon, "second").await.unwrap().kind(), VolumeKind::Empty);

    let mut client = volumes(&daemon).await;
    let grow =
        |size_bytes| GrowVolumeRequest { reference: "first".into(), size_bytes, dry_run: false };
    let reply = client.grow_volume(grow(3 * MIB)).await.unwrap().into_inner();
    assert_eq!(daemon.end_of(reply).await.state(), TaskState::Succeeded);
    assert!(!client.grow_volume(grow(3 * MIB)).await.unwrap().into_inner().changed);
    let status = client.grow_volume(grow(MIB)).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::InvalidArgument, "VOLUME_SHRINKS")
    );

    let clone = CloneVolumeRequest {
        reference: "first".into(),
        name: "copy".into(),
        ..CloneVolumeRequest::default()
    };
    let reply = client.clone_volume(clone.clone()).await.unwrap().into_inner();
    assert_eq!(daemon.end_of(reply).await.state(), TaskState::Succeeded);
    let copy = get(&daemon, "copy").await.unwrap();
    assert_eq!((copy.kind(), copy.copy_of.as_str()), (VolumeKind::Copy, "first"));
    let bytes = content(&daemon, &copy.uuid);
    assert!(bytes.starts_with(b"content\0") && bytes.len() as u64 == 3 * MIB);
    let taken = client.clone_volume(clone).await.unwrap_err();
    assert_eq!(reason(&taken), "VOLUME_NAME_TAKEN");

    let daemon = daemon.again().await;
    let mut client = volumes(&daemon).await;
    let list = client.list_volumes(ListVolumesRequest {}).await.unwrap().into_inner().volumes;
    let names: Vec<_> = list.iter().map(|volume| volume.name.as_str()).collect();
    assert_eq!(names, ["copy", "first", "second"]);
    for name in names {
        let request = DeleteVolumeRequest { reference: name.into(), dry_run: false };
        let reply = client.delete_volume(request).await.unwrap().into_inner();
        assert_eq!(daemon.end_of(reply).await.state(), TaskState::Succeeded);
    }
    assert_eq!(reason(&get(&daemon, "copy").await.unwrap_err()), "NO_SUCH_VOLUME");
    assert_eq!(files(&daemon), 0);
}

#[tokio::test]
async fn what_cannot_be_made_is_said_at_once() {
    let daemon = Daemon::with_guests().await;
    kernel(&daemon, "minimal-kernel").await;
    disk(&daemon, "data", &[1; 4096]).await;
    let mut client = volumes(&daemon).await;
    for (name, image, pool, size, code, expected) in [
        ("X", "", "", 1, Code::InvalidArgument, "BAD_NAME"),
        ("x@y", "", "", 1, Code::InvalidArgument, "BAD_NAME"),
        ("x", "", "", 0, Code::InvalidArgument, "BAD_SIZE"),
        ("x", "data", "", 100, Code::InvalidArgument, "BAD_SIZE"),
        ("x", "", "", u64::MAX, Code::InvalidArgument, "BAD_SIZE"),
        ("x", "none", "", 0, Code::NotFound, "NO_SUCH_IMAGE"),
        ("x", "minimal-kernel", "", 0, Code::InvalidArgument, "BAD_IMAGE_KIND"),
        ("x", "", "none", 1, Code::NotFound, "NO_SUCH_POOL"),
    ] {
        let request = CreateVolumeRequest {
            name: name.into(),
            size_bytes: size,
            image: image.into(),
            pool: pool.into(),
            dry_run: true,
        };
        let status = client.create_volume(request).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (code, expected), "{name} {image}");
    }
    assert_eq!(files(&daemon), 0);
}

/// A guest that is stopped has its disks all the same.
#[tokio::test]
async fn a_guests_disk_is_its_own() {
    let daemon = Daemon::with_guests().await;
    kernel(&daemon, "minimal-kernel").await;
    define(&daemon, "web", vec![empty("xvda", MIB)]).await;
    let volume = get(&daemon, "web-xvda").await.unwrap();
    assert_eq!(volume.holders.len(), 1);
    let holder = &volume.holders[0];
    assert_eq!((holder.guest.as_str(), holder.disk.as_str()), ("web", "xvda"));
    assert!(!holder.attached && !holder.read_only && !volume.kept);
    let mut client = volumes(&daemon).await;
    let request = DeleteVolumeRequest { reference: "web-xvda".into(), dry_run: false };
    let status = client.delete_volume(request).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::FailedPrecondition, "VOLUME_IN_USE")
    );
    assert!(status.message().contains("the disk xvda of guest web"), "{}", status.message());

    // Its record knows when it grows.
    let request =
        GrowVolumeRequest { reference: "web-xvda".into(), size_bytes: 2 * MIB, dry_run: false };
    let reply = client.grow_volume(request).await.unwrap().into_inner();
    assert_eq!(daemon.end_of(reply).await.state(), TaskState::Succeeded);
    let request = xlfs_proto::v1::GetDomainRequest { name: "web".into() };
    let domain = guests(&daemon).await.get_domain(request).await.unwrap().into_inner();
    assert_eq!(domain.disks[0].size_bytes, 2 * MIB);
    delete(&daemon, "web").await;
    assert_eq!(files(&daemon), 0);
}

#[tokio::test]
async fn pools_and_networks_tell_what_is_wrong_with_them() {
    let daemon = Daemon::with_guests_and(|config| {
        let state = config.state_dir.clone();
        let text = format!(
            "pools = [\
               {{ name = 'default', kind = 'folder', path = '{0}/volumes' }},\
               {{ name = 'broken', kind = 'folder', path = '{0}/lock/x' }} ]\n\
             networks = [ {{ name = 'lan', bridge = 'xlfs-none' }} ]",
            state.display()
        );
        let parsed: xlfsd::config::Config = toml::from_str(&text).unwrap();
        config.pools = parsed.pools;
        config.networks = parsed.networks;
    })
    .await;
    let pools = volumes(&daemon).await.list_pools(ListPoolsRequest {}).await.unwrap().into_inner();
    let [default, broken] = pools.pools.as_slice() else { panic!("{pools:?}") };
    assert!(default.default && default.thin && default.problem.is_empty(), "{default:?}");
    assert_ne!(default.copies(), CopyMethod::Unspecified);
    assert!(default.free_bytes > Some(0) && default.total_bytes >= default.free_bytes);
    assert!(broken.problem.contains("cannot be a pool"), "{broken:?}");
    assert!(broken.path.ends_with("/lock/x") && broken.total_bytes.is_none());
    let mut client = NetworkServiceClient::new(daemon.connect().await);
    let networks = client.list_networks(ListNetworksRequest {}).await.unwrap().into_inner();
    let lan = &networks.networks[0];
    assert_eq!((lan.name.as_str(), lan.bridge.as_str()), ("lan", "xlfs-none"));
    assert_eq!(lan.state(), NetworkState::Unknown);
    assert!(!lan.problem.is_empty() && lan.ports.is_empty(), "{lan:?}");
}

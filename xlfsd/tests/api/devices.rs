//! Disks that come to guests and go from them, and what may never be lost by it:
//! the volumes of others, and those that are kept.

use tonic::Status;
use xlfs_proto::v1::{
    AttachDiskRequest, DetachDiskRequest, DiskRequest, RestoreSnapshotRequest, TaskState,
};

use crate::daemon::{Daemon, reason};
use crate::images::kernel;
use crate::snapshots::{of_volume, read, ro, settled, show, snapshot, write};
use crate::volumes::{MIB, define, delete, empty, files, get, guests, make};

async fn attach(daemon: &Daemon, name: &str, disk: DiskRequest) -> Result<(), Status> {
    let request = AttachDiskRequest { name: name.into(), disk: Some(disk), dry_run: false };
    let reply = guests(daemon).await.attach_disk(request).await?.into_inner();
    let task = daemon.end_of(reply).await;
    assert_eq!(task.state(), TaskState::Succeeded, "{task:?}");
    Ok(())
}

async fn detach(daemon: &Daemon, name: &str, disk: &str, remove: bool) -> Result<(), Status> {
    let request = DetachDiskRequest {
        name: name.into(),
        disk: disk.into(),
        remove_volume: remove,
        ..DetachDiskRequest::default()
    };
    let reply = guests(daemon).await.detach_disk(request).await?.into_inner();
    let task = daemon.end_of(reply).await;
    assert_eq!(task.state(), TaskState::Succeeded, "{task:?}");
    Ok(())
}

async fn host() -> Daemon {
    let daemon = Daemon::with_guests().await;
    kernel(&daemon, "minimal-kernel").await;
    daemon
}

#[tokio::test]
async fn a_disk_that_went_comes_back_beside_a_new_one() {
    let daemon = host().await;
    define(&daemon, "web", vec![empty("xvda", MIB)]).await;
    attach(&daemon, "web", empty("", MIB)).await.unwrap();
    write(&daemon, "web-xvdb", "kept").await;
    detach(&daemon, "web", "xvdb", false).await.unwrap();
    // The volume that was kept has the name that the next would have.
    attach(&daemon, "web", empty("", MIB)).await.unwrap();
    attach(&daemon, "web", of_volume("", "web-xvdb")).await.unwrap();
    let disks = show(&daemon, "web").await.disks;
    let named: Vec<_> = disks.iter().map(|d| (d.name.as_str(), d.volume.as_str())).collect();
    assert_eq!(named, [("xvda", "web-xvda"), ("xvdb", "web-xvdb-2"), ("xvdc", "web-xvdb")]);
    assert_eq!(read(&daemon, "web-xvdb").await, "kept");
    // The configuration disk's place is nobody else's.
    let status = attach(&daemon, "web", empty("xvdz", MIB)).await.unwrap_err();
    assert!(status.message().contains("configuration disk"), "{status:?}");
    delete(&daemon, "web").await;
    assert_eq!(files(&daemon), 2, "the volume that was kept");
}

#[tokio::test]
async fn what_another_guest_reads_stays() {
    let daemon = host().await;
    make(&daemon, "golden", "", MIB).await;
    define(&daemon, "one", vec![ro(of_volume("xvda", "golden"))]).await;
    define(&daemon, "two", vec![ro(of_volume("xvda", "golden"))]).await;
    // By the guest that adopted it, which is to lose it with its volume.
    let status = detach(&daemon, "one", "xvda", true).await.unwrap_err();
    assert_eq!(reason(&status), "VOLUME_IN_USE");
    assert_eq!(show(&daemon, "one").await.disks.len(), 1);
    // And by the one that it was made for, when that is deleted.
    define(&daemon, "maker", vec![ro(empty("xvda", MIB))]).await;
    define(&daemon, "reader", vec![ro(of_volume("xvda", "maker-xvda"))]).await;
    delete(&daemon, "maker").await;
    let volume = get(&daemon, "maker-xvda").await.unwrap();
    assert!(volume.kept, "{volume:?}");
    assert_eq!(volume.holders.len(), 1);
}

#[tokio::test]
async fn a_snapshot_is_written_by_nobody() {
    let daemon = host().await;
    define(&daemon, "web", vec![empty("xvda", MIB)]).await;
    snapshot(&daemon, "web", "before").await.unwrap();
    let status = attach(&daemon, "web", of_volume("xvdb", "web-xvda@before")).await.unwrap_err();
    assert_eq!(reason(&status), "VOLUME_IN_USE");
    assert_eq!(show(&daemon, "web").await.disks.len(), 1);
}

#[tokio::test]
async fn a_volume_in_the_place_of_a_snapshots_disk_is_not_replaced() {
    let daemon = host().await;
    define(&daemon, "web", vec![empty("xvda", MIB), empty("xvdb", MIB)]).await;
    snapshot(&daemon, "web", "before").await.unwrap();
    detach(&daemon, "web", "xvdb", false).await.unwrap();
    make(&daemon, "mine", "", MIB).await;
    write(&daemon, "mine", "precious").await;
    attach(&daemon, "web", of_volume("xvdb", "mine")).await.unwrap();
    let request = RestoreSnapshotRequest {
        name: "web".into(),
        snapshot: "before".into(),
        ..RestoreSnapshotRequest::default()
    };
    let status = guests(&daemon).await.restore_snapshot(request).await.unwrap_err();
    assert_eq!(reason(&status), "SNAPSHOT_UNUSABLE");
    assert_eq!(read(&daemon, "mine").await, "precious");
}

/// A device on its way is settled whatever the record says was being done, and
/// nothing of it is left when the guest goes.
#[tokio::test]
async fn a_device_that_was_cut_off_is_taken_away() {
    for work in ["work = 'attach'\n", "work = 'detach'\n", ""] {
        let daemon = host().await;
        define(&daemon, "web", vec![empty("xvda", MIB)]).await;
        make(&daemon, "half", "", MIB).await;
        let half = get(&daemon, "half").await.unwrap().uuid;
        let record = daemon.path("state/guests/web.toml");
        let text = std::fs::read_to_string(&record).unwrap();
        let cut = format!(
            "{work}{text}\n[change]\nremove_volume = true\n[change.device.disk]\nname = 'xvdb'\n\
             [change.device.disk.volume]\nuuid = '{half}'\nname = 'half'\npool = 'default'\n\
             size = {MIB}\n"
        );
        let daemon = daemon.again_after(|| std::fs::write(&record, cut).unwrap()).await;
        settled(&daemon, |_| !std::fs::read_to_string(&record).unwrap().contains("change")).await;
        assert_eq!(show(&daemon, "web").await.disks.len(), 1);
        assert_eq!(files(&daemon), 2, "{work}");
        delete(&daemon, "web").await;
        assert_eq!(files(&daemon), 0);
    }
}

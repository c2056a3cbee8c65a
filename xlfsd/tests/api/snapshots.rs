//! Snapshots: made of stopped and paused guests, restored, removed, and tidied
//! up after a kill; and volumes that outlive their guests.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use tonic::{Code, Status};
use xlfs_proto::v1::{
    CreateSnapshotRequest, DeleteSnapshotRequest, DeleteVolumeRequest, DiskRequest, Domain,
    GetDomainRequest, RestoreSnapshotRequest, TaskState, VolumeKind,
};
use xlfs_xen::loopdev::{self, Access};

use crate::daemon::{Daemon, reason};
use crate::images::kernel;
use crate::volumes::{
    MIB, content, define, delete, empty, files, get, guest, guests, make, volumes,
};

pub(crate) async fn show(daemon: &Daemon, name: &str) -> Domain {
    let request = GetDomainRequest { name: name.into() };
    guests(daemon).await.get_domain(request).await.unwrap().into_inner()
}

pub(crate) async fn snapshot(
    daemon: &Daemon,
    name: &str,
    snapshot: &str,
) -> Result<TaskState, Status> {
    let request =
        CreateSnapshotRequest { name: name.into(), snapshot: snapshot.into(), dry_run: false };
    let reply = guests(daemon).await.create_snapshot(request).await?.into_inner();
    let task = daemon.end_of(reply).await;
    assert!(task.error.is_none(), "{task:?}");
    Ok(task.state())
}

async fn restore(daemon: &Daemon, name: &str, snapshot: &str) -> Result<TaskState, Status> {
    let request =
        RestoreSnapshotRequest { name: name.into(), snapshot: snapshot.into(), dry_run: false };
    let reply = guests(daemon).await.restore_snapshot(request).await?.into_inner();
    let task = daemon.end_of(reply).await;
    assert!(task.error.is_none(), "{task:?}");
    Ok(task.state())
}

async fn unsnapshot(daemon: &Daemon, name: &str, snapshot: &str) -> Result<TaskState, Status> {
    let request =
        DeleteSnapshotRequest { name: name.into(), snapshot: snapshot.into(), dry_run: false };
    let reply = guests(daemon).await.delete_snapshot(request).await?.into_inner();
    Ok(daemon.end_of(reply).await.state())
}

/// As a guest does.
pub(crate) async fn write(daemon: &Daemon, volume: &str, text: &str) {
    let uuid = get(daemon, volume).await.unwrap().uuid;
    let path = daemon.path(&format!("state/volumes/{uuid}.img"));
    OpenOptions::new()
        .write(true)
        .open(path)
        .unwrap()
        .write_all_at(format!("{text}\0").as_bytes(), 0)
        .unwrap();
}

pub(crate) async fn read(daemon: &Daemon, volume: &str) -> String {
    let bytes = content(daemon, &get(daemon, volume).await.unwrap().uuid);
    String::from_utf8(bytes.into_iter().take_while(|byte| *byte != 0).collect()).unwrap()
}

pub(crate) fn ro(mut disk: DiskRequest) -> DiskRequest {
    disk.read_only = true;
    disk
}

#[tokio::test]
async fn disks_hold_again_what_they_held() {
    let daemon = Daemon::with_guests().await;
    kernel(&daemon, "minimal-kernel").await;
    let disks = vec![empty("xvda", MIB), empty("xvdb", 2 * MIB), ro(empty("xvdc", MIB))];
    define(&daemon, "web", disks).await;
    write(&daemon, "web-xvda", "old a").await;
    write(&daemon, "web-xvdb", "old b").await;
    assert_eq!(snapshot(&daemon, "web", "before").await.unwrap(), TaskState::Succeeded);
    write(&daemon, "web-xvda", "new a").await;
    write(&daemon, "web-xvdb", "new b").await;
    assert_eq!(snapshot(&daemon, "web", "").await.unwrap(), TaskState::Succeeded);

    let domain = show(&daemon, "web").await;
    let names: Vec<_> = domain.snapshots.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["before", "snapshot-1"]);
    let before = &domain.snapshots[0];
    assert!(!before.paused && before.problem.is_empty());
    let kept: Vec<_> = before.disks.iter().map(|disk| disk.volume.as_str()).collect();
    assert_eq!(kept, ["web-xvda@before", "web-xvdb@before"], "nobody writes xvdc");
    let volume = get(&daemon, "web-xvda@before").await.unwrap();
    assert_eq!((volume.kind(), volume.kept), (VolumeKind::Snapshot, false));
    assert_eq!(volume.holders[0].snapshot, "before");
    let request = DeleteVolumeRequest { reference: volume.name, dry_run: true };
    let status = volumes(&daemon).await.delete_volume(request).await.unwrap_err();
    assert!(status.message().contains("in the snapshot before of guest web"), "{status:?}");

    let daemon = daemon.again().await;
    assert_eq!(restore(&daemon, "web", "before").await.unwrap(), TaskState::Succeeded);
    assert_eq!(read(&daemon, "web-xvda").await, "old a");
    assert_eq!(read(&daemon, "web-xvdb").await, "old b");
    // The snapshot stays, and does not change with the disk.
    write(&daemon, "web-xvda", "other").await;
    assert_eq!(restore(&daemon, "web", "before").await.unwrap(), TaskState::Succeeded);
    assert_eq!(read(&daemon, "web-xvda").await, "old a");
    assert_eq!(restore(&daemon, "web", "snapshot-1").await.unwrap(), TaskState::Succeeded);
    assert_eq!(read(&daemon, "web-xvdb").await, "new b");
    assert_eq!(show(&daemon, "web").await.disks[1].volume, "web-xvdb");
    assert_eq!(files(&daemon), 2 * 7);

    assert_eq!(unsnapshot(&daemon, "web", "before").await.unwrap(), TaskState::Succeeded);
    assert_eq!(files(&daemon), 2 * 5);
    delete(&daemon, "web").await;
    assert_eq!(files(&daemon), 0);
}

#[tokio::test]
async fn what_cannot_be_kept_or_restored_is_said() {
    let daemon = Daemon::with_guests().await;
    kernel(&daemon, "minimal-kernel").await;
    define(&daemon, "bare", vec![ro(empty("xvda", MIB))]).await;
    define(&daemon, "web", vec![empty("xvda", MIB)]).await;
    snapshot(&daemon, "web", "one").await.unwrap();
    let reasons = [
        (snapshot(&daemon, "bare", "one").await, Code::FailedPrecondition, "NO_DISKS"),
        (snapshot(&daemon, "none", "one").await, Code::NotFound, "NO_SUCH_GUEST"),
        (snapshot(&daemon, "web", "one").await, Code::AlreadyExists, "SNAPSHOT_EXISTS"),
        (snapshot(&daemon, "web", "a@b").await, Code::InvalidArgument, "BAD_NAME"),
        (restore(&daemon, "web", "oen").await, Code::NotFound, "NO_SUCH_SNAPSHOT"),
        (unsnapshot(&daemon, "web", "two").await, Code::NotFound, "NO_SUCH_SNAPSHOT"),
    ];
    for (result, code, expected) in reasons {
        let status = result.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (code, expected));
    }
    // A guest that runs is told what to do; one that is paused cannot be restored.
    let machine = daemon.machine.clone().unwrap();
    let uuid = show(&daemon, "web").await.uuid.parse().unwrap();
    machine.runs(uuid, false);
    let status = snapshot(&daemon, "web", "two").await.unwrap_err();
    assert!(status.message().contains("pause it or shut it down first"), "{status:?}");
    machine.runs(uuid, true);
    let status = restore(&daemon, "web", "one").await.unwrap_err();
    assert!(status.message().contains("shut it down first"), "{status:?}");
    machine.is_bare();
}

/// A paused guest's last writes are waited for, and it may go on afterwards.
#[tokio::test]
async fn a_paused_guests_disks_come_to_rest_first() {
    let daemon = Daemon::with_guests().await;
    kernel(&daemon, "minimal-kernel").await;
    define(&daemon, "web", vec![empty("xvda", 4 * MIB)]).await;
    let domain = show(&daemon, "web").await;
    let machine = daemon.machine.clone().unwrap();
    machine.runs(domain.uuid.parse().unwrap(), true);
    // As a back end has it, with what it writes behind the guest's back.
    let path = daemon.path(&format!("state/volumes/{}.img", domain.disks[0].volume_uuid));
    let tag = domain.uuid.replace('-', "");
    let device = loopdev::attach(&path, Access::ReadWrite, &tag).unwrap();
    let node = OpenOptions::new().write(true).open(&device.node.path).unwrap();
    let writer = std::thread::spawn(move || {
        for turn in 0..40_u8 {
            node.write_all_at(&[b'a' + turn % 26; 4096], 0).unwrap();
            node.sync_all().unwrap();
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        node.write_all_at(b"last\0", 0).unwrap();
        node.sync_all().unwrap();
    });
    assert_eq!(snapshot(&daemon, "web", "one").await.unwrap(), TaskState::Succeeded);
    writer.join().unwrap();
    assert_eq!(read(&daemon, "web-xvda@one").await, "last");
    assert!(show(&daemon, "web").await.snapshots[0].paused);
    machine.is_bare();
    loopdev::detach(&device).unwrap();
    delete(&daemon, "web").await;
    assert_eq!(files(&daemon), 0);
}

/// What a daemon finds that was killed while it made, restored or removed one.
#[tokio::test]
async fn a_start_tidies_what_a_kill_left() {
    let daemon = Daemon::with_guests().await;
    kernel(&daemon, "minimal-kernel").await;
    define(&daemon, "web", vec![empty("xvda", MIB)]).await;
    write(&daemon, "web-xvda", "kept").await;
    snapshot(&daemon, "web", "one").await.unwrap();
    write(&daemon, "web-xvda", "now").await;
    snapshot(&daemon, "web", "two").await.unwrap();
    let record = daemon.path("state/guests/web.toml");
    let whole = std::fs::read_to_string(&record).unwrap();
    assert!(!whole.contains("unfinished") && !whole.contains("work"), "{whole}");

    // In the middle of making the snapshot two; the same as of removing it.
    let half = format!("work = 'snapshot'\n{whole}");
    let half = half.replace("name = \"two\"\n", "name = \"two\"\nunfinished = true\n");
    let daemon = daemon.again_after(|| std::fs::write(&record, half).unwrap()).await;
    settled(&daemon, |domain| domain.snapshots.len() == 1).await;
    assert_eq!(reason(&get(&daemon, "web-xvda@two").await.unwrap_err()), "NO_SUCH_VOLUME");
    assert_eq!(read(&daemon, "web-xvda").await, "now");
    assert_eq!(restore(&daemon, "web", "one").await.unwrap(), TaskState::Succeeded);
    assert_eq!(read(&daemon, "web-xvda").await, "kept");
    delete(&daemon, "web").await;
    assert_eq!(files(&daemon), 0);
}

/// Before the switch a restore is undone, after it it is finished.
#[tokio::test]
async fn a_restore_that_was_cut_off_is_settled() {
    for switched in [false, true] {
        let daemon = Daemon::with_guests().await;
        kernel(&daemon, "minimal-kernel").await;
        define(&daemon, "web", vec![empty("xvda", MIB)]).await;
        write(&daemon, "web-xvda", "old").await;
        make(&daemon, "copy", "", MIB).await;
        write(&daemon, "copy", "restored").await;
        let disk = show(&daemon, "web").await.disks[0].clone();
        let copy = get(&daemon, "copy").await.unwrap().uuid;
        let record = daemon.path("state/guests/web.toml");
        let mut text = std::fs::read_to_string(&record).unwrap();
        if switched {
            text = text.replace(&disk.volume_uuid, &copy);
        }
        let (before, tables) = text.split_once("\n[").unwrap();
        let half = format!(
            "{before}\nwork = 'restore'\n[{tables}\n[[restoring]]\nname = 'xvda'\n\
             replaces = '{}'\n[restoring.volume]\nuuid = '{copy}'\nname = 'copy'\n\
             pool = 'default'\nsize = {MIB}\n",
            disk.volume_uuid
        );
        let daemon = daemon.again_after(|| std::fs::write(&record, half).unwrap()).await;
        settled(&daemon, |_| !std::fs::read_to_string(&record).unwrap().contains("restor")).await;
        let expected = if switched { "restored" } else { "old" };
        assert_eq!(read(&daemon, "web-xvda").await, expected);
        assert_eq!(files(&daemon), 2, "one volume and its record");
        delete(&daemon, "web").await;
        assert_eq!(files(&daemon), 0);
    }
}

pub(crate) async fn settled(daemon: &Daemon, is: impl Fn(&Domain) -> bool) {
    let waited = async {
        loop {
            let domain = show(daemon, "web").await;
            if domain.task_id.is_empty() && is(&domain) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), waited).await.unwrap();
}

pub(crate) fn of_volume(name: &str, volume: &str) -> DiskRequest {
    DiskRequest { name: name.into(), volume: volume.into(), ..DiskRequest::default() }
}

#[tokio::test]
async fn a_volume_outlives_its_guest_and_has_one_writer() {
    let daemon = Daemon::with_guests().await;
    kernel(&daemon, "minimal-kernel").await;
    let kept = DiskRequest { keep: true, ..empty("xvda", MIB) };
    define(&daemon, "first", vec![kept]).await;
    write(&daemon, "first-xvda", "precious").await;
    delete(&daemon, "first").await;
    assert!(get(&daemon, "first-xvda").await.unwrap().holders.is_empty());

    define(&daemon, "second", vec![of_volume("xvdb", "first-xvda")]).await;
    let domain = show(&daemon, "second").await;
    assert_eq!((domain.disks[0].volume.as_str(), domain.disks[0].keep), ("first-xvda", true));
    let mut client = guests(&daemon).await;
    for disk in [of_volume("xvda", "first-xvda"), ro(of_volume("xvda", "first-xvda"))] {
        let status = client.create_domain(guest("third", vec![disk])).await.unwrap_err();
        let seen = (status.code(), reason(&status));
        assert_eq!(seen, (Code::FailedPrecondition, "VOLUME_IN_USE".into()));
        assert!(status.message().contains("the disk xvdb of guest second"), "{status:?}");
    }
    let unknown = guest("third", vec![of_volume("xvda", "first-xvdb")]);
    assert_eq!(reason(&client.create_domain(unknown).await.unwrap_err()), "NO_SUCH_VOLUME");
    delete(&daemon, "second").await;
    let twice = vec![of_volume("xvda", "first-xvda"), of_volume("xvdb", "first-xvda")];
    let sized = vec![DiskRequest { size_bytes: 1, ..of_volume("xvda", "first-xvda") }];
    for disks in [twice, sized] {
        let status = client.create_domain(guest("third", disks)).await.unwrap_err();
        assert_eq!(reason(&status), "BAD_REQUEST");
    }

    // Many may read.
    define(&daemon, "third", vec![ro(of_volume("xvda", "first-xvda"))]).await;
    define(&daemon, "fourth", vec![ro(of_volume("xvda", "first-xvda"))]).await;
    assert_eq!(get(&daemon, "first-xvda").await.unwrap().holders.len(), 2);
    delete(&daemon, "third").await;
    delete(&daemon, "fourth").await;
    assert_eq!(read(&daemon, "first-xvda").await, "precious");
}

//! The slots of a host, with files for partitions and a power switch that only notes
//! what it was told.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use parking_lot::Mutex;
use tonic::transport::Channel;
use xlfs_proto::v1::image_service_client::ImageServiceClient;
use xlfs_proto::v1::import_image_request::{Header, Part};
use xlfs_proto::v1::slot_service_client::SlotServiceClient;
use xlfs_proto::v1::{
    ImageKind, ImportImageRequest, ListSlotsRequest, RestartHostRequest, RollBackHostRequest, Slot,
    SlotState, TaskState, UpgradeHostRequest,
};
use xlfsd::base::Base;
use xlfsd::problem::Problem;
use xlfsd::slots::{Boot, Loader, Partition, Power, Restart, Slot as Which, Slots};
use xlfsd::watchdog::Pulse;

use crate::daemon::{Daemon, reason};

const SLOT: u64 = 16 << 20;

#[derive(Debug, Default)]
struct Told(Mutex<Vec<Restart>>);

impl Power for Told {
    fn end(&self, how: Restart) -> Result<(), Problem> {
        self.0.lock().push(how);
        Ok(())
    }
}

struct Host {
    daemon: Daemon,
    told: Arc<Told>,
    slots: SlotServiceClient<Channel>,
}

/// A host that runs `slot`, with these variables of GRUB's.
async fn host(slot: Which, trial: bool, variables: &str) -> Host {
    let told = Arc::new(Told::default());
    let power = told.clone();
    let daemon =
        Daemon::with_slots(|dir, base| slots(dir, base, Boot { slot, trial }, power, variables))
            .await;
    let slots = SlotServiceClient::new(daemon.connect().await);
    Host { daemon, told, slots }
}

fn slots(dir: &Path, base: &Base, boot: Boot, power: Arc<Told>, variables: &str) -> Slots {
    fs::create_dir_all(dir.join("boot/grub")).unwrap();
    let mut block = format!("# GRUB Environment Block\n{variables}").into_bytes();
    block.resize(1024, b'#');
    fs::write(dir.join("boot/grub/grubenv"), block).unwrap();
    for which in Which::ALL {
        fs::write(dir.join(which.partition()), vec![0xaa; SLOT as usize]).unwrap();
    }
    let folder = dir.to_owned();
    let find = move |which: Which| {
        let device = folder.join(which.partition());
        Ok(Partition { device, bytes: SLOT })
    };
    let loader = Loader::new(dir.join("boot"));
    let state = dir.join("state");
    let parts = (loader, power as Arc<dyn Power>);
    Slots::with(boot, parts, Box::new(find), &state, base.events.clone(), Pulse::default()).unwrap()
}

/// An ext4 file system with these files.
fn image(path: &Path, files: &[&str], size: u64) {
    let tree = tempfile::tempdir().unwrap();
    for file in files {
        let place = tree.path().join(file);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, "content").unwrap();
    }
    File::create(path).unwrap().set_len(size).unwrap();
    let mut make = Command::new("/usr/sbin/mke2fs");
    make.args(["-q", "-F", "-t", "ext4", "-d"]).arg(tree.path()).arg(path);
    assert!(make.status().unwrap().success());
}

const HOST: [&str; 4] = ["boot/xen.gz", "boot/vmlinuz", "sbin/init", "usr/sbin/xlfsd"];

impl Host {
    async fn import(&self, alias: &str, files: &[&str], size: u64) -> PathBuf {
        let path = self.daemon.path(&format!("{alias}.ext4"));
        image(&path, files, size);
        let header = Header {
            kind: ImageKind::Disk.into(),
            alias: alias.into(),
            origin: String::new(),
            expected_digest: String::new(),
            dry_run: false,
        };
        let mut parts = vec![ImportImageRequest { part: Some(Part::Header(header)) }];
        for chunk in fs::read(&path).unwrap().chunks(256 << 10) {
            parts.push(ImportImageRequest { part: Some(Part::Chunk(chunk.to_vec())) });
        }
        let mut images = ImageServiceClient::new(self.daemon.connect().await);
        images.import_image(futures::stream::iter(parts)).await.unwrap();
        path
    }

    async fn list(&mut self) -> [Slot; 2] {
        let reply = self.slots.list_slots(ListSlotsRequest {}).await.unwrap().into_inner();
        reply.slots.try_into().unwrap()
    }

    fn grub(&self) -> String {
        let block = fs::read_to_string(self.daemon.path("boot/grub/grubenv")).unwrap();
        block.trim_end_matches('#').to_owned()
    }

    fn content(&self, which: Which) -> Vec<u8> {
        fs::read(self.daemon.path(which.partition())).unwrap()
    }
}

fn upgrade(image: &str) -> UpgradeHostRequest {
    UpgradeHostRequest { image: image.into(), ..UpgradeHostRequest::default() }
}

#[tokio::test]
async fn a_host_without_slots_says_what_to_do() {
    let daemon = Daemon::with_guests().await;
    let mut slots = SlotServiceClient::new(daemon.connect().await);
    let refused = slots.list_slots(ListSlotsRequest {}).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused)),
        (tonic::Code::FailedPrecondition, "NOT_ON_SLOTS".into())
    );
    let refused = slots.upgrade_host(upgrade("x")).await.unwrap_err();
    assert_eq!(reason(&refused), "NOT_ON_SLOTS");
}

#[tokio::test]
async fn an_upgrade_writes_the_other_slot_and_has_it_tried() {
    let mut host = host(Which::A, false, "good=a\n").await;
    let path = host.import("dom0-2", &HOST, 8 << 20).await;

    let planned = UpgradeHostRequest { dry_run: true, ..upgrade("dom0-2") };
    let reply = host.slots.upgrade_host(planned).await.unwrap().into_inner();
    let names: Vec<_> = reply.plan.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["write-slot", "verify-slot", "set-try", "restart-host"]);
    assert!(host.content(Which::B).iter().all(|byte| *byte == 0xaa), "a dry run writes nothing");

    let reply = host.slots.upgrade_host(upgrade("dom0-2")).await.unwrap().into_inner();
    let task = host.daemon.end_of(reply).await;
    assert_eq!(task.state(), TaskState::Succeeded, "{:?}", task.error);
    assert_eq!(host.content(Which::B)[..8 << 20], fs::read(path).unwrap());
    assert!(host.content(Which::A).iter().all(|byte| *byte == 0xaa));
    assert_eq!(host.grub(), "# GRUB Environment Block\ngood=a\ntry=b\n");
    let [a, b] = host.list().await;
    assert!(a.running && a.good && !a.next && b.next && !b.good);
    assert_eq!((b.state(), b.image.as_str()), (SlotState::Untried, "dom0-2"));
    for _ in 0..50 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        if !host.told.0.lock().is_empty() {
            break;
        }
    }
    assert_eq!(*host.told.0.lock(), [Restart::Reboot]);
}

#[tokio::test]
async fn an_upgrade_may_leave_the_restart_to_others() {
    let mut host = host(Which::B, false, "good=b\n").await;
    host.import("dom0-2", &HOST, 8 << 20).await;
    let request = UpgradeHostRequest { no_reboot: true, ..upgrade("dom0-2") };
    let reply = host.slots.upgrade_host(request).await.unwrap().into_inner();
    assert_eq!(host.daemon.end_of(reply).await.state(), TaskState::Succeeded);
    assert_eq!(host.grub(), "# GRUB Environment Block\ngood=b\ntry=a\n");
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert!(host.told.0.lock().is_empty());
}

#[tokio::test]
async fn what_is_no_hosts_image_is_refused_before_anything_is_written() {
    let mut host = host(Which::A, false, "good=a\n").await;
    host.import("guest", &HOST[2..], 8 << 20).await;
    host.import("large", &HOST, SLOT + (1 << 20)).await;
    for (image, why) in
        [("guest", "NOT_A_HOST_IMAGE"), ("large", "SLOT_TOO_SMALL"), ("none", "NO_SUCH_IMAGE")]
    {
        let refused = host.slots.upgrade_host(upgrade(image)).await.unwrap_err();
        assert_eq!(reason(&refused), why);
    }
    assert!(host.content(Which::B).iter().all(|byte| *byte == 0xaa));
    assert_eq!(host.grub(), "# GRUB Environment Block\ngood=a\n");
}

#[tokio::test]
async fn a_slot_that_is_the_way_back_is_not_overwritten() {
    // On trial; and started by hand, from GRUB's menu.
    for trial in [true, false] {
        let mut host = host(Which::B, trial, "good=a\n").await;
        host.import("dom0-2", &HOST, 8 << 20).await;
        let refused = host.slots.upgrade_host(upgrade("dom0-2")).await.unwrap_err();
        assert_eq!(reason(&refused), "SLOT_NEEDED");
        assert!(host.content(Which::A).iter().all(|byte| *byte == 0xaa));
    }
}

#[tokio::test]
async fn a_disk_that_fails_leaves_the_slot_unusable_and_the_host_as_it_was() {
    let mut host = host(Which::A, false, "good=a\ntry=b\n").await;
    host.import("dom0-2", &HOST, 8 << 20).await;
    let slot = host.daemon.path(Which::B.partition());
    fs::remove_file(&slot).unwrap();
    // Every write to it fails.
    std::os::unix::fs::symlink("/dev/full", &slot).unwrap();
    let reply = host.slots.upgrade_host(upgrade("dom0-2")).await.unwrap().into_inner();
    let task = host.daemon.end_of(reply).await;
    assert_eq!(task.state(), TaskState::Failed);
    let error = task.error.unwrap();
    assert_eq!(error.step, "write-slot");
    assert!(error.causes.iter().any(|cause| cause.contains("No space")), "{error:?}");
    assert_eq!(host.grub(), "# GRUB Environment Block\ngood=a\ntry=\n", "nobody starts it");
    let [a, b] = host.list().await;
    assert_eq!(b.state(), SlotState::Incomplete);
    assert!(a.next && host.told.0.lock().is_empty());
}

#[tokio::test]
async fn nothing_is_rolled_back_to_what_is_not_known_to_work() {
    let mut host = host(Which::A, false, "good=a\n").await;
    let refused = host.slots.roll_back_host(RollBackHostRequest::default()).await.unwrap_err();
    assert_eq!(reason(&refused), "NOTHING_TO_ROLL_BACK_TO");
    host.import("dom0-2", &HOST, 8 << 20).await;
    let request = UpgradeHostRequest { no_reboot: true, ..upgrade("dom0-2") };
    let reply = host.slots.upgrade_host(request).await.unwrap().into_inner();
    host.daemon.end_of(reply).await;
    let refused = host.slots.roll_back_host(RollBackHostRequest::default()).await.unwrap_err();
    assert_eq!(reason(&refused), "NOTHING_TO_ROLL_BACK_TO");
}

#[tokio::test]
async fn a_host_is_ended_once() {
    let mut host = host(Which::A, false, "good=a\n").await;
    let request = RestartHostRequest { power_off: true, ..RestartHostRequest::default() };
    let reply = host.slots.restart_host(request).await.unwrap().into_inner();
    assert_eq!(reply.plan.len(), 1);
    assert_eq!(host.daemon.end_of(reply).await.state(), TaskState::Succeeded);
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(*host.told.0.lock(), [Restart::PowerOff]);
}

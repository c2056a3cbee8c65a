//! `host slots|upgrade|rollback|reboot|poweroff`: the table, the document, what is sent.

use xlfs_proto::v1::OperationReply;

use crate::fake::slots::{failed, running};
use crate::fake::tasks::success;
use crate::fake::{Fake, World, serve};
use crate::run::xlfsctl;

fn host() -> Fake {
    let mut world = World { slots: vec![running(), failed()], ..World::default() };
    let states = success("upgrade", "upgrade", "host");
    let task = states.first().cloned();
    let reply = OperationReply { task, changed: true, ..OperationReply::default() };
    world.replies.insert("host".to_owned(), Ok(reply));
    world.tasks.insert("upgrade".to_owned(), states);
    serve(world)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_trial_is_seen() {
    let fake = host();
    let table = xlfsctl(&fake, &["host", "slots"]).await.expect(0);
    assert!(table.out.lines().all(|line| line.chars().count() <= 80), "{}", table.out);
    let a = table.out.lines().find(|line| line.starts_with("a ")).expect("slot a");
    assert!(a.contains("good") && a.contains("with the disk"), "{a}");
    let b = table.out.lines().find(|line| line.starts_with("b ")).expect("slot b");
    assert!(b.contains("failed") && b.contains("dom0-2") && b.contains("fedcba987654"), "{b}");
    assert!(table.err.contains("slot b: failed its trial on "), "{}", table.err);
    assert!(table.err.contains("sshd does not answer"), "{}", table.err);
    let json = xlfsctl(&fake, &["host", "slots", "-o", "json"]).await.expect(0).json();
    assert_eq!(json["slots"][1]["state"], "failed");
    assert_eq!(json["slots"][0]["running"], true);
    assert_eq!(json["slots"][0]["written"], serde_json::Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_is_sent() {
    let fake = host();
    xlfsctl(&fake, &["host", "upgrade", "dom0-2", "--no-reboot"]).await.expect(0);
    xlfsctl(&fake, &["host", "rollback", "--force", "--timeout", "90s"]).await.expect(0);
    xlfsctl(&fake, &["host", "poweroff", "--no-wait"]).await.expect(0);
    let requests = fake.stage.world().requests.join("\n");
    for sent in [
        "UpgradeHostRequest { image: \"dom0-2\", no_reboot: true, force: false",
        "RollBackHostRequest { force: true, timeout: Some(Duration { seconds: 90",
        "RestartHostRequest { power_off: true",
    ] {
        assert!(requests.contains(sent), "{sent}: {requests}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_imported_first() {
    let fake = host();
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("dom0.ext4");
    std::fs::write(&file, "an image").expect("file");
    let path = file.to_string_lossy();
    let refused = xlfsctl(&fake, &["host", "upgrade", &path, "--dry-run"]).await;
    assert!(refused.err.contains("xlfsctl image import"), "{}", refused.err);
    assert!(fake.stage.world().requests.is_empty());
    xlfsctl(&fake, &["host", "upgrade", &path]).await.expect(0);
    let requests = fake.stage.world().requests.join("\n");
    assert!(requests.contains("UpgradeHostRequest { image: \""), "{requests}");
    assert!(!requests.contains("dom0.ext4\", no_reboot"), "its digest is sent: {requests}");
}

use std::sync::Arc;

use async_trait::async_trait;
use tempfile::TempDir;

use super::*;
use crate::event::{EventBus, EventLimits, Numbering};
use crate::image::{ImageLimits, ImageUsers, KernelInspector};
use crate::size::ByteSize;

fn store() -> (TempDir, ImageStore) {
    let state = tempfile::tempdir().unwrap();
    let store = reopen(&state);
    (state, store)
}

fn reopen(state: &TempDir) -> ImageStore {
    let events = EventBus::new(Numbering::starting_at(0), EventLimits::default());
    let limits = ImageLimits {
        kernel: ByteSize(1000),
        ramdisk: ByteSize(2000),
        disk: ByteSize(1 << 30),
        imports: 2,
    };
    ImageStore::open_dir(state.path(), limits, events).unwrap()
}

fn header(kind: ImageKind, alias: &str) -> ImportHeader {
    let alias = (!alias.is_empty()).then(|| alias.to_owned());
    let origin = "vmlinuz".to_owned();
    ImportHeader { kind, alias, origin, expected_digest: None, dry_run: false }
}

async fn import(
    store: &ImageStore,
    header: ImportHeader,
    content: &[u8],
) -> Result<Imported, Problem> {
    let mut import = store.import(header).await?;
    for chunk in content.chunks(300) {
        import.write(chunk.to_vec()).await?;
    }
    import.finish().await
}

fn files(state: &TempDir) -> usize {
    let dir = state.path().join("images");
    let count = |dir: &Path| fs::read_dir(dir).unwrap().count();
    count(&dir) - 1 + count(&dir.join("index"))
}

#[tokio::test]
async fn an_image_comes_in_once_and_survives_a_restart() {
    let (state, store) = store();
    let content = [7; 900];
    let first = import(&store, header(ImageKind::Kernel, "k"), &content).await.unwrap();
    assert!(first.changed);
    assert_eq!(first.record.digest, Digest::new(Sha256::digest(content).into()));
    assert_eq!(first.record.size, 900);
    let again = import(&store, header(ImageKind::Kernel, "k"), &content).await.unwrap();
    assert_eq!(again, Imported { changed: false, ..first.clone() });
    assert_eq!(files(&state), 2);

    let store = reopen(&state);
    assert_eq!(store.resolve("k").unwrap(), first.record);
    let mut read = Vec::new();
    std::io::Read::read_to_end(&mut store.open(&first.record.digest).unwrap(), &mut read).unwrap();
    assert_eq!(read, content);
}

#[tokio::test]
async fn the_last_import_of_an_alias_wins() {
    let (state, store) = store();
    let old = import(&store, header(ImageKind::Kernel, "k"), b"old").await.unwrap().record;
    let new = import(&store, header(ImageKind::Kernel, "k"), b"new").await.unwrap().record;
    assert_eq!(store.resolve("k").unwrap().digest, new.digest);
    assert!(store.resolve(&old.digest.to_string()).unwrap().aliases.is_empty());
    // Back again: no new content, but a change.
    assert!(import(&store, header(ImageKind::Kernel, "k"), b"old").await.unwrap().changed);
    assert_eq!(reopen(&state).resolve("k").unwrap().digest, old.digest);
}

#[tokio::test]
async fn an_alias_moves_also_when_the_clock_went_back() {
    let (state, store) = store();
    let old = import(&store, header(ImageKind::Kernel, "k"), b"old").await.unwrap().record;
    let record = store.record_path(&old.digest);
    let text = fs::read_to_string(&record).unwrap();
    let claimed = old.aliases["k"].to_string();
    // Claimed in the year 2100, as this host's clock said then.
    fs::write(&record, text.replace(&format!("k = {claimed}"), "k = 4102444800000")).unwrap();
    let store = reopen(&state);
    let new = import(&store, header(ImageKind::Kernel, "k"), b"new").await.unwrap().record;
    assert!(new.aliases["k"] > 4_102_444_800_000);
    assert_eq!(reopen(&state).resolve("k").unwrap().digest, new.digest);
}

#[tokio::test]
async fn what_is_wrong_leaves_nothing_behind() {
    let (state, store) = store();
    let reason = |result: Result<Imported, Problem>| result.unwrap_err().reason;
    let kernel = || header(ImageKind::Kernel, "");
    assert_eq!(reason(import(&store, kernel(), &[0; 1001]).await), "IMAGE_TOO_LARGE");
    assert_eq!(reason(import(&store, kernel(), b"").await), "EMPTY_IMAGE");
    let other = Some(Digest::new([1; 32]));
    let expected = ImportHeader { expected_digest: other, ..kernel() };
    assert_eq!(reason(import(&store, expected, b"x").await), "DIGEST_MISMATCH");
    assert_eq!(reason(import(&store, header(ImageKind::Kernel, "../x"), b"x").await), "BAD_ALIAS");
    let mut given_up = store.import(kernel()).await.unwrap();
    given_up.write(vec![1; 10]).await.unwrap();
    assert_eq!(files(&state), 1);
    drop(given_up);
    let dry = ImportHeader { dry_run: true, ..kernel() };
    assert!(import(&store, dry, b"x").await.unwrap().changed);
    assert_eq!(files(&state), 0);
    assert!(store.list().is_empty());
}

#[tokio::test]
async fn the_limit_itself_is_allowed_and_depends_on_the_kind() {
    let (_state, store) = store();
    import(&store, header(ImageKind::Kernel, ""), &[1; 1000]).await.unwrap();
    import(&store, header(ImageKind::Ramdisk, ""), &[1; 2000]).await.unwrap();
    let same = import(&store, header(ImageKind::Ramdisk, ""), &[1; 1000]).await.unwrap_err();
    assert_eq!(same.reason, "OTHER_IMAGE_KIND");
}

#[tokio::test]
async fn imports_wait_for_a_free_place() {
    let (_state, store) = store();
    let one = store.import(header(ImageKind::Kernel, "")).await.unwrap();
    let _two = store.import(header(ImageKind::Kernel, "")).await.unwrap();
    let mut three = Box::pin(store.import(header(ImageKind::Kernel, "")));
    assert!(futures::poll!(&mut three).is_pending());
    drop(one);
    assert!(three.await.is_ok());
}

struct Users(Vec<&'static str>);

impl ImageUsers for Users {
    fn users_of(&self, _: &Digest) -> Vec<String> {
        self.0.iter().map(|name| (*name).to_owned()).collect()
    }
}

#[tokio::test]
async fn an_image_in_use_is_not_deleted() {
    let (state, store) = store();
    import(&store, header(ImageKind::Kernel, "k"), b"x").await.unwrap();
    let hold = store.hold("k").unwrap();
    let second = store.hold("k").unwrap();
    drop(second);
    assert_eq!(store.delete("k", false).unwrap_err().reason, "IMAGE_IN_USE");
    drop(hold);
    store.delete("k", true).unwrap();
    assert_eq!(files(&state), 2, "a dry run deletes nothing");

    store.set_users(Arc::new(Users(vec!["web", "db"])));
    let problem = store.delete("k", false).unwrap_err();
    assert_eq!(problem.reason, "IMAGE_IN_USE");
    assert!(problem.message.ends_with("is in use by web, db"), "{problem}");
    assert_eq!(store.list()[0].used_by, ["web", "db"]);

    let store = reopen(&state);
    store.delete("k", false).unwrap();
    assert_eq!(files(&state), 0);
    assert_eq!(store.delete("k", false).unwrap_err().reason, "NO_SUCH_IMAGE");
}

/// Tries to hold the image while the store asks for its users.
struct Holder(ImageStore);

impl ImageUsers for Holder {
    fn users_of(&self, digest: &Digest) -> Vec<String> {
        let reason = self.0.hold(&digest.to_string()).unwrap_err().reason;
        assert_eq!(reason, "IMAGE_GOING");
        assert_eq!(self.0.delete(&digest.to_string(), false).unwrap_err().reason, "IMAGE_GOING");
        vec!["web".to_owned()]
    }
}

#[tokio::test]
async fn an_image_that_is_being_deleted_cannot_be_held() {
    let (_state, store) = store();
    import(&store, header(ImageKind::Kernel, "k"), b"x").await.unwrap();
    store.set_users(Arc::new(Holder(store.clone())));
    assert_eq!(store.delete("k", false).unwrap_err().reason, "IMAGE_IN_USE");
    assert!(store.hold("k").is_ok(), "the refused delete is over");
}

struct Inspector(Result<String, Problem>);

#[async_trait]
impl KernelInspector for Inspector {
    async fn inspect(&self, _: &Digest, mut kernel: File) -> Result<String, Problem> {
        let mut content = String::new();
        std::io::Read::read_to_string(&mut kernel, &mut content).unwrap();
        assert_eq!(content, "vmlinuz");
        self.0.clone()
    }

    async fn forget(&self, _: &Digest) -> Result<(), Problem> {
        Ok(())
    }
}

#[tokio::test]
async fn the_inspector_describes_or_refuses_kernels() {
    let answers = [
        (Ok("bzImage, Linux 6.1".to_owned()), Some("bzImage, Linux 6.1")),
        (Err(Problem::invalid_field("BAD_KERNEL", "chunk", "no kernel")), None),
        (Err(Problem::unavailable("NO_WORKER", "no worker")), Some("")),
    ];
    for (answer, expected) in answers {
        let (state, store) = store();
        store.set_inspector(Arc::new(Inspector(answer)));
        let result = import(&store, header(ImageKind::Kernel, "k"), b"vmlinuz").await;
        assert_eq!(result.ok().map(|imported| imported.record.summary).as_deref(), expected);
        assert_eq!(files(&state), if expected.is_some() { 2 } else { 0 });
        // Ramdisks are nothing to the inspector: its assertion would fail.
        import(&store, header(ImageKind::Ramdisk, "r"), b"initramfs").await.unwrap();
    }
}

/// Zeros take no room, at the end and in the middle, and are there when read.
#[tokio::test]
async fn a_disk_is_stored_without_its_zeros() {
    use std::os::unix::fs::MetadataExt;
    let (_state, store) = store();
    let mut content = vec![0; 512 << 10];
    content[200 << 10..204 << 10].fill(5);
    let mut import = store.import(header(ImageKind::Disk, "root")).await.unwrap();
    for chunk in content.chunks(64 << 10) {
        import.write(chunk.to_vec()).await.unwrap();
    }
    let record = import.finish().await.unwrap().record;
    let mut file = store.open(&record.digest).unwrap();
    let about = file.metadata().unwrap();
    assert_eq!(about.len(), 512 << 10);
    assert!(about.blocks() * 512 <= 64 << 10, "{} blocks", about.blocks());
    let mut read = Vec::new();
    std::io::Read::read_to_end(&mut file, &mut read).unwrap();
    assert!(read == content);
}

/// A root file system as an archive is a disk in the store, by the archive's digest.
#[tokio::test]
async fn an_archive_becomes_a_disk() {
    let (state, store) = store();
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("hello"), "from a root").unwrap();
    let tar = std::process::Command::new("/usr/bin/tar")
        .args(["-cf", "-", "-C", root.path().to_str().unwrap(), "."])
        .output()
        .unwrap();
    assert!(tar.status.success());
    let archive = tar.stdout;
    let first = import(&store, header(ImageKind::Disk, "root"), &archive).await.unwrap();
    assert_eq!(first.record.digest, Digest::new(Sha256::digest(&archive).into()));
    assert_eq!(first.record.size % 4096, 0);
    assert_eq!(first.record.summary, "ext4, made of a tar: 3 files");
    assert_eq!(files(&state), 2, "the archive itself is not kept");
    let place = store.content_path(&first.record.digest);
    assert_eq!(fs::metadata(&place).unwrap().len(), first.record.size);
    let cat = std::process::Command::new("/usr/sbin/debugfs")
        .args(["-R", "cat /hello", place.to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(cat.stdout, b"from a root");
    let again = import(&store, header(ImageKind::Disk, "root"), &archive).await.unwrap();
    assert_eq!(again, Imported { changed: false, ..first });

    // One that is cut, and one whose importer does not wait for the end.
    let cut = import(&store, header(ImageKind::Disk, "cut"), &archive[..1100]).await.unwrap_err();
    assert_eq!(cut.reason, "BAD_ARCHIVE");
    let mut gone = store.import(header(ImageKind::Disk, "gone")).await.unwrap();
    gone.write([archive, vec![0; 512]].concat()).await.unwrap();
    let gone = tokio::spawn(gone.finish());
    tokio::task::yield_now().await;
    gone.abort();
    let _ = gone.await;
    let nothing_more = async {
        while files(&state) != 2 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    let _ = tokio::time::timeout(std::time::Duration::from_secs(30), nothing_more).await;
    assert_eq!(files(&state), 2);
}

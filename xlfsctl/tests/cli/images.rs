//! `image`: import in chunks, lists, deletion.

use std::io::Write as _;
use std::process::Stdio;

use sha2::{Digest as _, Sha256};

use crate::fake::images::{hex, image};
use crate::fake::{World, serve};
use crate::run::{command, read, xlfsctl};

#[tokio::test(flavor = "multi_thread")]
async fn an_import_arrives_whole() {
    let fake = serve(World::default());
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("vmlinuz");
    // Not a multiple of the chunk.
    let content: Vec<u8> = (0..3_000_001_u32).flat_map(u32::to_le_bytes).take(3_000_001).collect();
    std::fs::write(&file, &content).expect("written");
    let path = file.to_str().expect("text");
    let digest = hex(&Sha256::digest(&content));

    let args = ["image", "import", path, "--kind", "kernel", "--alias", "lapp-kernel"];
    let dry = xlfsctl(&fake, &[&args[..], &["--dry-run"]].concat()).await.expect(0);
    assert!(dry.out.starts_with("would import kernel \"lapp-kernel\""), "{}", dry.out);
    assert!(fake.stage.world().images.is_empty());

    let json = [&args[..], &["--sha256", &digest, "-o", "json"]].concat();
    let run = xlfsctl(&fake, &json).await.expect(0);
    assert_eq!(run.json()["image"]["digest"], digest.as_str());
    assert_eq!(run.json()["image"]["size_bytes"], 3_000_001);
    assert_eq!(run.json()["image"]["origin"], "vmlinuz");
    assert_eq!(run.json()["changed"], true);

    let again = xlfsctl(&fake, &args).await.expect(0);
    assert!(again.out.contains("is in the store already"), "{}", again.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_input_is_a_file_too() {
    let fake = serve(World::default());
    let mut command = command(&fake.socket, &["image", "import", "-", "-k", "ramdisk", "-q"]);
    let mut child = command.stdin(Stdio::piped()).spawn().expect("started");
    child.stdin.take().expect("stdin").write_all(b"ramdisk").expect("written");
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output());
    let run = read(&ended.await.expect("joined").expect("waited")).expect(0);
    assert_eq!(run.out.trim(), hex(&Sha256::digest(b"ramdisk")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_imported_is_explained() {
    let fake = serve(World::default());
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().to_str().expect("text").to_owned();
    let missing = format!("{path}/none");
    let file = format!("{path}/file");
    std::fs::write(&file, vec![0; 4_000_000]).expect("written");
    for (args, code, words) in [
        ([missing.as_str()].as_slice(), 3, "No such file"),
        (&[path.as_str()], 10, "it is a folder"),
        (&[&file, "--sha256", &"ab".repeat(32)], 10, "another SHA-256"),
        (&[&file, "--sha256", "abc"], 2, "hexadecimal digits, as"),
        // xlfsd answers before the file is through.
        (&[&file, "--alias", "refused"], 6, "the store is full"),
    ] {
        let run = xlfsctl(&fake, &[&["image", "import", "-k", "kernel"], args].concat()).await;
        assert_eq!(run.code, code, "{args:?}: {}", run.err);
        assert!(run.err.contains(words), "{args:?}: {}", run.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn images_in_use_stay() {
    let images = vec![image("lapp-kernel", "ab", &["web"]), image("dns-kernel", "cd", &[])];
    let fake = serve(World { images, ..World::default() });
    let list = xlfsctl(&fake, &["image", "list"]).await.expect(0);
    assert!(list.out.contains("lapp-kernel") && list.out.contains("7.9 MiB"), "{}", list.out);
    assert!(list.out.lines().all(|line| line.len() <= 80), "{}", list.out);
    let show = xlfsctl(&fake, &["image", "show", "cdcdcdcd"]).await.expect(0);
    assert!(show.out.contains("Linux 6.1.128"), "{}", show.out);

    let dry = xlfsctl(&fake, &["image", "delete", "dns-kernel", "--dry-run"]).await.expect(0);
    assert!(dry.out.starts_with("would delete kernel \"dns-kernel\""), "{}", dry.out);
    let run = xlfsctl(&fake, &["image", "delete", "lapp-kernel", "dns-kernel"]).await.expect(5);
    assert!(run.err.contains("a guest uses it"), "{}", run.err);
    assert_eq!(fake.stage.world().images.len(), 1);
}

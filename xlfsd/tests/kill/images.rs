//! Kills in the middle of imports and deletes.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tonic::transport::Channel;
use xlfs_proto::v1::image_service_client::ImageServiceClient;
use xlfs_proto::v1::import_image_request::{Header, Part};
use xlfs_proto::v1::{DeleteImageRequest, Image, ImageKind, ImportImageRequest, ListImagesRequest};

use crate::process::Daemon;

const KILLS: u64 = 12;

/// Imports and deletes until the daemon is gone; answers what it was told last
/// about each digest: whether it is there.
async fn work(channel: Channel, round: u64) -> HashMap<String, Option<bool>> {
    let mut client = ImageServiceClient::new(channel);
    let mut told = HashMap::new();
    for number in 0.. {
        let content = format!("{round} {number} ").repeat(2000);
        let digest: String =
            Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
        let header = Header {
            kind: ImageKind::Ramdisk.into(),
            alias: "the-latest".into(),
            expected_digest: digest.clone(),
            ..Header::default()
        };
        let parts = [Part::Header(header), Part::Chunk(content.into_bytes())];
        let parts = parts.map(|part| ImportImageRequest { part: Some(part) });
        // Until the answer comes, nobody knows.
        told.insert(digest.clone(), None);
        if client.import_image(tokio_stream::iter(parts)).await.is_err() {
            break;
        }
        told.insert(digest.clone(), Some(true));
        if number % 3 == 2 {
            told.insert(digest.clone(), None);
            let delete = DeleteImageRequest { reference: digest.clone(), dry_run: false };
            if client.delete_image(delete).await.is_err() {
                break;
            }
            told.insert(digest, Some(false));
        }
    }
    told
}

fn check(dir: &Path, images: &[Image], told: &HashMap<String, Option<bool>>) {
    let state = dir.join("state");
    for image in images {
        let content = std::fs::read(state.join("images").join(&image.digest)).unwrap();
        let digest: String =
            Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((digest, content.len() as u64), (image.digest.clone(), image.size));
    }
    for (digest, there) in told {
        let listed = images.iter().any(|image| image.digest == *digest);
        assert!(there.is_none_or(|there| there == listed), "{digest}: told {there:?}, is {listed}");
    }
    let holders = images.iter().filter(|image| !image.aliases.is_empty()).count();
    assert!(holders <= 1, "one alias at {holders} images");
    let files = std::fs::read_dir(state.join("images")).unwrap().count();
    assert_eq!(files, images.len() + 1, "a content for each image, and the index");
    let records = std::fs::read_dir(state.join("images/index")).unwrap().count();
    assert_eq!(records, images.len());
    assert!(!state.join("quarantine").exists(), "a kill is no damage");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_is_there_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let mut told = HashMap::new();
    for round in 0..KILLS {
        let (daemon, channel) = Daemon::start(dir.path()).await;
        let mut client = ImageServiceClient::new(channel.clone());
        let list = client.list_images(ListImagesRequest {}).await.unwrap().into_inner();
        check(dir.path(), &list.images, &told);
        told.retain(|_, there| there.is_some());
        let working = tokio::spawn(work(channel, round));
        tokio::time::sleep(Duration::from_millis(30 + round * 37 % 200)).await;
        drop(daemon);
        told.extend(working.await.unwrap());
    }
    assert!(told.values().filter(|there| **there == Some(true)).count() > KILLS as usize);
    let (_daemon, channel) = Daemon::start(dir.path()).await;
    let list = ImageServiceClient::new(channel).list_images(ListImagesRequest {}).await.unwrap();
    check(dir.path(), &list.into_inner().images, &told);
}

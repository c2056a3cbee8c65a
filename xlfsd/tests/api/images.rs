//! Images: in, listed, found, refused and out.

use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use xlfs_proto::v1::image_service_client::ImageServiceClient;
use xlfs_proto::v1::import_image_request::{Header, Part};
use xlfs_proto::v1::{
    DeleteImageRequest, GetImageRequest, ImageKind, ImportImageRequest, ImportImageResponse,
    ListImagesRequest,
};

use crate::daemon::{Daemon, reason};

/// SHA-256 of "hello".
const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

fn header(alias: &str) -> Header {
    Header {
        kind: ImageKind::Kernel.into(),
        alias: alias.into(),
        origin: "/boot/vmlinuz".into(),
        ..Header::default()
    }
}

async fn send(channel: &Channel, parts: Vec<Part>) -> Result<ImportImageResponse, Status> {
    let parts = parts.into_iter().map(|part| ImportImageRequest { part: Some(part) });
    let mut client = ImageServiceClient::new(channel.clone());
    Ok(client.import_image(tokio_stream::iter(parts)).await?.into_inner())
}

async fn import(
    channel: &Channel,
    header: Header,
    content: &[u8],
) -> Result<ImportImageResponse, Status> {
    let chunks = content.chunks(1 << 20).map(|chunk| Part::Chunk(chunk.to_vec()));
    send(channel, [Part::Header(header)].into_iter().chain(chunks).collect()).await
}

/// A disk image, as whoever tests with disks needs it.
pub(crate) async fn disk(daemon: &Daemon, alias: &str, content: &[u8]) {
    let header = Header { kind: ImageKind::Disk.into(), ..header(alias) };
    import(&daemon.connect().await, header, content).await.unwrap();
}

/// A kernel that no machine can boot, and a ramdisk.
pub(crate) async fn kernel(daemon: &Daemon, alias: &str) {
    let channel = daemon.connect().await;
    import(&channel, header(alias), b"a kernel").await.unwrap();
    let ramdisk = Header { kind: ImageKind::Ramdisk.into(), ..header("minimal-ramdisk") };
    import(&channel, ramdisk, b"a ramdisk").await.unwrap();
}

#[tokio::test]
async fn an_image_comes_in_is_found_and_goes() {
    let daemon = Daemon::start().await;
    let channel = daemon.connect().await;
    let reply = import(&channel, header("minimal-kernel"), b"hello").await.unwrap();
    let image = reply.image.unwrap();
    assert!(reply.changed);
    assert_eq!((image.digest.as_str(), image.size), (HELLO, 5));
    assert_eq!(image.origin, "/boot/vmlinuz");
    assert!(!import(&channel, header("minimal-kernel"), b"hello").await.unwrap().changed);

    let daemon = daemon.restart().await;
    let mut client = ImageServiceClient::new(daemon.connect().await);
    for reference in ["minimal-kernel", HELLO, &HELLO[..8]] {
        let request = GetImageRequest { reference: reference.into() };
        assert_eq!(client.get_image(request).await.unwrap().into_inner(), image);
    }
    let list = client.list_images(ListImagesRequest {}).await.unwrap().into_inner();
    assert_eq!(list.images, [image]);
    let delete = DeleteImageRequest { reference: HELLO.into(), dry_run: false };
    client.delete_image(delete.clone()).await.unwrap();
    let status = client.delete_image(delete).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "NO_SUCH_IMAGE"));
}

#[tokio::test]
async fn a_large_image_goes_through_in_chunks() {
    let daemon = Daemon::start().await;
    let content: Vec<u8> = (0..5_000_000u32).map(|i| (i * 7) as u8).collect();
    let image = import(&daemon.connect().await, header("big"), &content).await.unwrap();
    let digest = image.image.unwrap().digest;
    let stored = std::fs::read(daemon.path("state/images").join(digest)).unwrap();
    assert_eq!(stored, content);
}

#[tokio::test]
async fn what_is_wrong_with_an_import_is_said() {
    let daemon =
        Daemon::start_with(|config| config.images.kernel_max = xlfsd::size::ByteSize(100)).await;
    let channel = daemon.connect().await;
    let expecting = |digest: &str| Header { expected_digest: digest.into(), ..header("") };
    let kernel = Part::Header(header(""));
    let chunk = |size| Part::Chunk(vec![0; size]);
    for (parts, code, expected) in [
        (vec![], Code::InvalidArgument, "BAD_IMPORT"),
        (vec![chunk(1)], Code::InvalidArgument, "BAD_IMPORT"),
        (vec![kernel.clone(), kernel.clone()], Code::InvalidArgument, "BAD_IMPORT"),
        (vec![kernel.clone()], Code::InvalidArgument, "EMPTY_IMAGE"),
        (vec![kernel.clone(), chunk((1 << 20) + 1)], Code::InvalidArgument, "CHUNK_TOO_LARGE"),
        (vec![kernel.clone(), chunk(60), chunk(60)], Code::ResourceExhausted, "IMAGE_TOO_LARGE"),
        (vec![Part::Header(header("a b"))], Code::InvalidArgument, "BAD_ALIAS"),
        (vec![Part::Header(Header::default())], Code::InvalidArgument, "BAD_IMAGE_KIND"),
        (vec![Part::Header(expecting("xyz"))], Code::InvalidArgument, "BAD_DIGEST"),
        (vec![Part::Header(expecting(HELLO)), chunk(1)], Code::InvalidArgument, "DIGEST_MISMATCH"),
    ] {
        let status = send(&channel, parts).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (code, expected));
        if code == Code::InvalidArgument {
            let bad = status.get_details_bad_request().unwrap();
            assert_eq!(bad.field_violations.len(), 1, "{expected}");
        }
    }
    let images = std::fs::read_dir(daemon.path("state/images")).unwrap().count();
    assert_eq!(images, 1, "only the index");
}

#[tokio::test]
async fn an_importer_that_goes_away_leaves_nothing() {
    let daemon = Daemon::start().await;
    let (channel, wire) = daemon.connect_to_cut().await;
    let (parts, receiver) = tokio::sync::mpsc::channel(1);
    let stream = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let import =
        tokio::spawn(async move { ImageServiceClient::new(channel).import_image(stream).await });
    let send = |part| parts.send(ImportImageRequest { part: Some(part) });
    send(Part::Header(header(""))).await.unwrap();
    send(Part::Chunk(vec![1; 1000])).await.unwrap();
    let unfinished = || {
        let files = std::fs::read_dir(daemon.path("state/images")).unwrap();
        files.filter(|file| !file.as_ref().unwrap().file_name().eq("index")).count()
    };
    wait_until(|| unfinished() == 1).await;
    wire.shutdown(std::net::Shutdown::Both).unwrap();
    wait_until(|| unfinished() == 0).await;
    assert!(import.await.unwrap().is_err());
    assert!(daemon.base.images.list().is_empty());
}

async fn wait_until(condition: impl Fn() -> bool) {
    let waited = async {
        while !condition() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), waited).await.unwrap();
}

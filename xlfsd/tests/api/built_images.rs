//! Images that were built: copied out, given files, taken into the image store.

use std::fs;

use tokio_stream::StreamExt;
use tonic::Code;
use xlfs_proto::v1::build_event::Kind;
use xlfs_proto::v1::image_service_client::ImageServiceClient;
use xlfs_proto::v1::{
    BuildState, DeleteImageRequest, ExportBuildRequest, GetBuildRequest, GetImageRequest,
    ImageKind, ImportImageRequest, StartBuildRequest, export_part, import_image_request,
};

use crate::daemon::reason;
use crate::tiny::{
    build, client, daemon, daemon_with, package, request, start, state, watch, write,
};

#[tokio::test]
async fn an_images_files_are_copied_out() {
    let daemon = daemon().await;
    let mut client = client(&daemon).await;
    package(&daemon, "a", &[], "head -c 700000 /dev/zero > $OUT/a");
    let image = "name = \"i\"\nsummary = \"i\"\npackages = [\"a\"]\n[[artifact]]\n\
                 kind = \"copy\"\nfrom = \"a\"\nfile = \"copy-of-a\"\n";
    write(&daemon, "images/i.toml", image);
    let export = |image: &str| ExportBuildRequest { image: image.to_owned(), ..Default::default() };
    let status = client.export_build(export("i")).await.unwrap_err();
    assert_eq!(reason(&status), "NOT_BUILT");
    let status = client.export_build(export("a")).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    // Without targets, the images are meant.
    assert_eq!(state(&build(&mut client, &[]).await), BuildState::Succeeded);
    let mut parts = client.export_build(export("i")).await.unwrap().into_inner();
    let mut files: Vec<(String, u64, usize)> = Vec::new();
    while let Some(part) = parts.next().await {
        match part.unwrap().part.unwrap() {
            export_part::Part::File(file) => files.push((file.name, file.size, 0)),
            export_part::Part::Chunk(chunk) => files.last_mut().unwrap().2 += chunk.len(),
        }
    }
    let names: Vec<_> = files.iter().map(|file| file.0.as_str()).collect();
    assert_eq!(names, ["copy-of-a", "manifest.json", "sbom.cyclonedx.json", "sbom.spdx.json"]);
    assert!(files.iter().all(|(_, size, came)| *size == *came as u64), "{files:?}");
    assert_eq!(files[0].1, 700_000);
}

#[tokio::test]
async fn an_image_takes_files_of_the_host_and_goes_into_the_image_store() {
    let daemon = daemon_with(|config| {
        let program = config.state_dir.with_file_name("xlfsctl");
        fs::write(&program, "the command line").unwrap();
        config.builder.xlfsctl = program;
    })
    .await;
    let mut client = client(&daemon).await;
    package(&daemon, "a", &[], "echo a > $OUT/a");
    let image = "name = \"i\"\nsummary = \"i\"\npackages = [\"a\"]\n\
                 [[file]]\npath = \"b\"\ninput = \"xlfsctl\"\n\
                 [[file]]\npath = \"c\"\ninput = \"notes\"\n\
                 [[artifact]]\nkind = \"cpio.gz\"\nfile = \"i.gz\"\n\
                 import = { kind = \"ramdisk\", alias = \"i-ramdisk\" }\n";
    write(&daemon, "images/i.toml", image);
    let plan = client.plan_build(request(&["i"])).await.unwrap().into_inner();
    assert_eq!(plan.missing_inputs, ["notes"]);
    let status = start(&mut client, &["i"]).await.unwrap_err();
    assert_eq!(reason(&status), "MISSING_INPUT");
    assert!(status.message().contains("--input notes=FILE"), "{status}");
    let mut given = request(&["i"]);
    given.inputs.insert("notes".to_owned(), "notes".to_owned());
    let status = client.plan_build(given.clone()).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "BAD_INPUT"));

    let notes = daemon.path("notes");
    fs::write(&notes, "notes").unwrap();
    given.inputs.insert("notes".to_owned(), notes.display().to_string());
    let mut digests = Vec::new();
    for changed in [true, false] {
        let request = StartBuildRequest { build: Some(given.clone()), import: true };
        let begun = client.start_build(request).await.unwrap().into_inner();
        let events = watch(&mut client, &begun.id, 0).await;
        assert_eq!(state(&events), BuildState::Succeeded);
        let imported = events.iter().find_map(|event| match &event.kind {
            Some(Kind::Imported(imported)) => Some(imported.clone()),
            _ => None,
        });
        let imported = imported.unwrap();
        assert_eq!((imported.alias.as_str(), imported.changed), ("i-ramdisk", changed));
        digests.push(imported.digest);
    }
    let mut images = ImageServiceClient::new(daemon.connect().await);
    let reference = GetImageRequest { reference: "i-ramdisk".to_owned() };
    let image = images.get_image(reference).await.unwrap().into_inner();
    assert_eq!(digests, [image.digest.clone(), image.digest]);
    assert_eq!(image.origin, "i.gz of i");

    // One that cannot go in is a failure of the build, and the images stay.
    let other = ImportImageRequest {
        part: Some(import_image_request::Part::Header(import_image_request::Header {
            kind: ImageKind::Disk.into(),
            ..Default::default()
        })),
    };
    let mut export = client
        .export_build(ExportBuildRequest { image: "i".to_owned(), ..Default::default() })
        .await
        .unwrap()
        .into_inner();
    let mut parts = vec![other];
    while let Some(part) = export.next().await {
        match part.unwrap().part.unwrap() {
            export_part::Part::File(file) if file.name != "i.gz" => break,
            export_part::Part::File(_) => {}
            export_part::Part::Chunk(chunk) => parts
                .push(ImportImageRequest { part: Some(import_image_request::Part::Chunk(chunk)) }),
        }
    }
    let known = GetImageRequest { reference: "i-ramdisk".to_owned() };
    let known = images.get_image(known).await.unwrap().into_inner();
    let delete = DeleteImageRequest { reference: known.digest, dry_run: false };
    images.delete_image(delete).await.unwrap();
    images.import_image(tokio_stream::iter(parts)).await.unwrap();
    let request = StartBuildRequest { build: Some(given), import: true };
    let begun = client.start_build(request).await.unwrap().into_inner();
    assert_eq!(state(&watch(&mut client, &begun.id, 0).await), BuildState::Failed);
    let known = client.get_build(GetBuildRequest::default()).await.unwrap().into_inner();
    assert!(known.problem.starts_with("i.gz was not imported"), "{}", known.problem);
}

//! Artifacts of images that were built, taken into the image store: as
//! `xlfsctl image import FILE --kind KIND --alias ALIAS` would.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use xlfs_builder::build::Builder;
use xlfs_builder::recipe::ImportKind;

use super::problem;
use crate::api::blocking;
use crate::image::{ImageKind, ImageStore, ImportHeader, Imported};
use crate::problem::Problem;

/// Bytes handed over at once.
const CHUNK: usize = 1 << 20;

/// A file that is to go into the image store.
#[derive(Debug)]
pub(super) struct Wanted {
    pub image: String,
    pub file: String,
    pub alias: String,
    pub kind: ImageKind,
    pub path: PathBuf,
}

/// What these images, which were just built or found, say that should be imported.
pub(super) fn wanted(builder: &Builder, images: &[String]) -> Result<Vec<Wanted>, Problem> {
    let (set, store) = (builder.set(), builder.store());
    let mut wanted = Vec::new();
    for image in images {
        let record = store.image(&set.file.name, image);
        let Some(record) = record.map_err(|error| problem::of_store(&error))? else { continue };
        for (file, import) in record.imports {
            let Some(digest) = record.artifacts.get(&file) else { continue };
            let path = store.blob(digest, false).map_err(|error| problem::of_store(&error))?;
            let kind = match import.kind {
                ImportKind::Kernel => ImageKind::Kernel,
                ImportKind::Ramdisk => ImageKind::Ramdisk,
                ImportKind::Disk => ImageKind::Disk,
            };
            let (image, alias) = (image.clone(), import.alias);
            wanted.push(Wanted { image, file, alias, kind, path });
        }
    }
    Ok(wanted)
}

/// Imports one file.
pub(super) async fn import(images: &ImageStore, wanted: &Wanted) -> Result<Imported, Problem> {
    let header = ImportHeader {
        kind: wanted.kind,
        alias: Some(wanted.alias.clone()),
        origin: format!("{} of {}", wanted.file, wanted.image),
        expected_digest: None,
        dry_run: false,
    };
    let path = wanted.path.clone();
    let unreadable = |error: &io::Error| {
        Problem::internal(format!("{} cannot be read", wanted.file)).cause(error)
    };
    let mut file = blocking(move || File::open(path)).await?.map_err(|error| unreadable(&error))?;
    let mut import = images.import(header).await?;
    loop {
        let read;
        (file, read) = blocking(move || {
            let mut chunk = Vec::new();
            let read = file.by_ref().take(CHUNK as u64).read_to_end(&mut chunk);
            (file, read.map(|_| chunk))
        })
        .await?;
        let chunk = read.map_err(|error| unreadable(&error))?;
        if chunk.is_empty() {
            return import.finish().await;
        }
        import.write(chunk).await?;
    }
}

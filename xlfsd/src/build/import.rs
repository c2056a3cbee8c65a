//! Artifacts of images that were built, taken into the image store: as
//! `xlfsctl image import FILE --kind KIND --alias ALIAS` would.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use xlfs_builder::build::Builder;

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

/// What the images say that should be imported.
pub(super) fn wanted(_builder: &Builder, _targets: &[String]) -> Result<Vec<Wanted>, Problem> {
    Ok(Vec::new())
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

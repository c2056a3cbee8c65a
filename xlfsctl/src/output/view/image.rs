//! Images of the store.

use serde::Serialize;
use xlfs_proto::v1::{Image, ImageKind};

use super::moment;
use crate::errors::filled;

/// `image list`.
#[derive(Debug, Serialize)]
pub(crate) struct ImagesView {
    pub(crate) images: Vec<ImageView>,
}

/// `image show`, and each of `image list`.
#[derive(Debug, Serialize)]
pub(crate) struct ImageView {
    digest: String,
    kind: &'static str,
    aliases: Vec<String>,
    size_bytes: u64,
    imported: Option<String>,
    origin: Option<String>,
    summary: Option<String>,
    used_by: Vec<String>,
}

/// `image import`.
#[derive(Debug, Serialize)]
pub(crate) struct ImportView {
    pub(crate) image: Option<ImageView>,
    pub(crate) changed: bool,
    pub(crate) dry_run: bool,
}

/// `image delete`.
#[derive(Debug, Serialize)]
pub(crate) struct DeletedView {
    pub(crate) deleted: Vec<ImageView>,
    pub(crate) dry_run: bool,
}

impl From<&Image> for ImageView {
    fn from(image: &Image) -> ImageView {
        ImageView {
            digest: image.digest.clone(),
            kind: kind_word(image.kind()),
            aliases: image.aliases.clone(),
            size_bytes: image.size,
            imported: moment(&image.imported),
            origin: filled(&image.origin),
            summary: filled(&image.summary),
            used_by: image.used_by.clone(),
        }
    }
}

pub(crate) fn kind_word(kind: ImageKind) -> &'static str {
    match kind {
        ImageKind::Unspecified => "unknown",
        ImageKind::Kernel => "kernel",
        ImageKind::Ramdisk => "ramdisk",
        ImageKind::Disk => "disk",
    }
}

//! Volumes and pools.

use serde::Serialize;
use xlfs_proto::v1::{CopyMethod, Pool, Volume, VolumeHolder, VolumeKind};

use super::moment;
use crate::errors::filled;

/// `volume list`.
#[derive(Debug, Serialize)]
pub(crate) struct VolumesView {
    pub(crate) volumes: Vec<VolumeView>,
}

/// `volume show`, and each of `volume list`.
#[derive(Debug, Serialize)]
pub(crate) struct VolumeView {
    name: String,
    uuid: String,
    pool: String,
    size_bytes: u64,
    allocated_bytes: Option<u64>,
    kind: &'static str,
    image_digest: Option<String>,
    copy_of: Option<String>,
    holders: Vec<HolderView>,
    kept: bool,
    created: Option<String>,
    problem: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct HolderView {
    guest: String,
    disk: String,
    read_only: bool,
    attached: bool,
    snapshot: Option<String>,
}

/// `pool list`.
#[derive(Debug, Serialize)]
pub(crate) struct PoolsView {
    pub(crate) pools: Vec<PoolView>,
}

#[derive(Debug, Serialize)]
pub(crate) struct PoolView {
    name: String,
    kind: String,
    path: String,
    total_bytes: Option<u64>,
    free_bytes: Option<u64>,
    thin: bool,
    copies: &'static str,
    volumes: u32,
    default: bool,
    problem: Option<String>,
}

impl From<&Volume> for VolumeView {
    fn from(volume: &Volume) -> VolumeView {
        VolumeView {
            name: volume.name.clone(),
            uuid: volume.uuid.clone(),
            pool: volume.pool.clone(),
            size_bytes: volume.size_bytes,
            allocated_bytes: volume.allocated_bytes,
            kind: kind_word(volume.kind()),
            image_digest: filled(&volume.image_digest),
            copy_of: filled(&volume.copy_of),
            holders: volume.holders.iter().map(HolderView::from).collect(),
            kept: volume.kept,
            created: moment(&volume.created),
            problem: filled(&volume.problem),
        }
    }
}

impl From<&VolumeHolder> for HolderView {
    fn from(holder: &VolumeHolder) -> HolderView {
        HolderView {
            guest: holder.guest.clone(),
            disk: holder.disk.clone(),
            read_only: holder.read_only,
            attached: holder.attached,
            snapshot: filled(&holder.snapshot),
        }
    }
}

impl From<&Pool> for PoolView {
    fn from(pool: &Pool) -> PoolView {
        PoolView {
            name: pool.name.clone(),
            kind: pool.kind.clone(),
            path: pool.path.clone(),
            total_bytes: pool.total_bytes,
            free_bytes: pool.free_bytes,
            thin: pool.thin,
            copies: copy_word(pool.copies()),
            volumes: pool.volumes,
            default: pool.default,
            problem: filled(&pool.problem),
        }
    }
}

pub(crate) fn kind_word(kind: VolumeKind) -> &'static str {
    match kind {
        VolumeKind::Unspecified => "unknown",
        VolumeKind::Empty => "empty",
        VolumeKind::Image => "image",
        VolumeKind::Copy => "copy",
        VolumeKind::Snapshot => "snapshot",
    }
}

pub(crate) fn copy_word(copies: CopyMethod) -> &'static str {
    match copies {
        CopyMethod::Unspecified => "unknown",
        CopyMethod::Reflink => "reflink",
        CopyMethod::ThinSnapshot => "thin",
        CopyMethod::Full => "full",
    }
}

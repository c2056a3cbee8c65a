//! Volumes and pools as clients see them.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use prost_types::Timestamp;
use uuid::Uuid;
use xlfs_proto::v1 as pb;
use xlfs_xen::loopdev::Access;

use crate::storage::{
    Copies, Pool, PoolEntry, PoolVolume, VolumeOrigin, VolumeRecord, VolumeUse, VolumeWork, Volumes,
};

/// `records` with what their pools and their guests know of them.
pub(super) fn volumes(volumes: &Volumes, records: Vec<VolumeRecord>) -> Vec<pb::Volume> {
    let mut pools: HashMap<String, Result<HashMap<Uuid, PoolVolume>, String>> = HashMap::new();
    for record in &records {
        pools.entry(record.pool.clone()).or_insert_with(|| there(volumes, &record.pool));
    }
    let view = |record: VolumeRecord| {
        let pool = pools.get(&record.pool);
        volume(volumes, record, pool)
    };
    records.into_iter().map(view).collect()
}

/// What a pool holds, or why that is not known.
fn there(volumes: &Volumes, pool: &str) -> Result<HashMap<Uuid, PoolVolume>, String> {
    let list = volumes.pools().get(pool).and_then(|pool| pool.list());
    let list = list.map_err(|problem| format!("{problem:#}"))?;
    Ok(list.into_iter().map(|volume| (volume.id, volume)).collect())
}

fn volume(
    volumes: &Volumes,
    record: VolumeRecord,
    pool: Option<&Result<HashMap<Uuid, PoolVolume>, String>>,
) -> pb::Volume {
    let users = volumes.users(record.uuid);
    let found = pool.and_then(|pool| pool.as_ref().ok()).map(|there| there.get(&record.uuid));
    let problem = match (record.work, pool, found) {
        (Some(VolumeWork::Create), ..) => "it is being made".to_owned(),
        (Some(VolumeWork::Grow), ..) => "it is growing".to_owned(),
        (Some(VolumeWork::Remove), ..) => "it is being removed".to_owned(),
        (None, Some(Err(problem)), _) => problem.clone(),
        (None, _, Some(None)) => format!("it is gone from its pool {}", record.pool),
        _ => String::new(),
    };
    let part = users.iter().any(|user| user.snapshot.is_some());
    let (kind, image_digest, copy_of) = match record.origin {
        VolumeOrigin::Empty => (pb::VolumeKind::Empty, String::new(), String::new()),
        VolumeOrigin::Image { digest } => {
            (pb::VolumeKind::Image, digest.to_string(), String::new())
        }
        VolumeOrigin::Volume { uuid } => {
            let name = volumes.get(uuid).map_or_else(|_| uuid.to_string(), |origin| origin.name);
            (pb::VolumeKind::Copy, String::new(), name)
        }
    };
    let claims = volumes.claims(record.uuid);
    let holder = |user: VolumeUse| pb::VolumeHolder {
        attached: user.snapshot.is_none()
            && claims.iter().any(|claim| claim.holder.uuid == user.guest.uuid),
        guest: user.guest.name,
        disk: user.disk,
        read_only: user.access == Access::ReadOnly,
        snapshot: user.snapshot.unwrap_or_default(),
    };
    pb::Volume {
        name: record.name,
        uuid: record.uuid.to_string(),
        pool: record.pool,
        size_bytes: record.size,
        allocated_bytes: found.flatten().map(|volume| volume.allocated),
        kind: if part { pb::VolumeKind::Snapshot } else { kind }.into(),
        image_digest,
        copy_of,
        holders: users.into_iter().map(holder).collect(),
        kept: record.kept,
        created: Some(Timestamp::from(
            SystemTime::UNIX_EPOCH + Duration::from_millis(record.created_ms),
        )),
        problem,
    }
}

pub(super) fn pools(volumes: &Volumes) -> Vec<pb::Pool> {
    let records = volumes.list();
    let mut pools: Vec<_> = volumes.pools().entries().iter().map(pool).collect();
    for (index, pool) in pools.iter_mut().enumerate() {
        let here = records.iter().filter(|record| record.pool == pool.name);
        pool.volumes = u32::try_from(here.count()).unwrap_or(u32::MAX);
        pool.default = index == 0;
    }
    pools
}

fn pool(entry: &PoolEntry) -> pb::Pool {
    let known = pb::Pool {
        name: entry.name.clone(),
        kind: entry.kind.as_str().to_owned(),
        path: entry.path.clone(),
        ..pb::Pool::default()
    };
    let pool: &dyn Pool = match &entry.pool {
        Ok(pool) => pool.as_ref(),
        Err(problem) => return pb::Pool { problem: format!("{problem:#}"), ..known },
    };
    let (about, space) = (pool.about(), pool.space());
    let copies = match about.copies {
        Copies::Reflink => pb::CopyMethod::Reflink,
        Copies::ThinSnapshot => pb::CopyMethod::ThinSnapshot,
        Copies::Full => pb::CopyMethod::Full,
    };
    pb::Pool {
        total_bytes: space.as_ref().ok().map(|space| space.total),
        free_bytes: space.as_ref().ok().map(|space| space.free),
        thin: about.thin,
        copies: copies.into(),
        problem: space.err().map(|problem| format!("{problem:#}")).unwrap_or_default(),
        ..known
    }
}

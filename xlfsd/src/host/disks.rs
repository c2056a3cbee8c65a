//! The volumes behind guests' disks: made in the pools, and served to the back
//! end as block devices.
//!
//! A volume that is a file gets a loop device, tagged with the guest, so that a
//! daemon that starts finds what an earlier one attached. Who has a volume is
//! kept here: one guest that writes it, or several that read it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use xlfs_xen::loopdev::{self, Access, Detached, LoopDevice};

use super::{BlockNumber, DiskSource, Disks, VolumePlan, VolumeUse};
use crate::durable;
use crate::image::ImageStore;
use crate::problem::Problem;
use crate::storage::{Pools, VolumeDevice, Watch};

/// How long a back end may take to close a device, and how often that is looked
/// at: the kernel sends no word of it.
const CLOSES: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(10);

/// The real one.
#[derive(Debug)]
pub struct PoolDisks {
    pools: Pools,
    images: ImageStore,
    /// The configuration disks.
    seeds: PathBuf,
    /// Who has which volume.
    users: Mutex<HashMap<Uuid, Vec<User>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct User {
    guest: Uuid,
    read_only: bool,
}

impl PoolDisks {
    /// Configuration disks are kept below the state folder.
    pub fn open(pools: Pools, images: ImageStore, state_dir: &Path) -> Result<Self, Problem> {
        let seeds = state_dir.join("seeds");
        durable::make_private_dir(&seeds).map_err(|error| {
            Problem::internal("configuration disks cannot be kept").cause(&error)
        })?;
        Ok(Self { pools, images, seeds, users: Mutex::default() })
    }

    fn seed(&self, guest: Uuid) -> PathBuf {
        self.seeds.join(format!("{guest}.img"))
    }

    /// What stands for a disk; `None` when it is not there.
    fn device(&self, source: &DiskSource, guest: Uuid) -> Result<Option<VolumeDevice>, Problem> {
        match source {
            DiskSource::Seed => {
                let path = self.seed(guest);
                Ok(path.exists().then_some(VolumeDevice::File(path)))
            }
            DiskSource::Volume { pool, uuid } => match self.pools.get(pool)?.device(*uuid) {
                Ok(device) => Ok(Some(device)),
                Err(problem) if problem.reason == "NO_SUCH_VOLUME" => Ok(None),
                Err(problem) => Err(problem),
            },
        }
    }

    /// Notes that a guest has a volume, or says who is in the way.
    fn claim(&self, uuid: Uuid, volume: &VolumeUse) -> Result<(), Problem> {
        let mut users = self.users.lock();
        let users = users.entry(uuid).or_default();
        let user = User { guest: volume.guest, read_only: volume.read_only };
        users.retain(|other| other.guest != user.guest);
        if let Some(other) = users.iter().find(|other| !(other.read_only && user.read_only)) {
            return Err(Problem::failed_precondition(
                "DISK_IN_USE",
                format!("the volume {uuid} is in use by the guest {}", other.guest),
            )
            .object(format!("volume {uuid}"))
            .hint("A volume that is written belongs to one guest. Stop the other one first."));
        }
        users.push(user);
        Ok(())
    }

    fn release(&self, volume: Uuid, guest: Uuid) {
        let mut all = self.users.lock();
        if let Some(users) = all.get_mut(&volume) {
            users.retain(|user| user.guest != guest);
            if users.is_empty() {
                all.remove(&volume);
            }
        }
    }
}

#[async_trait]
impl Disks for PoolDisks {
    async fn make(&self, plan: VolumePlan, cancel: CancellationToken) -> Result<(), Problem> {
        let recipe = plan.recipe;
        let pool = self.pools.get(&recipe.pool)?;
        let source = recipe.image.as_ref().map(|digest| self.images.open(digest)).transpose()?;
        blocking(move || {
            let stop = || cancel.is_cancelled();
            let watch = Watch::new(&stop, &|_| {});
            match pool.create(recipe.uuid, recipe.size, source.as_ref(), watch) {
                // Made by a daemon that was killed right after.
                Err(problem) if problem.reason == "VOLUME_EXISTS" => Ok(()),
                other => other.map(drop),
            }
        })
        .await
    }

    async fn remove(&self, pool: &str, volume: Uuid) -> Result<(), Problem> {
        let pool = self.pools.get(pool)?;
        blocking(move || pool.remove(volume).map(drop)).await
    }

    fn check(&self, pool: &str) -> Result<(), Problem> {
        self.pools.get(pool).map(drop)
    }

    async fn attach(&self, volume: VolumeUse) -> Result<BlockNumber, Problem> {
        let device = self.device(&volume.source, volume.guest)?.ok_or_else(|| {
            let problem = match &volume.source {
                DiskSource::Seed => Problem::not_found("NO_SEED", "its configuration disk is gone"),
                DiskSource::Volume { uuid, pool } => Problem::not_found(
                    "NO_SUCH_VOLUME",
                    format!("the pool {pool} has no volume {uuid}"),
                ),
            };
            problem.hint("It was removed behind xlfsd's back, or its disk is not mounted.")
        })?;
        let claimed = match &volume.source {
            DiskSource::Volume { uuid, .. } => Some(*uuid),
            DiskSource::Seed => None,
        };
        if let Some(uuid) = claimed {
            self.claim(uuid, &volume)?;
        }
        let guest = volume.guest;
        let attached = blocking(move || attach(device, &volume)).await;
        if let (Err(_), Some(uuid)) = (&attached, claimed) {
            self.release(uuid, guest);
        }
        attached
    }

    async fn detach(&self, volume: VolumeUse) -> Result<(), Problem> {
        if let Some(VolumeDevice::File(path)) = self.device(&volume.source, volume.guest)? {
            let guest = volume.guest;
            blocking(move || detach(&path, guest)).await?;
        }
        if let DiskSource::Volume { uuid, .. } = volume.source {
            self.release(uuid, volume.guest);
        }
        Ok(())
    }

    async fn write_seed(&self, guest: Uuid, content: Vec<u8>) -> Result<(), Problem> {
        let path = self.seed(guest);
        blocking(move || {
            durable::write_whole(&path, &content).map_err(|error| {
                Problem::internal("the configuration disk cannot be written")
                    .cause(&error)
                    .hint("Look at the free space of the state folder.")
            })
        })
        .await
    }

    async fn remove_seed(&self, guest: Uuid) -> Result<(), Problem> {
        let path = self.seed(guest);
        blocking(move || {
            durable::remove(&path).map_err(|error| {
                Problem::internal("the configuration disk cannot be removed").cause(&error)
            })
        })
        .await
    }
}

fn attach(device: VolumeDevice, volume: &VolumeUse) -> Result<BlockNumber, Problem> {
    let path = match device {
        VolumeDevice::Block(node) => return number(node.major, node.minor),
        VolumeDevice::File(path) => path,
    };
    let access = if volume.read_only { Access::ReadOnly } else { Access::ReadWrite };
    let tag = tag(volume.guest);
    let found = find(&path)?;
    if let Some(ours) = found.iter().find(|device| device.tag.as_deref() == Some(tag.as_str())) {
        if ours.access == access {
            return number(ours.node.major, ours.node.minor);
        }
        loopdev::detach(ours).map_err(|error| failed("a device of it cannot be closed", &error))?;
    }
    // Somebody else's, such as an operator's who looks into the image.
    let stranger = found.iter().find(|device| device.tag.as_deref() != Some(tag.as_str()));
    if let Some(stranger) = stranger.filter(|other| !(volume.read_only && is_read_only(other))) {
        return Err(Problem::failed_precondition(
            "DISK_IN_USE",
            format!("{} is open as {}", path.display(), stranger.node.path.display()),
        )
        .object(path.display().to_string())
        .hint(format!("Let go of it: losetup -d {}", stranger.node.path.display())));
    }
    let device = loopdev::attach(&path, access, &tag)
        .map_err(|error| failed("it cannot be made a block device", &error))?;
    number(device.node.major, device.node.minor)
}

/// A back end closes a device soon after its nodes have gone: that is waited
/// for, so that the next start of the guest finds no device that is about to go.
fn detach(path: &Path, guest: Uuid) -> Result<(), Problem> {
    let tag = tag(guest);
    let until = Instant::now() + CLOSES;
    loop {
        let mut open = None;
        for device in find(path)?.iter().filter(|one| one.tag.as_deref() == Some(tag.as_str())) {
            let detached = loopdev::detach(device)
                .map_err(|error| failed("its block device cannot be closed", &error))?;
            if detached == Detached::WhenClosed {
                open = Some(device.node.path.clone());
            }
        }
        let Some(open) = open else { return Ok(()) };
        if Instant::now() > until {
            // Nothing is to hold up the end of a guest. It goes with its last user.
            tracing::warn!(device = %open.display(), volume = %path.display(), "is still open");
            return Ok(());
        }
        std::thread::sleep(LOOK);
    }
}

fn find(path: &Path) -> Result<Vec<LoopDevice>, Problem> {
    loopdev::find(path).map_err(|error| failed("its users cannot be found", &error))
}

fn is_read_only(device: &LoopDevice) -> bool {
    device.access == Access::ReadOnly
}

fn tag(guest: Uuid) -> String {
    guest.simple().to_string()
}

fn number(major: u64, minor: u64) -> Result<BlockNumber, Problem> {
    let number = |value: u64| {
        u32::try_from(value).map_err(|_| Problem::internal("a block device has no usable number"))
    };
    Ok(BlockNumber { major: number(major)?, minor: number(minor)? })
}

fn failed(what: &str, error: &loopdev::LoopError) -> Problem {
    Problem::internal(format!("a volume cannot be used: {what}"))
        .cause(error)
        .hint("Load the module loop (modprobe loop), and look at the kernel's log.")
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Problem::internal("the work on a volume was given up").cause(&error))?
}

//! The volumes behind guests' disks: made in the pools, and served to the back
//! end as block devices.
//!
//! A volume that is a file gets a loop device, tagged with the guest, so that a
//! daemon that starts finds what an earlier one attached. Who has a volume is
//! kept here: one guest that writes it, or several that read it.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use xlfs_xen::loopdev::{self, Access, Detached, LoopDevice};

use super::{BlockNumber, Disks, VolumePlan, VolumeUse};
use crate::image::ImageStore;
use crate::problem::Problem;
use crate::storage::{Pool, Pools, VolumeDevice, Watch};

/// How long a back end may take to close a device, and how often that is looked
/// at: the kernel sends no word of it.
const CLOSES: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(10);

/// The real one.
#[derive(Debug)]
pub struct PoolDisks {
    pools: Pools,
    images: ImageStore,
    /// Who has which volume.
    users: Mutex<HashMap<Uuid, Vec<User>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct User {
    guest: Uuid,
    read_only: bool,
}

impl PoolDisks {
    pub fn new(pools: Pools, images: ImageStore) -> Self {
        Self { pools, images, users: Mutex::default() }
    }

    /// Notes that a guest has a volume, or says who is in the way.
    fn claim(&self, volume: &VolumeUse) -> Result<(), Problem> {
        let mut users = self.users.lock();
        let users = users.entry(volume.uuid).or_default();
        let user = User { guest: volume.guest, read_only: volume.read_only };
        users.retain(|other| other.guest != user.guest);
        if let Some(other) = users.iter().find(|other| !(other.read_only && user.read_only)) {
            return Err(Problem::failed_precondition(
                "DISK_IN_USE",
                format!("the volume {} is in use by the guest {}", volume.uuid, other.guest),
            )
            .object(format!("volume {}", volume.uuid))
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
        let pool = self.pools.get(&volume.pool)?;
        self.claim(&volume)?;
        let (uuid, guest) = (volume.uuid, volume.guest);
        let attached = blocking(move || attach(&*pool, &volume)).await;
        if attached.is_err() {
            self.release(uuid, guest);
        }
        attached
    }

    async fn detach(&self, volume: VolumeUse) -> Result<(), Problem> {
        let pool = self.pools.get(&volume.pool)?;
        let (uuid, guest) = (volume.uuid, volume.guest);
        blocking(move || detach(&*pool, &volume)).await?;
        self.release(uuid, guest);
        Ok(())
    }
}

fn attach(pool: &dyn Pool, volume: &VolumeUse) -> Result<BlockNumber, Problem> {
    let path = match pool.device(volume.uuid)? {
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
            format!("the volume {} is open as {}", volume.uuid, stranger.node.path.display()),
        )
        .object(format!("volume {}", volume.uuid))
        .hint(format!("Let go of it: losetup -d {}", stranger.node.path.display())));
    }
    let device = loopdev::attach(&path, access, &tag)
        .map_err(|error| failed("it cannot be made a block device", &error))?;
    number(device.node.major, device.node.minor)
}

/// A back end closes a device soon after its nodes have gone: that is waited
/// for, so that the next start of the guest finds no device that is about to go.
fn detach(pool: &dyn Pool, volume: &VolumeUse) -> Result<(), Problem> {
    let path = match pool.device(volume.uuid) {
        Ok(VolumeDevice::File(path)) => path,
        Ok(VolumeDevice::Block(_)) => return Ok(()),
        Err(problem) if problem.reason == "NO_SUCH_VOLUME" => return Ok(()),
        Err(problem) => return Err(problem),
    };
    let tag = tag(volume.guest);
    let until = Instant::now() + CLOSES;
    loop {
        let mut open = None;
        for device in find(&path)?.iter().filter(|one| one.tag.as_deref() == Some(tag.as_str())) {
            let detached = loopdev::detach(device)
                .map_err(|error| failed("its block device cannot be closed", &error))?;
            if detached == Detached::WhenClosed {
                open = Some(device.node.path.clone());
            }
        }
        let Some(open) = open else { return Ok(()) };
        if Instant::now() > until {
            // Nothing is to hold up the end of a guest. It goes with its last user.
            tracing::warn!(device = %open.display(), volume = %volume.uuid, "is still open");
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

//! The volumes behind guests' disks: made in the pools, and served to the back
//! end as block devices.
//!
//! A volume that is a file gets a loop device, tagged with the guest, so that a
//! daemon that starts finds what an earlier one attached. Records of volumes,
//! and who has them, are `storage`'s.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use xlfs_xen::loopdev::{self, Access, Detached, LoopDevice};

use super::{Activity, BlockNumber, DiskSource, DiskUse, Disks, VolumePlan};
use crate::domain::VolumeRecipe;
use crate::durable;
use crate::image::ImageStore;
use crate::problem::Problem;
use crate::seed::swap;
use crate::storage::{NewVolume, VolumeDevice, VolumeRecord, Volumes, Watch};

/// The reason of an error.
const NO_SEED: &str = "NO_SEED";
/// How long a back end may take to close a device, and how often that is looked
/// at: the kernel sends no word of it.
const CLOSES: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(10);

/// The real one.
#[derive(Debug)]
pub struct PoolDisks {
    volumes: Arc<Volumes>,
    images: ImageStore,
    /// The configuration disks.
    seeds: PathBuf,
}

impl PoolDisks {
    /// Configuration disks are kept below the state folder.
    pub fn open(
        volumes: Arc<Volumes>,
        images: ImageStore,
        state_dir: &Path,
    ) -> Result<Self, Problem> {
        let seeds = state_dir.join("seeds");
        durable::make_private_dir(&seeds).map_err(|error| {
            Problem::internal("configuration disks cannot be kept").cause(&error)
        })?;
        Ok(Self { volumes, images, seeds })
    }

    fn seed(&self, guest: Uuid) -> PathBuf {
        self.seeds.join(format!("{guest}.img"))
    }

    /// A back end closes a device of a pool soon after its nodes have gone: as
    /// with a loop device ([`detach`]), that is waited for, so that nobody else
    /// gets the volume meanwhile.
    async fn await_closed(&self, disk: &DiskUse) -> Result<(), Problem> {
        let DiskSource::Volume(uuid) = disk.source else { return Ok(()) };
        let volumes = self.volumes.clone();
        blocking(move || {
            let until = Instant::now() + CLOSES;
            while volumes.is_open(uuid)? {
                if Instant::now() > until {
                    // Nothing is to hold up the end of a guest.
                    tracing::warn!(volume = %uuid, "is still open");
                    return Ok(());
                }
                std::thread::sleep(LOOK);
            }
            Ok(())
        })
        .await
    }

    /// What stands for a disk in Dom0.
    fn device(&self, disk: &DiskUse) -> Result<VolumeDevice, Problem> {
        match disk.source {
            DiskSource::Volume(uuid) => self.volumes.device(uuid),
            DiskSource::Seed => {
                let path = self.seed(disk.guest.uuid);
                path.exists().then_some(VolumeDevice::File(path)).ok_or_else(|| {
                    Problem::not_found(NO_SEED, "the guest's configuration disk is gone").hint(
                        "It was removed behind xlfsd's back. Delete the guest, and create it anew.",
                    )
                })
            }
        }
    }
}

#[async_trait]
impl Disks for PoolDisks {
    async fn make(&self, plan: VolumePlan, cancel: CancellationToken) -> Result<(), Problem> {
        let VolumePlan { guest, recipe, keep } = plan;
        if self.volumes.get(recipe.uuid).is_ok() {
            return Ok(());
        }
        let image = match recipe.image.filter(|_| recipe.copy_of.is_none()) {
            Some(digest) => Some((digest, self.images.open(&digest)?)),
            None => None,
        };
        let VolumeRecipe { uuid, name, pool, size, swap, copy_of, .. } = recipe;
        let new = NewVolume { uuid, name, pool, size, owner: Some(guest), kept: keep };
        let volumes = self.volumes.clone();
        blocking(move || {
            let stop = || cancel.is_cancelled();
            let watch = Watch::new(&stop, &|_| {});
            let image = image.as_ref().map(|(digest, file)| (*digest, file));
            let made = match copy_of {
                Some(from) => volumes.duplicate(from, new, watch)?,
                None => volumes.create(new, image, watch)?,
            };
            if swap { label_swap(&volumes, uuid, made.size) } else { Ok(()) }
        })
        .await
    }

    async fn remove(&self, volume: Uuid, guest: Uuid) -> Result<(), Problem> {
        let volumes = self.volumes.clone();
        blocking(move || volumes.remove(volume, guest).map(drop)).await
    }

    async fn keep(&self, volume: Uuid) -> Result<(), Problem> {
        self.volumes.change(volume, None, Some(None), Some(true)).map(drop)
    }

    fn default_pool(&self) -> Result<String, Problem> {
        self.volumes.pools().default_name().map(str::to_owned)
    }

    fn check(&self, pool: &str) -> Result<(), Problem> {
        self.volumes.pools().get(pool).map(drop)
    }

    async fn attach(&self, disk: DiskUse) -> Result<BlockNumber, Problem> {
        let device = self.device(&disk)?;
        let claimed = match disk.source {
            DiskSource::Volume(uuid) if self.volumes.claim(uuid, &disk.guest, disk.access)? => {
                Some((uuid, disk.guest.uuid))
            }
            _ => None,
        };
        let attached = blocking(move || attach(device, &disk)).await;
        if let (Err(_), Some((uuid, guest))) = (&attached, claimed) {
            self.volumes.release(uuid, guest);
        }
        attached
    }

    async fn detach(&self, disk: DiskUse) -> Result<(), Problem> {
        let guest = disk.guest.uuid;
        match self.device(&disk) {
            Ok(VolumeDevice::File(path)) => blocking(move || detach(&path, guest)).await?,
            Ok(VolumeDevice::Block(_)) => self.await_closed(&disk).await?,
            Err(problem) if ["NO_SUCH_VOLUME", NO_SEED].contains(&problem.reason) => {}
            Err(problem) => return Err(problem),
        }
        if let DiskSource::Volume(uuid) = disk.source {
            self.volumes.release(uuid, guest);
        }
        Ok(())
    }

    async fn rename(&self, volume: Uuid, name: String, keep: bool) -> Result<(), Problem> {
        let volumes = self.volumes.clone();
        blocking(move || volumes.change(volume, Some(name), None, Some(keep)).map(drop)).await
    }

    fn volume(&self, reference: &str) -> Result<VolumeRecord, Problem> {
        self.volumes.resolve(reference)
    }

    fn check_shared(&self, volume: Uuid, guest: Uuid, access: Access) -> Result<(), Problem> {
        self.volumes.check_shared(volume, guest, access)
    }

    async fn activity(&self, block: BlockNumber) -> Result<Activity, Problem> {
        blocking(move || {
            Activity::of(block).map_err(|error| {
                Problem::internal("it cannot be seen what a disk does").cause(&error)
            })
        })
        .await
    }

    async fn read_seed(&self, guest: Uuid) -> Result<Option<Vec<u8>>, Problem> {
        let path = self.seed(guest);
        blocking(move || match std::fs::read(&path) {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                Err(Problem::internal("the configuration disk cannot be read").cause(&error))
            }
        })
        .await
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

fn attach(device: VolumeDevice, disk: &DiskUse) -> Result<BlockNumber, Problem> {
    let path = match device {
        VolumeDevice::Block(node) => return number(node.major, node.minor),
        VolumeDevice::File(path) => path,
    };
    let access = disk.access;
    let tag = tag(disk.guest.uuid);
    let ours = |device: &&LoopDevice| device.tag.as_deref() == Some(tag.as_str());
    let found = find(&path)?;
    if let Some(ours) = found.iter().find(ours) {
        if ours.access == access {
            return number(ours.node.major, ours.node.minor);
        }
        loopdev::detach(ours).map_err(|error| failed("a device of it cannot be closed", &error))?;
    }
    // Somebody else's: an operator's who looks into the image, or another
    // guest's that only reads, as this one does.
    let harmless =
        |other: &LoopDevice| access == Access::ReadOnly && other.access == Access::ReadOnly;
    if let Some(other) = found.iter().find(|other| !ours(other) && !harmless(other)) {
        let node = other.node.path.display();
        return Err(Problem::failed_precondition(
            "DISK_IN_USE",
            format!("{} is open as {node}", path.display()),
        )
        .object(path.display().to_string())
        .hint(format!("Let go of it: losetup -d {node}")));
    }
    let device = loopdev::attach(&path, access, &tag)
        .map_err(|error| failed("it cannot be made a block device", &error))?;
    number(device.node.major, device.node.minor)
}

/// Makes a volume of zeros one that a guest can swap to.
fn label_swap(volumes: &Volumes, uuid: Uuid, size: u64) -> Result<(), Problem> {
    let path = match volumes.device(uuid)? {
        VolumeDevice::File(path) => path,
        VolumeDevice::Block(node) => node.path,
    };
    let header = swap::header(size, uuid)
        .ok_or_else(|| Problem::internal(format!("{size} bytes are too few for swap")))?;
    let file = OpenOptions::new().write(true).open(&path);
    let written = file.and_then(|file| {
        file.write_all_at(&header, 0)?;
        file.sync_all()
    });
    written.map_err(|error| {
        Problem::internal("a swap volume cannot be labelled")
            .cause(&error)
            .hint("Look at the disk below the pool and at the kernel's log.")
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventBus, EventLimits, Numbering};
    use crate::image::ImageLimits;
    use crate::storage::{PoolConfig, Pools};

    fn disks(state: &Path) -> PoolDisks {
        let events = EventBus::new(Numbering::starting_at(0), EventLimits::default());
        let images = ImageStore::open_dir(state, ImageLimits::default(), events.clone()).unwrap();
        let pools = Pools::open(&PoolConfig::default_pools(state), &events);
        let volumes = Arc::new(Volumes::open(state, pools, &events).unwrap());
        PoolDisks::open(volumes, images, state).unwrap()
    }

    fn plan(name: &str, swap: bool) -> VolumePlan {
        let recipe = VolumeRecipe {
            uuid: Uuid::new_v4(),
            name: name.into(),
            pool: "default".into(),
            size: 1 << 20,
            image: None,
            swap,
            copy_of: None,
        };
        VolumePlan { guest: Uuid::from_u128(1), recipe, keep: false }
    }

    #[tokio::test]
    async fn a_swap_volume_is_labelled_and_another_is_zeros() {
        let state = tempfile::tempdir().unwrap();
        let disks = disks(state.path());
        for (name, swap) in [("web-xvdb", true), ("web-xvdc", false)] {
            let plan = plan(name, swap);
            let uuid = plan.recipe.uuid;
            disks.make(plan.clone(), CancellationToken::new()).await.unwrap();
            let path = state.path().join(format!("volumes/{uuid}.img"));
            let content = std::fs::read(&path).unwrap();
            assert_eq!(content.len(), 1 << 20);
            assert_eq!(&content[4086..4096] == b"SWAPSPACE2", swap, "{name}");
            assert!(content[4096..].iter().all(|byte| *byte == 0));
            // Once more, as a step is after a crash.
            disks.make(plan, CancellationToken::new()).await.unwrap();
            disks.remove(uuid, Uuid::from_u128(1)).await.unwrap();
            disks.remove(uuid, Uuid::from_u128(1)).await.unwrap();
            assert!(!path.exists());
        }
    }

    #[tokio::test]
    async fn a_name_is_one_volumes() {
        let state = tempfile::tempdir().unwrap();
        let disks = disks(state.path());
        let first = plan("web-xvda", false);
        disks.make(first, CancellationToken::new()).await.unwrap();
        let again = disks.make(plan("web-xvda", false), CancellationToken::new()).await;
        assert_eq!(again.unwrap_err().reason, "VOLUME_NAME_TAKEN");
        assert_eq!(disks.default_pool().unwrap(), "default");
    }

    #[tokio::test]
    async fn a_configuration_disk_is_for_root_alone() {
        use std::os::unix::fs::PermissionsExt;
        let state = tempfile::tempdir().unwrap();
        let disks = disks(state.path());
        let guest = Uuid::from_u128(7);
        disks.write_seed(guest, b"secret".to_vec()).await.unwrap();
        let path = state.path().join(format!("seeds/{guest}.img"));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        disks.remove_seed(guest).await.unwrap();
        disks.remove_seed(guest).await.unwrap();
        assert!(!path.exists());
    }
}

//! What a guest has beside memory and vCPUs, as its record says.

mod change;
mod disk;
mod nic;
mod request;
mod snapshot;

pub(super) use nic::{MOST as MOST_NICS, nics};
pub(super) use request::disks;
pub(super) use snapshot::check_name as check_snapshot_name;

pub use change::DeviceKey;
pub(super) use change::{Device, DeviceChange};
pub use disk::{DiskName, DiskRecord, NotADiskName, VolumeRecipe};
pub use nic::NicRecord;
pub(super) use snapshot::{RestoredDisk, SnapshotDisk, SnapshotRecord};

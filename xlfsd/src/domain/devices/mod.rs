//! What a guest has beside memory and vCPUs, as its record says.

mod disk;
mod nic;
mod request;

pub(super) use nic::nics;
pub(super) use request::disks;

pub use disk::{DiskName, DiskRecord, NotADiskName, VolumeRecipe};
pub use nic::NicRecord;

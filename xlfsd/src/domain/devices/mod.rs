//! What a guest has beside memory and vCPUs, as its record says.

mod disk;
mod request;

pub(super) use request::disks;

pub use disk::{DiskName, DiskRecord, NotADiskName, VolumeRecipe};

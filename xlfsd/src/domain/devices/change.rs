//! A device that comes to a guest or goes from it, as the record has it while
//! that lasts.

use serde::{Deserialize, Serialize};

use super::{DiskName, DiskRecord, NicRecord};

/// One of a guest's devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    Disk(DiskRecord),
    Nic(NicRecord),
}

impl Device {
    /// `disk xvdb`, `interface eth1`.
    pub fn title(&self) -> String {
        match self {
            Self::Disk(disk) => format!("disk {}", disk.name),
            Self::Nic(nic) => format!("interface eth{}", nic.index),
        }
    }

    pub(in crate::domain) fn key(&self) -> DeviceKey {
        match self {
            Self::Disk(disk) => DeviceKey::Disk(disk.name),
            Self::Nic(nic) => DeviceKey::Nic(nic.index),
        }
    }
}

/// What names a device of a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKey {
    Disk(DiskName),
    /// N of ethN.
    Nic(u8),
}

/// A device on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceChange {
    pub device: Device,
    /// The disk's volume was made for it, or is to go with it.
    #[serde(default)]
    pub remove_volume: bool,
}

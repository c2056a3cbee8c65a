//! What callers ask for, free of any transport.

use std::collections::HashMap;
use std::time::Duration;

use xlfs_proto::v1::{DomainState, HealthState};

use super::devices::{DiskName, VolumeRecipe};
use crate::image::Digest;
use crate::network::{Mac, Rate};
use crate::seed::Settings;
use crate::template::EndPolicy;
use crate::value::InterfaceAddress;

/// A new guest.
#[derive(Debug, Clone, Default)]
pub struct CreateRequest {
    pub name: String,
    pub template: String,
    pub parameters: HashMap<String, String>,
    pub memory_mib: Option<u64>,
    pub vcpus: Option<u32>,
    /// Changes to the template's policy.
    pub policy: PolicyChange,
    /// Beside the template's, or instead of one with the same name.
    pub disks: Vec<DiskRequest>,
    /// None given: as many as the template says.
    pub nics: Vec<NicRequest>,
    /// For its configuration disk.
    pub configuration: Settings,
    pub start: bool,
    pub paused: bool,
    pub dry_run: bool,
    /// It is to be as another guest: devices are those that are named here and
    /// no more, and the images are these instead of the template's.
    pub like: Option<Images>,
}

/// What a guest boots.
#[derive(Debug, Clone, Copy)]
pub struct Images {
    pub kernel: Digest,
    pub ramdisk: Option<Digest>,
}

/// A copy of a guest.
#[derive(Debug, Clone, Default)]
pub struct CloneRequest {
    /// The guest that is copied.
    pub source: String,
    pub name: String,
    /// Instead of the other guest's.
    pub parameters: HashMap<String, String>,
    pub memory_mib: Option<u64>,
    pub vcpus: Option<u32>,
    /// None given: as the other guest's, with new MAC addresses.
    pub nics: Vec<NicRequest>,
    /// What is given is instead of what the other guest was told.
    pub configuration: Settings,
    pub start: bool,
    pub dry_run: bool,
}

/// A disk for a new guest.
#[derive(Debug, Clone, Default)]
pub struct DiskRequest {
    /// The next free one if unset.
    pub name: Option<DiskName>,
    /// Bytes.
    pub size: Option<u64>,
    /// Alias or digest.
    pub image: Option<String>,
    pub pool: Option<String>,
    pub read_only: bool,
    pub keep: bool,
    /// A template's swap volume, which the guest finds by its label.
    pub swap: bool,
    /// A volume that is there already, by name or UUID.
    pub volume: Option<String>,
    /// A disk of another guest that this one is to begin as.
    pub copy_of: Option<VolumeRecipe>,
}

/// A network interface for a new guest.
#[derive(Debug, Clone, Default)]
pub struct NicRequest {
    /// As the template says, or the host's first, if unset.
    pub network: Option<String>,
    /// One is made if unset.
    pub mac: Option<Mac>,
    /// By DHCP if there are none.
    pub addresses: Vec<InterfaceAddress>,
    pub rate: Option<Rate>,
    pub anti_spoofing: bool,
}

/// The parts of a policy that differ from the template's.
#[derive(Debug, Clone, Copy, Default)]
pub struct PolicyChange {
    pub on_poweroff: Option<crate::template::EndAction>,
    pub on_reboot: Option<crate::template::EndAction>,
    pub on_crash: Option<crate::template::EndAction>,
}

impl PolicyChange {
    pub fn apply(self, mut policy: EndPolicy) -> EndPolicy {
        policy.on_poweroff = self.on_poweroff.unwrap_or(policy.on_poweroff);
        policy.on_reboot = self.on_reboot.unwrap_or(policy.on_reboot);
        policy.on_crash = self.on_crash.unwrap_or(policy.on_crash);
        policy
    }
}

/// Until when to wait for a guest.
#[derive(Debug, Clone, Default)]
pub struct WaitRequest {
    pub name: String,
    /// Any of these ends the wait.
    pub states: Vec<DomainState>,
    pub timeout: Option<Duration>,
    /// So does this text on the console of its present domain.
    pub console_contains: Vec<u8>,
    /// So does any of these.
    pub health: Vec<HealthState>,
}

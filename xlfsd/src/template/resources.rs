//! Memory and vCPUs of a guest.

use serde::Deserialize;

use crate::size::ByteSize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ResourcesManifest {
    memory: ByteSize,
    memory_min: ByteSize,
    vcpus: u32,
    vcpus_max: u32,
}

impl Default for ResourcesManifest {
    fn default() -> Self {
        let memory = ByteSize::mib(256);
        Self { memory, memory_min: ByteSize::mib(16), vcpus: 1, vcpus_max: MAX_VCPUS }
    }
}

/// What a PV guest can have at most without extras (XEN_LEGACY_MAX_VCPUS, xen.h).
pub(super) const MAX_VCPUS: u32 = 32;

/// What a guest gets unless its user says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resources {
    pub memory_mib: u64,
    /// Less is refused.
    pub memory_min_mib: u64,
    pub vcpus: u32,
    /// More are refused.
    pub vcpus_max: u32,
}

impl ResourcesManifest {
    pub(super) fn check(&self) -> Result<Resources, String> {
        let Self { memory, memory_min, vcpus, vcpus_max } = *self;
        for (key, size) in [("memory", memory), ("memory_min", memory_min)] {
            if size.as_mib() == 0 || !size.0.is_multiple_of(ByteSize::mib(1).0) {
                return Err(format!(
                    "resources.{key} must be a number of whole MiB, such as \"128M\""
                ));
            }
        }
        if memory < memory_min {
            return Err("resources.memory is less than resources.memory_min".into());
        }
        if vcpus == 0 || vcpus > vcpus_max || vcpus_max > MAX_VCPUS {
            return Err(format!(
                "resources.vcpus must be 1 to vcpus_max, and that at most {MAX_VCPUS}"
            ));
        }
        let (memory_mib, memory_min_mib) = (memory.as_mib(), memory_min.as_mib());
        Ok(Resources { memory_mib, memory_min_mib, vcpus, vcpus_max })
    }
}

//! The features a kernel supports or requires (public/features.h).

use serde::{Deserialize, Serialize};

use super::error::Error;
use super::text::clean;

/// A feature flag; its discriminant is its bit (`XENFEAT_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Feature {
    /// Page tables need no write protection.
    WritablePageTables = 0,
    /// Descriptor tables need no write protection.
    WritableDescriptorTables = 1,
    /// Xen translates between the guest's and the machine's frames.
    AutoTranslatedPhysmap = 2,
    /// The kernel runs in ring 0.
    SupervisorModeKernel = 3,
    /// Page directories may be above 4 GiB.
    PaePgdirAbove4gb = 4,
    /// MMU_PT_UPDATE_PRESERVE_AD.
    MmuPtUpdatePreserveAd = 5,
    /// MMU_CLEAR_PAGE and MMU_COPY_PAGE.
    HighmemAssist = 6,
    /// Guest bits in the page tables of grant mappings.
    GnttabMapAvailBits = 7,
    /// Event delivery by an interrupt vector.
    HvmCallbackVector = 8,
    /// The PV clock is safe for HVM guests.
    HvmSafePvclock = 9,
    /// Interrupts over event channels for HVM guests.
    HvmPirqs = 10,
    /// Can be Dom0.
    Dom0 = 11,
    /// Grants are also mapped at their machine frame (deprecated).
    GrantMapIdentity = 12,
    /// XENMEMF_vnode is understood.
    MemoryOpVnodeSupported = 13,
    /// SMCCC calls (Arm).
    ArmSmcccSupported = 14,
    /// The ACPI RSDP may be anywhere (PVH).
    LinuxRsdpUnrestricted = 15,
    /// Guest frames are not machine frames.
    NotDirectMapped = 16,
    /// Guest frames are machine frames.
    DirectMapped = 17,
}

impl Feature {
    /// Every feature, in the order of the bits.
    pub const ALL: [(Self, &'static str); 18] = [
        (Self::WritablePageTables, "writable_page_tables"),
        (Self::WritableDescriptorTables, "writable_descriptor_tables"),
        (Self::AutoTranslatedPhysmap, "auto_translated_physmap"),
        (Self::SupervisorModeKernel, "supervisor_mode_kernel"),
        (Self::PaePgdirAbove4gb, "pae_pgdir_above_4gb"),
        (Self::MmuPtUpdatePreserveAd, "mmu_pt_update_preserve_ad"),
        (Self::HighmemAssist, "highmem_assist"),
        (Self::GnttabMapAvailBits, "gnttab_map_avail_bits"),
        (Self::HvmCallbackVector, "hvm_callback_vector"),
        (Self::HvmSafePvclock, "hvm_safe_pvclock"),
        (Self::HvmPirqs, "hvm_pirqs"),
        (Self::Dom0, "dom0"),
        (Self::GrantMapIdentity, "grant_map_identity"),
        (Self::MemoryOpVnodeSupported, "memory_op_vnode_supported"),
        (Self::ArmSmcccSupported, "ARM_SMCCC_supported"),
        (Self::LinuxRsdpUnrestricted, "linux_rsdp_unrestricted"),
        (Self::NotDirectMapped, "not_direct_mapped"),
        (Self::DirectMapped, "direct_mapped"),
    ];

    /// The feature of that name, as features.h writes it without `XENFEAT_`.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, n)| *n == name).map(|(feature, _)| *feature)
    }
}

/// A set of features: one word as XENVER_get_features returns it (submap 0).
#[derive(Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FeatureSet(u32);

impl FeatureSet {
    /// The set with these bits. Bits without a name are kept.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The set as bits.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Adds a feature.
    pub fn insert(&mut self, feature: Feature) {
        self.0 |= 1 << (feature as u8);
    }

    /// Adds all features of `other`.
    pub fn extend(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Whether `feature` is in the set.
    pub const fn contains(self, feature: Feature) -> bool {
        self.0 & (1 << (feature as u8)) != 0
    }

    /// What is in this set but not in `other`: for required features, what a
    /// hypervisor lacks.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The names of the known features in the set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Feature::ALL.into_iter().filter(move |(f, _)| self.contains(*f)).map(|(_, name)| name)
    }
}

impl std::fmt::Debug for FeatureSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#x} ", self.0)?;
        f.debug_set().entries(self.names()).finish()
    }
}

/// Reads a FEATURES string: names separated by `|`, a required one with `!`
/// before it. Returns (supported, required). An unknown name is skipped, since
/// it only offers something; an unknown requirement is an error.
pub(super) fn parse(text: &[u8]) -> Result<(FeatureSet, FeatureSet), Error> {
    let (mut supported, mut required) = (FeatureSet::default(), FeatureSet::default());
    for item in text.split(|b| *b == b'|') {
        let (name, must) = match item.strip_prefix(b"!") {
            Some(name) => (name, true),
            None => (item, false),
        };
        let known = std::str::from_utf8(name).ok().and_then(Feature::by_name);
        match known {
            Some(feature) => {
                supported.insert(feature);
                if must {
                    required.insert(feature);
                }
            }
            None if must => return Err(Error::UnknownFeature { name: clean(name) }),
            None => {}
        }
    }
    Ok((supported, required))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bit_is_the_position_in_the_table() {
        for (bit, (feature, name)) in Feature::ALL.into_iter().enumerate() {
            assert_eq!(feature as usize, bit, "{name}");
            assert_eq!(Feature::by_name(name), Some(feature));
        }
    }

    #[test]
    fn linux_string() {
        let (supported, required) =
            parse(b"!writable_page_tables|pae_pgdir_above_4gb|a_new_one||").unwrap();
        assert_eq!(supported.bits(), 0b10001);
        assert_eq!(required.bits(), 1);
        assert_eq!(required.without(FeatureSet::from_bits(0)).bits(), 1);
        assert!(required.without(supported).is_empty());
        assert_eq!(format!("{required:?}"), r#"0x1 {"writable_page_tables"}"#);
    }

    #[test]
    fn unknown_requirement_is_an_error() {
        assert_eq!(
            parse(b"dom0|!time_\x07travel"),
            Err(Error::UnknownFeature { name: "time_?travel".into() })
        );
        assert_eq!(parse(b"!"), Err(Error::UnknownFeature { name: String::new() }));
    }
}

//! The numbers and layouts of 21 Xen releases, 4.2 to 4.22.
//!
//! Xen's tools interface (domctl, sysctl) changes with every release, and the
//! interface number alone does not tell the layout: 4.6 and 4.7 share domctl
//! 11 and differ in sysctl. So the release comes first: [`Abi::for_release`]
//! takes what `XENVER_version` said and resolves every struct that this crate
//! encodes or decodes ([`layouts`]) to byte offsets, once.
//!
//! The offsets come from data in `abi/*.json` beside this crate's sources,
//! which was read off the debug information of each release's public headers
//! (x86_64, the tools' view). Nothing here is guessed from a neighbour release.

mod data;
mod field;
pub mod layouts;
pub mod numbers;

pub use data::{AbiData, all_releases};
pub use field::{Field, LayoutError, Scalar};
pub use layouts::Layouts;

/// Everything that depends on the hypervisor's release.
#[derive(Debug, Clone)]
pub struct Abi {
    /// The release whose data this is, such as "4.17.7".
    pub release: String,
    /// `XEN_DOMCTL_INTERFACE_VERSION` of that release.
    pub domctl_version: u32,
    /// `XEN_SYSCTL_INTERFACE_VERSION` of that release.
    pub sysctl_version: u32,
    /// Where each member of each struct stands.
    pub layouts: Layouts,
}

/// Why no ABI could be chosen.
#[derive(Debug, thiserror::Error)]
pub enum AbiError {
    /// The hypervisor is older or newer than the data.
    #[error(
        "Xen {major}.{minor} is not supported: this build knows Xen {oldest} to {newest} \
         (domctl interface {newest_domctl}, sysctl interface {newest_sysctl} at most)"
    )]
    UnknownRelease {
        /// As `XENVER_version` said.
        major: u32,
        /// As `XENVER_version` said.
        minor: u32,
        /// The oldest release with data.
        oldest: String,
        /// The newest release with data.
        newest: String,
        /// Its domctl interface version.
        newest_domctl: u32,
        /// Its sysctl interface version.
        newest_sysctl: u32,
    },
    /// The data lacks something that every release should have.
    #[error("the ABI data for Xen {release} is incomplete")]
    Incomplete {
        /// The release with the fault.
        release: String,
        /// What is missing.
        #[source]
        source: LayoutError,
    },
}

impl Abi {
    /// The ABI of the release `major.minor`; the patch level never changes it.
    ///
    /// # Errors
    /// [`AbiError::UnknownRelease`] when there is no data for it.
    pub fn for_release(major: u32, minor: u32) -> Result<Self, AbiError> {
        let mut newest: Option<AbiData> = None;
        let mut oldest: Option<String> = None;
        for data in all_releases() {
            if data.release() == Some((major, minor)) {
                return Self::from_data(&data);
            }
            oldest.get_or_insert_with(|| data.version.clone());
            newest = Some(data);
        }
        let constant = |name| newest.as_ref().and_then(|d| d.constant(name)).unwrap_or(0);
        Err(AbiError::UnknownRelease {
            major,
            minor,
            oldest: oldest.unwrap_or_default(),
            newest_domctl: constant("XEN_DOMCTL_INTERFACE_VERSION") as u32,
            newest_sysctl: constant("XEN_SYSCTL_INTERFACE_VERSION") as u32,
            newest: newest.map(|d| d.version).unwrap_or_default(),
        })
    }

    /// Resolves the layouts of one release.
    ///
    /// # Errors
    /// [`AbiError::Incomplete`] when a struct or a member is missing or has an
    /// unexpected size.
    pub fn from_data(data: &AbiData) -> Result<Self, AbiError> {
        let incomplete = |source| AbiError::Incomplete { release: data.version.clone(), source };
        let version = |name: &'static str| {
            data.constant(name)
                .map(|v| v as u32)
                .ok_or_else(|| incomplete(LayoutError::NoConstant { name }))
        };
        Ok(Self {
            release: data.version.clone(),
            domctl_version: version("XEN_DOMCTL_INTERFACE_VERSION")?,
            sysctl_version: version("XEN_SYSCTL_INTERFACE_VERSION")?,
            layouts: Layouts::resolve(data).map_err(incomplete)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_release_resolves_and_the_numbers_are_those_of_the_headers() {
        let expected = [
            ("4.2.5", 8, 9),
            ("4.3.4", 9, 10),
            ("4.4.4", 9, 10),
            ("4.5.5", 10, 11),
            ("4.6.6", 11, 12),
            ("4.7.6", 11, 13),
            ("4.8.5", 12, 14),
            ("4.9.4", 13, 15),
            ("4.10.4", 15, 16),
            ("4.11.4", 16, 17),
            ("4.12.4", 17, 18),
            ("4.13.5", 18, 18),
            ("4.14.6", 18, 19),
            ("4.15.7", 19, 19),
            ("4.16.7", 20, 20),
            ("4.17.7", 21, 21),
            ("4.18.6", 22, 21),
            ("4.19.6", 23, 21),
            ("4.20.4", 23, 21),
            ("4.21.2", 23, 22),
            ("4.22.0", 24, 22),
        ];
        let found: Vec<_> = all_releases()
            .map(|d| Abi::from_data(&d).unwrap())
            .map(|a| (a.release, a.domctl_version, a.sysctl_version))
            .collect();
        let found: Vec<_> = found.iter().map(|(r, d, s)| (r.as_str(), *d, *s)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn an_unknown_release_names_what_is_supported() {
        let error = Abi::for_release(4, 23).unwrap_err().to_string();
        assert!(error.contains("4.23") && error.contains("4.22.0") && error.contains("24"));
        assert!(Abi::for_release(4, 1).is_err());
        assert!(Abi::for_release(4, 2).is_ok());
    }
}

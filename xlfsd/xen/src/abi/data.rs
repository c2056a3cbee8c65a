//! The checked-in data: for each release its constants and struct layouts.

use std::collections::BTreeMap;

use serde::Deserialize;

/// One member: offset and size in bytes, and its type in C.
#[derive(Debug, Clone, Deserialize)]
pub struct Member(pub usize, pub usize, pub String);

/// One struct of the public headers.
#[derive(Debug, Clone, Deserialize)]
pub struct Struct {
    /// Its size in bytes.
    pub size: usize,
    /// By name; members of nested unions carry the path, such as `u.credit`.
    pub members: BTreeMap<String, Member>,
}

/// The data of one release.
#[derive(Debug, Clone, Deserialize)]
pub struct AbiData {
    /// Such as "4.17.7".
    pub version: String,
    constants: BTreeMap<String, i64>,
    structs: BTreeMap<String, Struct>,
}

impl AbiData {
    /// A constant of the public headers, by its name in C.
    #[must_use]
    pub fn constant(&self, name: &str) -> Option<i64> {
        self.constants.get(name).copied()
    }

    /// A struct of the public headers, by its name in C.
    #[must_use]
    pub fn layout(&self, name: &str) -> Option<&Struct> {
        self.structs.get(name)
    }

    /// Major and minor version.
    #[must_use]
    pub fn release(&self) -> Option<(u32, u32)> {
        let mut parts = self.version.split('.').map(|p| p.parse().ok());
        Some((parts.next()??, parts.next()??))
    }
}

macro_rules! releases {
    ($($version:literal)*) => {
        [$(include_str!(concat!("../../abi/xen-", $version, ".json"))),*]
    };
}

const RELEASES: [&str; 21] = releases! {
    "4.2.5" "4.3.4" "4.4.4" "4.5.5" "4.6.6" "4.7.6" "4.8.5" "4.9.4" "4.10.4" "4.11.4" "4.12.4"
    "4.13.5" "4.14.6" "4.15.7" "4.16.7" "4.17.7" "4.18.6" "4.19.6" "4.20.4" "4.21.2" "4.22.0"
};

/// The data of every release, oldest first. A file that does not parse is left
/// out; a test sees to it that none is.
pub fn all_releases() -> impl Iterator<Item = AbiData> {
    RELEASES.iter().filter_map(|text| serde_json::from_str(text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_parses() {
        assert_eq!(all_releases().count(), RELEASES.len());
    }
}

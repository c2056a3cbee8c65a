//! Settings of a link's IPv6, which stand in /proc/sys only.

use std::io;
use std::path::Path;

use super::error::LinkError;
use crate::network::LinkName;

/// Writes keys of `/proc/sys/net/ipv6/conf/<link>`. A kernel without IPv6 has
/// none of them, and needs none.
pub(super) fn ipv6(link: &LinkName, settings: &[(&str, &'static str)]) -> Result<(), LinkError> {
    let folder = format!("/proc/sys/net/ipv6/conf/{link}");
    if !Path::new(&folder).exists() {
        return Ok(());
    }
    for (key, value) in settings {
        let path = format!("{folder}/{key}");
        match std::fs::write(&path, value) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other.map_err(|source| LinkError::Sysctl { path, value, source })?,
        }
    }
    Ok(())
}

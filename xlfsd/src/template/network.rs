//! The network cards that a template gives its guests: `[network]`.

use serde::Deserialize;

use super::manifest::is_template_name;

/// Most cards of a guest.
const MAX_INTERFACES: u8 = 32;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NetworkManifest {
    #[serde(default)]
    networks: Vec<String>,
    interfaces: Option<u8>,
}

/// A guest's network cards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// The network that each card is on unless the user says otherwise; the
    /// cards beyond are on the host's networks in their order.
    pub networks: Vec<String>,
    /// Number of cards, at least 1.
    pub interfaces: u8,
}

impl NetworkManifest {
    /// An error is a sentence that begins with the key.
    pub(super) fn check(self) -> Result<Network, String> {
        let Self { networks, interfaces } = self;
        let named = u8::try_from(networks.len()).unwrap_or(u8::MAX);
        let interfaces = interfaces.unwrap_or(named.max(1));
        if !(1..=MAX_INTERFACES).contains(&interfaces) {
            return Err(format!("interfaces must be 1 to {MAX_INTERFACES}"));
        }
        if named > interfaces {
            return Err(format!("networks names {named}, and there are {interfaces} interfaces"));
        }
        match networks.iter().find(|name| !is_template_name(name)) {
            Some(name) => Err(format!(
                "networks: {name:?} is no network's name: lower-case letters, digits, inner dashes"
            )),
            None => Ok(Network { networks, interfaces }),
        }
    }
}

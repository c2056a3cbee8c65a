//! What must hold of a seed as a whole, beyond what its values' types say:
//! nothing twice, and a gateway that its interface can reach.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::IpAddr;

use super::{Addressing, Interface, MAX_CONTENT, Seed};
use crate::value::{InterfaceAddress, ServerAddress};

/// Most interfaces of a guest.
const MAX_INTERFACES: usize = 32;

/// Most steps: the disk's root folder has room for 512 entries, and a long name
/// takes seven.
pub const MAX_STEPS: usize = 64;

/// Why no disk can be made of a seed.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    #[error("{count} interfaces are too many, at most {MAX_INTERFACES} are possible")]
    TooManyInterfaces { count: usize },
    #[error("two interfaces have the same {what}, {value}")]
    Twice { what: &'static str, value: String },
    #[error("eth{index} is to have static addresses, but none is given")]
    NoAddress { index: u8 },
    #[error("two gateways are given for {family}, {first} and {second}; a guest has one")]
    TwoGateways { family: &'static str, first: ServerAddress, second: ServerAddress },
    #[error("the gateway {gateway} is an address of the guest itself")]
    OwnGateway { gateway: ServerAddress },
    #[error(
        "the gateway {gateway} is in no network of the guest's interfaces ({networks}); correct it or an address's prefix"
    )]
    UnreachableGateway { gateway: ServerAddress, networks: String },
    #[error("a login with a password is asked for, but no hash of root's password is given")]
    LoginWithoutPassword,
    #[error(
        "{name:?} cannot be a parameter's name: lower-case letters, digits, '_' and '-', beginning with a letter"
    )]
    ParameterName { name: String },
    #[error("the parameters {first} and {second} are the same variable XLFS_PARAM_{variable}")]
    SameVariable { first: String, second: String, variable: String },
    #[error("the value of the parameter {name} holds a NUL, which no shell can keep")]
    Nul { name: String },
    #[error(
        "two steps have the name {name} (FAT sees no difference between small letters and capitals)"
    )]
    SameStep { name: String },
    #[error("{count} first-boot steps are too many, at most {MAX_STEPS} are possible")]
    TooManySteps { count: usize },
    #[error("the configuration has {bytes} bytes, at most {MAX_CONTENT} are possible")]
    TooLarge { bytes: usize },
    #[error("cannot write the file {name} of the configuration disk")]
    Disk {
        name: String,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot write the file {name} of the configuration disk")]
    Yaml {
        name: &'static str,
        #[source]
        source: serde_json::Error,
    },
}

/// The gateways of each interface, by its index.
pub(super) type Routes = BTreeMap<u8, Vec<ServerAddress>>;

/// The name behind `XLFS_PARAM_` for a template's parameter, None if a parameter
/// cannot have this name.
pub fn variable(parameter: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-');
    let fits = (1..=63).contains(&parameter.len())
        && parameter.bytes().all(plain)
        && parameter.starts_with(|c: char| c.is_ascii_lowercase());
    fits.then(|| parameter.to_ascii_uppercase().replace('-', "_"))
}

impl Seed {
    pub(super) fn check(&self) -> Result<Routes, SeedError> {
        self.check_interfaces()?;
        self.check_parameters()?;
        if self.steps.len() > MAX_STEPS {
            return Err(SeedError::TooManySteps { count: self.steps.len() });
        }
        let mut steps = HashSet::new();
        for step in &self.steps {
            if !steps.insert(step.name().to_ascii_lowercase()) {
                return Err(SeedError::SameStep { name: step.name().to_owned() });
            }
        }
        if self.settings.password_login && self.settings.root_password.is_none() {
            return Err(SeedError::LoginWithoutPassword);
        }
        self.routes()
    }

    fn check_interfaces(&self) -> Result<(), SeedError> {
        if self.interfaces.len() > MAX_INTERFACES {
            return Err(SeedError::TooManyInterfaces { count: self.interfaces.len() });
        }
        let (mut names, mut macs, mut addresses) =
            (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for interface in &self.interfaces {
            if !names.insert(interface.index) {
                return Err(SeedError::Twice { what: "name", value: interface.name() });
            }
            if !macs.insert(interface.mac) {
                let value = interface.mac.to_string();
                return Err(SeedError::Twice { what: "MAC address", value });
            }
            if interface.addressing == Addressing::Static(Vec::new()) {
                return Err(SeedError::NoAddress { index: interface.index });
            }
            for address in interface.addresses() {
                if !addresses.insert(address.address()) {
                    let value = address.address().to_string();
                    return Err(SeedError::Twice { what: "address", value });
                }
            }
        }
        Ok(())
    }

    fn check_parameters(&self) -> Result<(), SeedError> {
        let mut variables: BTreeMap<String, &str> = BTreeMap::new();
        for (name, value) in &self.parameters {
            let Some(variable) = variable(name) else {
                return Err(SeedError::ParameterName { name: name.chars().take(80).collect() });
            };
            if value.contains('\0') {
                return Err(SeedError::Nul { name: name.clone() });
            }
            if let Some(first) = variables.insert(variable.clone(), name) {
                let (first, second) = (first.to_owned(), name.clone());
                return Err(SeedError::SameVariable { first, second, variable });
            }
        }
        Ok(())
    }

    fn routes(&self) -> Result<Routes, SeedError> {
        let mut routes = Routes::new();
        let mut taken: BTreeMap<bool, ServerAddress> = BTreeMap::new();
        for &gateway in &self.settings.gateways {
            let v6 = gateway.address().is_ipv6();
            let family = if v6 { "IPv6" } else { "IPv4" };
            if let Some(first) = taken.insert(v6, gateway) {
                return Err(SeedError::TwoGateways { family, first, second: gateway });
            }
            let own = |address: &InterfaceAddress| address.address() == gateway.address();
            if self.interfaces.iter().any(|interface| interface.addresses().iter().any(own)) {
                return Err(SeedError::OwnGateway { gateway });
            }
            let way = self.interfaces.iter().find(|interface| reaches(interface, gateway));
            let index = way.map(|interface| interface.index).ok_or_else(|| self.no_way(gateway))?;
            routes.entry(index).or_default().push(gateway);
        }
        Ok(routes)
    }

    fn no_way(&self, gateway: ServerAddress) -> SeedError {
        let networks: Vec<String> = self
            .interfaces
            .iter()
            .flat_map(Interface::addresses)
            .map(InterfaceAddress::to_string)
            .collect();
        let networks = if networks.is_empty() { "none".to_owned() } else { networks.join(", ") };
        SeedError::UnreachableGateway { gateway, networks }
    }
}

/// A link-local gateway is on every link that has IPv6; the first is meant.
fn reaches(interface: &Interface, gateway: ServerAddress) -> bool {
    let link_local =
        matches!(gateway.address(), IpAddr::V6(address) if address.is_unicast_link_local());
    interface.addresses().iter().any(|address| {
        address.reaches(gateway.address()) || (link_local && address.address().is_ipv6())
    })
}

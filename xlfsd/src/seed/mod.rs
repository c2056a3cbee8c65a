//! The configuration disk: how a guest learns its name, its addresses, its
//! keys and its template's parameters, without anybody mounting its root disk.
//!
//! [`Seed`] is what a guest is to know; [`Seed::image`] makes of it the bytes of
//! a small FAT volume labelled CIDATA, the same bytes for the same seed. The
//! volume is read by two kinds of guests:
//!
//! - those with cloud-init find its NoCloud files `meta-data`, `user-data` and
//!   `network-config` (`cloud_init`, written by `yaml`);
//! - those with vm-templates/first-boot find the same in `xlfs.conf`, lines
//!   that a shell reads (`conf`), and the template's steps as `step-NAME`.
//!
//! `check` holds a seed as a whole against nonsense; single values are good by
//! their types (`crate::value`). `disk` is the file system, `swap` the first
//! page of a swap volume that such a guest finds by its label, `read` the way back.
//!
//! The disk holds secrets. It belongs into a file that root alone can read
//! (`durable::write_whole` makes such), attached read-only.

mod check;
mod cloud_init;
mod conf;
mod disk;
mod read;
mod step;
pub mod swap;
mod yaml;

use std::collections::BTreeMap;
use std::fmt;

use uuid::Uuid;

use crate::network::Mac;
use crate::value::{
    DomainName, InterfaceAddress, Locale, NtpServer, PasswordHash, ServerAddress, SshPublicKey,
    TimeZone,
};

pub use check::{MAX_STEPS, SeedError, variable};
pub use disk::{LABEL, MAX_CONTENT};
pub use read::{ReadError, Told};
pub use step::{MAX_STEP, Step, StepError};

/// What a guest is to know about itself.
#[derive(Clone)]
pub struct Seed {
    /// The guest's uuid: a guest that sees a new one is a new guest.
    pub instance: Uuid,
    /// The full name; host name and domain come of it.
    pub fqdn: DomainName,
    pub interfaces: Vec<Interface>,
    pub settings: Settings,
    /// The template's own parameters that have a value, any text without NUL.
    pub parameters: BTreeMap<String, String>,
    /// What the template runs in a new guest, in this order.
    pub steps: Vec<Step>,
}

/// What a user says of a guest beside its interfaces and its template's
/// parameters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// At most one of IPv4 and one of IPv6.
    pub gateways: Vec<ServerAddress>,
    /// In the order in which they are asked.
    pub name_servers: Vec<ServerAddress>,
    /// Empty: the domain of the full name, if it has one.
    pub search: Vec<DomainName>,
    pub ntp_servers: Vec<NtpServer>,
    /// None: what the image has.
    pub locale: Option<Locale>,
    /// None: what the image has.
    pub time_zone: Option<TimeZone>,
    /// Who may log in as root.
    pub ssh_keys: Vec<SshPublicKey>,
    /// Root's password; None: what the image has.
    pub root_password: Option<PasswordHash>,
    /// Whether SSH takes root's password; without it, keys only.
    pub password_login: bool,
}

/// One of the guest's network cards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// N of ethN.
    pub index: u8,
    /// By which the guest finds it.
    pub mac: Mac,
    pub addressing: Addressing,
}

/// Where an interface's addresses come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addressing {
    /// These, at least one.
    Static(Vec<InterfaceAddress>),
    /// DHCP for IPv4, router advertisements for IPv6.
    Dhcp,
    /// It is up and has no address.
    None,
}

impl Seed {
    /// A seed that says no more than who the guest is.
    pub fn new(instance: Uuid, fqdn: DomainName) -> Self {
        Self {
            instance,
            fqdn,
            interfaces: Vec::new(),
            settings: Settings::default(),
            parameters: BTreeMap::new(),
            steps: Vec::new(),
        }
    }

    /// The bytes of the disk: the same for the same seed, 1 MiB unless the
    /// content needs more.
    pub fn image(&self) -> Result<Vec<u8>, SeedError> {
        let routes = self.check()?;
        let conf = conf::write(self, &routes);
        let mut files = vec![
            ("meta-data".to_owned(), cloud_init::meta_data(self)?),
            ("user-data".to_owned(), cloud_init::user_data(self, &conf)?),
            ("network-config".to_owned(), cloud_init::network_config(self, &routes)?),
            ("xlfs.conf".to_owned(), conf),
        ];
        for step in &self.steps {
            files.push((format!("step-{}", step.name()), step.content().to_owned()));
        }
        disk::image(self.instance, &files)
    }

    fn search(&self) -> Vec<String> {
        match (self.settings.search.is_empty(), self.fqdn.domain()) {
            (true, Some(domain)) => vec![domain.to_owned()],
            _ => self.settings.search.iter().map(DomainName::to_string).collect(),
        }
    }
}

impl Interface {
    /// Its name in the guest.
    pub fn name(&self) -> String {
        format!("eth{}", self.index)
    }

    fn addresses(&self) -> &[InterfaceAddress] {
        match &self.addressing {
            Addressing::Static(addresses) => addresses,
            Addressing::Dhcp | Addressing::None => &[],
        }
    }
}

/// Secrets must not get into logs: parameters are named, without their values.
impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seed")
            .field("instance", &self.instance)
            .field("fqdn", &self.fqdn)
            .field("interfaces", &self.interfaces)
            .field("parameters", &self.parameters.keys())
            .field("steps", &self.steps)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

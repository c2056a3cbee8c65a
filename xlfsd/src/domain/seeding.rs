//! What a new guest is told about itself: the configuration disk's content, of
//! what its user asked for and of its template.

use super::devices::NicRecord;
use super::record::GuestRecord;
use super::request::GuestConfiguration;
use crate::problem::{FieldProblem, Problem};
use crate::seed::{Addressing, Interface, Seed, SeedError};
use crate::template::{ResolvedParams, Template};
use crate::value::BadValue;

/// Whether a guest gets a configuration disk: one without any disk, network or
/// step has nothing that could read it.
pub(super) fn wanted(
    template: &Template,
    record: &GuestRecord,
    asked: &GuestConfiguration,
) -> bool {
    !template.disks.is_empty()
        || !template.steps.is_empty()
        || !record.nics.is_empty()
        || !asked.is_empty()
}

/// The bytes of the disk. What contradicts itself is INVALID_ARGUMENT.
pub(super) fn content(
    template: &Template,
    record: &GuestRecord,
    asked: GuestConfiguration,
    parameters: &ResolvedParams,
) -> Result<Vec<u8>, Problem> {
    let bad = |error: BadValue| refused(record, "name", &error.to_string());
    let mut seed = Seed::new(record.uuid, record.name.parse().map_err(bad)?);
    seed.interfaces = record.nics.iter().map(interface).collect::<Result<_, _>>().map_err(bad)?;
    seed.gateways = asked.gateways;
    seed.name_servers = asked.name_servers;
    seed.search = asked.search;
    seed.ntp_servers = asked.ntp_servers;
    seed.locale = asked.locale;
    seed.time_zone = asked.time_zone;
    seed.ssh_keys = asked.ssh_keys;
    seed.root_password = asked.root_password;
    seed.password_login = asked.password_login;
    seed.parameters.clone_from(&parameters.values);
    seed.steps.clone_from(&template.steps);
    seed.image().map_err(|error| match error {
        SeedError::Disk { .. } | SeedError::Yaml { .. } => {
            Problem::internal("the configuration disk cannot be made").cause(&error)
        }
        error => refused(record, "configuration", &error.to_string()),
    })
}

fn interface(nic: &NicRecord) -> Result<Interface, BadValue> {
    let addressing = match nic.addresses.as_slice() {
        [] => Addressing::Dhcp,
        addresses => Addressing::Static(addresses.to_vec()),
    };
    Ok(Interface { index: nic.index, mac: nic.mac.to_string().parse()?, addressing })
}

fn refused(record: &GuestRecord, field: &str, why: &str) -> Problem {
    Problem::invalid("BAD_CONFIGURATION", why, vec![FieldProblem::new(field, why)])
        .object(record.title())
        .hint("What a guest can be told: xlfsctl create --help")
}

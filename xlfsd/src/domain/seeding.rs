//! What a new guest is told about itself: the configuration disk's content, of
//! what its user asked for and of its template.

use super::devices::NicRecord;
use super::record::GuestRecord;
use crate::problem::{FieldProblem, Problem};
use crate::seed::{Addressing, Interface, Seed, SeedError, Settings};
use crate::template::{ResolvedParams, Template};
use crate::value::BadValue;

/// Whether a guest gets a configuration disk: one without any disk, network or
/// step has nothing that could read it.
pub(super) fn wanted(template: &Template, record: &GuestRecord, asked: &Settings) -> bool {
    !template.disks.is_empty()
        || !template.steps.is_empty()
        || !record.nics.is_empty()
        || *asked != Settings::default()
}

/// The bytes of the disk. What contradicts itself is INVALID_ARGUMENT.
pub(super) fn content(
    template: &Template,
    record: &GuestRecord,
    asked: Settings,
    parameters: &ResolvedParams,
) -> Result<Vec<u8>, Problem> {
    let bad = |error: BadValue| refused(record, "name", &error.to_string());
    let mut seed = Seed::new(record.uuid, record.name.parse().map_err(bad)?);
    seed.interfaces = record.nics.iter().map(interface).collect();
    seed.settings = asked;
    seed.parameters.clone_from(&parameters.values);
    seed.steps.clone_from(&template.steps);
    seed.image().map_err(|error| match error {
        SeedError::Disk { .. } | SeedError::Yaml { .. } => {
            Problem::internal("the configuration disk cannot be made").cause(&error)
        }
        error => refused(record, "configuration", &error.to_string()),
    })
}

fn interface(nic: &NicRecord) -> Interface {
    let addressing = match nic.addresses.as_slice() {
        [] => Addressing::Dhcp,
        addresses => Addressing::Static(addresses.to_vec()),
    };
    Interface { index: nic.index, mac: nic.mac, addressing }
}

fn refused(record: &GuestRecord, field: &str, why: &str) -> Problem {
    Problem::invalid("BAD_CONFIGURATION", why, vec![FieldProblem::new(field, why)])
        .object(record.title())
        .hint("What a guest can be told: xlfsctl create --help")
}

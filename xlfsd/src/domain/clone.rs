//! A guest like another one, with copies of its disks.
//!
//! It is another guest: with a UUID, MAC addresses and a name of its own, and a
//! configuration disk that says so (what then happens in the guest is in
//! docs/templates.md). What it was told of itself is what the other one was
//! told, secrets too, except for what the request says.

use std::collections::HashMap;
use std::net::IpAddr;

use xlfs_proto::v1::Operation;

use super::approach::{Approached, Xen};
use super::lent::Lent;
use super::name;
use super::operations::{Accepted, Guests};
use super::record::GuestRecord;
use super::request::{CloneRequest, CreateRequest, DiskRequest, Images, NicRequest, PolicyChange};
use crate::problem::{FieldProblem, Problem};
use crate::seed::{Settings, Told, variable};
use crate::template::{GuestFacts, SECRET_MARKER, Template};

impl Guests {
    /// Makes a guest like a stopped or paused one.
    pub async fn clone_guest(&self, request: CloneRequest) -> Result<Accepted, Problem> {
        name::check(&request.name)?;
        let approached = self
            .approach(&request.source, Operation::Clone, "clone", (Xen::Needed, request.dry_run))
            .await?;
        let Approached { guest, turn, paused, .. } = approached;
        let record = guest.record();
        let template = self.shared.base.templates.get(&record.template)?;
        let told = match self.shared.disks.read_seed(record.uuid).await? {
            Some(content) if record.seed => Told::read(&content).map_err(|error| {
                Problem::internal("the guest's configuration disk cannot be read").cause(&error)
            })?,
            _ => Told::default(),
        };
        let nics = self.nics(&record, request.nics)?;
        let create = CreateRequest {
            name: request.name,
            template: record.template.clone(),
            parameters: parameters(&template, &record, &told, request.parameters),
            memory_mib: Some(request.memory_mib.unwrap_or(record.memory_mib)),
            vcpus: Some(request.vcpus.unwrap_or(record.vcpus)),
            policy: PolicyChange {
                on_poweroff: Some(record.policy.on_poweroff),
                on_reboot: Some(record.policy.on_reboot),
                on_crash: Some(record.policy.on_crash),
            },
            disks: disks(&record),
            configuration: settings(told.settings, request.configuration, &nics),
            nics,
            start: request.start,
            paused: false,
            dry_run: request.dry_run,
            like: Some(Images { kernel: record.kernel, ramdisk: record.ramdisk }),
        };
        let source = turn.map(|turn| Lent::new(guest, turn));
        self.create_from(create, source, paused).await
    }

    /// The interfaces that were asked for, or those of the other guest. Two
    /// guests cannot have one address.
    fn nics(
        &self,
        record: &GuestRecord,
        asked: Vec<NicRequest>,
    ) -> Result<Vec<NicRequest>, Problem> {
        if asked.is_empty() {
            if let Some(nic) = record.nics.iter().find(|nic| !nic.addresses.is_empty()) {
                let addresses: Vec<_> = nic.addresses.iter().map(ToString::to_string).collect();
                return Err(Problem::failed_precondition(
                    "ADDRESSES_NEEDED",
                    format!(
                        "eth{} of the guest {} has the address {}, which no other guest can have",
                        nic.index,
                        record.name,
                        addresses.join(" and ")
                    ),
                )
                .object(record.title())
                .hint("Give the clone addresses of its own: --ip; for DHCP: --network."));
            }
            let like = record.nics.iter().map(|nic| NicRequest {
                network: Some(nic.network.clone()),
                rate: nic.rate,
                anti_spoofing: nic.anti_spoofing,
                ..NicRequest::default()
            });
            return Ok(like.collect());
        }
        let taken = self.addresses();
        let mut nics = Vec::new();
        for (index, nic) in asked.into_iter().enumerate() {
            for address in &nic.addresses {
                if let Some(holder) = taken.get(&address.address()) {
                    let text = format!("{address} is an address of the guest {holder}");
                    let field = vec![FieldProblem::new("nics", &text)];
                    return Err(Problem::invalid("ADDRESS_IN_USE", text, field)
                        .object(record.title())
                        .hint("Give the clone addresses that no guest has."));
                }
            }
            let network = nic.network.clone();
            let like = record.nics.get(index).map(|nic| nic.network.clone());
            nics.push(NicRequest { network: network.or(like), ..nic });
        }
        Ok(nics)
    }

    /// All static addresses, and whose they are.
    fn addresses(&self) -> HashMap<IpAddr, String> {
        let mut all = HashMap::new();
        for record in self.shared.table.all().iter().map(|guest| guest.record()) {
            for address in record.nics.iter().flat_map(|nic| &nic.addresses) {
                all.insert(address.address(), record.name.clone());
            }
        }
        all
    }
}

/// Copies of what the guest writes and of what goes with it. What others have
/// too, and all only read, is shared; swap is made anew.
fn disks(record: &GuestRecord) -> Vec<DiskRequest> {
    let disk = |disk: &super::DiskRecord| {
        let known = DiskRequest {
            name: Some(disk.name),
            read_only: disk.read_only,
            keep: disk.keep && !disk.adopted,
            ..DiskRequest::default()
        };
        if disk.adopted && disk.read_only {
            return DiskRequest { volume: Some(disk.volume.uuid.to_string()), ..known };
        }
        DiskRequest {
            size: Some(disk.volume.size),
            pool: Some(disk.volume.pool.clone()),
            swap: disk.volume.swap,
            copy_of: (!disk.volume.swap).then(|| disk.volume.clone()),
            ..known
        }
    };
    record.disks.iter().map(disk).collect()
}

/// The other guest's parameters. One that is as its template says for that guest
/// is left to what the template says for this one: a host name follows the name.
fn parameters(
    template: &Template,
    record: &GuestRecord,
    told: &Told,
    asked: HashMap<String, String>,
) -> HashMap<String, String> {
    let facts = GuestFacts { name: &record.name, uuid: record.uuid };
    let mut parameters = HashMap::new();
    for (name, value) in &record.parameters {
        if !template.parameters.contains_key(name) {
            continue;
        }
        if value == SECRET_MARKER {
            let secret = variable(name).and_then(|variable| told.parameters.get(&variable));
            parameters.extend(secret.map(|secret| (name.clone(), secret.clone())));
        } else if template.default_of(name, &facts).as_ref() != Some(value) {
            parameters.insert(name.clone(), value.clone());
        }
    }
    parameters.extend(asked);
    parameters
}

/// What the other guest was told, where nothing else is asked for.
fn settings(told: Settings, asked: Settings, nics: &[NicRequest]) -> Settings {
    fn or<T>(asked: Vec<T>, told: Vec<T>) -> Vec<T> {
        if asked.is_empty() { told } else { asked }
    }
    // A gateway goes with an address.
    let has_address = nics.iter().any(|nic| !nic.addresses.is_empty());
    let gateways = if has_address { told.gateways } else { Vec::new() };
    let password_login = match asked.root_password {
        Some(_) => asked.password_login,
        None => told.password_login,
    };
    Settings {
        gateways: or(asked.gateways, gateways),
        name_servers: or(asked.name_servers, told.name_servers),
        search: or(asked.search, told.search),
        ntp_servers: or(asked.ntp_servers, told.ntp_servers),
        locale: asked.locale.or(told.locale),
        time_zone: asked.time_zone.or(told.time_zone),
        ssh_keys: or(asked.ssh_keys, told.ssh_keys),
        root_password: asked.root_password.or(told.root_password),
        password_login,
    }
}

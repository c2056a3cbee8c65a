//! `DomainService`: from messages to the guests' operations and back.

use std::str::FromStr;
use std::time::Duration;

use tonic::{Request, Response, Status};
use xlfs_proto::v1::domain_service_server::DomainService;
use xlfs_proto::v1::{
    self as pb, AttachDiskRequest, AttachNicRequest, CreateDomainRequest, DeleteDomainRequest,
    DestroyDomainRequest, DetachDiskRequest, DetachNicRequest, Domain, DomainState, EndAction,
    GetDomainRequest, HealthState, ListDomainsRequest, ListDomainsResponse, OperationReply,
    PauseDomainRequest, RebootDomainRequest, ShutdownDomainRequest, StartDomainRequest,
    UnpauseDomainRequest, WaitDomainRequest,
};

use crate::domain::{
    Accepted, CloneRequest, CreateRequest, DetachRequest, DeviceKey, DiskName, DiskRequest, Guests,
    LETS_GO, NicRequest, PolicyChange, SHUTDOWN, WaitRequest,
};
use crate::problem::Problem;
use crate::seed::Settings;
use crate::template;

/// The longest time that a caller may ask for: a week.
const MAX_TIMEOUT: Duration = Duration::from_secs(7 * 24 * 3600);

/// The service.
#[derive(Debug)]
pub(super) struct Domains {
    guests: Guests,
}

impl Domains {
    pub(super) fn new(guests: Guests) -> Self {
        Self { guests }
    }
}

pub(super) fn reply(accepted: Accepted, dry_run: bool) -> Response<OperationReply> {
    let changed = accepted.task.is_some() || (dry_run && !accepted.plan.is_empty());
    Response::new(OperationReply {
        task: accepted.task,
        plan: accepted.plan.into_iter().map(Into::into).collect(),
        changed,
        summary: accepted.summary,
        generated: accepted.generated.into_iter().collect(),
    })
}

pub(super) fn timeout(given: Option<prost_types::Duration>) -> Result<Option<Duration>, Problem> {
    let Some(given) = given else { return Ok(None) };
    match Duration::try_from(given) {
        Ok(timeout) if timeout <= MAX_TIMEOUT => Ok(Some(timeout)),
        _ => Err(Problem::invalid_field("BAD_TIMEOUT", "timeout", "must be from 0 to a week")),
    }
}

fn action(number: i32) -> Result<Option<template::EndAction>, Problem> {
    match EndAction::try_from(number) {
        Ok(EndAction::Unspecified) => Ok(None),
        Ok(EndAction::Destroy) => Ok(Some(template::EndAction::Destroy)),
        Ok(EndAction::Restart) => Ok(Some(template::EndAction::Restart)),
        Ok(EndAction::Preserve) => Ok(Some(template::EndAction::Preserve)),
        Err(_) => Err(Problem::invalid_field(
            "BAD_POLICY",
            "end_policy",
            "must be destroy, restart or preserve",
        )),
    }
}

/// What is empty or 0 is not asked for.
fn disk(disk: pb::DiskRequest) -> Result<DiskRequest, Problem> {
    let filled = |text: String| (!text.is_empty()).then_some(text);
    let name = filled(disk.name).map(|name| disk_name("disks.name", &name)).transpose()?;
    Ok(DiskRequest {
        name,
        size: (disk.size_bytes > 0).then_some(disk.size_bytes),
        image: filled(disk.image),
        pool: filled(disk.pool),
        read_only: disk.read_only,
        keep: disk.keep,
        swap: false,
        volume: filled(disk.volume),
        copy_of: None,
    })
}

fn disk_name(field: &str, name: &str) -> Result<DiskName, Problem> {
    name.parse::<DiskName>().map_err(|error| {
        Problem::invalid_field("BAD_DISK_NAME", field, &error.to_string())
            .hint("Disks are named as the guest's kernel names them.")
    })
}

/// A value of its type, or which field is wrong and why.
fn value<T: FromStr>(field: &str, text: &str) -> Result<T, Problem>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| {
        Problem::invalid_field("BAD_VALUE", field, &error.to_string())
            .hint("What a guest can be given: xlfsctl create --help")
    })
}

fn optional<T: FromStr>(field: &str, text: &str) -> Result<Option<T>, Problem>
where
    T::Err: std::fmt::Display,
{
    (!text.is_empty()).then(|| value(field, text)).transpose()
}

fn list<T: FromStr>(field: &str, texts: &[String]) -> Result<Vec<T>, Problem>
where
    T::Err: std::fmt::Display,
{
    texts.iter().map(|text| value(field, text)).collect()
}

fn nic(nic: pb::NicRequest) -> Result<NicRequest, Problem> {
    Ok(NicRequest {
        network: (!nic.network.is_empty()).then_some(nic.network),
        mac: optional("nics.mac", &nic.mac)?,
        addresses: list("nics.addresses", &nic.addresses)?,
        rate: optional("nics.rate", &nic.rate)?,
        anti_spoofing: nic.anti_spoofing,
    })
}

fn settings(asked: pb::GuestConfiguration) -> Result<Settings, Problem> {
    Ok(Settings {
        gateways: list("configuration.gateways", &asked.gateways)?,
        name_servers: list("configuration.name_servers", &asked.name_servers)?,
        search: list("configuration.search", &asked.search)?,
        ntp_servers: list("configuration.ntp_servers", &asked.ntp_servers)?,
        locale: optional("configuration.locale", &asked.locale)?,
        time_zone: optional("configuration.time_zone", &asked.time_zone)?,
        ssh_keys: list("configuration.ssh_keys", &asked.ssh_keys)?,
        root_password: optional("configuration.root_password_hash", &asked.root_password_hash)?,
        password_login: asked.password_login,
    })
}

#[tonic::async_trait]
impl DomainService for Domains {
    async fn list_domains(
        &self,
        _: Request<ListDomainsRequest>,
    ) -> Result<Response<ListDomainsResponse>, Status> {
        let listing = self.guests.list().await;
        let problem = listing.problem.map(|problem| format!("{problem:#}"));
        Ok(Response::new(ListDomainsResponse {
            domains: listing.domains,
            hypervisor_problem: problem.unwrap_or_default(),
        }))
    }

    async fn get_domain(
        &self,
        request: Request<GetDomainRequest>,
    ) -> Result<Response<Domain>, Status> {
        Ok(Response::new(self.guests.show(&request.get_ref().name).await?))
    }

    async fn create_domain(
        &self,
        request: Request<CreateDomainRequest>,
    ) -> Result<Response<OperationReply>, Status> {
        let request = request.into_inner();
        let policy = request.end_policy.unwrap_or_default();
        let policy = PolicyChange {
            on_poweroff: action(policy.on_poweroff)?,
            on_reboot: action(policy.on_reboot)?,
            on_crash: action(policy.on_crash)?,
        };
        let dry_run = request.dry_run;
        let create = CreateRequest {
            name: request.name,
            template: request.template,
            parameters: request.parameters,
            memory_mib: request.memory_mib,
            vcpus: request.vcpus,
            policy,
            disks: request.disks.into_iter().map(disk).collect::<Result<_, _>>()?,
            nics: request.nics.into_iter().map(nic).collect::<Result<_, _>>()?,
            configuration: settings(request.configuration.unwrap_or_default())?,
            start: !request.no_start,
            paused: request.paused,
            dry_run,
            like: None,
        };
        Ok(reply(self.guests.create(create).await?, dry_run))
    }

    async fn start_domain(
        &self,
        request: Request<StartDomainRequest>,
    ) -> Result<Response<OperationReply>, Status> {
        let StartDomainRequest { name, paused, dry_run } = request.into_inner();
        Ok(reply(self.guests.start(&name, paused, dry_run).await?, dry_run))
    }

    async fn shutdown_domain(
        &self,
        request: Request<ShutdownDomainRequest>,
    ) -> Result<Response<OperationReply>, Status> {
        let request = request.into_inner();
        let time = timeout(request.timeout)?.unwrap_or(SHUTDOWN);
        let dry_run = request.dry_run;
        let accepted = self.guests.shutdown(&request.name, time, request.force, dry_run).await?;
        Ok(reply(accepted, dry_run))
    }

    async fn reboot_domain(
        &self,
        request: Request<RebootDomainRequest>,
    ) -> Result<Response<OperationReply>, Status> {
        let request = request.into_inner();
        let time = timeout(request.timeout)?.unwrap_or(SHUTDOWN);
        let accepted = self.guests.reboot(&request.name, time, request.dry_run).await?;
        Ok(reply(accepted, request.dry_run))
    }

    async fn pause_domain(
        &self,
        request: Request<PauseDomainRequest>,
    ) -> Result<Response<OperationReply>, Status> {
        let PauseDomainRequest { name, dry_run } = request.into_inner();
        Ok(reply(self.guests.pause(&name, dry_run).await?, dry_run))
    }

    async fn unpause_domain(
        &self,
        request: Request<UnpauseDomainRequest>,
    ) -> Result<Response<OperationReply>, Status> {
        let UnpauseDomainRequest { name, dry_run } = request.into_inner();
        Ok(reply(self.guests.unpause(&name, dry_run).await?, dry_run))
    }

    async fn destroy_domain(
        &self,
        request: Request<DestroyDomainRequest>,
    ) -> Result<Response<OperationReply>, Status> {
        let DestroyDomainRequest { name, dry_run } = request.into_inner();
        Ok(reply(self.guests.destroy(&name, dry_run).await?, dry_run))
    }

    async fn delete_domain(
        &self,
        request: Request<DeleteDomainRequest>,
    ) -> Result<Response<OperationReply>, Status> {
        let DeleteDomainRequest { name, force, dry_run } = request.into_inner();
        Ok(reply(self.guests.delete(&name, force, dry_run).await?, dry_run))
    }

    async fn attach_disk(
        &self,
        request: Request<AttachDiskRequest>,
    ) -> Result<Response<OperationReply>, Status> {
        let AttachDiskRequest { name, disk: asked, dry_run } = request.into_inner();
        let asked = disk(asked.unwrap_or_default())?;
        Ok(reply(self.guests.attach_disk(&name, asked, dry_run).await?, dry_run))
    }

    async fn detach_disk(
        &self,
        request: Request<DetachDiskRequest>,
    ) -> Result<Response<OperationReply>, Status> {
        let DetachDiskRequest { name, disk, remove_volume, force, timeout: given, dry_run } =
            request.into_inner();
        let asked = DetachRequest {
            key: DeviceKey::Disk(disk_name("disk", &disk)?),
            remove_volume,
            force,
            timeout: timeout(given)?.unwrap_or(LETS_GO),
        };
        Ok(reply(self.guests.detach(&name, asked, dry_run).await?, dry_run))
    }

    async fn attach_nic(
        &self,
        request: Request<AttachNicRequest>,
    ) -> Result<Response<OperationReply>, Status> {
        let AttachNicRequest { name, nic: asked, dry_run } = request.into_inner();
        let asked = nic(asked.unwrap_or_default())?;
        Ok(reply(self.guests.attach_nic(&name, asked, dry_run).await?, dry_run))
    }

    async fn detach_nic(
        &self,
        request: Request<DetachNicRequest>,
    ) -> Result<Response<OperationReply>, Status> {
        let DetachNicRequest { name, index, force, timeout: given, dry_run } = request.into_inner();
        let index = u8::try_from(index).map_err(|_| {
            Problem::invalid_field("BAD_INTERFACE", "index", "a guest has at most 16 interfaces")
        })?;
        let asked = DetachRequest {
            key: DeviceKey::Nic(index),
            remove_volume: false,
            force,
            timeout: timeout(given)?.unwrap_or(LETS_GO),
        };
        Ok(reply(self.guests.detach(&name, asked, dry_run).await?, dry_run))
    }

    async fn create_snapshot(
        &self,
        request: Request<pb::CreateSnapshotRequest>,
    ) -> Result<Response<OperationReply>, Status> {
        let pb::CreateSnapshotRequest { name, snapshot, dry_run } = request.into_inner();
        let snapshot = (!snapshot.is_empty()).then_some(snapshot);
        Ok(reply(self.guests.snapshot(&name, snapshot, dry_run).await?, dry_run))
    }

    async fn restore_snapshot(
        &self,
        request: Request<pb::RestoreSnapshotRequest>,
    ) -> Result<Response<OperationReply>, Status> {
        let pb::RestoreSnapshotRequest { name, snapshot, dry_run } = request.into_inner();
        Ok(reply(self.guests.restore(&name, &snapshot, dry_run).await?, dry_run))
    }

    async fn delete_snapshot(
        &self,
        request: Request<pb::DeleteSnapshotRequest>,
    ) -> Result<Response<OperationReply>, Status> {
        let pb::DeleteSnapshotRequest { name, snapshot, dry_run } = request.into_inner();
        Ok(reply(self.guests.delete_snapshot(&name, &snapshot, dry_run).await?, dry_run))
    }

    async fn clone_domain(
        &self,
        request: Request<pb::CloneDomainRequest>,
    ) -> Result<Response<OperationReply>, Status> {
        let request = request.into_inner();
        let dry_run = request.dry_run;
        let clone = CloneRequest {
            source: request.name,
            name: request.new_name,
            parameters: request.parameters,
            memory_mib: request.memory_mib,
            vcpus: request.vcpus,
            nics: request.nics.into_iter().map(nic).collect::<Result<_, _>>()?,
            configuration: settings(request.configuration.unwrap_or_default())?,
            start: request.start,
            dry_run,
        };
        Ok(reply(self.guests.clone_guest(clone).await?, dry_run))
    }

    async fn wait_domain(
        &self,
        request: Request<WaitDomainRequest>,
    ) -> Result<Response<Domain>, Status> {
        let request = request.into_inner();
        let states: Vec<DomainState> = request.states().collect();
        let health: Vec<HealthState> = request.health().collect();
        if states.is_empty() && health.is_empty() && request.console_contains.is_empty() {
            let problem = Problem::invalid_field(
                "NOTHING_TO_WAIT_FOR",
                "states",
                "name a state, a health or a text on the console",
            );
            return Err(problem.into());
        }
        let wait = WaitRequest {
            states,
            health,
            timeout: timeout(request.timeout)?,
            console_contains: request.console_contains.into_bytes(),
            name: request.name,
        };
        Ok(Response::new(self.guests.wait(wait).await?))
    }
}

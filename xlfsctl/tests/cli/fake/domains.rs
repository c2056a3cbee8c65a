//! Guests of the fake daemon.

use std::collections::HashMap;

use prost_types::{Duration, Timestamp};
use tonic::{Request, Response, Status, async_trait};
use xlfs_proto::v1::domain_service_server::DomainService;
use xlfs_proto::v1::{
    self, ConsoleStats, CreateDomainRequest, DeleteDomainRequest, DestroyDomainRequest, Domain,
    DomainState, EndAction, EndPolicy, GetDomainRequest, Health, HealthCheck, HealthCheckStatus,
    HealthKind, HealthState, ListDomainsRequest, ListDomainsResponse, Operation, OperationReply,
    OperationStatus, PauseDomainRequest, RebootDomainRequest, ShutdownDomainRequest,
    StartDomainRequest, UnpauseDomainRequest, WaitDomainRequest,
};

use super::{Stage, not_found};

/// 2026-11-22 05:18:00 UTC.
pub(crate) const MOMENT: Timestamp = Timestamp { seconds: 1_795_324_680, nanos: 0 };

/// A guest with every field filled.
pub(crate) fn domain(name: &str, state: DomainState) -> Domain {
    let runs = matches!(state, DomainState::Running | DomainState::Paused);
    let allowed = |operation: Operation, allowed: bool, reason: &str| OperationStatus {
        operation: operation.into(),
        allowed,
        reason: reason.to_owned(),
    };
    Domain {
        name: name.to_owned(),
        uuid: "6f1c1f0e-0a4e-4f0c-9c55-9a2d3c1e7b42".to_owned(),
        managed: true,
        state: state.into(),
        domid: runs.then_some(5),
        template: "lapp".to_owned(),
        parameters: HashMap::from([("hostname".to_owned(), name.to_owned())]),
        memory_mib: 512,
        vcpus: 2,
        end_policy: Some(EndPolicy {
            on_poweroff: EndAction::Destroy.into(),
            on_reboot: EndAction::Restart.into(),
            on_crash: EndAction::Preserve.into(),
        }),
        kernel_digest: "ab".repeat(32),
        ramdisk_digest: "cd".repeat(32),
        wanted_running: runs,
        created: Some(MOMENT),
        started: runs.then_some(MOMENT),
        cpu_time: runs.then_some(Duration { seconds: 83, nanos: 500_000_000 }),
        last_end: "crash".to_owned(),
        last_end_time: Some(MOMENT),
        restarts: 1,
        operations: vec![
            allowed(Operation::Shutdown, runs, if runs { "" } else { "it does not run" }),
            allowed(Operation::Start, !runs, if runs { "it runs already" } else { "" }),
            allowed(Operation::Console, runs, if runs { "" } else { "it does not run" }),
        ],
        task_id: String::new(),
        disks: Vec::new(),
        nics: Vec::new(),
        health: None,
        snapshots: Vec::new(),
        problems: Vec::new(),
        console: Some(ConsoleStats {
            bytes: 48_213,
            dropped: 0,
            readers: 1,
            writer_attached: false,
            protocol_errors: 0,
        }),
    }
}

/// The health of a guest of which one service works.
pub(crate) fn ill() -> Health {
    let check = |kind: HealthKind, port, state: HealthState, error: &str| HealthCheckStatus {
        check: Some(HealthCheck { kind: kind.into(), port, ..HealthCheck::default() }),
        state: state.into(),
        error: error.to_owned(),
        asked: Some(MOMENT),
        took: Some(Duration { seconds: 0, nanos: 4_000_000 }),
        failures: if error.is_empty() { 0 } else { 3 },
        ..HealthCheckStatus::default()
    };
    Health {
        state: HealthState::Unhealthy.into(),
        since: Some(MOMENT),
        reason: "smtp port 25: it greets with \"554 \u{1b}[2Jno\"".to_owned(),
        checks: vec![
            check(HealthKind::Http, 80, HealthState::Healthy, ""),
            check(
                HealthKind::Smtp,
                25,
                HealthState::Unhealthy,
                "it greets with \"554 \u{1b}[2Jno\"",
            ),
        ],
    }
}

impl Stage {
    pub(super) fn change(
        &self,
        name: &str,
        request: &impl std::fmt::Debug,
    ) -> Result<Response<OperationReply>, Status> {
        self.heard(request);
        let nothing = OperationReply {
            summary: format!("guest \"{name}\" is so already"),
            ..OperationReply::default()
        };
        match self.world().replies.get(name) {
            Some(Ok(reply)) => Ok(Response::new(reply.clone())),
            Some(Err(status)) => Err(status.clone()),
            None => Ok(Response::new(nothing)),
        }
    }
}

#[async_trait]
impl DomainService for Stage {
    async fn list_domains(
        &self,
        _: Request<ListDomainsRequest>,
    ) -> Result<Response<ListDomainsResponse>, Status> {
        let world = self.world();
        Ok(Response::new(ListDomainsResponse {
            domains: world.domains.clone(),
            hypervisor_problem: world.hypervisor_problem.clone(),
        }))
    }

    async fn get_domain(
        &self,
        request: Request<GetDomainRequest>,
    ) -> Result<Response<Domain>, Status> {
        let name = request.into_inner().name;
        let found = self.world().domains.iter().find(|domain| domain.name == name).cloned();
        found.map(Response::new).ok_or_else(|| not_found("guest", &name))
    }

    async fn create_domain(
        &self,
        request: Request<CreateDomainRequest>,
    ) -> Result<Response<OperationReply>, Status> {
        let request = request.into_inner();
        self.change(&request.name, &request)
    }

    async fn start_domain(
        &self,
        request: Request<StartDomainRequest>,
    ) -> Result<Response<OperationReply>, Status> {
        let request = request.into_inner();
        self.change(&request.name, &request)
    }

    async fn shutdown_domain(
        &self,
        request: Request<ShutdownDomainRequest>,
    ) -> Result<Response<OperationReply>, Status> {
        let request = request.into_inner();
        self.change(&request.name, &request)
    }

    async fn reboot_domain(
        &self,
        request: Request<RebootDomainRequest>,
    ) -> Result<Response<OperationReply>, Status> {
        let request = request.into_inner();
        self.change(&request.name, &request)
    }

    async fn pause_domain(
        &self,
        request: Request<PauseDomainRequest>,
    ) -> Result<Response<OperationReply>, Status> {
        let request = request.into_inner();
        self.change(&request.name, &request)
    }

    async fn unpause_domain(
        &self,
        request: Request<UnpauseDomainRequest>,
    ) -> Result<Response<OperationReply>, Status> {
        let request = request.into_inner();
        self.change(&request.name, &request)
    }

    async fn destroy_domain(
        &self,
        request: Request<DestroyDomainRequest>,
    ) -> Result<Response<OperationReply>, Status> {
        let request = request.into_inner();
        self.change(&request.name, &request)
    }

    async fn delete_domain(
        &self,
        request: Request<DeleteDomainRequest>,
    ) -> Result<Response<OperationReply>, Status> {
        let request = request.into_inner();
        self.change(&request.name, &request)
    }

    async fn attach_disk(
        &self,
        request: Request<v1::AttachDiskRequest>,
    ) -> Result<Response<OperationReply>, Status> {
        let request = request.into_inner();
        self.change(&request.name, &request)
    }

    async fn detach_disk(
        &self,
        request: Request<v1::DetachDiskRequest>,
    ) -> Result<Response<OperationReply>, Status> {
        let request = request.into_inner();
        self.change(&request.name, &request)
    }

    async fn attach_nic(
        &self,
        request: Request<v1::AttachNicRequest>,
    ) -> Result<Response<OperationReply>, Status> {
        let request = request.into_inner();
        self.change(&request.name, &request)
    }

    async fn detach_nic(
        &self,
        request: Request<v1::DetachNicRequest>,
    ) -> Result<Response<OperationReply>, Status> {
        let request = request.into_inner();
        self.change(&request.name, &request)
    }

    async fn create_snapshot(
        &self,
        request: Request<v1::CreateSnapshotRequest>,
    ) -> Result<Response<OperationReply>, Status> {
        let request = request.into_inner();
        self.change(&request.name, &request)
    }

    async fn restore_snapshot(
        &self,
        request: Request<v1::RestoreSnapshotRequest>,
    ) -> Result<Response<OperationReply>, Status> {
        let request = request.into_inner();
        self.change(&request.name, &request)
    }

    async fn delete_snapshot(
        &self,
        request: Request<v1::DeleteSnapshotRequest>,
    ) -> Result<Response<OperationReply>, Status> {
        let request = request.into_inner();
        self.change(&request.name, &request)
    }

    async fn clone_domain(
        &self,
        request: Request<v1::CloneDomainRequest>,
    ) -> Result<Response<OperationReply>, Status> {
        let request = request.into_inner();
        self.change(&request.name, &request)
    }

    async fn wait_domain(
        &self,
        request: Request<WaitDomainRequest>,
    ) -> Result<Response<Domain>, Status> {
        let request = request.into_inner();
        self.heard(&request);
        let found = self.world().domains.iter().find(|domain| domain.name == request.name).cloned();
        let domain = found.ok_or_else(|| not_found("guest", &request.name))?;
        let health = domain.health.as_ref().map(|health| health.state);
        if request.states.contains(&domain.state)
            || health.is_some_and(|health| request.health.contains(&health))
        {
            return Ok(Response::new(domain));
        }
        Err(Status::deadline_exceeded("it did not get there in time"))
    }
}

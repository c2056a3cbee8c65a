//! `SlotService`: the root slots of the host, and its end.

use std::time::Duration;

use tonic::{Request, Response, Status};
use xlfs_proto::v1::slot_service_server::SlotService;
use xlfs_proto::v1::{
    ListSlotsRequest, ListSlotsResponse, OperationReply, RestartHostRequest, RollBackHostRequest,
    UpgradeHostRequest,
};

use super::domains::{reply, timeout};
use crate::domain::SHUTDOWN;
use crate::problem::Problem;
use crate::slots::{End, HostOperations, Restart};

#[derive(Debug)]
pub(super) struct SlotApi {
    pub(super) operations: HostOperations,
}

fn end(force: bool, given: Option<prost_types::Duration>) -> Result<End, Problem> {
    let timeout: Duration = timeout(given)?.unwrap_or(SHUTDOWN);
    Ok(End { timeout, force })
}

#[tonic::async_trait]
impl SlotService for SlotApi {
    async fn list_slots(
        &self,
        _: Request<ListSlotsRequest>,
    ) -> Result<Response<ListSlotsResponse>, Status> {
        Ok(Response::new(ListSlotsResponse { slots: self.operations.list().await? }))
    }

    async fn upgrade_host(
        &self,
        request: Request<UpgradeHostRequest>,
    ) -> Result<Response<OperationReply>, Status> {
        let UpgradeHostRequest { image, no_reboot, force, timeout, dry_run } = request.into_inner();
        let end = if no_reboot { None } else { Some(end(force, timeout)?) };
        Ok(reply(self.operations.upgrade(&image, end, dry_run).await?, dry_run))
    }

    async fn roll_back_host(
        &self,
        request: Request<RollBackHostRequest>,
    ) -> Result<Response<OperationReply>, Status> {
        let RollBackHostRequest { force, timeout, dry_run } = request.into_inner();
        let end = end(force, timeout)?;
        Ok(reply(self.operations.roll_back(end, dry_run).await?, dry_run))
    }

    async fn restart_host(
        &self,
        request: Request<RestartHostRequest>,
    ) -> Result<Response<OperationReply>, Status> {
        let RestartHostRequest { power_off, force, timeout, dry_run } = request.into_inner();
        let how = if power_off { Restart::PowerOff } else { Restart::Reboot };
        let end = end(force, timeout)?;
        Ok(reply(self.operations.restart(how, end, dry_run).await?, dry_run))
    }
}

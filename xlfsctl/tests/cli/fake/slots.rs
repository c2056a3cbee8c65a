//! The root slots of the host.

use tonic::{Request, Response, Status, async_trait};
use xlfs_proto::v1::slot_service_server::SlotService;
use xlfs_proto::v1::{
    ListSlotsRequest, ListSlotsResponse, OperationReply, RestartHostRequest, RollBackHostRequest,
    Slot, SlotState, UpgradeHostRequest,
};

use super::Stage;
use super::domains::MOMENT;

/// Slot `a`, which runs and is good.
pub(crate) fn running() -> Slot {
    Slot {
        name: "a".to_owned(),
        state: SlotState::Good.into(),
        running: true,
        good: true,
        next: true,
        digest: "0123456789abcdef".repeat(4),
        device: "/dev/sda3".to_owned(),
        size_bytes: 512 << 20,
        ..Slot::default()
    }
}

/// Slot `b`, whose trial failed.
pub(crate) fn failed() -> Slot {
    Slot {
        name: "b".to_owned(),
        state: SlotState::Failed.into(),
        image: "dom0-2".to_owned(),
        digest: "fedcba9876543210".repeat(4),
        written: Some(MOMENT),
        judged: Some(MOMENT),
        problem: "sshd does not answer".to_owned(),
        device: "/dev/sda4".to_owned(),
        size_bytes: 512 << 20,
        ..Slot::default()
    }
}

#[async_trait]
impl SlotService for Stage {
    async fn list_slots(
        &self,
        _: Request<ListSlotsRequest>,
    ) -> Result<Response<ListSlotsResponse>, Status> {
        Ok(Response::new(ListSlotsResponse { slots: self.world().slots.clone() }))
    }

    async fn upgrade_host(
        &self,
        request: Request<UpgradeHostRequest>,
    ) -> Result<Response<OperationReply>, Status> {
        self.change("host", &request.into_inner())
    }

    async fn roll_back_host(
        &self,
        request: Request<RollBackHostRequest>,
    ) -> Result<Response<OperationReply>, Status> {
        self.change("host", &request.into_inner())
    }

    async fn restart_host(
        &self,
        request: Request<RestartHostRequest>,
    ) -> Result<Response<OperationReply>, Status> {
        self.change("host", &request.into_inner())
    }
}

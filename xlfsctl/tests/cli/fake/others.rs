//! The host of the fake daemon.

use tonic::{Request, Response, Status, async_trait};
use xlfs_proto::v1::host_service_server::HostService;
use xlfs_proto::v1::{GetHostRequest, Host, ReadHypervisorLogRequest, ReadHypervisorLogResponse};

use super::Stage;

#[async_trait]
impl HostService for Stage {
    async fn get_host(&self, _: Request<GetHostRequest>) -> Result<Response<Host>, Status> {
        Ok(Response::new(self.world().host.clone()))
    }

    async fn read_hypervisor_log(
        &self,
        request: Request<ReadHypervisorLogRequest>,
    ) -> Result<Response<ReadHypervisorLogResponse>, Status> {
        let mut world = self.world();
        let text = world.hypervisor_log.clone();
        if request.into_inner().clear {
            world.hypervisor_log.clear();
        }
        Ok(Response::new(ReadHypervisorLogResponse { text }))
    }
}

//! `VolumeService`: volumes and the pools that they are in.

use tonic::{Request, Response, Status};
use xlfs_proto::v1::volume_service_server::VolumeService;
use xlfs_proto::v1::{
    CloneVolumeRequest, CreateVolumeRequest, DeleteVolumeRequest, GetVolumeRequest,
    GrowVolumeRequest, ListPoolsRequest, ListPoolsResponse, ListVolumesRequest,
    ListVolumesResponse, OperationReply, Volume,
};

use super::domains::reply;
use crate::volume::{VolumeOperations, VolumeRequest};

#[derive(Debug)]
pub(super) struct VolumeApi {
    pub(super) operations: VolumeOperations,
}

fn filled(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

#[tonic::async_trait]
impl VolumeService for VolumeApi {
    async fn list_volumes(
        &self,
        _: Request<ListVolumesRequest>,
    ) -> Result<Response<ListVolumesResponse>, Status> {
        let volumes = self.operations.list().await?;
        Ok(Response::new(ListVolumesResponse { volumes }))
    }

    async fn get_volume(
        &self,
        request: Request<GetVolumeRequest>,
    ) -> Result<Response<Volume>, Status> {
        Ok(Response::new(self.operations.get(&request.get_ref().reference).await?))
    }

    async fn create_volume(
        &self,
        request: Request<CreateVolumeRequest>,
    ) -> Result<Response<OperationReply>, Status> {
        let CreateVolumeRequest { name, size_bytes, image, pool, dry_run } = request.into_inner();
        let size = (size_bytes > 0).then_some(size_bytes);
        let asked = VolumeRequest { name, size, image: filled(image), pool: filled(pool) };
        Ok(reply(self.operations.create(asked, dry_run).await?, dry_run))
    }

    async fn grow_volume(
        &self,
        request: Request<GrowVolumeRequest>,
    ) -> Result<Response<OperationReply>, Status> {
        let GrowVolumeRequest { reference, size_bytes, dry_run } = request.into_inner();
        Ok(reply(self.operations.grow(&reference, size_bytes, dry_run).await?, dry_run))
    }

    async fn clone_volume(
        &self,
        request: Request<CloneVolumeRequest>,
    ) -> Result<Response<OperationReply>, Status> {
        let CloneVolumeRequest { reference, name, pool, dry_run } = request.into_inner();
        let pool = filled(pool);
        Ok(reply(self.operations.duplicate(&reference, &name, pool, dry_run).await?, dry_run))
    }

    async fn delete_volume(
        &self,
        request: Request<DeleteVolumeRequest>,
    ) -> Result<Response<OperationReply>, Status> {
        let DeleteVolumeRequest { reference, dry_run } = request.into_inner();
        Ok(reply(self.operations.delete(&reference, dry_run).await?, dry_run))
    }

    async fn list_pools(
        &self,
        _: Request<ListPoolsRequest>,
    ) -> Result<Response<ListPoolsResponse>, Status> {
        Ok(Response::new(ListPoolsResponse { pools: self.operations.pools().await? }))
    }
}

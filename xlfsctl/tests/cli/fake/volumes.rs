//! Volumes, pools and networks of the fake daemon.

use tonic::{Request, Response, Status, async_trait};
use xlfs_proto::v1::network_service_server::NetworkService;
use xlfs_proto::v1::volume_service_server::VolumeService;
use xlfs_proto::v1::{
    CloneVolumeRequest, CopyMethod, CreateVolumeRequest, DeleteVolumeRequest, GetVolumeRequest,
    GrowVolumeRequest, ListNetworksRequest, ListNetworksResponse, ListPoolsRequest,
    ListPoolsResponse, ListVolumesRequest, ListVolumesResponse, Network, NetworkPort, NetworkState,
    OperationReply, Pool, Volume, VolumeHolder, VolumeKind,
};

use super::domains::MOMENT;
use super::{Stage, not_found};

/// A volume that `guest` has as xvda, unless that is empty.
pub(crate) fn volume(name: &str, guest: &str) -> Volume {
    let holder = VolumeHolder {
        guest: guest.to_owned(),
        disk: "xvda".to_owned(),
        read_only: false,
        attached: true,
        snapshot: String::new(),
    };
    Volume {
        name: name.to_owned(),
        uuid: "0d6f3a0e-52b5-4d6e-9a0e-0b1d5a3f7c11".to_owned(),
        pool: "default".to_owned(),
        size_bytes: 10 << 30,
        allocated_bytes: Some(812 << 20),
        kind: VolumeKind::Image.into(),
        image_digest: "ab".repeat(32),
        copy_of: String::new(),
        holders: if guest.is_empty() { Vec::new() } else { vec![holder] },
        kept: guest.is_empty(),
        created: Some(MOMENT),
        problem: String::new(),
    }
}

pub(crate) fn pool(name: &str) -> Pool {
    Pool {
        name: name.to_owned(),
        kind: "folder".to_owned(),
        path: "/var/lib/xlfs/volumes".to_owned(),
        total_bytes: Some(100 << 30),
        free_bytes: Some(60 << 30),
        thin: true,
        copies: CopyMethod::Reflink.into(),
        volumes: 2,
        default: true,
        problem: String::new(),
    }
}

pub(crate) fn network(name: &str) -> Network {
    Network {
        name: name.to_owned(),
        bridge: "br0".to_owned(),
        state: NetworkState::Ready.into(),
        addresses: vec!["10.0.0.1/24".to_owned()],
        uplinks: vec!["eth0".to_owned()],
        mtu: None,
        isolated: false,
        ports: vec![NetworkPort {
            name: "vif5.0".to_owned(),
            up: true,
            guest: "web".to_owned(),
            rx_bytes: 2 << 20,
            tx_bytes: 1 << 20,
            rx_dropped: 0,
            tx_dropped: 0,
        }],
        guests: vec!["web".to_owned()],
        problem: String::new(),
    }
}

#[async_trait]
impl VolumeService for Stage {
    async fn list_volumes(
        &self,
        _: Request<ListVolumesRequest>,
    ) -> Result<Response<ListVolumesResponse>, Status> {
        Ok(Response::new(ListVolumesResponse { volumes: self.world().volumes.clone() }))
    }

    async fn get_volume(
        &self,
        request: Request<GetVolumeRequest>,
    ) -> Result<Response<Volume>, Status> {
        let name = request.into_inner().reference;
        let found = self.world().volumes.iter().find(|volume| volume.name == name).cloned();
        found.map(Response::new).ok_or_else(|| not_found("volume", &name))
    }

    async fn create_volume(
        &self,
        request: Request<CreateVolumeRequest>,
    ) -> Result<Response<OperationReply>, Status> {
        let request = request.into_inner();
        self.change(&request.name, &request)
    }

    async fn grow_volume(
        &self,
        request: Request<GrowVolumeRequest>,
    ) -> Result<Response<OperationReply>, Status> {
        let request = request.into_inner();
        self.change(&request.reference, &request)
    }

    async fn clone_volume(
        &self,
        request: Request<CloneVolumeRequest>,
    ) -> Result<Response<OperationReply>, Status> {
        let request = request.into_inner();
        self.change(&request.reference, &request)
    }

    async fn delete_volume(
        &self,
        request: Request<DeleteVolumeRequest>,
    ) -> Result<Response<OperationReply>, Status> {
        let request = request.into_inner();
        self.change(&request.reference, &request)
    }

    async fn list_pools(
        &self,
        _: Request<ListPoolsRequest>,
    ) -> Result<Response<ListPoolsResponse>, Status> {
        Ok(Response::new(ListPoolsResponse { pools: self.world().pools.clone() }))
    }
}

#[async_trait]
impl NetworkService for Stage {
    async fn list_networks(
        &self,
        _: Request<ListNetworksRequest>,
    ) -> Result<Response<ListNetworksResponse>, Status> {
        Ok(Response::new(ListNetworksResponse { networks: self.world().networks.clone() }))
    }
}

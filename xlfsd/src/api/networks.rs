//! `NetworkService`: the declared networks, their bridges, and who is on them.

use std::sync::Arc;

use tonic::{Request, Response, Status};
use xlfs_proto::v1::network_service_server::NetworkService;
use xlfs_proto::v1::{self as pb, ListNetworksRequest, ListNetworksResponse, NetworkState};

use crate::domain::Guests;
use crate::network::{Net, NetworkConfig, Port, Readiness};

#[derive(Debug)]
pub(super) struct NetworkList {
    pub(super) net: Arc<Net>,
    pub(super) guests: Guests,
}

#[tonic::async_trait]
impl NetworkService for NetworkList {
    async fn list_networks(
        &self,
        _: Request<ListNetworksRequest>,
    ) -> Result<Response<ListNetworksResponse>, Status> {
        let mut networks = Vec::new();
        for config in self.net.networks.all() {
            networks.push(self.network(config).await);
        }
        Ok(Response::new(ListNetworksResponse { networks }))
    }
}

impl NetworkList {
    async fn network(&self, config: &NetworkConfig) -> pb::Network {
        let (state, mut problem) = match self.net.networks.readiness(&config.name) {
            Readiness::Unknown => (NetworkState::Unknown, String::new()),
            Readiness::Ready => (NetworkState::Ready, String::new()),
            Readiness::Failed(problem) => (NetworkState::Failed, format!("{problem:#}")),
        };
        let mut ports = Vec::new();
        match self.net.links.ports(&config.bridge).await {
            Ok(found) => {
                for one in found {
                    ports.push(self.port(one).await);
                }
            }
            Err(error) if problem.is_empty() => problem = format!("{error:#}"),
            Err(_) => {}
        }
        pb::Network {
            name: config.name.clone(),
            bridge: config.bridge.to_string(),
            state: state.into(),
            addresses: config.addresses.iter().map(ToString::to_string).collect(),
            uplinks: config.uplinks.iter().map(ToString::to_string).collect(),
            mtu: config.mtu,
            isolated: config.isolated,
            ports,
            guests: self.guests.on_network(&config.name),
            problem,
        }
    }

    async fn port(&self, port: Port) -> pb::NetworkPort {
        // An interface that goes this moment has no counters any more.
        let counted = self.net.links.counters(&port.name).await.ok().flatten().unwrap_or_default();
        let guest = port.guest.and_then(|uuid| self.guests.name_of(uuid));
        pb::NetworkPort {
            name: port.name.to_string(),
            up: port.up,
            guest: guest.unwrap_or_default(),
            rx_bytes: counted.rx_bytes,
            tx_bytes: counted.tx_bytes,
            rx_dropped: counted.rx_dropped,
            tx_dropped: counted.tx_dropped,
        }
    }
}

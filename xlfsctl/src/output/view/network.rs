//! Networks.

use serde::Serialize;
use xlfs_proto::v1::{Network, NetworkPort, NetworkState};

use crate::errors::filled;

/// `network list`.
#[derive(Debug, Serialize)]
pub(crate) struct NetworksView {
    pub(crate) networks: Vec<NetworkView>,
}

#[derive(Debug, Serialize)]
pub(crate) struct NetworkView {
    name: String,
    bridge: String,
    state: &'static str,
    addresses: Vec<String>,
    uplinks: Vec<String>,
    mtu: Option<u32>,
    isolated: bool,
    ports: Vec<PortView>,
    guests: Vec<String>,
    problem: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct PortView {
    name: String,
    up: bool,
    guest: Option<String>,
    rx_bytes: u64,
    tx_bytes: u64,
    rx_dropped: u64,
    tx_dropped: u64,
}

impl From<&Network> for NetworkView {
    fn from(network: &Network) -> NetworkView {
        NetworkView {
            name: network.name.clone(),
            bridge: network.bridge.clone(),
            state: state_word(network.state()),
            addresses: network.addresses.clone(),
            uplinks: network.uplinks.clone(),
            mtu: network.mtu,
            isolated: network.isolated,
            ports: network.ports.iter().map(PortView::from).collect(),
            guests: network.guests.clone(),
            problem: filled(&network.problem),
        }
    }
}

impl From<&NetworkPort> for PortView {
    fn from(port: &NetworkPort) -> PortView {
        PortView {
            name: port.name.clone(),
            up: port.up,
            guest: filled(&port.guest),
            rx_bytes: port.rx_bytes,
            tx_bytes: port.tx_bytes,
            rx_dropped: port.rx_dropped,
            tx_dropped: port.tx_dropped,
        }
    }
}

pub(crate) fn state_word(state: NetworkState) -> &'static str {
    match state {
        NetworkState::Unspecified | NetworkState::Unknown => "unknown",
        NetworkState::Ready => "ready",
        NetworkState::Failed => "failed",
    }
}

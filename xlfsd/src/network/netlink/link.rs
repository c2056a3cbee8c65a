//! What the kernel tells of a link, as far as it matters here.

use rtnetlink::packet_route::link::{
    InfoBridgePort, InfoKind, InfoPortData, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use uuid::Uuid;

use crate::network::{Counters, LinkName, Port};

/// Begins the alias of each vif that is ours; the guest's UUID follows.
const ALIAS: &str = "xlfs:";

/// A link as it is.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: LinkName,
    pub(super) is_bridge: bool,
    pub(super) up: bool,
    pub(super) multicast: bool,
    pub(super) mtu: u32,
    /// The index of the bridge (or bond) that it is a port of.
    pub(super) controller: Option<u32>,
    pub(super) address: Vec<u8>,
    pub(super) guest: Option<Uuid>,
    pub(super) isolated: bool,
    pub(super) counters: Counters,
}

/// The alias of a guest's vif.
pub(super) fn alias(guest: Uuid) -> String {
    format!("{ALIAS}{guest}")
}

impl Link {
    /// `None` when its name is none that we would work with.
    pub(super) fn read(message: LinkMessage) -> Option<Self> {
        let header = message.header;
        let name = message.attributes.iter().find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => name.parse().ok(),
            _ => None,
        })?;
        let mut link = Self {
            index: header.index,
            name,
            is_bridge: false,
            up: header.flags.contains(LinkFlags::Up),
            multicast: header.flags.contains(LinkFlags::Multicast),
            mtu: 0,
            controller: None,
            address: Vec::new(),
            guest: None,
            isolated: false,
            counters: Counters::default(),
        };
        for attribute in message.attributes {
            link.take(attribute);
        }
        Some(link)
    }

    fn take(&mut self, attribute: LinkAttribute) {
        match attribute {
            LinkAttribute::Mtu(mtu) => self.mtu = mtu,
            LinkAttribute::Controller(index) if index != 0 => self.controller = Some(index),
            LinkAttribute::Address(address) => self.address = address,
            LinkAttribute::IfAlias(alias) => {
                self.guest = alias.strip_prefix(ALIAS).and_then(|uuid| uuid.parse().ok());
            }
            LinkAttribute::Stats64(stats) => {
                self.counters = Counters {
                    rx_bytes: stats.rx_bytes,
                    rx_packets: stats.rx_packets,
                    rx_dropped: stats.rx_dropped,
                    tx_bytes: stats.tx_bytes,
                    tx_packets: stats.tx_packets,
                    tx_dropped: stats.tx_dropped,
                };
            }
            LinkAttribute::LinkInfo(infos) => {
                for info in infos {
                    match info {
                        LinkInfo::Kind(kind) => self.is_bridge = kind == InfoKind::Bridge,
                        LinkInfo::PortData(InfoPortData::BridgePort(port)) => {
                            self.isolated = port.contains(&InfoBridgePort::Isolated(true));
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }

    pub(super) fn is_port_of(&self, bridge: &Self) -> bool {
        self.controller == Some(bridge.index)
    }

    pub(super) fn port(self) -> Port {
        Port { name: self.name, up: self.up, guest: self.guest }
    }
}

//! What a new guest is told about itself, and how it is connected.

use clap::Args;
use xlfs_proto::v1::{GuestConfiguration, NicRequest};

use crate::words::nic;

#[derive(Debug, Args)]
#[command(next_help_heading = "Network and configuration")]
pub(crate) struct Configuration {
    /// Addresses of an interface, such as 10.0.0.2/24 or 10.0.0.2/24,fd00::2/64;
    /// once for each: eth0, eth1, ... Without one, an interface uses DHCP.
    #[arg(long = "ip", value_name = "ADDRESSES")]
    ips: Vec<String>,
    /// The network of an interface; once for each: eth0, eth1, ...
    #[arg(long = "network", value_name = "NETWORK")]
    networks: Vec<String>,
    /// An interface in one word:
    /// network=lan,ip=10.0.0.2/24,mac=00:16:3e:00:00:01,rate=10Mb/s,anti-spoofing
    #[arg(long = "nic", value_name = "NIC", value_parser = nic)]
    #[arg(conflicts_with_all = ["ips", "networks"])]
    nics: Vec<NicRequest>,
    /// Drop frames that do not carry the guest's own addresses, on all interfaces.
    #[arg(long)]
    anti_spoofing: bool,
    /// The gateway; one for IPv4, one for IPv6.
    #[arg(short = 'g', long = "gateway", value_name = "ADDRESS")]
    gateways: Vec<String>,
    /// A name server; once for each.
    #[arg(long = "dns", value_name = "ADDRESS")]
    name_servers: Vec<String>,
    /// A domain in which short names are looked for; once for each.
    #[arg(long = "search", value_name = "DOMAIN")]
    search: Vec<String>,
    /// An NTP server; once for each.
    #[arg(long = "ntp", value_name = "SERVER")]
    ntp_servers: Vec<String>,
    /// Such as C.UTF-8 or en_US.UTF-8.
    #[arg(long, value_name = "LOCALE")]
    locale: Option<String>,
    /// Such as Europe/Zurich.
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// An SSH public key that may log in as root, "ssh-ed25519 AAAA... me"; once
    /// for each.
    #[arg(long = "ssh-key", value_name = "KEY")]
    ssh_keys: Vec<String>,
    /// The hash of root's password, as `openssl passwd -6` makes it.
    #[arg(long, value_name = "HASH")]
    root_password_hash: Option<String>,
    /// Let SSH take root's password, too.
    #[arg(long, requires = "root_password_hash")]
    password_login: bool,
}

impl Configuration {
    /// The interfaces and the rest, for a request. Unset when nothing was given.
    pub(crate) fn into_request(self) -> (Vec<NicRequest>, Option<GuestConfiguration>) {
        let mut nics = self.nics;
        nics.resize_with(
            nics.len().max(self.ips.len()).max(self.networks.len()),
            NicRequest::default,
        );
        for (nic, ips) in nics.iter_mut().zip(&self.ips) {
            nic.addresses = ips.split(',').map(str::to_owned).collect();
        }
        for (nic, network) in nics.iter_mut().zip(&self.networks) {
            nic.network.clone_from(network);
        }
        if self.anti_spoofing {
            if nics.is_empty() {
                nics.push(NicRequest::default());
            }
            nics.iter_mut().for_each(|nic| nic.anti_spoofing = true);
        }
        let configuration = GuestConfiguration {
            gateways: self.gateways,
            name_servers: self.name_servers,
            search: self.search,
            ntp_servers: self.ntp_servers,
            locale: self.locale.unwrap_or_default(),
            time_zone: self.timezone.unwrap_or_default(),
            ssh_keys: self.ssh_keys,
            root_password_hash: self.root_password_hash.unwrap_or_default(),
            password_login: self.password_login,
        };
        let asked = configuration != GuestConfiguration::default();
        (nics, asked.then_some(configuration))
    }
}

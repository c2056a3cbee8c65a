//! `network`: what guests are connected to.

use clap::{Args, Subcommand};
use xlfs_proto::v1::{ListNetworksRequest, Network as Declared, NetworkState};

use super::image::size;
use super::{Session, answer};
use crate::errors::{Context as _, Failure};
use crate::exit::Exit;
use crate::output::Output;
use crate::output::table::{Align, Cell, Colour, Table};
use crate::output::text::plain;
use crate::output::view::network::{NetworkView, NetworksView, state_word};

/// The networks that guests are on.
#[derive(Debug, Subcommand)]
pub(crate) enum Network {
    List(List),
}

/// List the networks of xlfsd's configuration, and their bridges.
///
/// IN and OUT count what guests received and sent since their interfaces were
/// made.
#[derive(Debug, Args)]
pub(crate) struct List {}

impl Network {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let Network::List(List {}) = self;
        let output = &session.output;
        let mut networks = session.daemon().await?.networks();
        let call = networks.list_networks(ListNetworksRequest {});
        let reply = answer(call).await.context(|| "cannot list the networks".to_owned())?;
        let networks = reply.networks;
        if !output.is_table() {
            let networks = networks.iter().map(NetworkView::from).collect();
            output.document(&NetworksView { networks })?;
        } else if output.quiet {
            let names = networks.iter().map(|network| plain(&network.name) + "\n");
            output.text(&names.collect::<String>())?;
        } else if networks.is_empty() {
            output
                .note("There are no networks. Declare one in xlfsd's configuration: [[networks]]");
        } else {
            output.text(&table(&networks, output))?;
            for network in networks.iter().filter(|network| !network.problem.is_empty()) {
                output.note(&format!("{}: {}", plain(&network.name), plain(&network.problem)));
            }
        }
        Ok(Exit::Ok)
    }
}

fn table(networks: &[Declared], output: &Output) -> String {
    let mut table = Table::new(&[
        ("NAME", Align::Elastic),
        ("BRIDGE", Align::Left),
        ("STATE", Align::Left),
        ("ADDRESSES", Align::Elastic),
        ("UPLINKS", Align::Elastic),
        ("IN", Align::Right),
        ("OUT", Align::Right),
        ("GUESTS", Align::Elastic),
    ]);
    for network in networks {
        let dash = |texts: &[String]| match texts {
            [] => "-".to_owned(),
            texts => texts.join(","),
        };
        let colour = match network.state() {
            NetworkState::Ready => Some(Colour::Green),
            NetworkState::Failed => Some(Colour::Red),
            NetworkState::Unspecified | NetworkState::Unknown => None,
        };
        // Dom0 receives what a guest sends.
        let of_guests = || network.ports.iter().filter(|port| !port.guest.is_empty());
        let sent: u64 = of_guests().map(|port| port.rx_bytes).sum();
        let received: u64 = of_guests().map(|port| port.tx_bytes).sum();
        table.row([
            network.name.as_str().into(),
            network.bridge.as_str().into(),
            Cell::coloured(state_word(network.state()), colour),
            dash(&network.addresses).into(),
            dash(&network.uplinks).into(),
            size(received).into(),
            size(sent).into(),
            dash(&network.guests).into(),
        ]);
    }
    table.render(output.width, output.colour)
}

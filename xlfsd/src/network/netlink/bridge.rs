//! Bridges: made when missing, adopted when there.

use nix::errno::Errno;
use rtnetlink::packet_route::link::{BridgeStpState, LinkMessage};
use rtnetlink::{LinkBridge, LinkMessageBuilder, LinkUnspec};
use uuid::Uuid;

use super::error::LinkError;
use super::link::Link;
use super::session::Session;
use super::sysctl;
use crate::network::{Bridge, Ensured, IpPrefix, LinkName};
use crate::problem::Problem;

/// Nobody but guests is on a bridge without uplinks: none of them shall give
/// Dom0 an address or a route. It is set before the bridge is up.
const NO_ROUTERS: [(&str, &str); 2] = [("accept_ra", "0"), ("autoconf", "0")];

pub(super) async fn ensure(session: &Session, wanted: &Bridge) -> Result<Ensured, Problem> {
    let name = &wanted.name;
    let failed = |error: LinkError| error.problem(format!("cannot set up the bridge {name}"));
    // What cannot work is known before anything is changed.
    for uplink in &wanted.uplinks {
        check_uplink(session, name, uplink).await?;
    }
    let ensured = match session.link(name).await.map_err(failed)? {
        Some(link) if link.is_bridge => Ensured::Adopted,
        Some(_) => return Err(no_bridge(name)),
        None => make(session, wanted).await.map_err(failed)?,
    };
    let bridge = find(session, name).await?;
    // Frames to the bridges' own group (01:80:c2:00:00:0x), of which LLDP's pass
    // no rule of any firewall, must not teach it where their sender is: a guest
    // could have another's frames sent to itself. Linux 4.20 and later.
    let mut change = LinkMessageBuilder::<LinkBridge>::new(name.as_str()).no_linklocal_learn(true);
    if let Some(mtu) = wanted.mtu.filter(|mtu| *mtu != bridge.mtu) {
        change = change.mtu(mtu);
    }
    session.change("bring up", name, change.up().build()).await.map_err(failed)?;
    let present = session.addresses(&bridge).await.map_err(failed)?;
    for prefix in wanted.addresses.iter().filter(|prefix| !present.contains(prefix)) {
        match session.add_address(&bridge, *prefix).await {
            Err(error) if error.errno() == Some(Errno::EEXIST) => {}
            other => other.map_err(failed)?,
        }
    }
    for uplink in &wanted.uplinks {
        enslave_uplink(session, &bridge, uplink, wanted.mtu).await?;
    }
    Ok(ensured)
}

/// The bridge of that name. Says which there are when there is none, and what
/// it is when it is none.
pub(super) async fn find(session: &Session, name: &LinkName) -> Result<Link, Problem> {
    let failed = |error: LinkError| error.problem(format!("cannot look for the bridge {name}"));
    match session.link(name).await.map_err(failed)? {
        Some(link) if link.is_bridge => Ok(link),
        Some(_) => Err(no_bridge(name)),
        None => {
            let links = session.links(name).await.map_err(failed)?;
            let mut there: Vec<_> =
                links.into_iter().filter(|link| link.is_bridge).map(|link| link.name).collect();
            there.sort();
            Err(missing(name, &there))
        }
    }
}

fn no_bridge(name: &LinkName) -> Problem {
    Problem::failed_precondition(
        "NOT_A_BRIDGE",
        format!("the interface {name} is there, but is no bridge"),
    )
    .object(format!("bridge {name}"))
    .hint(
        "Give the bridge another name; an interface that shall lead out of the host belongs to \
         the uplinks of its network.",
    )
}

fn missing(name: &LinkName, there: &[LinkName]) -> Problem {
    let there = match there {
        [] => "this host has no bridge".to_owned(),
        names => {
            let names: Vec<&str> = names.iter().map(LinkName::as_str).collect();
            format!("the bridges of this host are {}", names.join(", "))
        }
    };
    Problem::failed_precondition("NO_SUCH_BRIDGE", format!("there is no bridge {name}; {there}"))
        .object(format!("bridge {name}"))
        .hint("Declare it in xlfsd's configuration ([[networks]]); xlfsd makes it when it starts.")
}

async fn make(session: &Session, wanted: &Bridge) -> Result<Ensured, LinkError> {
    let mut builder = LinkMessageBuilder::<LinkBridge>::new(wanted.name.as_str())
        .stp_state(BridgeStpState::Disabled)
        .forward_delay(0);
    // Without an address of its own, a bridge takes the lowest of its ports',
    // and changes it whenever that port goes: what Dom0's neighbours have
    // remembered is wrong then. With an uplink, the network knows the host by
    // the uplink's address.
    let address = match wanted.uplinks.first() {
        Some(uplink) => session.link(uplink).await?.map(|link| link.address),
        None => Some(random_address()),
    };
    if let Some(address) = address.filter(|address| address.len() == 6) {
        builder = builder.address(address);
    }
    match session.create(&wanted.name, builder.build()).await {
        Ok(()) => {
            if wanted.uplinks.is_empty() {
                sysctl::ipv6(&wanted.name, &NO_ROUTERS)?;
            }
            Ok(Ensured::Made)
        }
        // Somebody else was faster.
        Err(error) if error.errno() == Some(Errno::EEXIST) => Ok(Ensured::Adopted),
        Err(error) => Err(error),
    }
}

/// Locally administered, unicast.
fn random_address() -> Vec<u8> {
    let mut address = Uuid::new_v4().as_bytes()[..6].to_vec();
    if let Some(first) = address.first_mut() {
        *first = *first & 0xfc | 0x02;
    }
    address
}

/// An uplink must be there, free (or ours already), and without addresses.
async fn check_uplink(
    session: &Session,
    bridge: &LinkName,
    name: &LinkName,
) -> Result<(), Problem> {
    let message = || format!("the interface {name} cannot be an uplink of the bridge {bridge}");
    let failed = |error: LinkError| error.problem(message());
    let refused = |reason, why: String| {
        Problem::failed_precondition(reason, format!("{}: {why}", message()))
            .object(format!("bridge {bridge}"))
    };
    let Some(link) = session.link(name).await.map_err(failed)? else {
        return Err(refused("NO_SUCH_UPLINK", "it does not exist".into())
            .hint("Look at /sys/class/net for its name; its driver may not be loaded."));
    };
    if link.is_bridge {
        return Err(refused("NOT_AN_UPLINK", "it is a bridge itself".into())
            .hint("Name that bridge as the network's bridge."));
    }
    if let Some(controller) = link.controller {
        let ours = session.link(bridge).await.map_err(failed)?;
        return match ours {
            Some(ours) if ours.index == controller => Ok(()),
            _ => Err(refused("UPLINK_IN_USE", "it is a port of another bridge or bond".into())
                .hint("Take it out there, or name that bridge as the network's bridge.")),
        };
    }
    let addresses = session.addresses(&link).await.map_err(failed)?;
    let global: Vec<String> = addresses
        .iter()
        .filter(|prefix| !prefix.is_link_local())
        .map(IpPrefix::to_string)
        .collect();
    if global.is_empty() {
        return Ok(());
    }
    Err(refused("UPLINK_HAS_ADDRESSES", format!("it has the addresses {}", global.join(", "))).hint(
        "A port of a bridge cannot use addresses. Move them to `addresses` of the network, take \
         them out of the host's own network set-up, and restart.",
    ))
}

async fn enslave_uplink(
    session: &Session,
    bridge: &Link,
    name: &LinkName,
    mtu: Option<u32>,
) -> Result<(), Problem> {
    let message =
        || format!("cannot make the interface {name} an uplink of the bridge {}", bridge.name);
    let failed = |error: LinkError| error.problem(message());
    let look = || async {
        let link = session.link(name).await.map_err(failed)?;
        link.ok_or_else(|| Problem::aborted("LINK_GONE", message()))
    };
    let link = look().await?;
    if let Some(mtu) = mtu.filter(|mtu| *mtu != link.mtu) {
        let change = LinkUnspec::new_with_index(link.index).mtu(mtu).build();
        session.change("set the MTU of", name, change).await.map_err(failed)?;
    }
    if !link.is_port_of(bridge) {
        let change = LinkUnspec::new_with_index(link.index).controller(bridge.index).build();
        session.change("put on its bridge", name, change).await.map_err(failed)?;
    }
    session.change("bring up", name, up(&link)).await.map_err(failed)?;
    match look().await? {
        link if link.is_port_of(bridge) && link.up => Ok(()),
        link => Err(Problem::internal(message())
            .cause(&NotSo { up: link.up, port: link.is_port_of(bridge) })),
    }
}

pub(super) fn up(link: &Link) -> LinkMessage {
    LinkUnspec::new_with_index(link.index).up().build()
}

/// The kernel agreed to everything, and yet.
#[derive(Debug, thiserror::Error)]
#[error("afterwards it is {}a port of the bridge, and {}", if *port { "" } else { "not " }, if *up { "up" } else { "down" })]
struct NotSo {
    up: bool,
    port: bool,
}

//! A vif and its bridge.

use rtnetlink::{LinkBridgePort, LinkUnspec};

use super::bridge::{find, up};
use super::error::LinkError;
use super::link::{Link, alias};
use super::session::Session;
use super::sysctl;
use crate::network::{Attachment, LinkName};
use crate::problem::Problem;

/// The address of Dom0's end of every vif, as in the field. It is never a
/// source or destination: the guest has an address of its own. Being the
/// highest of all unicast addresses it is never the lowest of a bridge's
/// ports', which a bridge without an address of its own takes on.
const DOM0_END: [u8; 6] = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff];

/// A port of a bridge needs no IPv6 of its own: with it, Dom0 would have an
/// address on every guest's wire, and take routes from the guest.
const SYSCTLS: [(&str, &str); 3] = [("accept_ra", "0"), ("autoconf", "0"), ("disable_ipv6", "1")];

pub(super) async fn attach(
    session: &Session,
    vif: &LinkName,
    wanted: &Attachment,
) -> Result<(), Problem> {
    let message = || format!("cannot attach {vif} to the bridge {}", wanted.bridge);
    let failed = |error: LinkError| error.problem(message());
    let look = || async {
        session.link(vif).await.map_err(failed)?.ok_or_else(|| {
            Problem::aborted("LINK_GONE", format!("{}: {vif} does not exist", message()))
                .hint("Its domain may have ended meanwhile; see the guest's events.")
        })
    };
    let bridge = find(session, &wanted.bridge).await?;
    let link = look().await?;
    settle(session, &link, &bridge, wanted).await.map_err(failed)?;
    if !link.is_port_of(&bridge) {
        let change = LinkUnspec::new_with_index(link.index).controller(bridge.index).build();
        session.change("put on its bridge", vif, change).await.map_err(failed)?;
    }
    if wanted.isolated || look().await?.isolated {
        let change = LinkBridgePort::new(link.index).isolated(wanted.isolated).build();
        session.change("set the isolation of", vif, change).await.map_err(failed)?;
    }
    session.change("bring up", vif, up(&link)).await.map_err(failed)?;
    let link = look().await?;
    let wrong = mistakes(&link, &bridge, wanted);
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Problem::internal(format!("{}: afterwards it {}", message(), wrong.join(", "))).hint(
        "Something else on this host may change its interfaces: a network service of the \
         distribution, or a hotplug script of xl.",
    ))
}

/// Everything that must be so before the first frame passes.
async fn settle(
    session: &Session,
    link: &Link,
    bridge: &Link,
    wanted: &Attachment,
) -> Result<(), LinkError> {
    let mut change = LinkUnspec::new_with_index(link.index)
        // As a port it takes part in no multicast group of Dom0's.
        .multicast(false)
        .alias(alias(wanted.guest));
    if link.address != DOM0_END {
        // Some drivers change it only while they are down.
        if link.up {
            let down = LinkUnspec::new_with_index(link.index).down().build();
            session.change("take down", &link.name, down).await?;
        }
        change = change.address(DOM0_END.to_vec());
    }
    if link.mtu != bridge.mtu {
        change = change.mtu(bridge.mtu);
    }
    session.change("configure", &link.name, change.build()).await?;
    sysctl::ipv6(&link.name, &SYSCTLS)
}

fn mistakes(link: &Link, bridge: &Link, wanted: &Attachment) -> Vec<&'static str> {
    let checks = [
        (link.is_port_of(bridge), "is no port of it"),
        (link.up, "is not up"),
        (link.guest == Some(wanted.guest), "does not name its guest"),
        (link.isolated == wanted.isolated, "does not have the isolation asked for"),
        (link.mtu == bridge.mtu, "has another MTU"),
        (link.address == DOM0_END, "has another address"),
        (!link.multicast, "takes part in multicast"),
    ];
    checks.into_iter().filter(|(right, _)| !right).map(|(_, mistake)| mistake).collect()
}

pub(super) async fn detach(session: &Session, vif: &LinkName) -> Result<bool, Problem> {
    let message = || format!("cannot take {vif} off its bridge");
    let failed = |error: LinkError| error.problem(message());
    let Some(link) = session.link(vif).await.map_err(failed)? else { return Ok(false) };
    if link.controller.is_none() && !link.up {
        return Ok(false);
    }
    let change = LinkUnspec::new_with_index(link.index).down().nocontroller().build();
    match session.change("take off its bridge", vif, change).await {
        // netback was faster.
        Err(error) if error.errno() == Some(nix::errno::Errno::ENODEV) => return Ok(true),
        other => other.map_err(failed)?,
    }
    match session.link(vif).await.map_err(failed)? {
        Some(link) if link.controller.is_some() || link.up => {
            Err(Problem::internal(format!("{}: afterwards it is still there", message())))
        }
        _ => Ok(true),
    }
}

//! Dom0's interfaces through the kernel's rtnetlink (`rtnetlink(7)`).
//!
//! `session` is one conversation, `link` what the kernel tells of a link,
//! `bridge` and `vif` what is done with those; `sysctl` is what rtnetlink lacks.

mod bridge;
mod error;
mod link;
mod session;
mod sysctl;
mod vif;

use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use self::error::LinkError;
use self::session::{LinkEvent, Session};
use super::{Attachment, Bridge, Counters, Ensured, LinkName, Links, Port};
use crate::problem::Problem;

/// The real one. Holds nothing: each call talks to the kernel anew.
#[derive(Debug, Clone, Copy, Default)]
pub struct Netlink;

fn open() -> Result<Session, Problem> {
    Session::open().map_err(|error| error.problem("cannot reach the kernel's network"))
}

#[async_trait]
impl Links for Netlink {
    async fn ensure_bridge(&self, wanted: &Bridge) -> Result<Ensured, Problem> {
        bridge::ensure(&open()?, wanted).await
    }

    async fn bridge_mtu(&self, bridge: &LinkName) -> Result<u32, Problem> {
        Ok(bridge::find(&open()?, bridge).await?.mtu)
    }

    async fn wait_for(
        &self,
        link: &LinkName,
        deadline: Duration,
        cancel: &CancellationToken,
    ) -> Result<(), Problem> {
        tokio::select! {
            biased;
            () = cancel.cancelled() => {
                Err(Problem::cancelled(format!("cancelled while waiting for {link}")))
            }
            appeared = tokio::time::timeout(deadline, appear(link)) => match appeared {
                Ok(result) => {
                    result.map_err(|error| error.problem(format!("cannot wait for {link}")))
                }
                Err(_) => Err(Problem::deadline_exceeded(
                    "LINK_MISSING",
                    format!("{link} did not appear within {} s", deadline.as_secs_f32()),
                )
                .hint(
                    "The kernel's netback makes it: is the module xen-netback loaded? Its \
                     complaints stand in the kernel's log, and in the node `error` of the \
                     interface's back end.",
                )),
            },
        }
    }

    async fn attach(&self, vif: &LinkName, wanted: &Attachment) -> Result<(), Problem> {
        vif::attach(&open()?, vif, wanted).await
    }

    async fn detach(&self, vif: &LinkName) -> Result<bool, Problem> {
        vif::detach(&open()?, vif).await
    }

    async fn ports(&self, bridge: &LinkName) -> Result<Vec<Port>, Problem> {
        let session = open()?;
        let found = bridge::find(&session, bridge).await?;
        let links = session
            .links(bridge)
            .await
            .map_err(|error| error.problem(format!("cannot list the ports of {bridge}")))?;
        let mut ports: Vec<Port> = links
            .into_iter()
            .filter(|link| link.is_port_of(&found))
            .map(link::Link::port)
            .collect();
        ports.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(ports)
    }

    async fn counters(&self, link: &LinkName) -> Result<Option<Counters>, Problem> {
        let found = open()?
            .link(link)
            .await
            .map_err(|error| error.problem(format!("cannot read the counters of {link}")))?;
        Ok(found.map(|link| link.counters))
    }
}

/// Listens first, then looks, so that no moment is missed.
async fn appear(name: &LinkName) -> Result<(), LinkError> {
    loop {
        let (session, mut events) = Session::open_with_events()?;
        if session.link(name).await?.is_some() {
            return Ok(());
        }
        while let Some(event) = events.next().await {
            let there = match event {
                LinkEvent::Seen(link) => link.name == *name,
                LinkEvent::Lost => session.link(name).await?.is_some(),
            };
            if there {
                return Ok(());
            }
        }
        // The conversation ended, which it does not do on its own: anew, but
        // not in a circle.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

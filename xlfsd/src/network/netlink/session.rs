//! One conversation with the kernel's rtnetlink, for the length of one call.
//!
//! A socket of its own for each call costs microseconds, and leaves no state
//! that could be out of step, overrun, or gone when the next call comes. Every
//! request has a deadline: an answer that cannot be decoded never ends.

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use nix::errno::Errno;
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::link::LinkMessage;
use rtnetlink::{Handle, MulticastGroup, new_connection, new_multicast_connection};
use tokio::task::JoinHandle;

use super::error::LinkError;
use super::link::Link;
use crate::network::{IpPrefix, LinkName};

/// For one request; the kernel answers in microseconds, or after what it is busy with.
const DEADLINE: Duration = Duration::from_secs(10);

/// An open conversation.
pub(super) struct Session {
    handle: Handle,
    _driver: Driver,
}

/// Link events from the moment on at which it was opened.
pub(super) struct LinkEvents {
    messages: Box<dyn futures::Stream<Item = NetlinkMessage<RouteNetlinkMessage>> + Send + Unpin>,
}

/// What a reader of events gets to know.
pub(super) enum LinkEvent {
    /// A link came, or changed.
    Seen(Link),
    /// Events were lost: look again.
    Lost,
}

/// The task that moves messages; it ends with the conversation.
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Session {
    pub(super) fn open() -> Result<Self, LinkError> {
        let (driver, handle, _) =
            new_connection().map_err(|source| LinkError::Socket { source })?;
        Ok(Self { handle, _driver: Driver(tokio::spawn(driver)) })
    }

    /// With the events of all links.
    pub(super) fn open_with_events() -> Result<(Self, LinkEvents), LinkError> {
        let (driver, handle, messages) = new_multicast_connection(&[MulticastGroup::Link])
            .map_err(|source| LinkError::Socket { source })?;
        let messages = Box::new(messages.map(|(message, _)| message));
        Ok((Self { handle, _driver: Driver(tokio::spawn(driver)) }, LinkEvents { messages }))
    }

    /// A link by its name; `None` when there is none.
    pub(super) async fn link(&self, name: &LinkName) -> Result<Option<Link>, LinkError> {
        let mut links = self.handle.link().get().match_name(name.as_str()).execute();
        match answer("look at", name, links.try_next()).await {
            Ok(message) => Ok(message.and_then(Link::read)),
            Err(error) if error.errno() == Some(Errno::ENODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Every link; those whose name is none of ours are left out. `about` is
    /// only named in errors.
    pub(super) async fn links(&self, about: &LinkName) -> Result<Vec<Link>, LinkError> {
        let links = self.handle.link().get().execute();
        let messages: Vec<LinkMessage> =
            answer("list the links beside", about, links.try_collect()).await?;
        Ok(messages.into_iter().filter_map(Link::read).collect())
    }

    pub(super) async fn create(
        &self,
        name: &LinkName,
        message: LinkMessage,
    ) -> Result<(), LinkError> {
        answer("create", name, self.handle.link().add(message).execute()).await
    }

    /// `what` completes "the kernel does not".
    pub(super) async fn change(
        &self,
        what: &'static str,
        name: &LinkName,
        message: LinkMessage,
    ) -> Result<(), LinkError> {
        answer(what, name, self.handle.link().change(message).execute()).await
    }

    /// The addresses of a link.
    pub(super) async fn addresses(&self, link: &Link) -> Result<Vec<IpPrefix>, LinkError> {
        let get = self.handle.address().get().set_link_index_filter(link.index);
        let messages: Vec<AddressMessage> =
            answer("tell the addresses of", &link.name, get.execute().try_collect()).await?;
        Ok(messages.iter().filter_map(prefix).collect())
    }

    pub(super) async fn add_address(&self, link: &Link, prefix: IpPrefix) -> Result<(), LinkError> {
        let add = self.handle.address().add(link.index, prefix.address(), prefix.length());
        answer("give an address to", &link.name, add.execute()).await
    }
}

/// Waits for an answer, and says what it was about when it is an error.
async fn answer<T>(
    what: &'static str,
    link: &LinkName,
    request: impl Future<Output = Result<T, rtnetlink::Error>>,
) -> Result<T, LinkError> {
    let link = link.clone();
    match tokio::time::timeout(DEADLINE, request).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(rtnetlink::Error::NetlinkError(message))) => {
            Err(LinkError::Refused { what, link, source: message.to_io() })
        }
        Ok(Err(other)) => Err(LinkError::Senseless { what, link, answer: other.to_string() }),
        Err(_) => Err(LinkError::NoAnswer { what, link, seconds: DEADLINE.as_secs() }),
    }
}

/// An IPv4 address stands in "local" where a link has a peer, else in both.
fn prefix(message: &AddressMessage) -> Option<IpPrefix> {
    let mut found: Option<IpAddr> = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => found = Some(*address),
            AddressAttribute::Address(address) => {
                found.get_or_insert(*address);
            }
            _ => {}
        }
    }
    IpPrefix::new(found?, message.header.prefix_len).ok()
}

impl LinkEvents {
    /// `None`: there will be no more, open a new conversation.
    pub(super) async fn next(&mut self) -> Option<LinkEvent> {
        loop {
            match self.messages.next().await?.payload {
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(message)) => {
                    if let Some(link) = Link::read(message) {
                        return Some(LinkEvent::Seen(link));
                    }
                }
                NetlinkPayload::Overrun(_) => return Some(LinkEvent::Lost),
                _ => {}
            }
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

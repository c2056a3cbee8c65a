//! Watches: being told when a node, or anything below it, changes.
//!
//! An event says that something *may* have changed at a path, and nothing else: the reader
//! looks there. Events coalesce, may be spurious, and the first one comes as soon as the watch
//! is set up. After [`WatchEvent::Resync`] the reader looks at everything it cares about: the
//! connection was lost and made anew (the watch stands again), or more happened than the queue
//! holds.

mod queue;
mod registry;
mod set;
mod single;

pub(super) use registry::Registry;
pub use set::WatchSet;
pub use single::Watch;

use std::sync::Arc;

use super::call::{Call, Request, Submission};
use super::client::{Client, Shared};
use super::error::{Error, Op};
use super::path::check_watch;
use super::wire::Kind;
use queue::Queue;

/// What a watch has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchEvent {
    /// Something may have changed at this path: the watched one, or one below it.
    Changed(Arc<str>),
    /// Anything may have changed; look at everything.
    Resync,
}

impl WatchEvent {
    fn new(path: Option<Arc<str>>) -> WatchEvent {
        path.map_or(WatchEvent::Resync, WatchEvent::Changed)
    }

    /// The path that may have changed; `None` for a resync.
    pub fn path(&self) -> Option<&str> {
        match self {
            WatchEvent::Changed(path) => Some(path),
            WatchEvent::Resync => None,
        }
    }
}

/// A watch that stands, until this is dropped.
#[derive(Debug)]
struct Standing {
    shared: Arc<Shared>,
    path: String,
    token: u64,
}

impl Standing {
    /// Sets up a watch whose events go to `queue`. Cancelling this takes it back.
    async fn set_up(client: &Client, path: &str, queue: &Arc<Queue>) -> Result<Standing, Error> {
        check_watch(path).map_err(|kind| Error { op: Op::Watch, path: path.to_owned(), kind })?;
        let shared = Arc::clone(&client.shared);
        let token = shared.core.watches.add(path, queue);
        let standing = Standing { shared, path: path.to_owned(), token };
        let mut request = standing.request(Op::Watch, Kind::Watch);
        request.token = Some(token);
        client.one(request).await?;
        Ok(standing)
    }

    fn request(&self, op: Op, kind: Kind) -> Request {
        Request::new(op, kind, self.path.as_str(), [self.path.as_str(), &self.token.to_string()])
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.shared.core.watches.remove(self.token);
        // On another connection than this one the watch would not be set up any more. Where it
        // does not stand at all, xenstored says ENOENT, and nobody hears it.
        let generation = Some(self.shared.generation());
        let call = Call::new(vec![self.request(Op::Unwatch, Kind::Unwatch)]);
        self.shared.send_and_forget(Submission { call, generation, done: None });
    }
}

//! One watch with a queue of its own.

use std::sync::Arc;

use super::super::client::Client;
use super::super::error::{Error, Op};
use super::queue::Queue;
use super::{Standing, WatchEvent};

/// A watch on a path, or on `@introduceDomain` or `@releaseDomain`. Dropping it ends it.
#[derive(Debug)]
pub struct Watch {
    standing: Standing,
    queue: Arc<Queue>,
}

impl Client {
    /// Watches a node and all below it, or a special event. When this returns the watch stands:
    /// no later change is missed, and its first event is on its way already.
    pub async fn watch(&self, path: &str) -> Result<Watch, Error> {
        let queue = Arc::default();
        let standing = Standing::set_up(self, path, &queue).await?;
        Ok(Watch { standing, queue })
    }
}

impl Watch {
    /// The watched path.
    pub fn path(&self) -> &str {
        &self.standing.path
    }

    /// The next event; waits for it. Cancelling loses nothing. An error means that the watch
    /// could not be set up again after the connection was lost: make a new one.
    pub async fn next(&mut self) -> Result<WatchEvent, Error> {
        match self.queue.next().await {
            Ok((_, path)) => Ok(WatchEvent::new(path)),
            Err((_, kind)) => Err(Error { op: Op::Watch, path: self.path().to_owned(), kind }),
        }
    }
}

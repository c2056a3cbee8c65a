//! Many watches with one queue, for a task that looks after many objects.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use super::super::client::Client;
use super::super::error::{Error, Op};
use super::queue::Queue;
use super::{Standing, WatchEvent};

/// Watches, each known by a key of the caller (a domain's id, for example). Dropping the set
/// ends them all.
#[derive(Debug)]
pub struct WatchSet<K> {
    client: Client,
    queue: Arc<Queue>,
    standing: HashMap<K, Standing>,
    keys: HashMap<u64, K>,
}

impl<K: Clone + Eq + Hash> WatchSet<K> {
    /// A set without watches.
    pub fn new(client: &Client) -> WatchSet<K> {
        WatchSet {
            client: client.clone(),
            queue: Arc::default(),
            standing: HashMap::new(),
            keys: HashMap::new(),
        }
    }

    /// Watches one more path, like [`Client::watch`]. A watch this key had before is ended.
    pub async fn add(&mut self, key: K, path: &str) -> Result<(), Error> {
        let standing = Standing::set_up(&self.client, path, &self.queue).await?;
        self.remove(&key);
        self.keys.insert(standing.token, key.clone());
        self.standing.insert(key, standing);
        Ok(())
    }

    /// Ends a watch; none of its events is delivered after this. False when there is none.
    pub fn remove(&mut self, key: &K) -> bool {
        let Some(standing) = self.standing.remove(key) else { return false };
        self.keys.remove(&standing.token);
        true
    }

    /// How many watches stand.
    pub fn len(&self) -> usize {
        self.standing.len()
    }

    /// Whether none stands.
    pub fn is_empty(&self) -> bool {
        self.standing.is_empty()
    }

    /// The next event of any watch, oldest first; waits for it. Cancelling loses nothing. An
    /// error names the watch that could not be set up again after the connection was lost; it
    /// is out of the set.
    pub async fn next(&mut self) -> Result<(K, WatchEvent), Error> {
        loop {
            match self.queue.next().await {
                Ok((token, path)) => {
                    if let Some(key) = self.keys.get(&token) {
                        return Ok((key.clone(), WatchEvent::new(path)));
                    }
                }
                Err((token, kind)) => {
                    if let Some(key) = self.keys.remove(&token)
                        && let Some(standing) = self.standing.remove(&key)
                    {
                        let path = standing.path.clone();
                        return Err(Error { op: Op::Watch, path, kind });
                    }
                }
            }
        }
    }
}

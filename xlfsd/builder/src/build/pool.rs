//! The pool of jobs: one GNU make jobserver for all packages. A running package
//! holds one token, and its make takes more while there are any.
//!
//! A make that is killed takes its tokens with it. Nobody can tell how many, but
//! when no package runs, all must be there: then the missing ones are replaced.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::mpsc;

/// The pool, shared by all builds of a builder.
#[derive(Debug)]
pub(super) struct Pool {
    pub client: jobserver::Client,
    pub size: usize,
    /// Tokens that builds hold or have asked for.
    wanted: Mutex<usize>,
}

/// A package's own token.
#[derive(Debug)]
pub(super) struct Token {
    acquired: Option<jobserver::Acquired>,
    pool: Arc<Pool>,
}

impl Pool {
    pub(super) fn new(size: usize) -> io::Result<Self> {
        Ok(Self { client: jobserver::Client::new(size)?, size, wanted: Mutex::new(0) })
    }

    fn give_back(&self, count: usize) {
        let mut wanted = self.wanted.lock();
        *wanted = wanted.saturating_sub(count);
        if *wanted == 0 {
            let there = self.client.available().unwrap_or(self.size);
            for _ in there..self.size {
                // A pool that is too small is slow, not wrong.
                let _ = self.client.release_raw();
            }
        }
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        drop(self.acquired.take());
        self.pool.give_back(1);
    }
}

/// Tokens for one build's packages. Waiting for one blocks a thread, which the
/// crate can wake when nobody wants it any more.
#[derive(Debug)]
pub(super) struct Tokens {
    pool: Arc<Pool>,
    helper: Option<jobserver::HelperThread>,
    tokens: mpsc::UnboundedReceiver<jobserver::Acquired>,
    /// Asked for and not yet handed out.
    asked: usize,
}

impl Tokens {
    pub(super) fn new(pool: &Arc<Pool>) -> io::Result<Self> {
        let (sender, tokens) = mpsc::unbounded_channel();
        let helper = pool.client.clone().into_helper_thread(move |token| {
            // A token that nobody receives goes back by being dropped.
            if let Ok(token) = token {
                let _ = sender.send(token);
            }
        })?;
        Ok(Self { pool: Arc::clone(pool), helper: Some(helper), tokens, asked: 0 })
    }

    /// Asks until as many tokens are on their way as packages are ready.
    pub(super) fn want(&mut self, ready: usize) {
        while self.asked < ready {
            self.asked += 1;
            *self.pool.wanted.lock() += 1;
            if let Some(helper) = &self.helper {
                helper.request_token();
            }
        }
    }

    /// The next token, when there is one.
    pub(super) async fn next(&mut self) -> Option<Token> {
        let acquired = self.tokens.recv().await?;
        self.asked = self.asked.saturating_sub(1);
        Some(Token { acquired: Some(acquired), pool: Arc::clone(&self.pool) })
    }
}

impl Drop for Tokens {
    fn drop(&mut self) {
        // First the thread, then what it has sent, then the count.
        drop(self.helper.take());
        self.tokens.close();
        while self.tokens.try_recv().is_ok() {}
        self.pool.give_back(self.asked);
    }
}

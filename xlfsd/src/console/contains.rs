//! Waiting for a guest to print something.
//!
//! What was printed before is searched first, from what is kept of it; then the
//! search hangs itself into the feed, so that from there on no byte passes it
//! by, not even one that is kept nowhere.

use tokio::sync::oneshot;

use super::hub::ConsoleHub;
use super::matcher::Matcher;
use super::reader::{Look, read_segment};
use crate::problem::Problem;

/// Bytes of a text that is waited for.
const MAX_TEXT: usize = 4096;
/// Searches on one console at the same time.
const MAX_SEARCHES: usize = 64;
/// Bytes that are looked at in one go.
const PIECE: usize = 16 << 10;

/// A search in the output as it comes.
#[derive(Debug)]
pub(super) struct Search {
    matcher: Matcher,
    found: Option<oneshot::Sender<()>>,
}

impl Search {
    /// True when the search is over: found, or nobody waits for it any more.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> bool {
        if self.is_abandoned() {
            return true;
        }
        let found = self.matcher.feed(bytes);
        if found && let Some(sender) = self.found.take() {
            // Whoever waited may be gone this moment.
            let _ = sender.send(());
        }
        found
    }

    fn is_abandoned(&self) -> bool {
        self.found.as_ref().is_none_or(oneshot::Sender::is_closed)
    }
}

/// How far a look into the past came.
enum Past {
    Found,
    /// Searched to the end; the rest is up to the feed.
    Waiting(oneshot::Receiver<()>),
    /// The run ended, or another began.
    Over,
}

impl ConsoleHub {
    /// Waits until the present domain has printed `text`, counted from the
    /// domain's start. Without a domain, or when it ends, waits for the next.
    /// The caller sets the deadline.
    pub async fn contains(&self, text: &[u8]) -> Result<(), Problem> {
        if text.is_empty() || text.len() > MAX_TEXT {
            return Err(Problem::invalid_field(
                "BAD_CONSOLE_TEXT",
                "console_contains",
                &format!("must have 1 to {MAX_TEXT} bytes"),
            ));
        }
        loop {
            let run = self.live_run().await?;
            match self.search_run(run, Matcher::new(text)).await? {
                Past::Found => return Ok(()),
                // The sender goes when another domain begins.
                Past::Waiting(found) => {
                    if found.await.is_ok() {
                        return Ok(());
                    }
                }
                Past::Over => {}
            }
        }
    }

    async fn live_run(&self) -> Result<u64, Problem> {
        let mut changes = self.changed.subscribe();
        loop {
            changes.borrow_and_update();
            {
                let state = self.state.lock();
                if state.closed {
                    return Err(self.forgotten());
                }
                if state.live {
                    return Ok(state.run.number);
                }
            }
            // The sender is in the hub, which we borrow.
            if changes.changed().await.is_err() {
                return Err(self.forgotten());
            }
        }
    }

    async fn search_run(&self, run: u64, mut matcher: Matcher) -> Result<Past, Problem> {
        let mut offset = 0;
        loop {
            let look = {
                let mut state = self.state.lock();
                if state.run.number != run || !state.live {
                    return Ok(Past::Over);
                }
                let look = state.look(run, offset, PIECE);
                if matches!(look, Look::NotYet) {
                    // Under the same lock: no byte comes between.
                    state.searches.retain(|search| !search.is_abandoned());
                    if state.searches.len() >= MAX_SEARCHES {
                        let message = format!("{MAX_SEARCHES} calls wait for output of this guest");
                        return Err(Problem::resource_exhausted("CONSOLE_SEARCHES", message));
                    }
                    let (sender, receiver) = oneshot::channel();
                    state.searches.push(Search { matcher, found: Some(sender) });
                    return Ok(Past::Waiting(receiver));
                }
                look
            };
            let bytes = match look {
                Look::Bytes(bytes) => bytes,
                Look::OnDisk { dir, segment } => match read_segment(dir, segment, offset).await {
                    Ok(Some(bytes)) => bytes.into(),
                    Ok(None) => continue,
                    Err(next) => {
                        matcher.gap();
                        offset = next;
                        continue;
                    }
                },
                Look::Gap(next) => {
                    matcher.gap();
                    offset = next;
                    continue;
                }
                Look::NotYet | Look::Ended | Look::NextRun(_) | Look::Closed => {
                    return Ok(Past::Over);
                }
            };
            offset += bytes.len() as u64;
            if matcher.feed(&bytes) {
                return Ok(Past::Found);
            }
        }
    }
}

//! `events`: what happens, as it happens. A connection that breaks is made
//! anew, and goes on where it was.

use std::time::{Duration, Instant};

use clap::Args;
use tonic::Status;
use xlfs_proto::v1::event::Kind;
use xlfs_proto::v1::{Event, WatchEventsRequest};

use super::Session;
use crate::complete;
use crate::errors::Failure;
use crate::exit::Exit;
use crate::output::text::plain;
use crate::output::view::event::EventView;
use crate::output::{time, to_stderr};

/// How long xlfsd is looked for when the connection broke.
const PATIENCE: Duration = Duration::from_secs(30);
const RETRY: Duration = Duration::from_millis(500);

/// Print what happens on the host, as it happens.
///
/// Each event has a number. Times are UTC. Where events are missing, a line says so, and from
/// which number to go on. Ends with Ctrl-C.
#[derive(Debug, Args)]
pub(crate) struct Events {
    /// Start with the first event after this one; 0 for all that are kept.
    /// Default: only new events.
    #[arg(long, value_name = "N")]
    after: Option<u64>,
    /// Only events of this guest.
    #[arg(long, value_name = "NAME", add = complete::guests())]
    domain: Option<String>,
}

impl Events {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let domain = self.domain.unwrap_or_default();
        let mut after = self.after;
        let mut lost: Option<Instant> = None;
        loop {
            let request = WatchEventsRequest { after, domain: domain.clone() };
            let failure = match watch(session, request, &mut after, &mut lost).await? {
                // xlfsd has nothing more to tell: it is going down, or coming up.
                None => Failure::from(Status::unavailable("xlfsd ended the stream")),
                Some(status) => status.into(),
            };
            let since = *lost.get_or_insert_with(Instant::now);
            if failure.exit() != Exit::Unreachable || since.elapsed() > PATIENCE {
                let failure = match after {
                    Some(last) => failure.hint(format!("go on with --after {last}")),
                    None => failure,
                };
                return Err(failure.context("cannot watch the events"));
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// Prints events until the connection ends. The failure of this side comes as
/// an error, that of the connection as an answer.
async fn watch(
    session: &Session,
    request: WatchEventsRequest,
    after: &mut Option<u64>,
    lost: &mut Option<Instant>,
) -> Result<Option<Status>, Failure> {
    let mut events = match session.daemon().await?.events().watch_events(request).await {
        Ok(reply) => reply.into_inner(),
        Err(status) => return Ok(Some(status)),
    };
    loop {
        match events.message().await {
            Ok(Some(event)) => {
                if lost.take().is_some() {
                    session.output.note("xlfsctl: connected again");
                }
                print(session, &event)?;
                *after = Some(match &event.kind {
                    Some(Kind::Lagged(lagged)) => lagged.resync_from,
                    _ => event.sequence,
                });
            }
            Ok(None) => return Ok(None),
            Err(status) => return Ok(Some(status)),
        }
    }
}

fn print(session: &Session, event: &Event) -> Result<(), Failure> {
    if !session.output.is_table() {
        return session.output.next_document(&EventView::from(event));
    }
    if let Some(Kind::Lagged(lagged)) = &event.kind {
        let missed = match lagged.missed {
            0 => "events may be".to_owned(),
            1 => "1 event is".to_owned(),
            missed => format!("{missed} events are"),
        };
        to_stderr(&format!(
            "xlfsctl: {missed} missing; read the lists again, then go on with --after {}\n",
            lagged.resync_from
        ));
        return Ok(());
    }
    let time = event.time.as_ref().and_then(time::for_people).unwrap_or_default();
    let time = time.trim_end_matches(" UTC");
    let (object, text) = (short_digests(&plain(&event.object)), plain(&event.text));
    session.output.text(&format!("{} {time:<19} {object:<18} {text}\n", event.sequence))
}

/// The text with the first 12 digits of each SHA-256.
fn short_digests(text: &str) -> String {
    let is_digest = |word: &str| word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let short = |word| if is_digest(word) { &word[..12] } else { word };
    text.split(' ').map(short).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_cut() {
        let digest = "0123456789ab".to_owned() + &"c".repeat(52);
        assert_eq!(short_digests(&format!("image {digest}")), "image 0123456789ab");
        assert_eq!(short_digests("web"), "web");
    }
}

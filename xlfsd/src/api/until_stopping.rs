//! Streams that end when the daemon stops. Without that a client that watches
//! would keep the daemon from ever ending.

use std::pin::Pin;

use futures::{Stream, StreamExt, stream};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::problem::Problem;

/// What a call that streams answers.
pub type ReplyStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// `stream`, cut off with UNAVAILABLE once `stopping` is cancelled, so that the
/// client knows to come back. A stream that ends by itself ends as it does.
pub fn until_stopping<T: Send + 'static>(
    stream: impl Stream<Item = Result<T, Status>> + Send + 'static,
    stopping: CancellationToken,
) -> ReplyStream<T> {
    let cut = stopping.clone().cancelled_owned();
    let last_word = stream::once(async move {
        stopping.is_cancelled().then(|| {
            let problem = Problem::unavailable("STOPPING", "xlfsd is stopping");
            Err(problem.hint("Guests run on. Connect again when xlfsd is back.").into())
        })
    });
    Box::pin(stream.take_until(cut).chain(last_word.filter_map(std::future::ready)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stream_ends_by_itself_or_with_the_daemon() {
        let stopping = CancellationToken::new();
        let ended = until_stopping(stream::iter([Ok(1), Ok(2)]), stopping.clone());
        assert_eq!(ended.collect::<Vec<_>>().await.len(), 2);

        let endless = until_stopping(stream::pending::<Result<u32, Status>>(), stopping.clone());
        stopping.cancel();
        let patience = std::time::Duration::from_secs(30);
        let last = tokio::time::timeout(patience, endless.collect::<Vec<_>>()).await.unwrap();
        assert_eq!(last[0].as_ref().unwrap_err().code(), tonic::Code::Unavailable);
    }
}

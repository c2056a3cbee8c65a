//! `ConsoleService`: the consoles of guests, by name.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use xlfs_proto::v1::console_input::{Open, Part};
use xlfs_proto::v1::console_service_server::ConsoleService;
use xlfs_proto::v1::{ConsoleInput, ConsoleOutput, ReadConsoleLogRequest};

use super::{ReplyStream, until_stopping};
use crate::console::{Attach, ConsoleHub, ConsoleReader, InputSender};
use crate::problem::Problem;

/// How long a client may take to say which console it means.
const PATIENCE: Duration = Duration::from_secs(30);

/// Finds consoles by the names of guests.
pub trait ConsoleDirectory: Send + Sync {
    /// The console of the guest `name`; NOT_FOUND where there is no such guest,
    /// FAILED_PRECONDITION for a domain that is not ours.
    fn console(&self, name: &str) -> Result<Arc<ConsoleHub>, Problem>;
}

pub(super) struct Console {
    pub(super) directory: Arc<dyn ConsoleDirectory>,
    pub(super) stopping: CancellationToken,
}

#[tonic::async_trait]
impl ConsoleService for Console {
    type AttachStream = ReplyStream<ConsoleOutput>;
    type ReadLogStream = ReplyStream<ConsoleOutput>;

    async fn attach(
        &self,
        request: Request<Streaming<ConsoleInput>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let mut typed = request.into_inner();
        let open = first_message(&mut typed).await?;
        let hub = self.directory.console(&open.name)?;
        let attachment = hub.attach(Attach {
            write: open.write,
            force: open.force,
            replay: open.replay,
            follow_restarts: open.follow_restarts,
        })?;
        // Ends with the output, whose client is gone then; and on its own when
        // the client has typed its last. Who leaves in order ends the output.
        let gone = CancellationToken::new();
        let left = CancellationToken::new();
        let input = pass_input(typed, attachment.input, left.clone());
        tokio::spawn(gone.clone().run_until_cancelled_owned(input));
        let output = self.stream(attachment.output, Some(gone));
        Ok(Response::new(Box::pin(output.take_until(left.cancelled_owned()))))
    }

    async fn read_log(
        &self,
        request: Request<ReadConsoleLogRequest>,
    ) -> Result<Response<Self::ReadLogStream>, Status> {
        let ReadConsoleLogRequest { name, follow, tail } = request.into_inner();
        let reader = self.directory.console(&name)?.read_log(follow, tail)?;
        Ok(Response::new(self.stream(reader, None)))
    }
}

impl Console {
    /// `gone` is cancelled when the stream is dropped.
    fn stream(
        &self,
        reader: ConsoleReader,
        gone: Option<CancellationToken>,
    ) -> ReplyStream<ConsoleOutput> {
        let guard = gone.map(CancellationToken::drop_guard);
        let output = reader.into_stream().map(move |output| {
            let _ = &guard;
            Ok(output)
        });
        until_stopping(output, self.stopping.clone())
    }
}

async fn first_message(typed: &mut Streaming<ConsoleInput>) -> Result<Open, Status> {
    let first = timeout(PATIENCE, typed.message()).await.map_err(|_| {
        let message = format!("no console was named within {} s", PATIENCE.as_secs());
        Problem::deadline_exceeded("NO_CONSOLE_NAMED", message)
    })?;
    match first?.and_then(|message| message.part) {
        Some(Part::Open(open)) => Ok(open),
        _ => Err(out_of_order("the first message must name the guest").into()),
    }
}

/// Hands over what is typed until the client ends its side, says something out
/// of order, or is the writer no more. What a reader sends is thrown away: its
/// stream must be read all the same, to see it end.
async fn pass_input(
    mut typed: Streaming<ConsoleInput>,
    input: Option<InputSender>,
    left: CancellationToken,
) {
    while let Ok(Some(message)) = typed.message().await {
        let passed = match (&input, message.part) {
            (Some(input), Some(Part::Data(bytes))) => input.send(&bytes),
            (None, Some(Part::Data(_))) | (_, None) => Ok(()),
            (_, Some(Part::Leave(_))) => {
                left.cancel();
                return;
            }
            (_, Some(Part::Open(_))) => Err(out_of_order("a console is named once")),
        };
        if let Err(problem) = passed {
            tracing::debug!("console input ended: {problem:#}");
            return;
        }
    }
}

fn out_of_order(message: &str) -> Problem {
    Problem::invalid_field("BAD_CONSOLE_INPUT", "part", message)
}

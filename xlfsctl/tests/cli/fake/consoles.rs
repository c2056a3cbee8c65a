//! Consoles of the fake daemon: the guest answers each byte with the same byte
//! and is gone after CTRL-D. A guest of the name "busy" has a writer already, one
//! of the name "flood" never stops printing.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming, async_trait};
use xlfs_proto::v1::console_input::Part as Input;
use xlfs_proto::v1::console_output::Part;
use xlfs_proto::v1::console_service_server::ConsoleService;
use xlfs_proto::v1::{ConsoleInput, ConsoleOutput, ReadConsoleLogRequest};

use super::{Stage, refusal};

fn output(part: Part) -> Result<ConsoleOutput, Status> {
    Ok(ConsoleOutput { part: Some(part) })
}

#[async_trait]
impl ConsoleService for Stage {
    type AttachStream = BoxStream<'static, Result<ConsoleOutput, Status>>;
    type ReadLogStream = BoxStream<'static, Result<ConsoleOutput, Status>>;

    async fn attach(
        &self,
        request: Request<Streaming<ConsoleInput>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let mut input = request.into_inner();
        let Some(ConsoleInput { part: Some(Input::Open(open)) }) = input.message().await? else {
            return Err(Status::invalid_argument("the first message opens"));
        };
        self.heard(&open);
        if open.name == "busy" && open.write && !open.force {
            return Err(refusal(Code::FailedPrecondition, "WRITER_ATTACHED", "it has a writer"));
        }
        let (shown, stream) = mpsc::channel(2);
        let stage = self.clone();
        tokio::spawn(async move {
            if open.replay {
                let log = stage.world().console_log.clone();
                let _ = shown.send(output(Part::Data(log))).await;
            }
            if open.name == "flood" {
                loop {
                    if shown.send(output(Part::Data(vec![b'x'; 8192]))).await.is_err() {
                        return;
                    }
                }
            }
            let _ = shown.send(output(Part::Notice("hello".to_owned()))).await;
            while let Some(Ok(ConsoleInput { part: Some(Input::Data(bytes)) })) = input.next().await
            {
                stage.world().typed.extend(&bytes);
                let ends = bytes.contains(&4);
                if shown.send(output(Part::Data(bytes))).await.is_err() || ends {
                    return;
                }
            }
            // The keyboard is gone; the guest runs on for as long as it is read.
            while !shown.is_closed() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn read_log(
        &self,
        request: Request<ReadConsoleLogRequest>,
    ) -> Result<Response<Self::ReadLogStream>, Status> {
        let request = request.into_inner();
        self.heard(&request);
        let log = self.world().console_log.clone();
        let kept = match request.tail {
            0 => log.len(),
            tail => log.len().min(usize::try_from(tail).expect("small")),
        };
        let mut parts = Vec::new();
        if kept < log.len() {
            parts.push(output(Part::Gap((log.len() - kept) as u64)));
        }
        parts
            .extend(log[log.len() - kept..].chunks(16).map(|some| output(Part::Data(some.into()))));
        Ok(Response::new(Box::pin(futures::stream::iter(parts))))
    }
}

//! `SourceService`: the files that packages are built from.

use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use xlfs_proto::v1 as pb;
use xlfs_proto::v1::add_source_request::Part;
use xlfs_proto::v1::source_service_server::SourceService;

use super::{ReplyStream, until_stopping};
use crate::build::Builds;
use crate::problem::Problem;

/// Bytes of one part of a file.
const MAX_CHUNK: usize = 1 << 20;
/// How long a sender may be silent.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct SourceApi {
    pub(super) builds: Builds,
    pub(super) stopping: CancellationToken,
}

#[tonic::async_trait]
impl SourceService for SourceApi {
    type FetchSourcesStream = ReplyStream<pb::SourceEvent>;
    type VerifySourcesStream = ReplyStream<pb::SourceEvent>;

    async fn list_sources(
        &self,
        request: Request<pb::ListSourcesRequest>,
    ) -> Result<Response<pb::ListSourcesResponse>, Status> {
        let sources = self.builds.sources(request.into_inner()).await?;
        Ok(Response::new(pb::ListSourcesResponse { sources }))
    }

    async fn fetch_sources(
        &self,
        request: Request<pb::BuildRequest>,
    ) -> Result<Response<Self::FetchSourcesStream>, Status> {
        let events = self.builds.fetch(request.into_inner()).await?;
        Ok(Response::new(until_stopping(events, self.stopping.clone())))
    }

    async fn add_source(
        &self,
        request: Request<Streaming<pb::AddSourceRequest>>,
    ) -> Result<Response<pb::AddSourceResponse>, Status> {
        let mut parts = request.into_inner();
        let Some(Part::Header(header)) = next_part(&mut parts).await? else {
            return Err(order("the first message must be the header").into());
        };
        let mut addition = self.builds.add_source(header).await?;
        loop {
            match next_part(&mut parts).await? {
                Some(Part::Chunk(chunk)) if chunk.len() > MAX_CHUNK => {
                    let text = format!("has {} bytes, and {MAX_CHUNK} are allowed", chunk.len());
                    return Err(Problem::invalid_field("CHUNK_TOO_LARGE", "chunk", &text).into());
                }
                Some(Part::Chunk(chunk)) => addition.write(chunk).await?,
                Some(Part::Header(_)) => {
                    return Err(order("there is one header, at the beginning").into());
                }
                None => break,
            }
        }
        Ok(Response::new(addition.finish().await?))
    }

    async fn verify_sources(
        &self,
        request: Request<pb::VerifySourcesRequest>,
    ) -> Result<Response<Self::VerifySourcesStream>, Status> {
        let events = self.builds.verify_sources(request.into_inner()).await?;
        Ok(Response::new(until_stopping(events, self.stopping.clone())))
    }
}

/// The next part; None at the end of the stream.
async fn next_part(parts: &mut Streaming<pb::AddSourceRequest>) -> Result<Option<Part>, Status> {
    match timeout(PATIENCE, parts.message()).await {
        Ok(message) => Ok(message?.map(|message| message.part.unwrap_or(Part::Chunk(Vec::new())))),
        Err(_) => {
            let text = format!("nothing of the file came for {} s", PATIENCE.as_secs());
            Err(Problem::deadline_exceeded("IMPORT_STALLED", text).into())
        }
    }
}

fn order(message: &str) -> Problem {
    Problem::invalid_field("BAD_IMPORT", "part", message)
}

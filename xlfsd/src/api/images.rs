//! `ImageService`: the image store. An import is a stream, so it is the one
//! call whose parts have an order that must be checked.

use std::time::Duration;

use tokio::time::timeout;
use tonic::{Request, Response, Status, Streaming};
use xlfs_proto::v1::image_service_server::ImageService;
use xlfs_proto::v1::import_image_request::{Header, Part};
use xlfs_proto::v1::{
    DeleteImageRequest, DeleteImageResponse, GetImageRequest, Image, ImportImageRequest,
    ImportImageResponse, ListImagesRequest, ListImagesResponse,
};

use super::blocking;
use crate::image::{ImageStore, ImportHeader};
use crate::problem::Problem;

/// Bytes of one part of an image's content.
const MAX_CHUNK: usize = 1 << 20;

/// How long an importer may be silent. Its import holds one of few places.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Images {
    pub(super) store: ImageStore,
}

#[tonic::async_trait]
impl ImageService for Images {
    async fn import_image(
        &self,
        request: Request<Streaming<ImportImageRequest>>,
    ) -> Result<Response<ImportImageResponse>, Status> {
        let mut parts = request.into_inner();
        let header = match next_part(&mut parts).await? {
            Some(Part::Header(header)) => read_header(header)?,
            _ => return Err(order("the first message of an import must be its header").into()),
        };
        let mut import = self.store.import(header).await?;
        loop {
            match next_part(&mut parts).await? {
                Some(Part::Chunk(chunk)) if chunk.len() > MAX_CHUNK => {
                    let description =
                        format!("has {} bytes, and {MAX_CHUNK} are allowed", chunk.len());
                    return Err(
                        Problem::invalid_field("CHUNK_TOO_LARGE", "chunk", &description).into()
                    );
                }
                Some(Part::Chunk(chunk)) => import.write(chunk).await?,
                Some(Part::Header(_)) => {
                    return Err(order("an import has one header, at its beginning").into());
                }
                None => break,
            }
        }
        let imported = import.finish().await?;
        let image = Some(self.store.message(&imported.record));
        Ok(Response::new(ImportImageResponse { image, changed: imported.changed }))
    }

    async fn list_images(
        &self,
        _: Request<ListImagesRequest>,
    ) -> Result<Response<ListImagesResponse>, Status> {
        let store = self.store.clone();
        let images = blocking(move || store.list()).await?;
        Ok(Response::new(ListImagesResponse { images }))
    }

    async fn get_image(
        &self,
        request: Request<GetImageRequest>,
    ) -> Result<Response<Image>, Status> {
        let record = self.store.resolve(&request.get_ref().reference)?;
        Ok(Response::new(self.store.message(&record)))
    }

    async fn delete_image(
        &self,
        request: Request<DeleteImageRequest>,
    ) -> Result<Response<DeleteImageResponse>, Status> {
        let DeleteImageRequest { reference, dry_run } = request.into_inner();
        let store = self.store.clone();
        let record = blocking(move || store.delete(&reference, dry_run)).await??;
        if !dry_run {
            self.store.forget(&record).await;
        }
        Ok(Response::new(DeleteImageResponse { image: Some(record.message(Vec::new())) }))
    }
}

/// The next part; None at the end of the stream. A message with no part in it
/// is an empty chunk, as a client may well send one.
async fn next_part(parts: &mut Streaming<ImportImageRequest>) -> Result<Option<Part>, Status> {
    match timeout(PATIENCE, parts.message()).await {
        Ok(message) => Ok(message?.map(|message| message.part.unwrap_or(Part::Chunk(Vec::new())))),
        Err(_) => Err(Problem::deadline_exceeded(
            "IMPORT_STALLED",
            format!("nothing of the image came for {} s", PATIENCE.as_secs()),
        )
        .into()),
    }
}

fn read_header(header: Header) -> Result<ImportHeader, Problem> {
    let expected_digest = match header.expected_digest.as_str() {
        "" => None,
        text => Some(text.parse().map_err(|error: crate::image::NotADigest| {
            Problem::invalid_field("BAD_DIGEST", "header.expected_digest", &error.to_string())
        })?),
    };
    Ok(ImportHeader {
        kind: header.kind().try_into()?,
        alias: (!header.alias.is_empty()).then_some(header.alias),
        origin: header.origin,
        expected_digest,
        dry_run: header.dry_run,
    })
}

fn order(message: &str) -> Problem {
    Problem::invalid_field("BAD_IMPORT", "part", message)
}

//! The image store of the fake daemon. It does hash what comes in: a client that
//! sends the wrong bytes is found out.

use sha2::{Digest as _, Sha256};
use tonic::{Request, Response, Status, Streaming, async_trait};
use xlfs_proto::v1::image_service_server::ImageService;
use xlfs_proto::v1::import_image_request::Part;
use xlfs_proto::v1::{
    DeleteImageRequest, DeleteImageResponse, GetImageRequest, Image, ImageKind, ImportImageRequest,
    ImportImageResponse, ListImagesRequest, ListImagesResponse,
};

use super::domains::MOMENT;
use super::{Stage, not_found};

/// An image with every field filled.
pub(crate) fn image(alias: &str, digit: &str, used_by: &[&str]) -> Image {
    Image {
        digest: digit.repeat(32),
        kind: ImageKind::Kernel.into(),
        aliases: vec![alias.to_owned()],
        size: 8_294_400,
        imported: Some(MOMENT),
        origin: "vmlinuz-6.1.0-31-amd64".to_owned(),
        summary: "bzImage, xz; Linux 6.1.128; PV 64 bit".to_owned(),
        used_by: used_by.iter().map(|name| (*name).to_owned()).collect(),
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Stage {
    fn image(&self, reference: &str) -> Result<Image, Status> {
        let world = self.world();
        let found = world.images.iter().find(|image| {
            image.digest.starts_with(reference) || image.aliases.iter().any(|a| a == reference)
        });
        found.cloned().ok_or_else(|| not_found("image", reference))
    }
}

#[async_trait]
impl ImageService for Stage {
    async fn import_image(
        &self,
        request: Request<Streaming<ImportImageRequest>>,
    ) -> Result<Response<ImportImageResponse>, Status> {
        let mut stream = request.into_inner();
        let Some(ImportImageRequest { part: Some(Part::Header(header)) }) =
            stream.message().await?
        else {
            return Err(Status::invalid_argument("the first message is a header"));
        };
        self.heard(&header);
        if header.alias == "refused" {
            return Err(Status::resource_exhausted("the store is full"));
        }
        let mut hash = Sha256::new();
        let mut size = 0;
        while let Some(ImportImageRequest { part: Some(Part::Chunk(chunk)) }) =
            stream.message().await?
        {
            assert!(!chunk.is_empty() && chunk.len() <= 1024 * 1024);
            size += chunk.len() as u64;
            hash.update(&chunk);
        }
        let digest = hex(&hash.finalize());
        if !header.expected_digest.is_empty() && header.expected_digest != digest {
            return Err(Status::invalid_argument("the content has another SHA-256"));
        }
        let image = Image {
            digest,
            kind: header.kind,
            aliases: vec![header.alias],
            size,
            imported: Some(MOMENT),
            origin: header.origin,
            summary: "ELF, not compressed".to_owned(),
            used_by: Vec::new(),
        };
        let mut world = self.world();
        let changed = !world.images.iter().any(|known| known.digest == image.digest);
        if changed && !header.dry_run {
            world.images.push(image.clone());
        }
        Ok(Response::new(ImportImageResponse { image: Some(image), changed }))
    }

    async fn list_images(
        &self,
        _: Request<ListImagesRequest>,
    ) -> Result<Response<ListImagesResponse>, Status> {
        Ok(Response::new(ListImagesResponse { images: self.world().images.clone() }))
    }

    async fn get_image(
        &self,
        request: Request<GetImageRequest>,
    ) -> Result<Response<Image>, Status> {
        Ok(Response::new(self.image(&request.into_inner().reference)?))
    }

    async fn delete_image(
        &self,
        request: Request<DeleteImageRequest>,
    ) -> Result<Response<DeleteImageResponse>, Status> {
        let request = request.into_inner();
        let image = self.image(&request.reference)?;
        if !image.used_by.is_empty() {
            return Err(Status::failed_precondition("a guest uses it"));
        }
        if !request.dry_run {
            self.world().images.retain(|known| known.digest != image.digest);
        }
        Ok(Response::new(DeleteImageResponse { image: Some(image) }))
    }
}

//! `TemplateService`: the template library, and whether the image store has
//! what its templates name.

use tonic::{Request, Response, Status};
use xlfs_proto::v1::template_service_server::TemplateService;
use xlfs_proto::v1::{self as pb, GetTemplateRequest, ListTemplatesRequest, ListTemplatesResponse};

use super::blocking;
use crate::image::{ImageKind, ImageStore};
use crate::template::{Broken, Template, TemplateLibrary};

#[derive(Debug)]
pub(super) struct Templates {
    pub(super) library: TemplateLibrary,
    pub(super) images: ImageStore,
}

#[tonic::async_trait]
impl TemplateService for Templates {
    async fn list_templates(
        &self,
        _: Request<ListTemplatesRequest>,
    ) -> Result<Response<ListTemplatesResponse>, Status> {
        let (library, images) = (self.library.clone(), self.images.clone());
        let list = move || library.list().iter().map(|entry| message(entry, &images)).collect();
        Ok(Response::new(ListTemplatesResponse { templates: blocking(list).await? }))
    }

    async fn get_template(
        &self,
        request: Request<GetTemplateRequest>,
    ) -> Result<Response<pb::Template>, Status> {
        let (library, images) = (self.library.clone(), self.images.clone());
        let name = request.into_inner().name;
        let get = move || match library.get(&name) {
            // A broken one exists: it is answered with its problem, as in the list.
            Err(problem) if problem.reason == "BROKEN_TEMPLATE" => {
                Ok(message(&Err(Broken { name, problem }), &images))
            }
            other => other.map(|template| message(&Ok(template), &images)),
        };
        Ok(Response::new(blocking(get).await??))
    }
}

fn message(entry: &Result<Template, Broken>, images: &ImageStore) -> pb::Template {
    let template = match entry {
        Ok(template) => template,
        Err(Broken { name, problem }) => {
            let problem = format!("{problem:#}");
            return pb::Template { name: name.clone(), problem, ..pb::Template::default() };
        }
    };
    let mut message = template.message();
    let mut missing = Vec::new();
    let mut digest = |alias: &str, kind: ImageKind| match images.resolve(alias) {
        Ok(record) if record.kind == kind => record.digest.to_string(),
        Ok(record) => {
            missing.push(format!("the image {alias} is a {}", record.kind.as_str()));
            String::new()
        }
        Err(_) => {
            missing.push(format!("the image store has no {} {alias}", kind.as_str()));
            String::new()
        }
    };
    message.kernel_digest = digest(&template.kernel, ImageKind::Kernel);
    if let Some(ramdisk) = &template.ramdisk {
        message.ramdisk_digest = digest(ramdisk, ImageKind::Ramdisk);
    }
    for disk in message.disks.iter_mut().filter(|disk| !disk.image.is_empty()) {
        disk.image_digest = digest(&disk.image, ImageKind::Disk);
    }
    if !missing.is_empty() {
        message.problem = format!("{}; import what it needs first", missing.join(", and "));
    }
    message
}

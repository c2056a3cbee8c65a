//! Templates, as a client sees them.

use tonic::Code;
use xlfs_proto::v1::template_service_client::TemplateServiceClient;
use xlfs_proto::v1::{GetTemplateRequest, ListTemplatesRequest, ParameterType};
use xlfsd::image::{ImageKind, ImportHeader};

use crate::daemon::{Daemon, reason};

async fn import(daemon: &Daemon, kind: ImageKind, alias: &str) {
    let header = ImportHeader {
        kind,
        alias: Some(alias.to_owned()),
        origin: String::new(),
        expected_digest: None,
        dry_run: false,
    };
    let mut import = daemon.base.images.import(header).await.unwrap();
    import.write(alias.as_bytes().to_vec()).await.unwrap();
    import.finish().await.unwrap();
}

#[tokio::test]
async fn minimal_says_what_it_lacks_and_then_is_ready() {
    let daemon = Daemon::start().await;
    let mut client = TemplateServiceClient::new(daemon.connect().await);
    let request = GetTemplateRequest { name: "minimal".into() };
    let template = client.get_template(request.clone()).await.unwrap().into_inner();
    assert_eq!(
        template.problem,
        "the image store has no kernel minimal-kernel, and the image store has no ramdisk \
         minimal-ramdisk; import what it needs first"
    );
    assert_eq!((template.memory_mib, template.memory_min_mib), (128, 16));
    let hostname = template.parameters.iter().find(|p| p.name == "hostname").unwrap();
    assert_eq!(hostname.r#type(), ParameterType::Hostname);

    import(&daemon, ImageKind::Kernel, "minimal-kernel").await;
    import(&daemon, ImageKind::Kernel, "minimal-ramdisk").await;
    let template = client.get_template(request.clone()).await.unwrap().into_inner();
    assert_eq!(template.kernel_digest.len(), 64);
    assert!(template.problem.starts_with("the image minimal-ramdisk is a kernel;"));

    daemon.base.images.delete("minimal-ramdisk", false).unwrap();
    import(&daemon, ImageKind::Ramdisk, "minimal-ramdisk").await;
    let template = client.get_template(request).await.unwrap().into_inner();
    assert_eq!(template.ramdisk_digest.len(), 64);
    assert_eq!(template.problem, "");
}

#[tokio::test]
async fn a_broken_template_is_listed_with_its_problem() {
    let daemon = Daemon::start().await;
    let dir = daemon.path("templates/mine");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("template.toml"), "name = 'mine'\nversoin = '1'\n").unwrap();
    let mut client = TemplateServiceClient::new(daemon.connect().await);
    let list = client.list_templates(ListTemplatesRequest {}).await.unwrap().into_inner();
    let names: Vec<_> = list.templates.iter().map(|template| template.name.as_str()).collect();
    assert!(names.contains(&"mine") && names.contains(&"minimal"), "{names:?}");
    let mine = list.templates.iter().find(|template| template.name == "mine").unwrap();
    assert!(mine.problem.contains("\"versoin\" (did you mean \"version\"?)"), "{}", mine.problem);
    let request = GetTemplateRequest { name: "mine".into() };
    assert_eq!(client.get_template(request).await.unwrap().into_inner(), *mine);
    let status =
        client.get_template(GetTemplateRequest { name: "minmal".into() }).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "NO_SUCH_TEMPLATE"));
    assert!(status.message().ends_with("(did you mean \"minimal\"?)"));
}

//! Templates, as a client sees them.

use tonic::Code;
use xlfs_proto::v1::template_service_client::TemplateServiceClient;
use xlfs_proto::v1::{GetTemplateRequest, HealthKind, ListTemplatesRequest, ParameterType};
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

#[tokio::test]
async fn lapp_says_all_that_its_guests_get() {
    let daemon = Daemon::start().await;
    let mut client = TemplateServiceClient::new(daemon.connect().await);
    let request = GetTemplateRequest { name: "lapp".into() };
    import(&daemon, ImageKind::Disk, "lapp-root").await;
    let template = client.get_template(request).await.unwrap().into_inner();
    let root = template.disks.iter().find(|disk| disk.name == "root").unwrap();
    assert_eq!((root.device.as_str(), root.image.as_str()), ("xvda", "lapp-root"));
    assert_eq!((root.image_digest.len(), root.size_min_mib), (64, 1024));
    assert_eq!(template.network.as_ref().unwrap().interfaces, 1);
    assert_eq!(template.first_boot_steps, ["10-database.sh", "20-web.sh"]);
    assert!(!template.services.is_empty());
    let health = &template.health[0];
    assert_eq!((health.kind(), health.port), (HealthKind::Http, 80));
    assert_eq!((health.path.as_str(), health.expect.as_str()), ("/xlfs-health", "xlfs-health: ok"));
    assert_eq!(health.grace.unwrap().seconds, 300);
    let parameter = |name: &str| template.parameters.iter().find(|p| p.name == name).unwrap();
    assert_eq!(parameter("site-name").r#type(), ParameterType::DomainName);
    let made = template.parameters.iter().find(|p| p.generated).unwrap();
    assert!(made.secret && made.length > 0 && made.r#type() == ParameterType::Secret);
}

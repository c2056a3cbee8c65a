//! The host, the templates and the events of the fake daemon.

use futures::stream::BoxStream;
use tonic::{Request, Response, Status, async_trait};
use xlfs_proto::v1::event::Kind;
use xlfs_proto::v1::event_service_server::EventService;
use xlfs_proto::v1::host_service_server::HostService;
use xlfs_proto::v1::template_service_server::TemplateService;
use xlfs_proto::v1::{
    DomainState, DomainStateChanged, EndAction, EndPolicy, Event, GetHostRequest,
    GetTemplateRequest, HealthCheck, HealthKind, Host, Hypervisor, Lagged, ListTemplatesRequest,
    ListTemplatesResponse, NumaNode, OfferedService, ParameterType, ReadHypervisorLogRequest,
    ReadHypervisorLogResponse, Template, TemplateDisk, TemplateNetwork, TemplateParameter,
    TemplateSwap, WatchEventsRequest, XlfsdStats,
};

use super::domains::MOMENT;
use super::{Stage, not_found};

/// A host that runs on Xen.
pub(crate) fn host() -> Host {
    Host {
        hostname: "dom0.example.org".to_owned(),
        xlfsd_version: "0.1.0".to_owned(),
        hypervisor: Some(Hypervisor {
            version: "4.17.7".to_owned(),
            domctl_version: 21,
            sysctl_version: 21,
            abi: "4.17".to_owned(),
            capabilities: "xen-3.0-x86_64 hvm-3.0-x86_32 hvm-3.0-x86_64".to_owned(),
            command_line: "console=com1 com1=115200 dom0_mem=768M".to_owned(),
            scheduler: "credit2".to_owned(),
            cpus: 2,
            cores_per_socket: 2,
            threads_per_core: 1,
            nodes: 1,
            cpu_khz: 2_400_000,
            memory_mib: 2047,
            free_mib: 1180,
            reserved_mib: 64,
            topology: Vec::new(),
            numa: vec![NumaNode { id: 0, memory_mib: 2047, free_mib: 1180, distances: vec![10] }],
        }),
        hypervisor_problem: String::new(),
        kernel: "6.1.0-31-amd64".to_owned(),
        xlfsd: Some(XlfsdStats {
            resident_kib: 6144,
            xenstore_operations: 120,
            xenstore_waits: 14,
            xenstore_transactions: 0,
            hypercalls: 311,
            uptime_seconds: 93_784,
        }),
    }
}

/// A template with parameters of several kinds.
pub(crate) fn template() -> Template {
    let parameter = |name: &str, kind: ParameterType, description: &str| TemplateParameter {
        name: name.to_owned(),
        r#type: kind.into(),
        description: description.to_owned(),
        ..Default::default()
    };
    Template {
        name: "lapp".to_owned(),
        version: "12.1".to_owned(),
        summary: "Apache, PostgreSQL and PHP on Debian".to_owned(),
        description: "A web server with a data base.".to_owned(),
        kernel: "lapp-kernel".to_owned(),
        kernel_digest: "ab".repeat(32),
        ramdisk: "lapp-ramdisk".to_owned(),
        ramdisk_digest: String::new(),
        command_line: "console=hvc0 hostname=${hostname}".to_owned(),
        memory_mib: 512,
        memory_min_mib: 256,
        vcpus: 1,
        vcpus_max: 8,
        parameters: vec![
            TemplateParameter {
                required: true,
                max: Some(63),
                ..parameter("hostname", ParameterType::Hostname, "The name of the server")
            },
            TemplateParameter {
                choices: vec!["8.2".to_owned(), "8.3".to_owned()],
                default: Some("8.2".to_owned()),
                ..parameter("php", ParameterType::Choice, "The version of PHP")
            },
            TemplateParameter {
                secret: true,
                generated: true,
                length: 20,
                ..parameter("password", ParameterType::Secret, "Of the data base")
            },
            TemplateParameter {
                default: Some("false".to_owned()),
                ..parameter("tls", ParameterType::Boolean, "Serve HTTPS only")
            },
        ],
        end_policy: Some(EndPolicy {
            on_poweroff: EndAction::Destroy.into(),
            on_reboot: EndAction::Restart.into(),
            on_crash: EndAction::Restart.into(),
        }),
        problem: "the store has no image \"lapp-ramdisk\"".to_owned(),
        disks: vec![TemplateDisk {
            name: "root".to_owned(),
            device: "xvda".to_owned(),
            image: "lapp-root".to_owned(),
            image_digest: "ef".repeat(32),
            size_mib: 2048,
            size_min_mib: 1024,
            pool: String::new(),
        }],
        swap: Some(TemplateSwap { percent: 150, device: "xvdb".to_owned(), pool: String::new() }),
        network: Some(TemplateNetwork { networks: vec!["lan".to_owned()], interfaces: 2 }),
        first_boot_steps: vec!["10-database.sh".to_owned(), "20-web.sh".to_owned()],
        services: vec![OfferedService {
            name: "http".to_owned(),
            description: "Apache httpd with PHP".to_owned(),
        }],
        health: vec![HealthCheck {
            kind: HealthKind::Http.into(),
            port: 80,
            path: "/xlfs-health".to_owned(),
            expect: "ok".to_owned(),
            interval: Some(prost_types::Duration { seconds: 30, nanos: 0 }),
            ..HealthCheck::default()
        }],
    }
}

#[async_trait]
impl TemplateService for Stage {
    async fn list_templates(
        &self,
        _: Request<ListTemplatesRequest>,
    ) -> Result<Response<ListTemplatesResponse>, Status> {
        Ok(Response::new(ListTemplatesResponse { templates: self.world().templates.clone() }))
    }

    async fn get_template(
        &self,
        request: Request<GetTemplateRequest>,
    ) -> Result<Response<Template>, Status> {
        let name = request.into_inner().name;
        let found = self.world().templates.iter().find(|one| one.name == name).cloned();
        found.map(Response::new).ok_or_else(|| not_found("template", &name))
    }
}

/// A guest that started, as an event.
pub(crate) fn started(sequence: u64) -> Event {
    Event {
        sequence,
        time: Some(MOMENT),
        object: "web".to_owned(),
        text: "running (was starting)".to_owned(),
        kind: Some(Kind::DomainState(DomainStateChanged {
            state: DomainState::Running.into(),
            previous: DomainState::Starting.into(),
            domid: Some(5),
            cause: String::new(),
        })),
    }
}

/// "You missed something", as an event.
pub(crate) fn lagged(missed: u64, resync_from: u64) -> Event {
    Event { kind: Some(Kind::Lagged(Lagged { missed, resync_from })), ..Event::default() }
}

/// Each connection gets the next list of events, and is closed after it; when
/// there is none left, the call is refused.
#[async_trait]
impl EventService for Stage {
    type WatchEventsStream = BoxStream<'static, Result<Event, Status>>;

    async fn watch_events(
        &self,
        request: Request<WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        self.heard(&request.into_inner());
        let mut world = self.world();
        if world.events.is_empty() {
            return Err(Status::out_of_range("the play is over"));
        }
        let events = world.events.remove(0);
        Ok(Response::new(Box::pin(futures::stream::iter(events.into_iter().map(Ok)))))
    }
}

#[async_trait]
impl HostService for Stage {
    async fn get_host(&self, _: Request<GetHostRequest>) -> Result<Response<Host>, Status> {
        Ok(Response::new(self.world().host.clone()))
    }

    async fn read_hypervisor_log(
        &self,
        request: Request<ReadHypervisorLogRequest>,
    ) -> Result<Response<ReadHypervisorLogResponse>, Status> {
        let mut world = self.world();
        let text = world.hypervisor_log.clone();
        if request.into_inner().clear {
            world.hypervisor_log.clear();
        }
        Ok(Response::new(ReadHypervisorLogResponse { text }))
    }
}

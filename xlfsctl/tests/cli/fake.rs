//! A daemon for the tests: the services of xlfsd, played from a [`World`] that
//! each test sets up.

pub(crate) mod builds;
pub(crate) mod consoles;
pub(crate) mod domains;
pub(crate) mod images;
pub(crate) mod others;
pub(crate) mod slots;
pub(crate) mod tasks;
pub(crate) mod volumes;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use xlfs_proto::v1::build_service_server::BuildServiceServer;
use xlfs_proto::v1::console_service_server::ConsoleServiceServer;
use xlfs_proto::v1::domain_service_server::DomainServiceServer;
use xlfs_proto::v1::event_service_server::EventServiceServer;
use xlfs_proto::v1::host_service_server::HostServiceServer;
use xlfs_proto::v1::image_service_server::ImageServiceServer;
use xlfs_proto::v1::network_service_server::NetworkServiceServer;
use xlfs_proto::v1::recipe_service_server::RecipeServiceServer;
use xlfs_proto::v1::slot_service_server::SlotServiceServer;
use xlfs_proto::v1::source_service_server::SourceServiceServer;
use xlfs_proto::v1::task_service_server::TaskServiceServer;
use xlfs_proto::v1::template_service_server::TemplateServiceServer;
use xlfs_proto::v1::volume_service_server::VolumeServiceServer;
use xlfs_proto::v1::{
    Build, BuildEvent, Domain, Event, Host, Image, Network, OperationReply, Pool, Slot, Task,
    Template, Volume,
};

/// What the fake daemon knows and was asked.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) domains: Vec<Domain>,
    pub(crate) images: Vec<Image>,
    pub(crate) templates: Vec<Template>,
    pub(crate) volumes: Vec<Volume>,
    pub(crate) pools: Vec<Pool>,
    pub(crate) slots: Vec<Slot>,
    pub(crate) networks: Vec<Network>,
    pub(crate) builds: Vec<Build>,
    /// The events of every build; without any, another one runs.
    pub(crate) build_events: Vec<BuildEvent>,
    /// The first who watches a build sees so many events, and the stream ends.
    pub(crate) cut_after: usize,
    /// Builds do not end.
    pub(crate) goes_on: bool,
    /// The events of each connection that watches, in turn.
    pub(crate) events: Vec<Vec<Event>>,
    pub(crate) host: Host,
    pub(crate) hypervisor_problem: String,
    pub(crate) hypervisor_log: String,
    /// What a change of this guest answers; without one, nothing was to do.
    pub(crate) replies: HashMap<String, Result<OperationReply, Status>>,
    /// The states that a task goes through when it is watched.
    pub(crate) tasks: HashMap<String, Vec<Task>>,
    /// What a console has printed before anybody came.
    pub(crate) console_log: Vec<u8>,
    /// Every request, as text.
    pub(crate) requests: Vec<String>,
    /// Bytes that came in on consoles.
    pub(crate) typed: Vec<u8>,
    pub(crate) cancelled: Vec<String>,
    /// Tasks whose next watcher sees one state, and then the end of the stream.
    pub(crate) cut_once: Vec<String>,
    /// Tasks that are forgotten once their stream was cut.
    pub(crate) forgets: bool,
    /// Tasks do not end when they are cancelled.
    pub(crate) deaf: bool,
}

/// The services, with the world they share.
#[derive(Clone, Default)]
pub(crate) struct Stage(Arc<Mutex<World>>);

impl Stage {
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().expect("no test panicked with the world in its hands")
    }

    pub(crate) fn heard(&self, request: &impl std::fmt::Debug) {
        self.world().requests.push(format!("{request:?}"));
    }
}

/// A running fake daemon.
pub(crate) struct Fake {
    pub(crate) socket: PathBuf,
    pub(crate) stage: Stage,
    _folder: tempfile::TempDir,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Starts the daemon of this world on a socket of its own.
pub(crate) fn serve(world: World) -> Fake {
    let folder = tempfile::tempdir().expect("folder");
    let socket = folder.path().join("xlfsd.sock");
    let listener = UnixListener::bind(&socket).expect("bind");
    let stage = Stage(Arc::new(Mutex::new(world)));
    let router = Server::builder()
        .add_service(DomainServiceServer::new(stage.clone()))
        .add_service(ConsoleServiceServer::new(stage.clone()))
        .add_service(ImageServiceServer::new(stage.clone()))
        .add_service(TaskServiceServer::new(stage.clone()))
        .add_service(EventServiceServer::new(stage.clone()))
        .add_service(TemplateServiceServer::new(stage.clone()))
        .add_service(VolumeServiceServer::new(stage.clone()))
        .add_service(NetworkServiceServer::new(stage.clone()))
        .add_service(SlotServiceServer::new(stage.clone()))
        .add_service(HostServiceServer::new(stage.clone()))
        .add_service(BuildServiceServer::new(stage.clone()))
        .add_service(SourceServiceServer::new(stage.clone()))
        .add_service(RecipeServiceServer::new(stage.clone()));
    let server = tokio::spawn(async move {
        let incoming = UnixListenerStream::new(listener);
        router.serve_with_incoming(incoming).await.expect("served");
    });
    Fake { socket, stage, _folder: folder, server }
}

/// A status as xlfsd sends it.
pub(crate) fn refusal(code: Code, reason: &str, message: &str) -> Status {
    let metadata = HashMap::from([
        ("step".to_owned(), "reserve-memory".to_owned()),
        ("object".to_owned(), "256 MiB".to_owned()),
        ("hint".to_owned(), "lower --memory, or stop a guest: xlfsctl list".to_owned()),
    ]);
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, xlfs_proto::ERROR_DOMAIN, metadata);
    let cause = "the hypervisor has 180 MiB free, 64 MiB of them reserved";
    details.set_debug_info(vec![cause.to_owned()], "");
    Status::with_error_details(code, message, details)
}

/// "There is no such thing", as xlfsd says it.
pub(crate) fn not_found(what: &str, name: &str) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info("NOT_FOUND", xlfs_proto::ERROR_DOMAIN, HashMap::new());
    Status::with_error_details(Code::NotFound, format!("there is no {what} \"{name}\""), details)
}

//! Which services the daemon offers. What needs no Xen is put together here;
//! the rest is added by whoever has it.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Response};
use tonic::server::NamedService;
use tonic::service::{Routes, RoutesBuilder};
use tonic_health::ServingStatus;
use tonic_reflection::pb::{v1, v1alpha};
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

use super::builds::BuildApi;
use super::console::{Console, ConsoleDirectory};
use super::domains::Domains;
use super::events::Events;
use super::host::{HostApi, HostInfo};
use super::images::Images;
use super::networks::NetworkList;
use super::recipes::RecipeApi;
use super::slots::SlotApi;
use super::sources::SourceApi;
use super::tasks::Tasks;
use super::templates::Templates;
use super::volumes::VolumeApi;
use crate::base::Base;
use crate::build::Builds;
use crate::domain::Guests;
use crate::network::Net;
use crate::slots::HostOperations;
use crate::volume::VolumeOperations;

/// Bytes of a message, either way. What clients of gRPC take by default.
pub const MAX_MESSAGE: usize = 4 << 20;

/// Sets the limits of a generated server.
macro_rules! limited {
    ($server:expr) => {
        $server
            .max_decoding_message_size($crate::api::MAX_MESSAGE)
            .max_encoding_message_size($crate::api::MAX_MESSAGE)
    };
}

/// The services of one daemon.
pub struct Services {
    routes: RoutesBuilder,
    names: Vec<&'static str>,
    stopping: CancellationToken,
}

impl Services {
    /// Images, templates, tasks and events. `stopping` ends their streams.
    pub fn new(base: &Base, stopping: CancellationToken) -> Self {
        let mut services = Self {
            routes: RoutesBuilder::default(),
            names: Vec::new(),
            stopping: stopping.clone(),
        };
        services.add(limited!(ImageServiceServer::new(Images { store: base.images.clone() })));
        services.add(limited!(TemplateServiceServer::new(Templates {
            library: base.templates.clone(),
            images: base.images.clone(),
        })));
        services.add(limited!(TaskServiceServer::new(Tasks {
            registry: base.tasks.clone(),
            stopping: stopping.clone(),
        })));
        services
            .add(limited!(EventServiceServer::new(Events { bus: base.events.clone(), stopping })));
        services
    }

    /// The host, as far as `info` knows about its hypervisor.
    pub fn add_host(&mut self, info: Arc<dyn HostInfo>) {
        let host = HostApi { info, started: Instant::now() };
        self.add(limited!(HostServiceServer::new(host)));
    }

    /// The consoles that `directory` knows.
    pub fn add_console(&mut self, directory: Arc<dyn ConsoleDirectory>) {
        let console = Console { directory, stopping: self.stopping.clone() };
        self.add(limited!(ConsoleServiceServer::new(console)));
    }

    /// The guests.
    pub fn add_domains(&mut self, guests: Guests) {
        self.add(limited!(DomainServiceServer::new(Domains::new(guests))));
    }

    /// The volumes and pools.
    pub fn add_volumes(&mut self, operations: VolumeOperations) {
        self.add(limited!(VolumeServiceServer::new(VolumeApi { operations })));
    }

    /// The slots of the host.
    pub fn add_slots(&mut self, operations: HostOperations) {
        self.add(limited!(SlotServiceServer::new(SlotApi { operations })));
    }

    /// The networks, and which guests are on them.
    pub fn add_networks(&mut self, net: Arc<Net>, guests: Guests) {
        self.add(limited!(NetworkServiceServer::new(NetworkList { net, guests })));
    }

    /// Building from source.
    pub fn add_builds(&mut self, builds: Builds) {
        let stopping = self.stopping.clone();
        let recipes = RecipeApi { builds: builds.clone() };
        self.add(limited!(RecipeServiceServer::new(recipes)));
        let sources = SourceApi { builds: builds.clone(), stopping: stopping.clone() };
        self.add(limited!(SourceServiceServer::new(sources)));
        self.add(limited!(BuildServiceServer::new(BuildApi { builds, stopping })));
    }

    /// A service that is made elsewhere. Its messages should be limited to
    /// [`MAX_MESSAGE`], and its streams end with [`stopping`](Self::stopping).
    pub fn add<S>(&mut self, service: S)
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        self.names.push(S::NAME);
        self.routes.add_service(service);
    }

    /// Cancelled when the daemon stops serving.
    pub fn stopping(&self) -> CancellationToken {
        self.stopping.clone()
    }

    /// All of them, with health and reflection.
    pub(super) async fn into_routes(mut self) -> Result<Routes, tonic_reflection::server::Error> {
        let (health, health_server) = tonic_health::server::health_reporter();
        for name in &self.names {
            health.set_service_status(name, ServingStatus::Serving).await;
        }
        self.routes.add_service(health_server);
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(xlfs_proto::DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                // Each version tells of both.
                .include_reflection_service(false)
                .register_encoded_file_descriptor_set(v1::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(v1alpha::FILE_DESCRIPTOR_SET)
        };
        self.routes.add_service(reflection().build_v1()?);
        self.routes.add_service(reflection().build_v1alpha()?);
        Ok(self.routes.routes())
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services").field("names", &self.names).finish_non_exhaustive()
    }
}

//! A daemon in this process, with a state folder and a socket of its own.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::StreamExt;
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic_types::StatusExt;
use xlfs_proto::v1::task_service_client::TaskServiceClient;
use xlfs_proto::v1::{GetTaskRequest, OperationReply, Task};
use xlfsd::api::{self, ConsoleDirectory, NoHypervisor, ServeError, Services, Socket};
use xlfsd::base::Base;
use xlfsd::build::Builds;
use xlfsd::config::Config;
use xlfsd::domain::{Guests, Setup};
use xlfsd::host::PoolDisks;
use xlfsd::network::{Net, Networks};
use xlfsd::problem::Problem;
use xlfsd::slots::{HostOperations, Slots};
use xlfsd::storage::{Pools, Volumes};
use xlfsd::volume::VolumeOperations;
use xlfsd::watchdog::Pulse;

use crate::machine::Machine;

pub(crate) struct Daemon {
    pub(crate) base: Arc<Base>,
    /// Set where it keeps guests.
    pub(crate) machine: Option<Arc<Machine>>,
    pub(crate) config: Config,
    pub(crate) stopping: CancellationToken,
    serving: JoinHandle<Result<(), ServeError>>,
    dir: TempDir,
}

impl Daemon {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        // Sandboxes of root run as another user, who must get to the store.
        let dir =
            tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir().unwrap();
        let mut config = Config {
            socket: dir.path().join("run/xlfsd.sock"),
            socket_gid: nix::unistd::getgid().as_raw(),
            state_dir: dir.path().join("state"),
            templates: vec![shipped_templates(), dir.path().join("templates")],
            ..Config::default()
        };
        change(&mut config);
        Self::start_in(dir, config)
    }

    fn start_in(dir: TempDir, config: Config) -> Self {
        let base = Arc::new(Base::open(&config).unwrap());
        Self::serve(dir, config, base, None, None)
    }

    fn serve(
        dir: TempDir,
        config: Config,
        base: Arc<Base>,
        consoles: Option<Arc<dyn ConsoleDirectory>>,
        machine: Option<Arc<Machine>>,
    ) -> Self {
        let stopping = CancellationToken::new();
        let mut services = Services::new(&base, stopping.clone());
        let problem = Problem::unavailable("NO_HYPERVISOR", "no Xen in this test");
        services.add_host(Arc::new(NoHypervisor { problem }));
        let builds = (config.builder.clone(), config.state_dir.clone());
        services.add_builds(Builds::open(base.clone(), builds.0, builds.1));
        if let Some(consoles) = consoles {
            services.add_console(consoles);
        }
        if let Some(machine) = &machine {
            add_guests(&mut services, machine, &config, &base);
        }
        let socket = Socket::bind(&config.socket, config.socket_gid).unwrap();
        let serving = tokio::spawn(api::serve(socket, services, config.server_limits()));
        Self { base, machine, config, stopping, serving, dir }
    }

    /// The same daemon, which serves consoles now.
    pub(crate) async fn with_console(self, consoles: impl ConsoleDirectory + 'static) -> Self {
        self.stopping.cancel();
        self.serving.await.unwrap().unwrap();
        Self::serve(self.dir, self.config, self.base, Some(Arc::new(consoles)), None)
    }

    /// One that keeps guests and volumes, on a machine that runs what the test says.
    pub(crate) async fn with_guests() -> Self {
        Self::with_guests_and(|_| {}).await
    }

    pub(crate) async fn with_guests_and(change: impl FnOnce(&mut Config)) -> Self {
        let daemon = Self::start_with(change).await;
        daemon.stopping.cancel();
        daemon.serving.await.unwrap().unwrap();
        let machine = Some(Arc::new(Machine::default()));
        Self::serve(daemon.dir, daemon.config, daemon.base, None, machine)
    }

    /// One on a host that starts from slots.
    pub(crate) async fn with_slots(slots: impl FnOnce(&Path, &Base) -> Slots) -> Self {
        let daemon = Self::with_guests().await;
        let slots = Arc::new(slots(daemon.dir.path(), &daemon.base));
        if let Some(machine) = &daemon.machine {
            *machine.slots.lock() = Some(slots);
        }
        daemon.again().await
    }

    /// The same guests and volumes, as a new daemon finds them.
    pub(crate) async fn again(self) -> Self {
        self.again_after(|| {}).await
    }

    /// The same, after something was done to its files.
    pub(crate) async fn again_after(self, change: impl FnOnce()) -> Self {
        let machine = self.machine.clone();
        let (dir, config) = self.stop().await;
        change();
        let base = Arc::new(Base::open(&config).unwrap());
        Self::serve(dir, config, base, None, machine)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) async fn connect(&self) -> Channel {
        let address = format!("unix://{}", self.config.socket.display());
        Endpoint::try_from(address).unwrap().connect().await.unwrap()
    }

    /// A connection, and the means to cut it as a killed client does.
    pub(crate) async fn connect_to_cut(&self) -> (Channel, StdUnixStream) {
        let stream = StdUnixStream::connect(&self.config.socket).unwrap();
        stream.set_nonblocking(true).unwrap();
        let wire = stream.try_clone().unwrap();
        let mut stream = Some(stream);
        let connector = tower::service_fn(move |_: Uri| {
            let stream = stream.take().map(|stream| UnixStream::from_std(stream).unwrap());
            let stream = stream.ok_or_else(|| io::Error::other("connected once already"));
            std::future::ready(stream.map(TokioIo::new))
        });
        let endpoint = Endpoint::from_static("http://xlfsd");
        (endpoint.connect_with_connector(connector).await.unwrap(), wire)
    }

    /// The end of the task that a call answered with.
    pub(crate) async fn end_of(&self, reply: OperationReply) -> Task {
        let id = reply.task.expect("a task").id;
        let mut tasks = TaskServiceClient::new(self.connect().await);
        let watch = tasks.watch_task(GetTaskRequest { id }).await.unwrap().into_inner();
        let last = watch.fold(None, |_, task| async { Some(task.unwrap()) }).await.unwrap();
        assert!(last.ended.is_some());
        last
    }

    /// As SIGTERM does; answers when the socket is gone.
    pub(crate) async fn stop(self) -> (TempDir, Config) {
        self.stopping.cancel();
        self.serving.await.unwrap().unwrap();
        assert!(!self.config.socket.exists());
        (self.dir, self.config)
    }

    pub(crate) async fn restart(self) -> Self {
        let (dir, config) = self.stop().await;
        Self::start_in(dir, config)
    }
}

fn add_guests(services: &mut Services, machine: &Arc<Machine>, config: &Config, base: &Arc<Base>) {
    let pools = Pools::open(&config.pools(), &base.events);
    let volumes = Arc::new(Volumes::open(&config.state_dir, pools, &base.events).unwrap());
    let disks = PoolDisks::open(volumes.clone(), base.images.clone(), &config.state_dir).unwrap();
    let net = Arc::new(Net::open(Networks::new(config.networks.clone()).unwrap()));
    let guests = Guests::open(Setup {
        base: base.clone(),
        reach: machine.clone(),
        disks: Arc::new(disks),
        net: net.clone(),
        state_dir: config.state_dir.clone(),
    });
    let guests = guests.unwrap();
    volumes.set_users(guests.volume_users());
    services.add_volumes(VolumeOperations::new(base.clone(), volumes, guests.clone()));
    services.add_networks(net, guests.clone());
    services.add_domains(guests.clone());
    let slots = machine.slots.lock().clone();
    services.add_slots(HostOperations::new(base.clone(), slots, guests.clone()));
    let stopping = services.stopping();
    tokio::spawn(async move { guests.supervise(stopping, Pulse::default()).await });
}

fn shipped_templates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../vm-templates")
}

/// The stable reason in a status's details.
pub(crate) fn reason(status: &Status) -> String {
    let info = status.get_details_error_info().unwrap_or_else(|| panic!("{status:?}"));
    assert_eq!(info.domain, "xlfs");
    info.reason
}

//! xlfsd: reads the configuration, opens what the daemon stands on, and serves
//! until a signal says to stop. Guests run on whatever happens here.

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;
use xlfs_xen::hypercall::Xen;
use xlfsd::api::{self, Services, Socket};
use xlfsd::base::Base;
use xlfsd::build::Builds;
use xlfsd::config::{Args, Config};
use xlfsd::domain::{Guests, Setup};
use xlfsd::host::{Gate, HostFacts, PoolDisks, Reach, WorkerKernels};
use xlfsd::network::{Net, Networks};
use xlfsd::problem::{Problem, ProblemKind};
use xlfsd::slots::{Boot, HostChecks, HostOperations, Slots};
use xlfsd::storage::{Pools, Volumes};
use xlfsd::volume::VolumeOperations;
use xlfsd::watchdog::{self, Held, Pulse};

/// Requests are short, and what takes long has threads of its own: a second
/// worker would cost each request more wake-ups than it saves waiting.
const WORKERS: usize = 1;
/// How long such a thread is kept for the next command of an operator.
const IDLE_THREADS: Duration = Duration::from_secs(30);
/// Threads for work that waits for a disk.
const DISK_THREADS: usize = 16;
/// How long the hypervisor is waited for at the start, by tries of a second.
const XEN_TRIES: u32 = 30;
/// The kernel's door to the watchdog.
const KERNEL_WATCHDOG: &str = "/dev/watchdog";

fn main() -> ExitCode {
    // The process that parses a guest's kernel: before any thread, runtime or
    // open file exists.
    if let Some(code) = xlfs_xen::kernel::worker::run_if_asked() {
        return code;
    }

    let args = Args::parse();
    let config = match Config::load(&args) {
        Ok(config) => config,
        Err(problem) => return fail_for_good(&problem),
    };
    if let Err(problem) = start_log(config.log.as_deref()) {
        return fail_for_good(&problem);
    }
    // Whatever makes a file means to be its only reader.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(DISK_THREADS)
        .thread_keep_alive(IDLE_THREADS)
        .thread_name("xlfsd")
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(&Problem::internal("no threads to run on").cause(&error)),
    };
    // On a machine that has just booted, the first random number takes a
    // second; nobody's request should wait for it.
    runtime.spawn_blocking(uuid::Uuid::new_v4);
    let result = runtime.block_on(run(&config));
    // A thread that hangs on a dead disk must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => fail_for_good(&problem),
    }
}

async fn run(config: &Config) -> Result<(), Problem> {
    let stopping = CancellationToken::new();
    stop_on_signal(&stopping)?;
    let pulse = Pulse::default();
    let base = Arc::new(Base::open(config)?);
    let socket = Socket::bind(&config.socket, config.socket_gid)?;

    let kernels = WorkerKernels::open(base.images.clone(), &config.state_dir.join("kernels"))?;
    let kernels = Arc::new(kernels);
    base.images.set_inspector(kernels.clone());
    let reach: Arc<dyn Reach> = Arc::new(Gate::new(kernels));
    let pools = Pools::open(&config.pools(), &base.events);
    let volumes = Volumes::open(&config.state_dir, pools, &base.events).map_err(|error| {
        Problem::internal("the records of volumes cannot be used").cause(&error)
    })?;
    let volumes = Arc::new(volumes);
    let net = Arc::new(Net::open(Networks::new(config.networks.clone())?));
    tokio::spawn({
        let (net, events) = (net.clone(), base.events.clone());
        async move { net.networks.ensure_all(&*net.links, &events).await }
    });
    let guests = Guests::open(Setup {
        base: base.clone(),
        reach: reach.clone(),
        disks: Arc::new(PoolDisks::open(volumes.clone(), base.images.clone(), &config.state_dir)?),
        net: net.clone(),
        state_dir: config.state_dir.clone(),
    })?;
    let slots = Slots::open(&config.state_dir, base.events.clone(), pulse.clone())?;
    let wanted = config.watchdog.unwrap_or(slots.is_some());
    let held = Held::default();
    let guard = wanted.then(|| tokio::spawn(guard(pulse.clone(), held.clone())));
    if let Some(slots) = slots.clone() {
        let checks = HostChecks::new(reach.clone(), net.clone(), volumes.clone());
        let (guests, stopping) = (guests.clone(), stopping.clone());
        tokio::spawn(async move { slots.settle(&checks, &guests, stopping).await });
    }
    let mut services = Services::new(&base, stopping.clone());
    services.add_host(Arc::new(HostFacts::new(reach)));
    services.add_slots(HostOperations::new(base.clone(), slots, guests.clone()));
    volumes.set_users(guests.volume_users());
    services.add_volumes(VolumeOperations::new(base.clone(), volumes, guests.clone()));
    services.add_networks(net, guests.clone());
    services.add_builds(Builds::open(
        base.clone(),
        config.builder.clone(),
        config.state_dir.clone(),
    ));
    services.add_domains(guests.clone());
    services.add_console(Arc::new(guests.clone()));
    let supervisor = tokio::spawn(async move { guests.supervise(stopping, pulse).await });

    tracing::info!(
        socket = %socket.path().display(),
        state = %config.state_dir.display(),
        version = env!("CARGO_PKG_VERSION"),
        "serving"
    );
    let served = api::serve(socket, services, config.server_limits()).await;
    let consoles = base.consoles.clone();
    if let Err(problem) = api::blocking(move || consoles.flush()).await {
        tracing::warn!("the last console output may be lost: {problem:#}");
    }
    supervisor.abort();
    if let Some(guard) = guard {
        guard.abort();
        give_back_watchdog(&held);
    }
    tracing::info!("stopped; guests run on");
    served.map_err(|error| {
        Problem::from_error(ProblemKind::Internal, "SERVE_FAILED", "serving failed", &error)
    })
}

/// SIGTERM and SIGINT end the daemon and leave the guests alone.
fn stop_on_signal(stopping: &CancellationToken) -> Result<(), Problem> {
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signals = signal(kind)
            .map_err(|error| Problem::internal("signals cannot be received").cause(&error))?;
        let stopping = stopping.clone();
        tokio::spawn(async move {
            signals.recv().await;
            tracing::info!("told to stop");
            stopping.cancel();
        });
    }
    Ok(())
}

/// To the standard error stream, where whoever starts the daemon collects it.
fn start_log(configured: Option<&str>) -> Result<(), Problem> {
    let environment = || std::env::var("XLFSD_LOG").or_else(|_| std::env::var("RUST_LOG")).ok();
    let filter = configured.map(str::to_owned).or_else(environment);
    let filter = filter.as_deref().unwrap_or("info");
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        Problem::invalid_field("BAD_LOG_FILTER", "log", &format!("{filter:?} is no log filter"))
            .cause(&error)
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    Ok(())
}

/// Takes the watchdog and pets it as long as the daemon lives.
async fn guard(pulse: Pulse, held: Held) {
    let mut tries = 0;
    let xen = loop {
        match Xen::open() {
            Ok(xen) => break xen,
            Err(error) if tries == XEN_TRIES => {
                tracing::error!("nobody watches over this host: {error}");
                return;
            }
            Err(_) => tries += 1,
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    watchdog::run(&xen, Path::new(KERNEL_WATCHDOG), pulse, held).await;
}

/// On a trial nothing is given back: a slot on which xlfsd does not run is not good.
fn on_trial() -> bool {
    Boot::read().is_some_and(|boot| boot.trial && !Slots::passed(boot.slot))
}

/// The daemon's own timer. The kernel's may be armed again by /etc/rc.stop, which then
/// watches over the host's end.
fn give_back_watchdog(held: &Held) {
    let Some(id) = held.get().filter(|_| !on_trial()) else { return };
    match Xen::open().map(|xen| xen.disarm_watchdog(id)) {
        Ok(Ok(_)) => tracing::info!("nobody watches over this host until xlfsd runs again"),
        Ok(Err(error)) => tracing::error!("the watchdog cannot be given back: {error}"),
        Err(error) => tracing::error!("the watchdog cannot be given back: {error}"),
    }
}

/// Ends the daemon because of something that will be so again after a reset, such as a
/// mistake in its configuration: with guests running and sshd answering, that would help
/// nobody. Where /etc/rc has armed the watchdog, all of it is given back.
fn fail_for_good(problem: &Problem) -> ExitCode {
    // The xlfsd that has the state in use has the watchdog too.
    if Boot::read().is_some()
        && !on_trial()
        && problem.reason != "STATE_IN_USE"
        && let Ok(xen) = Xen::open()
    {
        watchdog::give_back_all(&xen, Path::new(KERNEL_WATCHDOG));
    }
    fail(problem)
}

fn fail(problem: &Problem) -> ExitCode {
    eprintln!("xlfsd: {problem:#}");
    ExitCode::FAILURE
}

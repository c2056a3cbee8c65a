//! Serves the guests' console rings.
//!
//! One event channel device for all guests, and one task a guest: a guest that
//! floods its ring, or never reads its input, keeps its own task busy and
//! nobody else's. Its output has a budget; when that is used up its event
//! channel stays masked until the next budget, so that the guest waits for
//! its own ring and costs Dom0 nothing meanwhile (XSA-180).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use xlfs_xen::abi::numbers::GNTTAB_RESERVED_CONSOLE;
use xlfs_xen::console::Console;
use xlfs_xen::evtchn::{Evtchn, Port};
use xlfs_xen::gntdev::Gntdev;
use xlfs_xen::hypercall::Xen;
use xlfs_xen::privcmd::SharedPage;

use super::{ConsolePlace, Rings};
use crate::console::ConsoleHub;
use crate::problem::Problem;

/// A guest's output budget: this many bytes in each [`PERIOD`].
const BUDGET: usize = 64 << 10;
const PERIOD: Duration = Duration::from_millis(250);
/// Bytes of input that are taken from the writer at once; the ring's size.
const INPUT: usize = 1024;

/// The real consoles.
#[derive(Debug)]
pub struct XenRings {
    xen: Xen,
    evtchn: Arc<Evtchn>,
    gntdev: Option<Gntdev>,
    bells: Bells,
    served: tokio::sync::Mutex<HashMap<Uuid, Served>>,
}

/// What rings when a port fires.
type Bells = Arc<Mutex<HashMap<Port, Arc<Notify>>>>;

#[derive(Debug)]
struct Served {
    place: ConsolePlace,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl XenRings {
    /// Opens the devices and begins to listen.
    pub fn open(xen: Xen) -> Result<Self, Problem> {
        let evtchn = Evtchn::open().map_err(|error| {
            Problem::unavailable("NO_EVENT_CHANNELS", "event channels cannot be used")
                .cause(&error)
                .hint("Load the module xen-evtchn: modprobe xen-evtchn")
        })?;
        let evtchn = Arc::new(evtchn);
        let bells = Bells::default();
        tokio::spawn(listen(evtchn.clone(), bells.clone()));
        // Without it, rings are mapped by frame.
        let gntdev = Gntdev::open().ok();
        Ok(Self { xen, evtchn, gntdev, bells, served: tokio::sync::Mutex::default() })
    }

    /// By grant, as any back end would; by frame for a guest that has taken
    /// its grant back since.
    fn map(&self, place: ConsolePlace) -> Result<SharedPage, Problem> {
        let by_grant = self
            .gntdev
            .as_ref()
            .and_then(|device| device.map(place.domid, GNTTAB_RESERVED_CONSOLE).ok());
        if let Some(page) = by_grant {
            return Ok(page);
        }
        self.xen
            .privcmd()
            .map_shared(place.domid.0, place.mfn)
            .map_err(|error| Problem::internal("the console's ring cannot be mapped").cause(&error))
    }
}

#[async_trait]
impl Rings for XenRings {
    async fn attach(&self, hub: Arc<ConsoleHub>, place: ConsolePlace) -> Result<(), Problem> {
        let guest = hub.uuid();
        let mut served = self.served.lock().await;
        if let Some(found) = served.get(&guest) {
            if found.place == place {
                return Ok(());
            }
            // An earlier domain's, whose end nobody told us of.
            if let Some(earlier) = served.remove(&guest) {
                earlier.end().await;
            }
        }
        let ring = Console::new(self.map(place)?, &self.xen.abi().layouts);
        let port = self.evtchn.bind_interdomain(place.domid, place.port).map_err(|error| {
            Problem::internal("the console's event channel cannot be bound").cause(&error)
        })?;
        let bell = Arc::new(Notify::new());
        // What was written before we listened is looked at first.
        bell.notify_one();
        self.bells.lock().insert(port, bell.clone());
        let stop = CancellationToken::new();
        let pump = Pump {
            ring,
            hub,
            evtchn: self.evtchn.clone(),
            port,
            bell,
            bells: self.bells.clone(),
            pending: Bytes::new(),
        };
        let task = tokio::spawn(pump.run(stop.clone()));
        served.insert(guest, Served { place, stop, task });
        Ok(())
    }

    async fn detach(&self, guest: Uuid) {
        let found = self.served.lock().await.remove(&guest);
        if let Some(served) = found {
            served.end().await;
        }
    }
}

impl Served {
    async fn end(self) {
        self.stop.cancel();
        // It ends at once: it waits for nothing but its bells.
        let _ = self.task.await;
    }
}

/// Rings the bell of each port that fires.
async fn listen(evtchn: Arc<Evtchn>, bells: Bells) {
    loop {
        match evtchn.fired().await {
            Ok(ports) => {
                let bells = bells.lock();
                for port in ports {
                    if let Some(bell) = bells.get(&port) {
                        bell.notify_one();
                    }
                }
            }
            Err(error) => {
                tracing::error!("consoles stand still: {error}");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// Moves bytes between one ring and one hub. Dropping it lets go of the
/// domain's page and port.
struct Pump {
    ring: Console,
    hub: Arc<ConsoleHub>,
    evtchn: Arc<Evtchn>,
    port: Port,
    bell: Arc<Notify>,
    bells: Bells,
    /// Input that did not fit into the ring yet.
    pending: Bytes,
}

impl Pump {
    async fn run(mut self, stop: CancellationToken) {
        let mut left = BUDGET;
        let mut period_end = Instant::now() + PERIOD;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = self.bell.notified() => {}
                // New input is of interest only when the last has gone.
                () = self.hub.input_ready(), if self.pending.is_empty() => {}
            }
            let count = self.serve();
            if Instant::now() >= period_end {
                left = BUDGET;
                period_end = Instant::now() + PERIOD;
            }
            left = left.saturating_sub(count);
            if left == 0 {
                tokio::select! {
                    () = sleep_until(period_end) => {}
                    () = stop.cancelled() => break,
                }
            }
            if let Err(error) = self.evtchn.unmask(&[self.port]) {
                tracing::error!("a console stands still: {error}");
            }
        }
        // The last words of a guest that has ended.
        self.serve();
    }

    /// Takes what there is and gives what fits; returns the bytes taken.
    fn serve(&mut self) -> usize {
        let mut moved = false;
        let mut output = Vec::new();
        match self.ring.read(&mut output) {
            Ok(count) => moved |= count > 0,
            Err(error) => {
                tracing::debug!("{error}");
                self.hub.count_protocol_error();
                moved = true;
            }
        }
        if !output.is_empty() {
            self.hub.feed(&output);
        }
        loop {
            if self.pending.is_empty() {
                self.pending = self.hub.take_input(INPUT);
            }
            if self.pending.is_empty() {
                break;
            }
            match self.ring.write(&self.pending) {
                Ok(0) => break,
                Ok(count) => {
                    let _ = self.pending.split_to(count);
                    moved = true;
                }
                Err(error) => {
                    tracing::debug!("{error}");
                    self.hub.count_protocol_error();
                    self.pending.clear();
                    break;
                }
            }
        }
        if moved {
            self.evtchn.notify(self.port);
        }
        output.len()
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.bells.lock().remove(&self.port);
        self.evtchn.unbind(self.port);
    }
}

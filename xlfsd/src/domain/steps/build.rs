//! The steps that bring a domain into being.

use std::sync::Arc;

use xlfs_xen::builder::{BuildError, Layout, LayoutRequest, Sources};
use xlfs_xen::hypercall::Limits;

use super::Run;
use super::run::refused;
use crate::domain::nodes;
use crate::host::ConsolePlace;
use crate::problem::Problem;

/// Highest event channel port of a guest.
const EVENT_CHANNELS: u32 = 1023;

impl Run {
    fn limits(&self) -> Limits {
        Limits { vcpus: self.record.vcpus, event_channels: EVENT_CHANNELS }
    }

    pub(super) async fn reserve_memory(&mut self) -> Result<(), Problem> {
        let host = self.host()?;
        let reservation =
            host.ledger.reserve(&*host.hypervisor, self.record.uuid, self.record.pages())?;
        self.reservation = Some(reservation);
        Ok(())
    }

    pub(super) fn give_memory_back(&mut self) {
        self.reservation = None;
    }

    pub(super) async fn prepare_kernel(&mut self) -> Result<(), Problem> {
        let host = self.host()?.clone();
        let kernel = tokio::select! {
            kernel = host.kernels.prepare(&self.record.kernel) => kernel?,
            () = self.cancel.cancelled() => return Err(cancelled()),
        };
        if let Some(digest) = self.record.ramdisk {
            self.ramdisk = Some(host.kernels.ramdisk(&digest).await?);
        }
        // What does not fit is known before anything exists.
        let request = LayoutRequest {
            plan: &kernel.plan,
            ramdisk: self.ramdisk.as_ref().map_or(0, |(_, len)| *len),
            pages: self.record.pages(),
        };
        let layout = Layout::compute(&request).map_err(|error| {
            Problem::failed_precondition(
                "GUEST_TOO_SMALL",
                "the kernel does not fit into the guest",
            )
            .cause(&error)
            .hint("Create the guest with more memory: --memory")
        })?;
        self.layout = Some(layout);
        self.kernel = Some(kernel);
        Ok(())
    }

    pub(super) async fn create_domain(&mut self) -> Result<(), Problem> {
        let hypervisor = self.host()?.hypervisor.clone();
        let domid = hypervisor
            .create(self.record.uuid, self.limits())
            .map_err(|e| refused("cannot create a domain", &e))?;
        self.guest.set_domid(Some(domid));
        self.task.log(format!("the domain is {domid}"));
        Ok(())
    }

    pub(super) async fn populate_memory(&mut self) -> Result<(), Problem> {
        let hypervisor = self.host()?.hypervisor.clone();
        let (domid, limits, pages) = (self.domid()?, self.limits(), self.record.pages());
        let cancel = self.cancel.clone();
        let p2m =
            blocking(move || hypervisor.populate(domid, limits, pages, &|| cancel.is_cancelled()))
                .await?
                .map_err(|e| failed("cannot give the domain its memory", &e))?;
        self.p2m = Some(p2m);
        // From here on the hypervisor's own count is right.
        self.reservation = None;
        Ok(())
    }

    pub(super) async fn load_kernel(&mut self) -> Result<(), Problem> {
        let missing = || Problem::internal("a step that prepares this one was left out");
        let hypervisor = self.host()?.hypervisor.clone();
        let domid = self.domid()?;
        let kernel = self.kernel.take().ok_or_else(missing)?;
        let layout = self.layout.take().ok_or_else(missing)?;
        let p2m = self.p2m.take().ok_or_else(missing)?;
        let ramdisk = self.ramdisk.take();
        let command_line = self.record.command_line.clone();
        let cancel = self.cancel.clone();
        let built = blocking(move || {
            let sources = Sources {
                plan: &kernel.plan,
                payload: &kernel.payload,
                ramdisk: ramdisk.as_ref().map(|(file, len)| (file, *len)),
                command_line: &command_line,
            };
            hypervisor.load(domid, &layout, &p2m, &sources, &|| cancel.is_cancelled())
        })
        .await?
        .map_err(|e| failed("cannot load the kernel", &e))?;
        self.built = Some(built);
        Ok(())
    }

    pub(super) async fn publish(&mut self) -> Result<(), Problem> {
        let built = self
            .built
            .ok_or_else(|| Problem::internal("a step that prepares this one was left out"))?;
        let ops = nodes::publish(&self.record, self.domid()?, &built, (&self.vbds, &self.vifs));
        self.host()?.store.apply(ops).await.map_err(|error| {
            Problem::unavailable("XENSTORE_FAILED", "the domain cannot be made known in xenstore")
                .cause(&error)
                .hint("Look at xenstored's log. The guest's creation is undone; try again.")
        })
    }

    pub(super) async fn attach_console(&mut self) -> Result<(), Problem> {
        let built = self
            .built
            .ok_or_else(|| Problem::internal("a step that prepares this one was left out"))?;
        let place =
            ConsolePlace { domid: self.domid()?, mfn: built.console_mfn, port: built.console_port };
        self.guest.console().begin_domain().await;
        let rings = Arc::clone(&self.host()?.rings);
        rings.attach(self.guest.console().clone(), place).await
    }
}

/// Runs hypercalls where they delay nobody else.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Problem::internal("the work was given up").cause(&error))
}

pub(in crate::domain) fn cancelled() -> Problem {
    Problem::cancelled("cancelled by its user")
}

fn failed(message: &str, error: &BuildError) -> Problem {
    match error {
        BuildError::Cancelled => cancelled(),
        BuildError::Hypercall(inner) => refused(message, inner),
        BuildError::OutOfMemory { .. } => Problem::resource_exhausted("MEMORY_EXHAUSTED", message)
            .cause(error)
            .hint("Other guests took the memory meanwhile: lower --memory, or stop a guest."),
        BuildError::Layout(_) => {
            Problem::failed_precondition("GUEST_TOO_SMALL", message).cause(error)
        }
        BuildError::Gone(_) => Problem::aborted("DOMAIN_GONE", message).cause(error),
        BuildError::Map(_) | BuildError::Read { .. } => Problem::internal(message).cause(error),
    }
}

//! `host`: the machine, its hypervisor and the daemon. What changes it stands in
//! `slots`.

mod slots;

use std::io::IsTerminal as _;

use clap::{Args, Subcommand};
use xlfs_proto::v1::{GetHostRequest, Host as Machine, ReadHypervisorLogRequest};

use super::{Session, answer};
use crate::errors::{Context as _, Failure};
use crate::exit::Exit;
use crate::output::facts::Facts;
use crate::output::guest_text::GuestText;
use crate::output::view::host::{HostView, HypervisorLogView};
use crate::output::{Output, time};

/// The machine and its hypervisor; its root slots, upgrade and end.
#[derive(Debug, Subcommand)]
pub(crate) enum Host {
    Info(Info),
    Dmesg(Dmesg),
    Slots(slots::List),
    Upgrade(slots::Upgrade),
    Rollback(slots::Rollback),
    Reboot(slots::Reboot),
    Poweroff(slots::Poweroff),
}

/// Show the host, its hypervisor and xlfsd.
#[derive(Debug, Args)]
pub(crate) struct Info {}

/// Print the hypervisor's messages.
#[derive(Debug, Args)]
pub(crate) struct Dmesg {
    /// Empty the hypervisor's buffer after reading.
    #[arg(long)]
    clear: bool,
    /// Print, and only say what --clear would do.
    #[arg(long)]
    dry_run: bool,
}

impl Host {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        match self {
            Host::Info(Info {}) => info(session).await,
            Host::Dmesg(args) => dmesg(session, args).await,
            Host::Slots(args) => args.run(session).await,
            Host::Upgrade(args) => args.run(session).await,
            Host::Rollback(args) => args.run(session).await,
            Host::Reboot(args) => args.run(session).await,
            Host::Poweroff(args) => args.run(session).await,
        }
    }
}

async fn info(session: &Session) -> Result<Exit, Failure> {
    let mut service = session.daemon().await?.host();
    let call = service.get_host(GetHostRequest {});
    let host = answer(call).await.context(|| "cannot show the host".to_owned())?;
    match session.output.is_table() {
        true => session.output.text(&facts(&host, &session.output))?,
        false => session.output.document(&HostView::from(&host))?,
    }
    Ok(Exit::Ok)
}

async fn dmesg(session: &Session, args: Dmesg) -> Result<Exit, Failure> {
    let output = &session.output;
    let clear = args.clear && !args.dry_run;
    let request = ReadHypervisorLogRequest { clear };
    let mut service = session.daemon().await?.host();
    let call = service.read_hypervisor_log(request);
    let tried = || "cannot read the hypervisor's messages".to_owned();
    let text = answer(call).await.context(tried)?.text;
    if !output.is_table() {
        output.document(&HypervisorLogView { text, cleared: clear })?;
        return Ok(Exit::Ok);
    }
    if text.is_empty() {
        output.note("The hypervisor's buffer is empty.");
    } else if std::io::stdout().is_terminal() {
        // Guests can write here as well, where Xen was told to let them.
        let mut filter = GuestText::default();
        output.bytes(&filter.pass(text.as_bytes()))?;
        output.text(filter.end().unwrap_or_default())?;
    } else {
        output.text(&text)?;
    }
    if args.clear && args.dry_run {
        output.note("--clear would now empty the hypervisor's buffer.");
    }
    Ok(Exit::Ok)
}

fn facts(host: &Machine, output: &Output) -> String {
    let heading = match &host.hypervisor {
        Some(xen) => format!("{}: Xen {}", host.hostname, xen.version),
        None => format!("{}: not on Xen", host.hostname),
    };
    let mut facts = Facts::new(output, &heading);
    facts.fact("Problem", &host.hypervisor_problem);
    if let Some(xen) = &host.hypervisor {
        let taken = format!(
            "{} MiB, {} free, {} of them reserved for guests that start",
            xen.memory_mib, xen.free_mib, xen.reserved_mib
        );
        facts.fact("Memory", taken);
        let cpus = format!(
            "{} at {} MHz; {} to a socket, {} to a core, in {}",
            xen.cpus,
            xen.cpu_khz / 1000,
            count(xen.cores_per_socket, "core"),
            count(xen.threads_per_core, "thread"),
            count(xen.nodes, "node"),
        );
        facts.fact("CPUs", cpus);
        facts.many(
            "NUMA",
            xen.numa.iter().map(|node| {
                format!("node {}: {} MiB, {} free", node.id, node.memory_mib, node.free_mib)
            }),
        );
        facts.fact("Scheduler", &xen.scheduler);
        facts.fact("Guests", &xen.capabilities);
        facts.fact("Command line", &xen.command_line);
        let abi =
            format!("{} (domctl {}, sysctl {})", xen.abi, xen.domctl_version, xen.sysctl_version);
        facts.fact("Interface", abi);
    }
    facts.fact("Dom0 kernel", &host.kernel);
    facts.fact("xlfsd", &host.xlfsd_version);
    if let Some(stats) = &host.xlfsd {
        let up = time::span(std::time::Duration::from_secs(stats.uptime_seconds));
        facts.fact("", format!("up {up}, {} KiB resident", stats.resident_kib));
        let work = format!(
            "{} hypercalls, {} xenstore operations in {} waits, {} transactions",
            stats.hypercalls,
            stats.xenstore_operations,
            stats.xenstore_waits,
            stats.xenstore_transactions
        );
        facts.fact("", work);
    }
    facts.fact("xlfsctl", env!("CARGO_PKG_VERSION"));
    facts.into_text()
}

/// `1 core`, `2 cores`.
fn count(number: u32, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

//! `list`: all guests, and the other domains of the hypervisor.

use clap::Args;
use xlfs_proto::v1::{Domain, DomainState, ListDomainsRequest};

use super::{Session, answer, health};
use crate::errors::{Context as _, Failure};
use crate::exit::Exit;
use crate::output::table::{Align, Cell, Colour, Table};
use crate::output::text::plain;
use crate::output::view::domain::{DomainsView, state_word};
use crate::output::{Output, time};

/// List the guests, and the other domains of the host.
#[derive(Debug, Args)]
pub(crate) struct List {}

impl List {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let output = &session.output;
        let mut domains = session.daemon().await?.domains();
        let call = domains.list_domains(ListDomainsRequest {});
        let mut reply = answer(call).await.context(|| "cannot list the guests".to_owned())?;
        // Guests first, by name; then what is not ours, by domain.
        reply
            .domains
            .sort_by(|a, b| (!a.managed, &a.name, a.domid).cmp(&(!b.managed, &b.name, b.domid)));
        if !output.is_table() {
            output.document(&DomainsView::from(reply))?;
            return Ok(Exit::Ok);
        }
        if output.quiet {
            let names: String = reply.domains.iter().map(|one| plain(&one.name) + "\n").collect();
            output.text(&names)?;
            return Ok(Exit::Ok);
        }
        if reply.domains.is_empty() {
            output.note("There are no guests. Make one: xlfsctl create NAME --template T");
        } else {
            output.text(&table(&reply.domains, output))?;
        }
        for domain in &reply.domains {
            for problem in &domain.problems {
                output.note(&format!("{}: {}", plain(&domain.name), plain(problem)));
            }
        }
        if !reply.hypervisor_problem.is_empty() {
            output.note(&format!("Xen: {}", plain(&reply.hypervisor_problem)));
        }
        Ok(Exit::Ok)
    }
}

fn table(domains: &[Domain], output: &Output) -> String {
    let mut table = Table::new(&[
        ("NAME", Align::Elastic),
        ("STATE", Align::Left),
        ("HEALTH", Align::Left),
        ("DOMID", Align::Right),
        ("MEM MIB", Align::Right),
        ("VCPUS", Align::Right),
        ("CPU", Align::Right),
        ("UP", Align::Right),
        ("TEMPLATE", Align::Elastic),
    ]);
    for domain in domains {
        let dash = || "-".to_owned();
        let cpu = domain.cpu_time.as_ref().map(|span| time::span(time::std_span(span)));
        let up = domain.started.as_ref().and_then(time::age);
        let template = match (domain.managed, domain.template.as_str()) {
            (false, _) => Cell::coloured("(unmanaged)", Some(Colour::Dim)),
            (true, template) => template.into(),
        };
        table.row([
            domain.name.as_str().into(),
            Cell::coloured(state_word(domain.state()), state_colour(domain.state())),
            health::cell(domain),
            domain.domid.map_or_else(dash, |id| id.to_string()).into(),
            domain.memory_mib.to_string().into(),
            domain.vcpus.to_string().into(),
            cpu.unwrap_or_else(dash).into(),
            up.unwrap_or_else(dash).into(),
            template,
        ]);
    }
    table.render(output.width, output.colour)
}

/// Green runs, red needs a look, yellow is on its way or held still.
pub(crate) fn state_colour(state: DomainState) -> Option<Colour> {
    match state {
        DomainState::Running => Some(Colour::Green),
        DomainState::Crashed | DomainState::Held | DomainState::Dying => Some(Colour::Red),
        DomainState::Paused | DomainState::Starting | DomainState::Stopping => Some(Colour::Yellow),
        DomainState::Stopped | DomainState::Unspecified => None,
    }
}

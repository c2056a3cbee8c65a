//! `show`: everything about one guest.

use clap::Args;
use xlfs_proto::v1::{Disk, Domain, EndPolicy, GetDomainRequest, Nic, OperationStatus};

use super::image::size;
use super::{Session, answer, health};
use crate::complete;
use crate::errors::{Context as _, Failure};
use crate::exit::Exit;
use crate::output::facts::Facts;
use crate::output::view::domain::{DomainView, end_action_word, operation_word, state_word};
use crate::output::{Output, time};

/// Show everything about a guest.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The guest.
    #[arg(add = complete::guests())]
    name: String,
}

impl Show {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let request = GetDomainRequest { name: self.name.clone() };
        let mut domains = session.daemon().await?.domains();
        let call = domains.get_domain(request);
        let domain = answer(call).await.context(|| cannot_show(&self.name))?;
        match session.output.is_table() {
            true => session.output.text(&facts(&domain, &session.output))?,
            false => session.output.document(&DomainView::from(&domain))?,
        }
        Ok(Exit::Ok)
    }
}

fn cannot_show(name: &str) -> String {
    format!("cannot show guest \"{name}\"")
}

/// A guest on one screen.
pub(crate) fn facts(domain: &Domain, output: &Output) -> String {
    let since = domain.started.as_ref().and_then(time::age);
    let since = since.map(|age| format!(" for {age}")).unwrap_or_default();
    let unmanaged = if domain.managed { "" } else { " (not a guest of xlfs)" };
    let heading = format!("{}: {}{since}{unmanaged}", domain.name, state_word(domain.state()));
    let mut facts = Facts::new(output, &heading);

    facts.many("Problem", domain.problems.iter().cloned());
    facts.many("Health", domain.health.iter().flat_map(health::lines));
    facts.fact("Domain", domain.domid.map_or("none".to_owned(), |id| format!("domid {id}")));
    facts.fact("UUID", &domain.uuid);
    facts.fact("Memory", format!("{} MiB", domain.memory_mib));
    let cpu_time = domain.cpu_time.as_ref().map(|span| time::span(time::std_span(span)));
    let used = cpu_time.map(|span| format!(", {span} of CPU time used")).unwrap_or_default();
    facts.fact("vCPUs", format!("{}{used}", domain.vcpus));
    facts.many("Disks", domain.disks.iter().map(disk));
    facts.many("Snapshots", domain.snapshots.iter().map(super::snapshot::sentence));
    facts.many("Network", domain.nics.iter().map(nic));
    facts.fact("Template", &domain.template);
    let mut parameters: Vec<_> = domain.parameters.iter().collect();
    parameters.sort();
    facts.many("Parameters", parameters.iter().map(|(name, value)| format!("{name}={value}")));
    facts.fact("Kernel", &domain.kernel_digest);
    facts.fact("Ramdisk", &domain.ramdisk_digest);
    if let Some(policy) = &domain.end_policy {
        facts.fact("When it ends", end_policy(policy));
    }
    if domain.managed {
        facts.fact("Meant to run", if domain.wanted_running { "yes" } else { "no" });
    }
    let moment = |time| Option::and_then(time, |time| time::for_people(&time)).unwrap_or_default();
    facts.fact("Created", moment(domain.created));
    facts.fact("Started", moment(domain.started));
    if !domain.last_end.is_empty() {
        let when = moment(domain.last_end_time);
        facts.fact("Last end", format!("{} {when}", domain.last_end));
    }
    if domain.restarts > 0 {
        facts.fact("Restarts", format!("{} by policy", domain.restarts));
    }
    if let Some(console) = &domain.console {
        let writer = if console.writer_attached { "a writer" } else { "no writer" };
        let mut text = format!(
            "{} bytes, {} dropped; {} reading, {writer}",
            console.bytes, console.dropped, console.readers
        );
        if console.protocol_errors > 0 {
            text.push_str(&format!("; {} protocol errors", console.protocol_errors));
        }
        facts.fact("Console", text);
    }
    facts.fact("Task", &domain.task_id);
    let allowed = domain.operations.iter().filter(|status| status.allowed);
    let allowed: Vec<_> = allowed.map(|status| operation_word(status.operation())).collect();
    facts.fact("Can now", allowed.join(", "));
    facts.many("Cannot now", refusals(&domain.operations));
    facts.into_text()
}

/// `eth0: 10.0.0.2/24, 00:16:3e:00:00:01 on lan`
fn nic(nic: &Nic) -> String {
    let addresses = match nic.addresses.as_slice() {
        [] => "DHCP".to_owned(),
        addresses => addresses.join(" "),
    };
    let mut text = format!("eth{}: {addresses}, {} on {}", nic.index, nic.mac, nic.network);
    if !nic.rate.is_empty() {
        text.push_str(&format!(", at most {}", nic.rate));
    }
    if nic.anti_spoofing {
        text.push_str(", held to its addresses");
    }
    text
}

/// `xvda: 2.0 GiB, web-xvda in default, read-only`
fn disk(disk: &Disk) -> String {
    let mut text =
        format!("{}: {}, {} in {}", disk.name, size(disk.size_bytes), disk.volume, disk.pool);
    if disk.read_only {
        text.push_str(", read-only");
    }
    if disk.keep {
        text.push_str(", kept");
    }
    text
}

/// What cannot be done, a line for each reason.
fn refusals(operations: &[OperationStatus]) -> Vec<String> {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for status in operations.iter().filter(|status| !status.allowed) {
        let word = operation_word(status.operation());
        match reasons.iter_mut().find(|(reason, _)| *reason == status.reason) {
            Some((_, words)) => words.push(word),
            None => reasons.push((&status.reason, vec![word])),
        }
    }
    reasons.iter().map(|(reason, words)| format!("{}: {reason}", words.join(", "))).collect()
}

pub(crate) fn end_policy(policy: &EndPolicy) -> String {
    let word = |action| end_action_word(action).unwrap_or("default");
    format!(
        "poweroff: {}, reboot: {}, crash: {}",
        word(policy.on_poweroff()),
        word(policy.on_reboot()),
        word(policy.on_crash())
    )
}

#[cfg(test)]
mod tests {
    use xlfs_proto::v1::Operation;

    use super::*;

    #[test]
    fn what_has_the_same_reason_stands_together() {
        let status = |operation: Operation, reason: &str| OperationStatus {
            operation: operation.into(),
            allowed: reason.is_empty(),
            reason: reason.to_owned(),
        };
        let all = [
            status(Operation::Shutdown, "it does not run"),
            status(Operation::Start, ""),
            status(Operation::Delete, "a task works on it"),
            status(Operation::Pause, "it does not run"),
        ];
        assert_eq!(
            refusals(&all),
            ["shutdown, pause: it does not run", "delete: a task works on it"]
        );
    }
}

//! What scenarios do to guests, in a word each.

use std::time::Duration;

use super::documents::{Change, Domain, Domains, Results};
use super::host::{Host, PATIENCE, parse, succeeded};
use super::{Outcome, ScenarioError, check};
use crate::dom0::Process;
use crate::initramfs::guest::READY;

impl Host {
    /// Makes a guest from the template `minimal`, in 96 MiB unless `more` says
    /// otherwise, and waits until it is made.
    pub fn create(&self, name: &str, more: &str) -> Outcome<Change> {
        one(self.ask(&create_line(name, more))?)
    }

    /// Begins to make it.
    pub fn begin_create(&self, name: &str, more: &str) -> Outcome<Process> {
        self.start(&create_line(name, more))
    }

    /// Waits for the line of a guest that is up.
    pub fn ready(&self, name: &str) -> Outcome {
        self.printed(name, &format!("{READY}{name}"))
    }

    /// Waits until a guest has printed this word since its domain was made.
    pub fn printed(&self, name: &str, text: &str) -> Outcome {
        self.printed_within(name, text, PATIENCE)
    }

    /// The same for what may take longer.
    pub fn printed_within(&self, name: &str, text: &str, patience: Duration) -> Outcome {
        let timeout = format!("{}s", patience.as_secs());
        let words = ["xlfsctl", "wait", name, "--timeout", &timeout, "--console-contains", text];
        let output = self.dom0().command(words).deadline(patience * 2).run()?;
        if output.success() {
            return Ok(());
        }
        let console = self.console_of(name)?;
        check(false, format!("{text:?} on the console of {name}"), format!("{output}\n{console}"))
    }

    /// Waits until a guest is in this state (or one of several: `a,b`).
    pub fn reaches(&self, name: &str, state: &str) -> Outcome<Domain> {
        self.ask(&format!("wait {name} --state {state} --timeout {}s", PATIENCE.as_secs()))
    }

    /// Asks about a guest until `found` has something.
    pub fn sees<T>(
        &self,
        name: &str,
        what: &str,
        mut found: impl FnMut(&Domain) -> Option<T>,
    ) -> Outcome<T> {
        let until = std::time::Instant::now() + PATIENCE;
        loop {
            let domain = self.show(name)?;
            if let Some(found) = found(&domain) {
                return Ok(found);
            }
            let late = std::time::Instant::now() > until;
            check(!late, format!("{what}, of the guest {name}"), format!("{domain:?}"))?;
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// A guest as it is now.
    pub fn show(&self, name: &str) -> Outcome<Domain> {
        self.ask(&format!("show {name}"))
    }

    /// Checks a guest's state now.
    pub fn is(&self, name: &str, state: &str) -> Outcome<Domain> {
        let domain = self.show(name)?;
        check(domain.state == state, format!("{name} to be {state}"), format!("{domain:?}"))?;
        Ok(domain)
    }

    /// Guests and other domains.
    pub fn list(&self) -> Outcome<Vec<Domain>> {
        Ok(self.ask::<Domains>("list")?.domains)
    }

    /// What a guest's console has kept.
    pub fn console_of(&self, name: &str) -> Outcome<String> {
        Ok(self.dom0().run(["xlfsctl", "logs", name])?.stdout)
    }

    /// Ends a guest, however it is, and forgets it.
    pub fn remove(&self, name: &str) -> Outcome {
        self.act(&format!("delete {name} --force")).map(drop)
    }
}

fn create_line(name: &str, more: &str) -> String {
    let template = if more.contains("--template") { "" } else { "--template minimal" };
    let memory = if more.contains("--memory") { "" } else { "--memory 96" };
    format!("create {name} {template} {memory} {more}")
}

/// The only result.
pub fn one(mut results: Results) -> Outcome<Change> {
    match (results.results.pop(), results.results.is_empty()) {
        (Some(change), true) => Ok(change),
        (last, _) => Err(ScenarioError::Broken {
            expected: "one result".into(),
            observed: format!("{last:?} and {:?}", results.results),
        }),
    }
}

/// Waits for a command begun with [`Host::start`] that must succeed.
pub fn done(line: &str, process: Process) -> Outcome<Change> {
    let output = process.wait(Duration::from_secs(600))?;
    succeeded(line, &output)?;
    one(parse(line, &output.stdout)?)
}

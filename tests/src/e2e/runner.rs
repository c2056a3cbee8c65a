//! Takes scenarios in their order, says a line about each, goes on after one
//! that failed, and weighs what each left behind.

use std::error::Error;
use std::fmt::Write;
use std::time::Instant;

use super::host::Host;
use super::{Outcome, Scenario, ScenarioError, Stage};

/// Runs them and says how they went; whether all passed.
pub fn run(scenarios: &[&Scenario]) -> bool {
    let mut shared = Shared { host: None };
    let mut failed = 0;
    for scenario in scenarios {
        let start = Instant::now();
        let outcome = shared.run(scenario);
        let took = start.elapsed();
        match outcome {
            Ok(()) => println!("ok {} {took:.1?}", scenario.name),
            Err(error) => {
                failed += 1;
                println!("FAILED {} {took:.1?}: {}", scenario.name, chain(&error));
                shared.tell_and_tidy();
            }
        }
    }
    println!("{} passed, {failed} failed", scenarios.len() - failed);
    failed == 0
}

/// An error and its causes, in a line (or more, where they have more).
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        // A text is complete with its last cause; there is nobody to tell more.
        let _ = write!(text, "\n  because {next}");
        cause = next.source();
    }
    text
}

/// The host of all scenarios that share one.
#[derive(Debug)]
struct Shared {
    host: Option<Host>,
}

impl Shared {
    fn run(&mut self, scenario: &Scenario) -> Outcome {
        match scenario.stage {
            Stage::Alone(run) => run(),
            Stage::Shared(run) => {
                let host = self.host()?;
                run(host)?;
                host.nothing_left()
            }
            Stage::Last(run) => {
                run(self.host()?)?;
                self.stop();
                Ok(())
            }
        }
    }

    fn host(&mut self) -> Outcome<&Host> {
        if self.host.as_ref().is_some_and(|host| host.dom0().ended().is_some()) {
            self.host = None;
        }
        let host = match self.host.take() {
            Some(host) => host,
            None => {
                let start = Instant::now();
                let host = Host::boot()?;
                println!("Dom0 with xlfsd is up after {:.1?}", start.elapsed());
                host
            }
        };
        Ok(self.host.insert(host))
    }

    fn stop(&mut self) {
        if let Some(host) = self.host.take() {
            host.dom0().stop();
        }
    }

    /// After a failure: what may explain it, and a clean host for the next. A
    /// host that does not come clean is not used again.
    fn tell_and_tidy(&mut self) {
        let Some(host) = &self.host else { return };
        println!("  console log: {}", host.dom0().log().display());
        for line in host.daemon_log(40).lines() {
            println!("  xlfsd: {line}");
        }
        if let Err(error) = tidy(host) {
            println!("  Dom0 is given up: {}", chain(&error));
            self.stop();
        }
    }
}

fn tidy(host: &Host) -> Result<(), ScenarioError> {
    // There may be none; in this Dom0 all of them are ours.
    host.dom0().run(["killall", "xlfsctl"])?;
    if !host.daemon_runs()? {
        host.start_daemon()?;
    }
    for domain in host.list()?.into_iter().filter(|domain| domain.managed) {
        host.remove(&domain.name)?;
    }
    host.nothing_left()
}

//! `wait`: until a guest is in a state, its services work, or it has printed
//! something.

use std::time::Duration;

use clap::{Args, ValueEnum};
use xlfs_proto::v1::{DomainState, HealthState, WaitDomainRequest};

use super::Session;
use super::lifecycle::wire_span;
use crate::complete;
use crate::errors::{Context as _, Failure};
use crate::exit::Exit;
use crate::output::text::plain;
use crate::output::view::domain::{DomainView, state_word};
use crate::output::view::health::health_word;
use crate::words::duration;

/// Wait for a guest's state or health, or a text on its console.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("for").required(true).multiple(true))]
pub(crate) struct Wait {
    /// The guest.
    #[arg(add = complete::guests())]
    name: String,
    /// The state; several, separated by commas, when any of them will do.
    #[arg(long, value_name = "STATE", value_enum, value_delimiter = ',', group = "for")]
    state: Vec<State>,
    /// The health of its services; several, separated by commas.
    #[arg(long, value_name = "HEALTH", value_enum, value_delimiter = ',', group = "for")]
    health: Vec<Health>,
    /// Text on its console, counted from the start of its domain.
    #[arg(long, value_name = "TEXT", group = "for")]
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    console_contains: Option<String>,
    /// Give up after this time, such as 90s or 5m. Default: never.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    timeout: Option<Duration>,
}

/// The states of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum State {
    Stopped,
    Starting,
    Running,
    Paused,
    Stopping,
    Crashed,
    Dying,
    Held,
}

impl From<State> for DomainState {
    fn from(state: State) -> DomainState {
        match state {
            State::Stopped => DomainState::Stopped,
            State::Starting => DomainState::Starting,
            State::Running => DomainState::Running,
            State::Paused => DomainState::Paused,
            State::Stopping => DomainState::Stopping,
            State::Crashed => DomainState::Crashed,
            State::Dying => DomainState::Dying,
            State::Held => DomainState::Held,
        }
    }
}

/// Whether the services of a guest work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Health {
    Starting,
    Healthy,
    Unhealthy,
    Unknown,
}

impl From<Health> for HealthState {
    fn from(health: Health) -> HealthState {
        match health {
            Health::Starting => HealthState::Starting,
            Health::Healthy => HealthState::Healthy,
            Health::Unhealthy => HealthState::Unhealthy,
            Health::Unknown => HealthState::Unknown,
        }
    }
}

impl Wait {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let request = WaitDomainRequest {
            name: self.name.clone(),
            states: self.state.iter().map(|state| DomainState::from(*state).into()).collect(),
            timeout: wire_span(self.timeout)?,
            health: self.health.iter().map(|one| HealthState::from(*one).into()).collect(),
            console_contains: self.console_contains.unwrap_or_default(),
        };
        let reply = session.daemon().await?.domains().wait_domain(request).await;
        let tried = || format!("cannot wait for guest \"{}\"", self.name);
        let domain = reply.context(tried)?.into_inner();
        if !session.output.is_table() {
            session.output.document(&DomainView::from(&domain))?;
        } else if !session.output.quiet {
            let health = domain.health.as_ref().filter(|_| !self.health.is_empty());
            let health = health.map(|health| format!(", {}", health_word(health.state())));
            let (name, health) = (plain(&domain.name), health.unwrap_or_default());
            let line = format!("{name}: {}{health}\n", state_word(domain.state()));
            session.output.text(&line)?;
        }
        Ok(Exit::Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the documents say must be what may be typed.
    #[test]
    fn states_have_the_words_of_the_documents() {
        for state in State::value_variants() {
            let typed = state.to_possible_value().expect("not hidden");
            assert_eq!(typed.get_name(), state_word((*state).into()));
        }
        for health in Health::value_variants() {
            let typed = health.to_possible_value().expect("not hidden");
            assert_eq!(typed.get_name(), health_word((*health).into()));
        }
    }
}

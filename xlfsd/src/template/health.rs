//! What tells whether a guest's services work: `[[health]]`. This is what is
//! asked; [`crate::health`] asks it.
//!
//! A check speaks TCP or UDP to the guest's own address, so that a template
//! need not know it, and so that nothing has to run in the guest.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize};
use xlfs_proto::v1 as pb;

use super::Parameter;
use super::guest::{GuestFact, GuestFacts};
use crate::value::DomainName;
use xlfs_mistakes::suggest::did_you_mean;

/// Bytes of a path, an expected text or a query.
const MAX_TEXT: usize = 512;
const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(5);
const GRACE: Duration = Duration::from_secs(120);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthKind {
    /// A connection is taken.
    Tcp,
    /// A GET of the path is answered with 200 to 399, and the body holds the text.
    Http,
    /// The greeting begins with 220 and holds the text.
    Smtp,
    /// The greeting begins with "* OK" and holds the text.
    Imap,
    /// A question for the name's SOA is answered with authority, and the text
    /// is in the answer.
    Dns,
}

impl HealthKind {
    /// The name in manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Http => "http",
            Self::Smtp => "smtp",
            Self::Imap => "imap",
            Self::Dns => "dns",
        }
    }

    fn port(self) -> Option<u16> {
        match self {
            Self::Tcp => None,
            Self::Http => Some(80),
            Self::Smtp => Some(25),
            Self::Imap => Some(143),
            Self::Dns => Some(53),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HealthManifest {
    kind: HealthKind,
    port: Option<u16>,
    path: Option<String>,
    query: Option<String>,
    expect: Option<String>,
    #[serde(default, deserialize_with = "duration")]
    interval: Option<Duration>,
    #[serde(default, deserialize_with = "duration")]
    timeout: Option<Duration>,
    #[serde(default, deserialize_with = "duration")]
    grace: Option<Duration>,
}

/// One check. Texts may hold `${NAME}` for a parameter and `${guest.name}`;
/// [`HealthCheck::fill`] puts the values in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthCheck {
    pub kind: HealthKind,
    pub port: u16,
    /// Of HTTP: what is asked for, beginning with a slash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Of DNS: the name that is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// What the answer must hold; None: any answer will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<String>,
    /// From one check's begin to the next one's.
    #[serde(with = "span")]
    pub interval: Duration,
    /// A check that takes longer has failed.
    #[serde(with = "span")]
    pub timeout: Duration,
    /// After the start, for so long a check that has not passed yet is "starting",
    /// not "unhealthy".
    #[serde(with = "span")]
    pub grace: Duration,
}

impl HealthManifest {
    pub(super) fn check(
        self,
        parameters: &BTreeMap<String, Parameter>,
    ) -> Result<HealthCheck, String> {
        let kind = self.kind;
        let name = kind.as_str();
        let port = self.port.or(kind.port()).ok_or("a tcp check needs a port")?;
        if port == 0 {
            return Err("its port must be 1 to 65535".into());
        }
        let path = match (kind, self.path) {
            (HealthKind::Http, path) => Some(path.unwrap_or_else(|| "/".to_owned())),
            (_, None) => None,
            (_, Some(_)) => return Err(format!("only an http check has a path, and it is {name}")),
        };
        match (kind == HealthKind::Dns, &self.query) {
            (true, None) => return Err("a dns check needs a query, such as \"${zone}\"".into()),
            (false, Some(_)) => {
                return Err(format!("only a dns check has a query, and it is {name}"));
            }
            _ => {}
        }
        if kind == HealthKind::Tcp && self.expect.is_some() {
            return Err("a tcp check has nothing to expect: it only connects".into());
        }
        let interval = within("interval", self.interval.unwrap_or(INTERVAL), 1, 3600)?;
        let timeout = within("timeout", self.timeout.unwrap_or(TIMEOUT), 1, 60)?;
        let grace = within("grace", self.grace.unwrap_or(GRACE), 0, 24 * 3600)?;
        if timeout > interval {
            return Err("its timeout is longer than its interval".into());
        }
        let check = HealthCheck {
            kind,
            port,
            path,
            query: self.query,
            expect: self.expect,
            interval,
            timeout,
            grace,
        };
        for (key, text) in check.texts() {
            check_places(text, parameters).map_err(|error| format!("its {key} {error}"))?;
        }
        // With places they are known to be good, or not, when these are filled.
        if check.texts().iter().all(|(_, text)| !text.contains("${")) {
            check.check_texts()?;
        }
        Ok(check)
    }
}

impl HealthCheck {
    /// The check of one guest: its values and facts put in. An error is a
    /// sentence about a value that cannot stand where it would.
    pub fn fill(
        &self,
        values: &BTreeMap<String, String>,
        guest: &GuestFacts<'_>,
    ) -> Result<Self, String> {
        let fill = |text: &Option<String>| {
            text.as_deref().map(|text| filled(text, values, guest)).transpose()
        };
        let check = Self {
            path: fill(&self.path)?,
            query: fill(&self.query)?,
            expect: fill(&self.expect)?,
            ..self.clone()
        };
        check.check_texts()?;
        Ok(check)
    }

    pub fn message(&self) -> pb::HealthCheck {
        let kind = match self.kind {
            HealthKind::Tcp => pb::HealthKind::Tcp,
            HealthKind::Http => pb::HealthKind::Http,
            HealthKind::Smtp => pb::HealthKind::Smtp,
            HealthKind::Imap => pb::HealthKind::Imap,
            HealthKind::Dns => pb::HealthKind::Dns,
        };
        pb::HealthCheck {
            kind: kind.into(),
            port: self.port.into(),
            path: self.path.clone().unwrap_or_default(),
            query: self.query.clone().unwrap_or_default(),
            expect: self.expect.clone().unwrap_or_default(),
            interval: self.interval.try_into().ok(),
            timeout: self.timeout.try_into().ok(),
            grace: self.grace.try_into().ok(),
        }
    }

    fn texts(&self) -> Vec<(&'static str, &str)> {
        [("path", &self.path), ("query", &self.query), ("expect", &self.expect)]
            .into_iter()
            .filter_map(|(key, text)| text.as_deref().map(|text| (key, text)))
            .collect()
    }

    /// Nothing can become another line of a request, or another request.
    fn check_texts(&self) -> Result<(), String> {
        for (key, text) in self.texts() {
            if text.len() > MAX_TEXT || text.chars().any(char::is_control) || text.is_empty() {
                return Err(format!("its {key} must be one line of at most {MAX_TEXT} bytes"));
            }
        }
        let plain =
            |path: &str| path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic());
        if self.path.as_deref().is_some_and(|path| !plain(path)) {
            return Err("its path must begin with '/' and have no blanks".into());
        }
        match self.query.as_deref().map(str::parse::<DomainName>) {
            Some(Err(error)) => Err(format!("its query {error}")),
            _ => Ok(()),
        }
    }
}

fn check_places(text: &str, parameters: &BTreeMap<String, Parameter>) -> Result<(), String> {
    for place in text.split("${").skip(1) {
        let (name, _) = place.split_once('}').ok_or("has an open \"${\"")?;
        match parameters.get(name) {
            Some(parameter) if parameter.secret => {
                return Err(format!("mentions the secret {name}, which would be shown"));
            }
            Some(parameter) if !parameter.required && parameter.default.is_none() => {
                return Err(format!("mentions {name}, which need not have a value"));
            }
            Some(_) => {}
            None if GuestFact::parse(name).is_some() => {}
            None => {
                let known = parameters.keys().map(String::as_str).chain(GuestFact::NAMES);
                let suggestion = did_you_mean(name, known);
                return Err(format!("mentions {name:?}, which is no parameter{suggestion}"));
            }
        }
    }
    Ok(())
}

/// A value is put in once: what it holds is no place.
fn filled(
    text: &str,
    values: &BTreeMap<String, String>,
    guest: &GuestFacts<'_>,
) -> Result<String, String> {
    let mut pieces = text.split("${");
    let mut whole = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (name, rest) = piece.split_once('}').ok_or("has an open \"${\"")?;
        let fact = GuestFact::parse(name).map(|fact| fact.of(guest));
        let value = fact.or_else(|| values.get(name).cloned());
        whole.push_str(&value.ok_or_else(|| format!("the parameter {name} has no value"))?);
        whole.push_str(rest);
    }
    Ok(whole)
}

fn within(key: &str, time: Duration, least: u64, most: u64) -> Result<Duration, String> {
    let fits = (Duration::from_secs(least)..=Duration::from_secs(most)).contains(&time);
    fits.then_some(time).ok_or_else(|| {
        let told = |seconds| humantime::format_duration(Duration::from_secs(seconds));
        format!("its {key} must be {} to {}", told(least), told(most))
    })
}

fn duration<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(reader)?;
    humantime::parse_duration(&text).map(Some).map_err(|_| {
        de::Error::custom(format!("{text:?} is not a time: write such as \"30s\" or \"2m\""))
    })
}

/// A time in a guest's record, as in a manifest.
mod span {
    use super::{Deserializer, Duration, de, duration};

    pub(super) fn serialize<S: serde::Serializer>(
        time: &Duration,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_str(&humantime::format_duration(*time))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(reader: D) -> Result<Duration, D::Error> {
        duration(reader)?.ok_or_else(|| de::Error::custom("a time is missing"))
    }
}

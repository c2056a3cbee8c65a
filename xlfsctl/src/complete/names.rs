//! The names that only xlfsd knows, as candidates for a completion.

use std::ffi::OsStr;
use std::time::Duration;

use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter, CompletionCandidate};
use xlfs_proto::v1::{
    Domain, GetDomainRequest, GetTemplateRequest, ListDomainsRequest, ListImagesRequest,
    ListPoolsRequest, ListTasksRequest, ListTemplatesRequest, ListVolumesRequest, Operation,
    ParameterType, Snapshot, TemplateParameter, Volume,
};

use super::{before_last, given};
use crate::client::Daemon;
use crate::commands::image::size;
use crate::errors::Failure;
use crate::output::text::plain;
use crate::output::time;
use crate::output::view::domain::state_word;
use crate::output::view::image::kind_word;
use crate::words;

/// The time for all of a completion; a finger rests on the key meanwhile.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Every guest.
pub(crate) fn guests() -> ArgValueCandidates {
    ArgValueCandidates::new(|| candidates_of_guests(|domain| domain.managed))
}

/// The guests to which an operation can be done now.
pub(crate) fn guests_for(operation: Operation) -> ArgValueCandidates {
    ArgValueCandidates::new(move || {
        candidates_of_guests(|domain| {
            let status = domain.operations.iter().find(|one| one.operation() == operation);
            domain.managed && status.is_none_or(|status| status.allowed)
        })
    })
}

fn candidates_of_guests(wanted: impl Fn(&Domain) -> bool) -> Vec<CompletionCandidate> {
    let reply = ask(async |daemon: Daemon| {
        Ok(daemon.domains().list_domains(ListDomainsRequest {}).await?.into_inner())
    });
    let domains = reply.map(|reply| reply.domains).unwrap_or_default();
    let wanted = domains.iter().filter(|domain| wanted(domain));
    wanted.filter_map(|domain| candidate(&domain.name, state_word(domain.state()))).collect()
}

/// Every template.
pub(crate) fn templates() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let reply = ask(async |daemon: Daemon| {
            Ok(daemon.templates().list_templates(ListTemplatesRequest {}).await?.into_inner())
        });
        let templates = reply.map(|reply| reply.templates).unwrap_or_default();
        templates.iter().filter_map(|one| candidate(&one.name, &one.summary)).collect()
    })
}

/// Every image: its aliases, or its digest where it has none.
pub(crate) fn images() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let reply = ask(async |daemon: Daemon| {
            Ok(daemon.images().list_images(ListImagesRequest {}).await?.into_inner())
        });
        let images = reply.map(|reply| reply.images).unwrap_or_default();
        let mut found = Vec::new();
        for image in &images {
            let kind = kind_word(image.kind());
            found.extend(image.aliases.iter().filter_map(|alias| candidate(alias, kind)));
            if image.aliases.is_empty() {
                let digest: String = image.digest.chars().take(12).collect();
                found.extend(candidate(&digest, kind));
            }
        }
        found
    })
}

/// The snapshots of the guest that stands on the line before them.
pub(crate) fn snapshots() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let Some(name) = before_last() else { return Vec::new() };
        let reply = ask(async |daemon: Daemon| {
            Ok(daemon.domains().get_domain(GetDomainRequest { name }).await?.into_inner())
        });
        let snapshots = reply.map(|domain| domain.snapshots).unwrap_or_default();
        let about = |one: &Snapshot| one.created.as_ref().and_then(time::for_people);
        let found = snapshots.iter();
        found.filter_map(|one| candidate(&one.name, &about(one).unwrap_or_default())).collect()
    })
}

/// Every volume.
pub(crate) fn volumes() -> ArgValueCandidates {
    ArgValueCandidates::new(|| candidates_of_volumes(|_| true))
}

/// The volumes that no guest has.
pub(crate) fn free_volumes() -> ArgValueCandidates {
    ArgValueCandidates::new(|| candidates_of_volumes(|volume| volume.holders.is_empty()))
}

fn candidates_of_volumes(wanted: impl Fn(&Volume) -> bool) -> Vec<CompletionCandidate> {
    let reply = ask(async |daemon: Daemon| {
        Ok(daemon.volumes().list_volumes(ListVolumesRequest {}).await?.into_inner())
    });
    let volumes = reply.map(|reply| reply.volumes).unwrap_or_default();
    let wanted = volumes.iter().filter(|volume| wanted(volume));
    wanted.filter_map(|volume| candidate(&volume.name, &size(volume.size_bytes))).collect()
}

/// Every pool.
pub(crate) fn pools() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let reply = ask(async |daemon: Daemon| {
            Ok(daemon.volumes().list_pools(ListPoolsRequest {}).await?.into_inner())
        });
        let pools = reply.map(|reply| reply.pools).unwrap_or_default();
        pools.iter().filter_map(|pool| candidate(&pool.name, &pool.path)).collect()
    })
}

/// Every task that is known.
pub(crate) fn tasks() -> ArgValueCandidates {
    ArgValueCandidates::new(|| candidates_of_tasks(false))
}

/// The tasks that run.
pub(crate) fn running_tasks() -> ArgValueCandidates {
    ArgValueCandidates::new(|| candidates_of_tasks(true))
}

fn candidates_of_tasks(running_only: bool) -> Vec<CompletionCandidate> {
    let reply = ask(async |daemon: Daemon| {
        let request = ListTasksRequest { object: String::new(), running_only };
        Ok(daemon.tasks().list_tasks(request).await?.into_inner())
    });
    let tasks = reply.map(|reply| reply.tasks).unwrap_or_default();
    let about = |kind: &str, object: &str| format!("{kind} {object}");
    tasks.iter().filter_map(|task| candidate(&task.id, &about(&task.kind, &task.object))).collect()
}

/// The parameters of the template that stands on the line, then their values.
pub(crate) fn settings() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        let Some(template) = given("--template", Some("-t")) else { return Vec::new() };
        let reply = ask(async |daemon: Daemon| {
            let request = GetTemplateRequest { name: template };
            Ok(daemon.templates().get_template(request).await?.into_inner())
        });
        let parameters = reply.map(|template| template.parameters).unwrap_or_default();
        candidates_of_settings(&current.to_string_lossy(), &parameters)
    })
}

fn candidates_of_settings(
    current: &str,
    parameters: &[TemplateParameter],
) -> Vec<CompletionCandidate> {
    let Some((name, begun)) = current.split_once('=') else {
        let named = parameters.iter().filter(|one| one.name.starts_with(current));
        let text = |one: &TemplateParameter| candidate(&format!("{}=", one.name), &one.description);
        return named.filter_map(text).collect();
    };
    let Some(parameter) = parameters.iter().find(|one| one.name == name) else {
        return Vec::new();
    };
    let mut values = parameter.choices.clone();
    if parameter.r#type() == ParameterType::Boolean {
        values.extend(["true".to_owned(), "false".to_owned()]);
    }
    let fitting = values.iter().filter(|value| value.starts_with(begun));
    fitting.filter_map(|value| candidate(&format!("{name}={value}"), "")).collect()
}

/// A candidate, unless a shell could take it for more than a word: the names of
/// domains that others made may be anything.
pub(super) fn candidate(name: &str, help: &str) -> Option<CompletionCandidate> {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "-_.=+,@/".contains(c);
    if name.is_empty() || !name.chars().all(harmless) {
        return None;
    }
    let help = plain(help);
    let help = (!help.is_empty()).then(|| help.into());
    Some(CompletionCandidate::new(name).help(help))
}

/// What xlfsd answers, if it does so in time.
pub(super) fn ask<T>(call: impl AsyncFnOnce(Daemon) -> Result<T, Failure>) -> Option<T> {
    let socket = given("--socket", None).or_else(|| std::env::var("XLFSD_SOCKET").ok());
    let socket = words::socket(&socket.unwrap_or_default()).ok()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let answer = runtime.block_on(async {
        let all = async { call(Daemon::connect(&socket).await?).await };
        tokio::time::timeout(TIMEOUT, all).await
    });
    answer.ok()?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(candidates: Vec<CompletionCandidate>) -> Vec<String> {
        candidates.iter().map(|one| one.get_value().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn names_come_first_then_values() {
        let parameter = |name: &str, kind: ParameterType, choices: &[&str]| TemplateParameter {
            name: name.to_owned(),
            r#type: kind.into(),
            choices: choices.iter().map(|choice| (*choice).to_owned()).collect(),
            ..Default::default()
        };
        let parameters = [
            parameter("hostname", ParameterType::Hostname, &[]),
            parameter("php", ParameterType::Choice, &["8.2", "8.3"]),
            parameter("tls", ParameterType::Boolean, &[]),
        ];
        let complete = |current: &str| words(candidates_of_settings(current, &parameters));
        assert_eq!(complete(""), ["hostname=", "php=", "tls="]);
        assert_eq!(complete("p"), ["php="]);
        assert_eq!(complete("php="), ["php=8.2", "php=8.3"]);
        assert_eq!(complete("tls=t"), ["tls=true"]);
        assert!(complete("hostname=w").is_empty());
        assert!(complete("none=").is_empty());
    }

    #[test]
    fn names_that_a_shell_would_act_upon_are_left_out() {
        assert!(candidate("web-1.example.org", "").is_some());
        for name in ["$(reboot)", "a b", "a;b", "`x`", "a\nb", "~", "a*", ""] {
            assert!(candidate(name, "").is_none(), "{name}");
        }
    }
}

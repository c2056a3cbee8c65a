//! `create`: a guest from a template.

pub(super) mod configuration;

use std::collections::HashMap;

use clap::{Args, ValueEnum};
use xlfs_proto::v1::{CreateDomainRequest, DiskRequest, EndAction, EndPolicy};

use self::configuration::Configuration;
use super::Session;
use super::change::{Verb, apply};
use crate::cli::Change;
use crate::complete;
use crate::errors::Failure;
use crate::exit::Exit;
use crate::output::text::plain;
use crate::words::{Setting, disk, memory_mib, setting};

/// Make a guest from a template, and start it.
///
/// What is not given is as the template says.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The guest's name, as a host name: a-z, 0-9, '-', '.'.
    name: String,
    /// The template: xlfsctl template list
    #[arg(short, long, value_name = "TEMPLATE", add = complete::templates())]
    template: String,
    /// A parameter of the template; once for each.
    #[arg(short, long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    #[arg(add = complete::settings())]
    settings: Vec<Setting>,
    /// The same, read from a file ("-": standard input); for secrets.
    #[arg(long = "set-file", value_name = "NAME=FILE", value_parser = setting)]
    #[arg(add = complete::settings())]
    setting_files: Vec<Setting>,
    /// Memory: 256M, 1G, or a number of MiB.
    #[arg(short, long, value_name = "SIZE", value_parser = memory_mib)]
    memory: Option<u64>,
    /// Virtual CPUs.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    vcpus: Option<u32>,
    /// A disk, such as xvdb,size=10G,pool=fast or xvda,image=root,keep,ro, or a
    /// volume that is there: xvdc,volume=data; once for each. One with the device name
    /// of a template's disk, such as xvda, changes that one.
    #[arg(long = "disk", value_name = "DISK", value_parser = disk)]
    disks: Vec<DiskRequest>,
    /// When it powers itself off: destroy, restart or preserve.
    #[arg(long, value_name = "ACTION", value_enum, hide_possible_values = true)]
    on_poweroff: Option<Action>,
    /// When it reboots itself: the same.
    #[arg(long, value_name = "ACTION", value_enum, hide_possible_values = true)]
    on_reboot: Option<Action>,
    /// When it crashes: the same.
    #[arg(long, value_name = "ACTION", value_enum, hide_possible_values = true)]
    on_crash: Option<Action>,
    /// Define the guest, but do not start it.
    #[arg(long, conflicts_with = "paused")]
    no_start: bool,
    /// Build its domain, but leave it paused.
    #[arg(long)]
    paused: bool,
    #[command(flatten)]
    configuration: Configuration,
    #[command(flatten)]
    change: Change,
}

/// What is done when a guest ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Action {
    /// Remove the domain; the guest is stopped.
    Destroy,
    /// Remove the domain and build it anew.
    Restart,
    /// Keep the dead domain for a look.
    Preserve,
}

impl Create {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let (nics, configuration) = self.configuration.into_request();
        let request = CreateDomainRequest {
            name: self.name.clone(),
            template: self.template,
            parameters: parameters(self.settings, self.setting_files)?,
            memory_mib: self.memory,
            vcpus: self.vcpus,
            end_policy: end_policy(self.on_poweroff, self.on_reboot, self.on_crash),
            disks: self.disks,
            nics,
            configuration,
            no_start: self.no_start,
            paused: self.paused,
            dry_run: self.change.dry_run,
        };
        let call = async |mut domains: super::change::Domains, _| {
            domains.create_domain(request.clone()).await
        };
        apply(session, &self.change, Verb::CREATE, &[self.name], call).await
    }
}

/// The settings as a map; one that is given twice is a mistake.
pub(super) fn parameters(
    settings: Vec<Setting>,
    files: Vec<Setting>,
) -> Result<HashMap<String, String>, Failure> {
    let mut parameters = HashMap::new();
    let read = files.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
    for Setting { name, value } in settings.into_iter().chain(read) {
        if parameters.insert(name.clone(), value).is_some() {
            return Err(Failure::new(Exit::Usage, format!("--set {name} is given twice"))
                .hint("keep one of them"));
        }
    }
    Ok(parameters)
}

/// The setting with the content of its file for a value, without the newline
/// that editors put at the end.
fn read(setting: Setting) -> Result<Setting, Failure> {
    let Setting { name, value: file } = setting;
    let content = match file.as_str() {
        "-" => std::io::read_to_string(std::io::stdin()),
        file => std::fs::read_to_string(file),
    };
    let content = content.map_err(|error| {
        let file = plain(&file);
        Failure::io(format!("cannot read {file}, the value of {name}"), &error)
    })?;
    let value = content.strip_suffix('\n').unwrap_or(&content);
    Ok(Setting { name, value: value.strip_suffix('\r').unwrap_or(value).to_owned() })
}

/// Unset when nothing was asked for: then the template's policy holds.
pub(crate) fn end_policy(
    on_poweroff: Option<Action>,
    on_reboot: Option<Action>,
    on_crash: Option<Action>,
) -> Option<EndPolicy> {
    let asked = on_poweroff.is_some() || on_reboot.is_some() || on_crash.is_some();
    let action = |action: Option<Action>| {
        let action = match action {
            None => EndAction::Unspecified,
            Some(Action::Destroy) => EndAction::Destroy,
            Some(Action::Restart) => EndAction::Restart,
            Some(Action::Preserve) => EndAction::Preserve,
        };
        i32::from(action)
    };
    asked.then(|| EndPolicy {
        on_poweroff: action(on_poweroff),
        on_reboot: action(on_reboot),
        on_crash: action(on_crash),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_given_twice_is_refused() {
        let one = |value: &str| Setting { name: "a".to_owned(), value: value.to_owned() };
        assert_eq!(parameters(vec![one("1")], Vec::new()).expect("one").len(), 1);
        let failure = parameters(vec![one("1"), one("2")], Vec::new()).expect_err("two");
        assert_eq!(failure.exit(), Exit::Usage);
    }

    #[test]
    fn a_parameter_can_come_from_a_file() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("secret").to_string_lossy().into_owned();
        let file = Setting { name: "password".to_owned(), value: path.clone() };
        let failure = parameters(Vec::new(), vec![file.clone()]).expect_err("no file");
        assert_eq!(failure.exit(), Exit::NotFound);
        std::fs::write(&path, "a=b\nc\n").expect("written");
        let read = parameters(Vec::new(), vec![file]).expect("read");
        assert_eq!(read["password"], "a=b\nc");
    }

    #[test]
    fn an_end_policy_is_sent_only_when_asked_for() {
        assert!(end_policy(None, None, None).is_none());
        let policy = end_policy(None, None, Some(Action::Preserve)).expect("policy");
        assert_eq!(policy.on_crash(), EndAction::Preserve);
        assert_eq!(policy.on_reboot(), EndAction::Unspecified);
    }
}

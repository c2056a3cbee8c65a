//! Hands a definition on: as the request that xlfsd takes, and as the words of
//! the command that sends the same.
//!
//! **To extend when a guest can be created with network interfaces**: all that
//! knows of this is here. Then [`request`] fills in the interfaces, [`words`]
//! writes them as options of `create`, and [`about_nic`] has nothing to say
//! any more. In [`super::definition::Nic`] an empty text means "not given", and
//! addresses mostly lack the length of their network, which xl does not know.

use clap::ValueEnum as _;
use xlfs_proto::v1::{CreateDomainRequest, DiskRequest};

use super::definition::{Definition, Disk, Nic};
use super::finding::{Finding, Kind};
use crate::commands::create::{Action, end_policy};

/// What xlfsd is asked for.
pub(crate) fn request(definition: &Definition) -> CreateDomainRequest {
    let Definition { on_poweroff, on_reboot, on_crash, .. } = *definition;
    CreateDomainRequest {
        name: definition.name.clone(),
        template: definition.template.clone(),
        parameters: definition.parameters.clone().into_iter().collect(),
        memory_mib: definition.memory_mib,
        vcpus: definition.vcpus,
        end_policy: end_policy(on_poweroff, on_reboot, on_crash),
        no_start: !definition.start,
        paused: false,
        dry_run: false,
        disks: definition.disks.iter().map(disk).collect(),
        nics: Vec::new(),
        configuration: None,
    }
}

fn disk(disk: &Disk) -> DiskRequest {
    DiskRequest {
        name: disk.name.clone(),
        size_bytes: 0,
        image: disk.image.clone(),
        pool: String::new(),
        read_only: disk.read_only,
        keep: false,
    }
}

/// The command that sends [`request`], word by word.
pub(crate) fn words(definition: &Definition) -> Vec<String> {
    let mut words: Vec<String> =
        ["xlfsctl", "create", &definition.name, "--template", &definition.template]
            .map(str::to_owned)
            .to_vec();
    let mut option = |name: &str, value: String| words.extend([format!("--{name}"), value]);
    for (name, value) in &definition.parameters {
        option("set", format!("{name}={value}"));
    }
    if let Some(memory) = definition.memory_mib {
        option("memory", format!("{memory}M"));
    }
    if let Some(vcpus) = definition.vcpus {
        option("vcpus", vcpus.to_string());
    }
    for (name, action) in [
        ("on-poweroff", definition.on_poweroff),
        ("on-reboot", definition.on_reboot),
        ("on-crash", definition.on_crash),
    ] {
        if let Some(action) = action {
            option(name, action_word(action));
        }
    }
    for disk in &definition.disks {
        let read_only = if disk.read_only { ",ro" } else { "" };
        option("disk", format!("{},image={}{read_only}", disk.name, disk.image));
    }
    if !definition.start {
        words.push("--no-start".to_owned());
    }
    words
}

/// What cannot be asked for of an interface.
pub(crate) fn about_nic(_nic: &Nic, line: u32) -> Option<Finding> {
    let why = "a guest cannot be created with network interfaces yet";
    Some(Finding::new("vif", line, Kind::Unsupported, why))
}

/// The action as it is written on the command line.
pub(crate) fn action_word(action: Action) -> String {
    let value = action.to_possible_value();
    value.map(|value| value.get_name().to_owned()).unwrap_or_default()
}

//! Hands a definition on: as the request that xlfsd takes, and as the words of
//! the command that sends the same.

use clap::ValueEnum as _;
use xlfs_proto::v1::{CreateDomainRequest, DiskRequest, NicRequest};

use super::definition::{Definition, Disk, Nic};
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
        nics: definition.nics.iter().map(nic).collect(),
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
        volume: String::new(),
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
    for nic in &definition.nics {
        option("nic", nic_word(nic));
    }
    if !definition.start {
        words.push("--no-start".to_owned());
    }
    words
}

fn nic(nic: &Nic) -> NicRequest {
    let Nic { network, mac, addresses, rate, anti_spoofing } = nic.clone();
    NicRequest { network, mac, addresses, rate, anti_spoofing }
}

/// An interface as an option of `create`; empty where all is as the template
/// says.
fn nic_word(nic: &Nic) -> String {
    let named = |name: &str, value: &str| match value {
        "" => None,
        value => Some(format!("{name}={value}")),
    };
    let first = [named("network", &nic.network), named("mac", &nic.mac)];
    let addresses = nic.addresses.iter().map(|address| named("ip", address));
    let last = [named("rate", &nic.rate), nic.anti_spoofing.then(|| "anti-spoofing".to_owned())];
    let parts: Vec<_> = first.into_iter().chain(addresses).chain(last).flatten().collect();
    parts.join(",")
}

/// The action as it is written on the command line.
pub(crate) fn action_word(action: Action) -> String {
    let value = action.to_possible_value();
    value.map(|value| value.get_name().to_owned()).unwrap_or_default()
}

//! What became of a guest of xl.

use std::collections::BTreeMap;

use serde::Serialize;

use super::image::kind_word;
use super::outcome::OutcomeView;
use crate::commands::create::Action;
use crate::errors::filled;
use crate::xl_cfg::convert::Guest;
use crate::xl_cfg::definition::{Definition, Disk, ImageStep, Nic};
use crate::xl_cfg::finding::Finding;
use crate::xl_cfg::{request, shell};

/// `import`.
#[derive(Debug, Serialize)]
pub(crate) struct ImportedView {
    definition: DefinitionView,
    command: String,
    images: Vec<ImageStepView>,
    findings: Vec<FindingView>,
    dry_run: bool,
    result: Option<OutcomeView>,
}

#[derive(Debug, Serialize)]
struct DefinitionView {
    name: String,
    template: String,
    parameters: BTreeMap<String, String>,
    memory_mib: Option<u64>,
    vcpus: Option<u32>,
    end_policy: EndPolicyView,
    disks: Vec<DiskView>,
    nics: Vec<NicView>,
    start: bool,
}

#[derive(Debug, Serialize)]
struct EndPolicyView {
    on_poweroff: Option<String>,
    on_reboot: Option<String>,
    on_crash: Option<String>,
}

#[derive(Debug, Serialize)]
struct DiskView {
    name: String,
    image: String,
    read_only: bool,
}

#[derive(Debug, Serialize)]
struct NicView {
    network: Option<String>,
    mac: Option<String>,
    addresses: Vec<String>,
    rate: Option<String>,
    anti_spoofing: bool,
}

#[derive(Debug, Serialize)]
struct ImageStepView {
    kind: &'static str,
    key: &'static str,
    line: u32,
    file: String,
    alias: String,
    prepare: Option<String>,
    command: String,
}

#[derive(Debug, Serialize)]
struct FindingView {
    key: String,
    line: u32,
    kind: &'static str,
    why: String,
    instead: Option<String>,
}

impl ImportedView {
    /// The guest; with what was done, unless that was nothing.
    pub(crate) fn new(guest: &Guest, dry_run: bool, result: Option<OutcomeView>) -> ImportedView {
        ImportedView {
            definition: (&guest.definition).into(),
            command: shell::line(&request::words(&guest.definition)),
            images: guest.images.iter().map(Into::into).collect(),
            findings: guest.findings.iter().map(Into::into).collect(),
            dry_run,
            result,
        }
    }
}

impl From<&Definition> for DefinitionView {
    fn from(definition: &Definition) -> DefinitionView {
        let action = |action: Option<Action>| action.map(request::action_word);
        DefinitionView {
            name: definition.name.clone(),
            template: definition.template.clone(),
            parameters: definition.parameters.clone(),
            memory_mib: definition.memory_mib,
            vcpus: definition.vcpus,
            end_policy: EndPolicyView {
                on_poweroff: action(definition.on_poweroff),
                on_reboot: action(definition.on_reboot),
                on_crash: action(definition.on_crash),
            },
            disks: definition.disks.iter().map(Into::into).collect(),
            nics: definition.nics.iter().map(Into::into).collect(),
            start: definition.start,
        }
    }
}

impl From<&Disk> for DiskView {
    fn from(disk: &Disk) -> DiskView {
        let Disk { name, image, read_only } = disk.clone();
        DiskView { name, image, read_only }
    }
}

impl From<&Nic> for NicView {
    fn from(nic: &Nic) -> NicView {
        NicView {
            network: filled(&nic.network),
            mac: filled(&nic.mac),
            addresses: nic.addresses.clone(),
            rate: filled(&nic.rate),
            anti_spoofing: nic.anti_spoofing,
        }
    }
}

impl From<&ImageStep> for ImageStepView {
    fn from(step: &ImageStep) -> ImageStepView {
        ImageStepView {
            kind: kind_word(step.kind),
            key: step.key,
            line: step.line,
            file: step.file.clone(),
            alias: step.alias.clone(),
            prepare: step.prepare.as_deref().map(shell::line),
            command: step.command(),
        }
    }
}

impl From<&Finding> for FindingView {
    fn from(finding: &Finding) -> FindingView {
        FindingView {
            key: finding.key.clone(),
            line: finding.line,
            kind: finding.kind.word(),
            why: finding.why.clone(),
            instead: filled(&finding.instead),
        }
    }
}

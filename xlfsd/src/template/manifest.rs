//! `template.toml`: its form, and what must hold of it before it is used.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::command_line::{CommandLine, CommandLineError};
use super::disk::{Disk, DiskManifest, Swap, SwapManifest, check_disks};
use super::end_policy::EndPolicy;
use super::first_boot::{FirstBootManifest, StepFileError, read_steps};
use super::guest::GuestFact;
use super::health::{HealthCheck, HealthManifest};
use super::network::{Network, NetworkManifest};
use super::parameter::{Parameter, ParameterManifest};
use super::resources::{Resources, ResourcesManifest};
use crate::seed::Step;
use crate::toml_file::{self, TomlFileError};
use xlfs_mistakes::suggest::did_you_mean;

/// The manifest's name in its folder.
pub(super) const FILE_NAME: &str = "template.toml";

/// Why a template cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The file cannot be read or is no TOML of this form.
    #[error(transparent)]
    File(#[from] TomlFileError),
    #[error("{}: {message}", path.display())]
    Content { path: PathBuf, message: String },
    #[error("{}: the command line is wrong", path.display())]
    CommandLine {
        path: PathBuf,
        #[source]
        source: CommandLineError,
    },
    #[error("{}: the first-boot step {name} cannot be used", path.display())]
    Step {
        path: PathBuf,
        name: String,
        #[source]
        source: StepFileError,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    name: String,
    version: String,
    summary: String,
    #[serde(default)]
    description: String,
    image: ImageManifest,
    #[serde(default)]
    resources: ResourcesManifest,
    #[serde(default)]
    policy: EndPolicy,
    #[serde(default)]
    parameters: BTreeMap<String, ParameterManifest>,
    #[serde(default)]
    disks: BTreeMap<String, DiskManifest>,
    swap: Option<SwapManifest>,
    network: Option<NetworkManifest>,
    #[serde(default)]
    first_boot: FirstBootManifest,
    #[serde(default)]
    health: Vec<HealthManifest>,
    #[serde(default)]
    services: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ImageManifest {
    kernel: String,
    ramdisk: Option<String>,
    #[serde(default)]
    command_line: String,
}

/// A template that guests can be made from.
#[derive(Debug, Clone)]
pub struct Template {
    pub name: String,
    pub version: String,
    /// One line.
    pub summary: String,
    pub description: String,
    /// An image's alias.
    pub kernel: String,
    /// An image's alias; None: the guest has no ramdisk.
    pub ramdisk: Option<String>,
    pub resources: Resources,
    pub end_policy: EndPolicy,
    pub parameters: BTreeMap<String, Parameter>,
    /// By name; the root file system's is [`Disk::ROOT`]. None: it runs from its ramdisk.
    pub disks: BTreeMap<String, Disk>,
    /// None: the guest has no swap volume.
    pub swap: Option<Swap>,
    /// None: the guest has no network.
    pub network: Option<Network>,
    /// What a new guest runs, in this order.
    pub steps: Vec<Step>,
    /// What tells whether its services work.
    pub health: Vec<HealthCheck>,
    /// For people: what the guest offers, one line each.
    pub services: BTreeMap<String, String>,
    /// The manifest's path, for errors.
    pub path: PathBuf,
    pub(super) command_line: CommandLine,
}

impl Template {
    /// Reads the template in the folder `dir`, which must be named as it is.
    pub fn read(dir: &Path) -> Result<Self, TemplateError> {
        let path = dir.join(FILE_NAME);
        let manifest = toml_file::read(&path)?;
        Self::check(&path, manifest)
    }

    fn check(path: &Path, manifest: Manifest) -> Result<Self, TemplateError> {
        let wrong = |message: String| TemplateError::Content { path: path.to_owned(), message };
        let folder = path.parent().and_then(Path::file_name).unwrap_or_default();
        if folder != manifest.name.as_str() {
            return Err(wrong(format!(
                "its name is {:?}, but its folder's name is {folder:?}",
                manifest.name
            )));
        }
        if !is_template_name(&manifest.name) {
            return Err(wrong(
                "its name must have 1 to 63 lower-case letters, digits and inner dashes".into(),
            ));
        }
        if manifest.summary.contains('\n') {
            return Err(wrong("its summary must be one line".into()));
        }
        let resources = manifest.resources.check().map_err(wrong)?;
        let mut parameters = BTreeMap::new();
        for (name, declared) in manifest.parameters {
            let parameter = check_name(&name).and_then(|()| Parameter::new(declared));
            let parameter =
                parameter.map_err(|error| wrong(format!("parameters.{name}: {error}")))?;
            check_places(parameter.default.as_deref().unwrap_or_default())
                .map_err(|error| wrong(format!("parameters.{name}: its default {error}")))?;
            parameters.insert(name, parameter);
        }
        let command_line = CommandLine::parse(&manifest.image.command_line)
            .map_err(|source| TemplateError::CommandLine { path: path.to_owned(), source })?;
        for name in command_line.parameters() {
            match parameters.get(name) {
                Some(parameter) if parameter.secret => {
                    return Err(wrong(format!(
                        "image.command_line: the secret {name} must not stand there, where every program of the guest can read it"
                    )));
                }
                Some(parameter) if parameter.r#type.has_lines() => {
                    return Err(wrong(format!(
                        "image.command_line: {name} is of the type {}, whose values have several lines, and must not stand there",
                        parameter.r#type
                    )));
                }
                Some(_) => {}
                None => {
                    let known = parameters.keys().map(String::as_str).chain(GuestFact::NAMES);
                    let suggestion = did_you_mean(name, known);
                    return Err(wrong(format!(
                        "image.command_line: there is no parameter {name:?}{suggestion}"
                    )));
                }
            }
        }
        let section = |name: &'static str| move |error: String| wrong(format!("{name}{error}"));
        let disks = check_disks(manifest.disks).map_err(section("disks."))?;
        let swap = manifest.swap.map(|swap| swap.check(&disks)).transpose();
        let swap = swap.map_err(section("swap: "))?;
        let network = manifest.network.map(NetworkManifest::check).transpose();
        let network = network.map_err(section("network: "))?;
        let steps = read_steps(path, &manifest.first_boot, &parameters)?;
        let mut health = Vec::new();
        for (index, check) in manifest.health.into_iter().enumerate() {
            let check = check.check(&parameters);
            health.push(check.map_err(|error| wrong(format!("health {}: {error}", index + 1)))?);
        }
        check_services(&manifest.services).map_err(section("services."))?;
        Ok(Self {
            name: manifest.name,
            version: manifest.version,
            summary: manifest.summary,
            description: manifest.description.trim().to_owned(),
            kernel: manifest.image.kernel,
            ramdisk: manifest.image.ramdisk,
            resources,
            end_policy: manifest.policy,
            parameters,
            disks,
            swap,
            network,
            steps,
            health,
            services: manifest.services,
            path: path.to_owned(),
            command_line,
        })
    }
}

/// Whether a folder of this name can hold a template.
pub(super) fn is_template_name(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
}

fn check_services(services: &BTreeMap<String, String>) -> Result<(), String> {
    for (name, what) in services {
        if !is_template_name(name) {
            return Err(format!(
                "{name}: its name must have lower-case letters, digits and inner dashes"
            ));
        }
        if what.is_empty() || what.chars().any(char::is_control) {
            return Err(format!("{name}: it must be told in one line"));
        }
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), String> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-');
    let fits = (1..=63).contains(&name.len())
        && name.bytes().all(plain)
        && name.starts_with(|c: char| c.is_ascii_lowercase());
    fits.then_some(()).ok_or_else(|| {
        "a parameter's name has lower-case letters, digits, '_' and '-', and begins with a letter"
            .to_owned()
    })
}

/// A default has places for facts of the guest only.
fn check_places(default: &str) -> Result<(), String> {
    for place in default.split("${").skip(1) {
        let name = place.split_once('}').map(|(name, _)| name).ok_or("has an open \"${\"")?;
        if GuestFact::parse(name).is_none() {
            let known = GuestFact::NAMES.join("} and ${");
            return Err(format!("mentions ${{{name}}}; there are only ${{{known}}}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod section_tests;
#[cfg(test)]
mod tests;

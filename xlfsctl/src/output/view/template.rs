//! Templates, with their parameters.

use serde::Serialize;
use xlfs_proto::v1::{OfferedService, ParameterType, Template, TemplateDisk, TemplateParameter};

use super::domain::EndPolicyView;
use super::health::CheckView;
use crate::errors::filled;

/// `template list`.
#[derive(Debug, Serialize)]
pub(crate) struct TemplatesView {
    pub(crate) templates: Vec<TemplateView>,
}

/// `template show`, and each of `template list`.
#[derive(Debug, Serialize)]
pub(crate) struct TemplateView {
    name: String,
    version: Option<String>,
    summary: Option<String>,
    description: Option<String>,
    kernel: Option<String>,
    kernel_digest: Option<String>,
    ramdisk: Option<String>,
    ramdisk_digest: Option<String>,
    command_line: String,
    memory_mib: u64,
    memory_min_mib: u64,
    vcpus: u32,
    vcpus_max: u32,
    parameters: Vec<ParameterView>,
    end_policy: Option<EndPolicyView>,
    disks: Vec<DiskView>,
    swap: Option<SwapView>,
    network: Option<NetworkView>,
    first_boot_steps: Vec<String>,
    services: Vec<ServiceView>,
    health: Vec<CheckView>,
    problem: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct DiskView {
    name: String,
    device: String,
    image: Option<String>,
    image_digest: Option<String>,
    size_mib: Option<u64>,
    size_min_mib: Option<u64>,
    pool: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct SwapView {
    percent: u32,
    device: String,
    pool: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct NetworkView {
    networks: Vec<String>,
    interfaces: u32,
}

#[derive(Debug, Serialize)]
pub(crate) struct ServiceView {
    name: String,
    description: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct ParameterView {
    name: String,
    r#type: &'static str,
    description: Option<String>,
    required: bool,
    default: Option<String>,
    min: Option<i64>,
    max: Option<i64>,
    choices: Vec<String>,
    pattern: Option<String>,
    secret: bool,
    generated: bool,
    length: Option<u32>,
}

impl From<&Template> for TemplateView {
    fn from(template: &Template) -> TemplateView {
        TemplateView {
            name: template.name.clone(),
            version: filled(&template.version),
            summary: filled(&template.summary),
            description: filled(&template.description),
            kernel: filled(&template.kernel),
            kernel_digest: filled(&template.kernel_digest),
            ramdisk: filled(&template.ramdisk),
            ramdisk_digest: filled(&template.ramdisk_digest),
            command_line: template.command_line.clone(),
            memory_mib: template.memory_mib,
            memory_min_mib: template.memory_min_mib,
            vcpus: template.vcpus,
            vcpus_max: template.vcpus_max,
            parameters: template.parameters.iter().map(ParameterView::from).collect(),
            end_policy: template.end_policy.as_ref().map(EndPolicyView::from),
            disks: template.disks.iter().map(DiskView::from).collect(),
            swap: template.swap.as_ref().map(|swap| SwapView {
                percent: swap.percent,
                device: swap.device.clone(),
                pool: filled(&swap.pool),
            }),
            network: template.network.as_ref().map(|network| NetworkView {
                networks: network.networks.clone(),
                interfaces: network.interfaces,
            }),
            first_boot_steps: template.first_boot_steps.clone(),
            services: template.services.iter().map(ServiceView::from).collect(),
            health: template.health.iter().map(CheckView::from).collect(),
            problem: filled(&template.problem),
        }
    }
}

impl From<&TemplateDisk> for DiskView {
    fn from(disk: &TemplateDisk) -> DiskView {
        DiskView {
            name: disk.name.clone(),
            device: disk.device.clone(),
            image: filled(&disk.image),
            image_digest: filled(&disk.image_digest),
            size_mib: (disk.size_mib > 0).then_some(disk.size_mib),
            size_min_mib: (disk.size_min_mib > 0).then_some(disk.size_min_mib),
            pool: filled(&disk.pool),
        }
    }
}

impl From<&OfferedService> for ServiceView {
    fn from(service: &OfferedService) -> ServiceView {
        ServiceView { name: service.name.clone(), description: service.description.clone() }
    }
}

impl From<&TemplateParameter> for ParameterView {
    fn from(parameter: &TemplateParameter) -> ParameterView {
        ParameterView {
            name: parameter.name.clone(),
            r#type: type_word(parameter.r#type()),
            description: filled(&parameter.description),
            required: parameter.required,
            default: parameter.default.clone(),
            min: parameter.min,
            max: parameter.max,
            choices: parameter.choices.clone(),
            pattern: filled(&parameter.pattern),
            secret: parameter.secret,
            generated: parameter.generated,
            length: (parameter.length > 0).then_some(parameter.length),
        }
    }
}

pub(crate) fn type_word(kind: ParameterType) -> &'static str {
    match kind {
        ParameterType::Unspecified => "unknown",
        ParameterType::String => "string",
        ParameterType::Integer => "integer",
        ParameterType::Boolean => "boolean",
        ParameterType::Hostname => "hostname",
        ParameterType::Choice => "choice",
        ParameterType::Text => "text",
        ParameterType::DomainName => "domain-name",
        ParameterType::Email => "email",
        ParameterType::AddressList => "address-list",
        ParameterType::IpList => "ip-list",
        ParameterType::SshKeyList => "ssh-key-list",
        ParameterType::PasswordHash => "password-hash",
        ParameterType::Secret => "secret",
        ParameterType::Timezone => "timezone",
        ParameterType::Locale => "locale",
    }
}

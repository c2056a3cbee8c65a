//! Templates, with their parameters.

use serde::Serialize;
use xlfs_proto::v1::{ParameterType, Template, TemplateParameter};

use super::domain::EndPolicyView;
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
    problem: Option<String>,
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
            problem: filled(&template.problem),
        }
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
    }
}

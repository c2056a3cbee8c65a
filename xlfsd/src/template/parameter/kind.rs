//! The types that a parameter can have, by their names in manifests.

use std::fmt;

use serde::Deserialize;
use xlfs_proto::v1 as pb;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ParameterType {
    String,
    /// Several lines, such as a certificate.
    Text,
    Integer,
    Boolean,
    Choice,
    Hostname,
    DomainName,
    Email,
    /// Addresses with their prefixes.
    AddressList,
    /// Addresses without prefixes.
    IpList,
    SshKeyList,
    PasswordHash,
    /// A password in clear; made when it is not given.
    Secret,
    Timezone,
    Locale,
}

impl ParameterType {
    /// The name in manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Text => "text",
            Self::Integer => "integer",
            Self::Boolean => "boolean",
            Self::Choice => "choice",
            Self::Hostname => "hostname",
            Self::DomainName => "domain-name",
            Self::Email => "email",
            Self::AddressList => "address-list",
            Self::IpList => "ip-list",
            Self::SshKeyList => "ssh-key-list",
            Self::PasswordHash => "password-hash",
            Self::Secret => "secret",
            Self::Timezone => "timezone",
            Self::Locale => "locale",
        }
    }

    /// Whether `min` and `max` mean something.
    pub(super) fn has_range(self) -> bool {
        match self {
            Self::String | Self::Hostname | Self::Text | Self::Integer | Self::Secret => true,
            Self::AddressList | Self::IpList | Self::SshKeyList => true,
            Self::Boolean | Self::Choice | Self::DomainName | Self::Email => false,
            Self::PasswordHash | Self::Timezone | Self::Locale => false,
        }
    }

    /// Whether every value is one that must not be shown.
    pub(super) fn is_secret(self) -> bool {
        matches!(self, Self::PasswordHash | Self::Secret)
    }

    /// Whether a value can have several lines, which a command line cannot.
    pub(in crate::template) fn has_lines(self) -> bool {
        matches!(self, Self::Text | Self::SshKeyList)
    }

    pub(super) fn message(self) -> pb::ParameterType {
        match self {
            Self::String => pb::ParameterType::String,
            Self::Text => pb::ParameterType::Text,
            Self::Integer => pb::ParameterType::Integer,
            Self::Boolean => pb::ParameterType::Boolean,
            Self::Choice => pb::ParameterType::Choice,
            Self::Hostname => pb::ParameterType::Hostname,
            Self::DomainName => pb::ParameterType::DomainName,
            Self::Email => pb::ParameterType::Email,
            Self::AddressList => pb::ParameterType::AddressList,
            Self::IpList => pb::ParameterType::IpList,
            Self::SshKeyList => pb::ParameterType::SshKeyList,
            Self::PasswordHash => pb::ParameterType::PasswordHash,
            Self::Secret => pb::ParameterType::Secret,
            Self::Timezone => pb::ParameterType::Timezone,
            Self::Locale => pb::ParameterType::Locale,
        }
    }
}

impl fmt::Display for ParameterType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_the_manifests() {
        let names = "string text integer boolean choice hostname domain-name email address-list \
                     ip-list ssh-key-list password-hash secret timezone locale";
        for name in names.split_whitespace() {
            let json = format!("{name:?}");
            assert_eq!(serde_json::from_str::<ParameterType>(&json).unwrap().as_str(), name);
        }
    }
}

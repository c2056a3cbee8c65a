//! What values each type of parameter takes, and their plain form.

use std::str::FromStr;

use super::{Parameter, ParameterType};
use crate::value::{
    BadValue, DomainName, Email, InterfaceAddress, Locale, PasswordHash, ServerAddress,
    SshPublicKey, TimeZone,
};
use xlfs_mistakes::suggest::did_you_mean;

/// Bytes of a value; far more than fits on a command line.
const MAX_VALUE: usize = 4096;
/// Bytes of a value that may have several lines.
const MAX_LINES: usize = 64 << 10;

impl Parameter {
    /// The value in its plain form ("Yes" becomes "true"), or what it must be
    /// instead, as the end of a sentence. The sentence
    /// never repeats a value that may be a secret.
    pub fn check(&self, value: &str) -> Result<String, String> {
        let most = if self.r#type.has_lines() { MAX_LINES } else { MAX_VALUE };
        if value.len() > most {
            return Err(format!("must have at most {most} bytes"));
        }
        if value.contains('\0') {
            return Err("must not hold a NUL".to_owned());
        }
        match self.r#type {
            ParameterType::String => {
                self.check_length(value)?;
                match self.pattern.as_ref().filter(|(_, regex)| !regex.is_match(value)) {
                    Some((text, _)) => Err(format!("must fit the pattern {text}")),
                    None => Ok(value.to_owned()),
                }
            }
            ParameterType::Text => {
                // As an editor on another system may have written it.
                let lines = value.replace("\r\n", "\n");
                self.check_length(&lines)?;
                Ok(lines)
            }
            ParameterType::Integer => {
                let number: i64 =
                    value.trim().parse().map_err(|_| "must be a whole number".to_owned())?;
                let told = || self.range("must be");
                self.in_range(number).then(|| number.to_string()).ok_or_else(told)
            }
            ParameterType::Boolean => match value.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => Ok("true".to_owned()),
                "false" | "no" | "off" | "0" => Ok("false".to_owned()),
                _ => Err("must be true or false".to_owned()),
            },
            ParameterType::Choice => {
                if self.choices.iter().any(|choice| choice == value) {
                    return Ok(value.to_owned());
                }
                let suggestion = did_you_mean(value, self.choices.iter().map(String::as_str));
                Err(format!("must be one of {}{suggestion}", self.choices.join(", ")))
            }
            ParameterType::Hostname => {
                check_hostname(value)?;
                self.check_length(value)?;
                Ok(value.to_ascii_lowercase())
            }
            ParameterType::DomainName => one::<DomainName>(value),
            ParameterType::Email => one::<Email>(value),
            ParameterType::AddressList => {
                self.list::<InterfaceAddress>(value.split([' ', ',', '\n']), " ")
            }
            ParameterType::IpList => self.list::<ServerAddress>(value.split([' ', ',', '\n']), " "),
            ParameterType::SshKeyList => self.list::<SshPublicKey>(value.lines(), "\n"),
            ParameterType::PasswordHash => match value.parse::<PasswordHash>() {
                Ok(hash) => Ok(hash.secret().to_owned()),
                Err(BadValue(wrong)) => Err(wrong),
            },
            ParameterType::Secret => {
                if value.is_empty() || value.chars().any(char::is_control) {
                    return Err("must be one line of text without control characters".to_owned());
                }
                self.check_length(value)?;
                Ok(value.to_owned())
            }
            ParameterType::Timezone => one::<TimeZone>(value),
            ParameterType::Locale => one::<Locale>(value),
        }
    }

    /// Each item in its plain form, no item twice.
    fn list<'a, T: FromStr<Err = BadValue> + ToString>(
        &self,
        items: impl Iterator<Item = &'a str>,
        between: &str,
    ) -> Result<String, String> {
        let mut plain = Vec::new();
        for item in items.map(str::trim).filter(|item| !item.is_empty()) {
            let item = one::<T>(item)
                .map_err(|wrong| format!("{wrong} (its item {} is not)", plain.len() + 1))?;
            if plain.contains(&item) {
                return Err(format!("must not hold the same twice (its item {})", plain.len() + 1));
            }
            plain.push(item);
        }
        if !self.in_range(i64::try_from(plain.len()).unwrap_or(i64::MAX)) {
            return Err(format!("{} items", self.range("must have")));
        }
        Ok(plain.join(between))
    }

    fn check_length(&self, value: &str) -> Result<(), String> {
        let length = i64::try_from(value.chars().count()).unwrap_or(i64::MAX);
        let told = || format!("{} characters", self.range("must have"));
        self.in_range(length).then_some(()).ok_or_else(told)
    }

    fn in_range(&self, number: i64) -> bool {
        self.min.is_none_or(|min| number >= min) && self.max.is_none_or(|max| number <= max)
    }

    fn range(&self, verb: &str) -> String {
        match (self.min, self.max) {
            (Some(min), Some(max)) => format!("{verb} {min} to {max}"),
            (Some(min), None) => format!("{verb} at least {min}"),
            (None, Some(max)) => format!("{verb} at most {max}"),
            (None, None) => verb.to_owned(),
        }
    }
}

fn one<T: FromStr<Err = BadValue> + ToString>(text: &str) -> Result<String, String> {
    text.parse::<T>().map(|value| value.to_string()).map_err(|BadValue(wrong)| wrong)
}

/// RFC 1123: labels of letters, digits and inner dashes, with dots between.
/// At most 64 characters, which is what Linux keeps.
fn check_hostname(value: &str) -> Result<(), String> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if value.len() <= 64 && value.split('.').all(label) {
        return Ok(());
    }
    Err("must be a host name: letters, digits, inner dashes and dots, at most 64 characters"
        .to_owned())
}

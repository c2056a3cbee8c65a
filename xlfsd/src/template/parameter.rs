//! A template's parameters as manifests declare them: `kind` has the types,
//! `values` what each takes, `secret` makes the values that nobody gives.

use regex_lite::Regex;
use serde::Deserialize;
use xlfs_proto::v1 as pb;

pub use kind::ParameterType;

mod kind;
pub(super) mod secret;
mod values;

/// A parameter as the manifest declares it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ParameterManifest {
    r#type: ParameterType,
    #[serde(default)]
    description: String,
    #[serde(default)]
    required: bool,
    default: Option<Default>,
    min: Option<i64>,
    max: Option<i64>,
    #[serde(default)]
    choices: Vec<String>,
    pattern: Option<String>,
    #[serde(default)]
    secret: bool,
    length: Option<usize>,
}

/// A default as TOML writes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "a default is a string, an integer or true/false")]
enum Default {
    Text(String),
    Integer(i64),
    Boolean(bool),
}

/// A parameter whose declaration makes sense.
#[derive(Debug, Clone)]
pub struct Parameter {
    pub r#type: ParameterType,
    pub description: String,
    pub required: bool,
    /// In the text form; may hold `${guest.name}` and `${guest.uuid}`.
    pub default: Option<String>,
    pub min: Option<i64>,
    pub max: Option<i64>,
    pub choices: Vec<String>,
    /// Never shown again once it was given, and never on a command line. Always
    /// so for a secret and a password's hash.
    pub secret: bool,
    /// Characters that are made for a secret that is not given; 0 for the other types.
    pub length: usize,
    pattern: Option<(String, Regex)>,
}

impl Parameter {
    /// Checks a declaration; an error is one sentence without the name.
    pub(super) fn new(declared: ParameterManifest) -> Result<Self, String> {
        let ParameterManifest { r#type, description, required, min, max, choices, secret, .. } =
            declared;
        let pattern = match declared.pattern {
            None => None,
            Some(_) if r#type != ParameterType::String => {
                return Err("only a string has a pattern".to_owned());
            }
            Some(text) => {
                // The whole value must fit, not a part of it.
                let regex = Regex::new(&format!("^(?:{text})$"));
                Some((text, regex.map_err(|error| format!("its pattern is not valid: {error}"))?))
            }
        };
        let has_range = min.is_some() || max.is_some();
        if has_range && !r#type.has_range() {
            return Err(format!("its type {type} has no min and max"));
        }
        if min.zip(max).is_some_and(|(min, max)| min > max) {
            return Err("its min is above its max".to_owned());
        }
        match (r#type == ParameterType::Choice, choices.is_empty()) {
            (true, true) => return Err("a choice needs choices".to_owned()),
            (false, false) => return Err("only a choice has choices".to_owned()),
            _ => {}
        }
        let default = declared.default.map(|default| match default {
            Default::Text(text) => text,
            Default::Integer(number) => number.to_string(),
            Default::Boolean(yes) => yes.to_string(),
        });
        let length = match (r#type, declared.length) {
            (ParameterType::Secret, length) => secret::check_length(length)?,
            (_, None) => 0,
            (_, Some(_)) => return Err("only a secret has a length".to_owned()),
        };
        if r#type == ParameterType::Secret && default.is_some() {
            return Err("a secret that is not given is made, so it can have no default".to_owned());
        }
        if required && default.is_some() {
            return Err("it is required, so it can have no default".to_owned());
        }
        let secret = secret || r#type.is_secret();
        let parameter = Self {
            r#type,
            description,
            required,
            default,
            min,
            max,
            choices,
            secret,
            length,
            pattern,
        };
        parameter.check_default()?;
        Ok(parameter)
    }

    /// Whether its value is made when none is given.
    pub fn is_generated(&self) -> bool {
        self.r#type == ParameterType::Secret && !self.required
    }

    fn check_default(&self) -> Result<(), String> {
        let Some(default) = &self.default else { return Ok(()) };
        // With a place for the guest's name it is checked when that is known.
        if default.contains("${") {
            return Ok(());
        }
        self.check(default).map(drop).map_err(|wrong| format!("its default {wrong}"))
    }

    pub fn message(&self, name: &str) -> pb::TemplateParameter {
        pb::TemplateParameter {
            name: name.to_owned(),
            r#type: self.r#type.message().into(),
            description: self.description.clone(),
            required: self.required,
            default: self.default.clone(),
            min: self.min,
            max: self.max,
            choices: self.choices.clone(),
            pattern: self.pattern.as_ref().map(|(text, _)| text.clone()).unwrap_or_default(),
            secret: self.secret,
            generated: self.is_generated(),
            length: u32::try_from(self.length).unwrap_or(u32::MAX),
        }
    }
}

#[cfg(test)]
mod tests;

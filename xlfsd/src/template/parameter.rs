//! A template's parameters: their types, and what values they take.

use regex_lite::Regex;
use serde::Deserialize;
use xlfs_proto::v1 as pb;

use crate::suggest::did_you_mean;

/// Bytes of any value; far more than fits on a command line.
const MAX_VALUE: usize = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParameterType {
    String,
    Integer,
    Boolean,
    Hostname,
    Choice,
}

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
    /// Never shown again once it was given, and never on a command line.
    pub secret: bool,
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
        if has_range && matches!(r#type, ParameterType::Boolean | ParameterType::Choice) {
            return Err("a boolean or a choice has no min and max".to_owned());
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
        if required && default.is_some() {
            return Err("it is required, so it can have no default".to_owned());
        }
        let parameter =
            Self { r#type, description, required, default, min, max, choices, secret, pattern };
        parameter.check_default()?;
        Ok(parameter)
    }

    fn check_default(&self) -> Result<(), String> {
        let Some(default) = &self.default else { return Ok(()) };
        // With a place for the guest's name it is checked when that is known.
        if default.contains("${") {
            return Ok(());
        }
        self.check(default).map(drop).map_err(|wrong| format!("its default {wrong}"))
    }

    /// The value in its plain form ("Yes" becomes "true"), or what it must be
    /// instead, as the end of a sentence.
    pub fn check(&self, value: &str) -> Result<String, String> {
        if value.len() > MAX_VALUE {
            return Err(format!("must have at most {MAX_VALUE} bytes"));
        }
        match self.r#type {
            ParameterType::String => {
                self.check_length(value)?;
                match &self.pattern {
                    Some((text, regex)) if !regex.is_match(value) => {
                        Err(format!("must fit the pattern {text}"))
                    }
                    _ => Ok(value.to_owned()),
                }
            }
            ParameterType::Hostname => {
                check_hostname(value)?;
                self.check_length(value)?;
                Ok(value.to_ascii_lowercase())
            }
            ParameterType::Integer => {
                let number: i64 =
                    value.trim().parse().map_err(|_| "must be a whole number".to_owned())?;
                let in_range = self.min.is_none_or(|min| number >= min)
                    && self.max.is_none_or(|max| number <= max);
                in_range.then(|| number.to_string()).ok_or_else(|| self.range("must be"))
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
        }
    }

    fn check_length(&self, value: &str) -> Result<(), String> {
        let length = value.chars().count() as i64;
        let fits =
            self.min.is_none_or(|min| length >= min) && self.max.is_none_or(|max| length <= max);
        fits.then_some(()).ok_or_else(|| format!("{} characters", self.range("must have")))
    }

    fn range(&self, verb: &str) -> String {
        match (self.min, self.max) {
            (Some(min), Some(max)) => format!("{verb} {min} to {max}"),
            (Some(min), None) => format!("{verb} at least {min}"),
            (None, Some(max)) => format!("{verb} at most {max}"),
            (None, None) => verb.to_owned(),
        }
    }

    pub fn message(&self, name: &str) -> pb::TemplateParameter {
        let r#type = match self.r#type {
            ParameterType::String => pb::ParameterType::String,
            ParameterType::Integer => pb::ParameterType::Integer,
            ParameterType::Boolean => pb::ParameterType::Boolean,
            ParameterType::Hostname => pb::ParameterType::Hostname,
            ParameterType::Choice => pb::ParameterType::Choice,
        };
        pb::TemplateParameter {
            name: name.to_owned(),
            r#type: r#type.into(),
            description: self.description.clone(),
            required: self.required,
            default: self.default.clone(),
            min: self.min,
            max: self.max,
            choices: self.choices.clone(),
            pattern: self.pattern.as_ref().map(|(text, _)| text.clone()).unwrap_or_default(),
            secret: self.secret,
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parameter(toml: &str) -> Result<Parameter, String> {
        Parameter::new(toml::from_str(toml).map_err(|error| error.message().to_owned())?)
    }

    #[track_caller]
    fn takes(toml: &str, good: &[(&str, &str)], bad: &[&str]) {
        let parameter = parameter(toml).unwrap();
        for (value, plain) in good {
            assert_eq!(parameter.check(value).as_deref(), Ok(*plain), "{value}");
        }
        for value in bad {
            let wrong = parameter.check(value).unwrap_err();
            assert!(wrong.starts_with("must "), "{value}: {wrong}");
        }
    }

    #[test]
    fn each_type_takes_its_values() {
        takes("type = 'string'", &[("", ""), ("any thing", "any thing")], &[&"x".repeat(5000)]);
        takes("type = 'string'\nmin = 2\nmax = 3", &[("ää", "ää"), ("abc", "abc")], &["a", "abcd"]);
        takes("type = 'string'\npattern = 'a|bc'", &[("a", "a"), ("bc", "bc")], &["ab", "abc", ""]);
        takes(
            "type = 'integer'\nmin = 1\nmax = 10",
            &[("1", "1"), (" 10 ", "10"), ("+5", "5")],
            &["0", "11", "", "1.0", "99999999999999999999", "x"],
        );
        takes(
            "type = 'boolean'",
            &[("true", "true"), ("Yes", "true"), ("0", "false"), ("off", "false")],
            &["", "2", "maybe"],
        );
        takes(
            "type = 'hostname'",
            &[("web", "web"), ("Web-1.Example.org", "web-1.example.org")],
            &["", "-a", "a-", "a..b", ".a", "a_b", "a b", "ä", &"a".repeat(64), &"a.".repeat(33)],
        );
        takes("type = 'choice'\nchoices = ['a', 'b']", &[("a", "a")], &["A", "", "c"]);
    }

    #[test]
    fn ranges_are_told() {
        let wrong = |toml: &str, value| parameter(toml).unwrap().check(value).unwrap_err();
        assert_eq!(wrong("type = 'integer'\nmin = 1\nmax = 9", "0"), "must be 1 to 9");
        assert_eq!(wrong("type = 'integer'\nmin = 1", "0"), "must be at least 1");
        assert_eq!(wrong("type = 'string'\nmax = 3", "abcd"), "must have at most 3 characters");
        assert_eq!(
            wrong("type = 'choice'\nchoices = ['small', 'large']", "smal"),
            "must be one of small, large (did you mean \"small\"?)"
        );
    }

    #[test]
    fn declarations_must_make_sense() {
        for (toml, wrong) in [
            ("type = 'integer'\npattern = 'x'", "only a string has a pattern"),
            ("type = 'string'\npattern = '('", "its pattern is not valid"),
            ("type = 'boolean'\nmin = 1", "a boolean or a choice has no min"),
            ("type = 'integer'\nmin = 2\nmax = 1", "its min is above its max"),
            ("type = 'choice'", "a choice needs choices"),
            ("type = 'string'\nchoices = ['x']", "only a choice has choices"),
            ("type = 'string'\nrequired = true\ndefault = 'x'", "it is required"),
            ("type = 'integer'\ndefault = 'x'", "its default must be a whole number"),
            ("type = 'integer'\nmax = 3\ndefault = 4", "its default must be at most 3"),
            ("type = 'colour'", "unknown variant `colour`"),
            ("type = 'string'\ndefault = 1.5", "a default is a string"),
        ] {
            let error = parameter(toml).unwrap_err();
            assert!(error.contains(wrong), "{toml}: {error}");
        }
        let boolean = parameter("type = 'boolean'\ndefault = true").unwrap();
        assert_eq!(boolean.default.as_deref(), Some("true"));
    }
}

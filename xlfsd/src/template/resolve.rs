//! What a user gives for a template's parameters, checked as a whole: every
//! wrong one is named, not only the first.

use std::collections::{BTreeMap, HashMap};

use super::command_line::{MAX_COMMAND_LINE, forbidden_in_value};
use super::guest::{GuestFact, GuestFacts};
use super::parameter::secret::generate;
use super::{Parameter, Template};
use crate::problem::{FieldProblem, Problem};
use xlfs_mistakes::suggest::did_you_mean;

/// Parameters that are in force for one guest.
#[derive(Clone, PartialEq, Eq)]
pub struct ResolvedParams {
    /// Every parameter that has a value, given or by default, in its plain form.
    pub values: BTreeMap<String, String>,
    /// The kernel's command line, at most [`MAX_COMMAND_LINE`] bytes, without a NUL.
    pub command_line: String,
    /// Secrets that were made because nobody gave them: for the answer to the
    /// user, once, and for nothing else.
    pub generated: BTreeMap<String, String>,
    secrets: Vec<String>,
}

/// Stands for a secret's value in a record.
pub const SECRET_MARKER: &str = "(secret)";

impl ResolvedParams {
    /// What may be shown: all but the secrets.
    pub fn shown(&self) -> BTreeMap<String, String> {
        let shown = self.values.iter().filter(|(name, _)| !self.secrets.contains(name));
        shown.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// What a guest's record keeps: all values, with [`SECRET_MARKER`] for each secret.
    pub fn recorded(&self) -> BTreeMap<String, String> {
        let marked = self.secrets.iter().map(|name| (name.clone(), SECRET_MARKER.to_owned()));
        self.shown().into_iter().chain(marked).collect()
    }

    /// The names of secrets that have a value.
    pub fn secrets(&self) -> &[String] {
        &self.secrets
    }
}

/// Secrets must not get into logs.
impl std::fmt::Debug for ResolvedParams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResolvedParams")
            .field("shown", &self.shown())
            .field("command_line", &self.command_line)
            .finish_non_exhaustive()
    }
}

impl Template {
    /// Checks what a user gives for the parameters of a guest, and makes the
    /// kernel's command line of it. INVALID_ARGUMENT names all that is wrong.
    pub fn validate(
        &self,
        given: &HashMap<String, String>,
        guest: &GuestFacts<'_>,
    ) -> Result<ResolvedParams, Problem> {
        let mut wrong = Vec::new();
        let mut given: Vec<_> = given.iter().collect();
        given.sort();
        for (name, _) in given.iter().filter(|(name, _)| !self.parameters.contains_key(*name)) {
            let shown: String = name.chars().take(80).collect();
            let suggestion = did_you_mean(&shown, self.parameters.keys().map(String::as_str));
            let known: Vec<_> = self.parameters.keys().map(String::as_str).collect();
            let description = match known.as_slice() {
                [] => format!("the template {} has no parameters", self.name),
                _ => format!(
                    "is not a parameter of the template {}{suggestion}; it has {}",
                    self.name,
                    known.join(", ")
                ),
            };
            wrong.push(FieldProblem::new(format!("parameters.{shown}"), description));
        }
        let (mut values, mut generated) = (BTreeMap::new(), BTreeMap::new());
        for (name, parameter) in &self.parameters {
            let given = given.iter().find(|(given, _)| *given == name);
            match self.value(name, parameter, given.map(|(_, value)| value.as_str()), guest) {
                Ok(Some(value)) => {
                    values.insert(name.clone(), value);
                }
                Ok(None) if parameter.is_generated() => {
                    let made = generate(parameter.length).map_err(|error| {
                        Problem::internal(format!("no random numbers for {name}")).cause(&error)
                    })?;
                    generated.insert(name.clone(), made.clone());
                    values.insert(name.clone(), made);
                }
                Ok(None) => {}
                Err(description) => {
                    wrong.push(FieldProblem::new(format!("parameters.{name}"), description));
                }
            }
        }
        let command_line =
            self.command_line.fill(guest, |name| values.get(name).map(String::as_str));
        if wrong.is_empty() && command_line.len() > MAX_COMMAND_LINE {
            wrong = self.too_long(&command_line, &values);
        }
        if !wrong.is_empty() {
            return Err(self.invalid(guest, wrong));
        }
        let secrets = self.parameters.iter().filter(|(_, parameter)| parameter.secret);
        let secrets = secrets.map(|(name, _)| name.clone());
        let secrets = secrets.filter(|name| values.contains_key(name)).collect();
        Ok(ResolvedParams { values, command_line, generated, secrets })
    }

    /// The value that a parameter has where nobody gives one.
    pub fn default_of(&self, name: &str, guest: &GuestFacts<'_>) -> Option<String> {
        let parameter = self.parameters.get(name)?;
        self.value(name, parameter, None, guest).ok().flatten()
    }

    fn value(
        &self,
        name: &str,
        parameter: &Parameter,
        given: Option<&str>,
        guest: &GuestFacts<'_>,
    ) -> Result<Option<String>, String> {
        let value = match (given, &parameter.default) {
            (Some(given), _) => given.to_owned(),
            (None, Some(default)) => fill_facts(default, guest),
            (None, None) if parameter.required => {
                let what = parameter.description.as_str();
                let what = if what.is_empty() { String::new() } else { format!(": {what}") };
                return Err(format!("is required{what}"));
            }
            (None, None) => return Ok(None),
        };
        let value = parameter.check(&value)?;
        if self.command_line.parameters().any(|place| place == name)
            && let Some(wrong) = forbidden_in_value(&value)
        {
            return Err(wrong);
        }
        Ok(Some(value))
    }

    /// Blames the values in place, the longest first.
    fn too_long(&self, line: &str, values: &BTreeMap<String, String>) -> Vec<FieldProblem> {
        let over = line.len() - MAX_COMMAND_LINE;
        let mut placed: Vec<_> = self
            .command_line
            .parameters()
            .filter_map(|name| values.get_key_value(name))
            .map(|(name, value)| (value.len(), name))
            .collect();
        placed.sort();
        placed.dedup();
        let blame = |(length, name): &(usize, &String)| {
            let description = format!(
                "has {length} bytes, and the kernel's command line is {over} over the limit of {MAX_COMMAND_LINE}"
            );
            FieldProblem::new(format!("parameters.{name}"), description)
        };
        placed.iter().rev().take(3).map(blame).collect()
    }

    fn invalid(&self, guest: &GuestFacts<'_>, wrong: Vec<FieldProblem>) -> Problem {
        let message = match wrong.as_slice() {
            [one] => format!("{} {}", one.field, one.description),
            several => format!(
                "{} parameters for the template {} are wrong: {}",
                several.len(),
                self.name,
                several
                    .iter()
                    .map(|w| w.field.trim_start_matches("parameters."))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        };
        Problem::invalid("BAD_PARAMETERS", message, wrong).object(format!("domain {}", guest.name))
    }
}

/// Puts facts of the guest into a default; which there are was checked when the
/// template was read.
fn fill_facts(default: &str, guest: &GuestFacts<'_>) -> String {
    let mut filled = default.to_owned();
    for name in GuestFact::NAMES {
        if let Some(fact) = GuestFact::parse(name) {
            filled = filled.replace(&format!("${{{name}}}"), &fact.of(guest));
        }
    }
    filled
}

#[cfg(test)]
mod tests;

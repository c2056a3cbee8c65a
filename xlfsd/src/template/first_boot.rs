//! The steps that a new guest runs: `[first_boot]`, and the files beside the
//! manifest that it names.

use std::collections::{BTreeMap, HashSet};
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::libc;
use serde::Deserialize;

use super::{Parameter, TemplateError};
use crate::seed::{MAX_STEP, MAX_STEPS, Step, StepError, variable};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FirstBootManifest {
    #[serde(default)]
    steps: Vec<String>,
}

/// Why a step's file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StepFileError {
    #[error("it cannot be read from the template's folder")]
    Read(#[source] io::Error),
    #[error("it is not text in UTF-8")]
    Utf8,
    #[error(transparent)]
    Step(#[from] StepError),
}

/// Reads the steps from the folder of the manifest `path`.
pub(super) fn read_steps(
    path: &Path,
    declared: &FirstBootManifest,
    parameters: &BTreeMap<String, Parameter>,
) -> Result<Vec<Step>, TemplateError> {
    let wrong = |message| TemplateError::Content { path: path.to_owned(), message };
    let mut names = HashSet::new();
    let twice = |name: &&String| !names.insert(name.to_ascii_lowercase());
    if let Some(name) = declared.steps.iter().find(twice) {
        return Err(wrong(format!("first_boot.steps: {name} is named twice")));
    }
    if declared.steps.len() > MAX_STEPS {
        return Err(wrong(format!("first_boot.steps: at most {MAX_STEPS} are possible")));
    }
    if !declared.steps.is_empty() {
        check_variables(parameters).map_err(wrong)?;
    }
    let read = |name: &String| {
        read_step(path, name).map_err(|source| TemplateError::Step {
            path: path.to_owned(),
            name: name.chars().take(80).collect(),
            source,
        })
    };
    declared.steps.iter().map(read).collect()
}

fn read_step(manifest: &Path, name: &str) -> Result<Step, StepFileError> {
    // A name is a path component from here on.
    Step::check_name(name)?;
    // Neither a link out of the folder nor a pipe that would keep us waiting.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file =
        OpenOptions::new().read(true).custom_flags(flags).open(manifest.with_file_name(name));
    let file = file.map_err(StepFileError::Read)?;
    if !file.metadata().map_err(StepFileError::Read)?.is_file() {
        return Err(StepFileError::Read(io::Error::other("it is not a file")));
    }
    let mut bytes = Vec::new();
    file.take(MAX_STEP as u64 + 1).read_to_end(&mut bytes).map_err(StepFileError::Read)?;
    if bytes.len() > MAX_STEP {
        return Err(StepError::TooLarge { name: name.to_owned() }.into());
    }
    let text = String::from_utf8(bytes).map_err(|_| StepFileError::Utf8)?;
    Ok(Step::new(name, &text)?)
}

/// Steps see parameters as variables, which have fewer names.
fn check_variables(parameters: &BTreeMap<String, Parameter>) -> Result<(), String> {
    let mut taken: BTreeMap<String, &str> = BTreeMap::new();
    for name in parameters.keys() {
        let Some(variable) = variable(name) else { continue };
        if let Some(first) = taken.insert(variable.clone(), name) {
            return Err(format!(
                "parameters.{name}: for the first-boot steps it is the same as {first}, XLFS_PARAM_{variable}"
            ));
        }
    }
    Ok(())
}

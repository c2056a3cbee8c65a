//! What a build would do, and why: which inputs are not what they were.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::BuildError;
use super::Request;
use super::known::{Known, Records};
use super::schedule::UNKNOWN_SECONDS;
use crate::action;
use crate::image::MissingInput;
use crate::store::Record;

/// What a build would do.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Every package, in an order in which they can be built.
    pub packages: Vec<Planned>,
    /// Seconds until all is built, by the times of earlier builds; packages without
    /// one count as a minute.
    pub estimate: f64,
    /// Packages that the estimate knows nothing of.
    pub guessed: usize,
    /// Files that the images ask for and nobody gave: the build would not start.
    pub missing_inputs: Vec<MissingInput>,
}

/// One package of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// The package.
    pub package: String,
    /// Its version.
    pub version: String,
    /// The toolchain that builds it.
    pub toolchain: String,
    /// What will become of it.
    pub standing: Standing,
    /// How long it took last time.
    pub seconds: Option<f64>,
}

/// What will become of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Its result is there.
    Cached,
    /// It will be built, for these reasons.
    Build(Vec<String>),
    /// It will be built if the result of one of these packages changes.
    Perhaps(Vec<String>),
}

pub(super) fn plan(known: &Known, request: &Request, jobs: usize) -> Result<Plan, BuildError> {
    let mut records = Records::new();
    let mut packages: Vec<Planned> = Vec::new();
    for name in order(known) {
        let latest = known.latest(&name);
        let need = known.graph.needs.get(&name);
        let after = need.map(|need| need.after.clone()).unwrap_or_default();
        let open: Vec<String> =
            after.iter().filter(|it| !records.contains_key(*it)).cloned().collect();
        let forced = request.rebuild.contains(&name);
        let standing = if forced {
            Standing::Build(vec!["asked for".to_owned()])
        } else if open.is_empty() {
            match settle(known, &name, latest.as_ref(), &mut records)? {
                None => Standing::Cached,
                Some(reasons) => Standing::Build(reasons),
            }
        } else {
            own_reasons(known, &name, latest.as_ref(), &open)?
        };
        packages.push(Planned {
            version: known.package(&name)?.version.clone(),
            toolchain: need.map(|need| need.toolchain.clone()).unwrap_or_default(),
            package: name,
            standing,
            seconds: latest.map(|record| record.seconds),
        });
    }
    let (estimate, guessed) = estimate(known, &packages, jobs);
    Ok(Plan { packages, estimate, guessed, missing_inputs: Vec::new() })
}

/// Dependencies before dependents.
pub(super) fn order(known: &Known) -> Vec<String> {
    let mut done: BTreeSet<&str> = BTreeSet::new();
    let mut list = Vec::new();
    // There are no cycles, so every round finds something.
    while list.len() < known.graph.needs.len() {
        let before = list.len();
        for (name, need) in &known.graph.needs {
            let due = need.after.iter().all(|it| done.contains(it.as_str()));
            if due && done.insert(name) {
                list.push(name.clone());
            }
        }
        if list.len() == before {
            break;
        }
    }
    list
}

/// Looks a package up whose dependencies are known: none if its result is there,
/// otherwise why it must be built.
pub(super) fn settle(
    known: &Known,
    name: &str,
    latest: Option<&Record>,
    records: &mut Records,
) -> Result<Option<Vec<String>>, BuildError> {
    let action = known.action(name, records)?;
    if let Some(record) = known.store.result(&action.digest)? {
        records.insert(name.to_owned(), Arc::new(record));
        return Ok(None);
    }
    let Some(latest) = latest else { return Ok(Some(vec!["never built".to_owned()])) };
    let mut reasons = differences(&latest.inputs, &action.inputs);
    if reasons.is_empty() {
        let gone = latest.action == action.digest;
        let reason = if gone { "its result is gone" } else { "the builder itself changed" };
        reasons.push(reason.to_owned());
    }
    Ok(Some(reasons))
}

/// A package some of whose dependencies will be built: for reasons of its own, or
/// only if one of them comes out different.
fn own_reasons(
    known: &Known,
    name: &str,
    latest: Option<&Record>,
    open: &[String],
) -> Result<Standing, BuildError> {
    let Some(latest) = latest else {
        return Ok(Standing::Build(vec!["never built".to_owned()]));
    };
    let package = known.package(name)?;
    let toolchain = known.graph.needs.get(name).map_or("", |need| &need.toolchain);
    let own = action::own_inputs(package, &known.set, toolchain, known.checked.contains(name));
    let before: BTreeMap<String, String> = latest
        .inputs
        .iter()
        .filter(|(label, _)| own.contains_key(*label) || label.starts_with("step "))
        .map(|(label, value)| (label.clone(), value.clone()))
        .collect();
    let reasons = differences(&before, &own);
    Ok(if reasons.is_empty() { Standing::Perhaps(open.to_vec()) } else { Standing::Build(reasons) })
}

fn differences(before: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Vec<String> {
    let mut found = Vec::new();
    for (label, value) in now {
        match before.get(label) {
            Some(old) if old == value => {}
            Some(old) if old.len() <= 40 && value.len() <= 40 => {
                found.push(format!("{label} changed ({old} -> {value})"));
            }
            Some(_) => found.push(format!("{label} changed")),
            None => found.push(format!("{label} is new")),
        }
    }
    let gone = before.keys().filter(|label| !now.contains_key(*label));
    found.extend(gone.map(|label| format!("{label} is gone")));
    found
}

/// Plays the build through: at most `jobs` packages at a time, the longest path first.
fn estimate(known: &Known, packages: &[Planned], jobs: usize) -> (f64, usize) {
    let mut guessed = 0;
    let mut seconds: BTreeMap<&str, f64> = BTreeMap::new();
    for planned in packages {
        let cost = match (&planned.standing, planned.seconds) {
            (Standing::Cached | Standing::Perhaps(_), _) => 0.0,
            (Standing::Build(_), Some(seconds)) => seconds,
            (Standing::Build(_), None) => {
                guessed += 1;
                UNKNOWN_SECONDS
            }
        };
        seconds.insert(&planned.package, cost);
    }
    let cost = |name: &str| seconds.get(name).copied().unwrap_or_default();
    let lengths = known.graph.path_lengths(cost);
    let mut ends: BTreeMap<&str, f64> = BTreeMap::new();
    let mut slots = vec![0.0_f64; jobs.max(1)];
    let mut open: Vec<&str> = packages.iter().map(|it| it.package.as_str()).collect();
    open.sort_by(|one, two| {
        let length = |name: &str| lengths.get(name).copied().unwrap_or_default();
        length(two).total_cmp(&length(one))
    });
    while !open.is_empty() {
        let due = |name: &&str| {
            let need = known.graph.needs.get(*name);
            need.is_some_and(|need| need.after.iter().all(|it| ends.contains_key(it.as_str())))
        };
        let Some(at) = open.iter().position(due) else { break };
        let name = open.remove(at);
        let before = known.graph.needs.get(name).map(|need| need.after.iter());
        let ready = before.into_iter().flatten().filter_map(|it| ends.get(it.as_str()));
        let ready = ready.copied().fold(0.0, f64::max);
        let slot = slots.iter_mut().min_by(|one, two| one.total_cmp(two));
        let start = slot.as_ref().map_or(ready, |slot| slot.max(ready));
        let end = start + cost(name);
        if let (Some(slot), true) = (slot, cost(name) > 0.0) {
            *slot = end;
        }
        ends.insert(name, if cost(name) > 0.0 { end } else { ready });
    }
    (ends.values().copied().fold(0.0, f64::max), guessed)
}

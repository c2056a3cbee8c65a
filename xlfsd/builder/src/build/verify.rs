//! Building a second time and comparing: a recipe whose results differ depends on
//! something that it did not declare.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::BuildError;
use super::known::{Known, Records};
use super::one::{self, Machine};
use super::plan;
use crate::blocking;
use crate::tree::{Node, Tree};

/// How a second build compares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The package, or the image.
    pub package: String,
    /// What differs; empty if nothing.
    pub differences: Vec<Difference>,
}

/// One path that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The output; of an image: `image`.
    pub output: String,
    /// The path in it; of an image: the artifact's name.
    pub path: String,
    /// In words: how.
    pub how: &'static str,
}

/// Builds the targets again that have results, and compares; a target without
/// a result is an error. Of an image, its packages are built again, and then it is
/// composed again. `told` hears of each as it is done.
pub(super) async fn verify(
    known: &Arc<Known>,
    machine: &Machine,
    mut told: impl FnMut(&Verified) + Send,
) -> Result<Vec<Verified>, BuildError> {
    let records = {
        let known = Arc::clone(known);
        blocking(move || results(&known)).await?
    };
    let targets = &known.graph.targets;
    let packages: BTreeSet<&String> = targets.values().flatten().map(|it| &it.package).collect();
    let mut verified = Vec::new();
    for name in packages {
        let one = package(known, machine, name, &records).await?;
        told(&one);
        verified.push(one);
    }
    for (name, outputs) in targets {
        let Some(image) = known.set.images.get(name) else { continue };
        let differing = {
            let (known, image) = (Arc::clone(known), image.clone());
            let (outputs, records) = (outputs.clone(), records.clone());
            blocking(move || known.compose_again(&image, &outputs, &records)).await?
        };
        let difference = |path| Difference { output: IMAGE.to_owned(), path, how: OTHER };
        let differences = differing.into_iter().map(difference).collect();
        let one = Verified { package: name.clone(), differences };
        told(&one);
        verified.push(one);
    }
    Ok(verified)
}

/// Stands for an output where a file of an image differs.
const IMAGE: &str = "image";
const OTHER: &str = "has other contents";

async fn package(
    known: &Arc<Known>,
    machine: &Machine,
    name: &str,
    records: &Records,
) -> Result<Verified, BuildError> {
    let action = {
        let (known, name, records) = (Arc::clone(known), name.to_owned(), records.clone());
        blocking(move || known.action(&name, &records)).await?
    };
    let never = CancellationToken::new();
    let outcome = one::build(known, machine, name, Arc::new(action), &never, |_| {}).await;
    let outcome = outcome.map_err(|failed| failed.error)?;
    let missing = || BuildError::NotBuilt { package: name.to_owned() };
    let before = records.get(name).ok_or_else(missing)?.outputs.clone();
    let mut differences = Vec::new();
    for (output, old) in &before {
        let new = outcome.outputs.get(output).unwrap_or(old);
        if new != old {
            let (old, new) = (known.store.read_tree(old)?, known.store.read_tree(new)?);
            differences.extend(compare(output, &old, &new));
        }
    }
    Ok(Verified { package: name.to_owned(), differences })
}

/// The results of all packages that the targets need, themselves included.
fn results(known: &Known) -> Result<Records, BuildError> {
    let mut records = Records::new();
    for name in plan::order(known) {
        if plan::settle(known, &name, None, &mut records)?.is_some() {
            return Err(BuildError::NotBuilt { package: name });
        }
    }
    Ok(records)
}

fn compare(output: &str, old: &Tree, new: &Tree) -> Vec<Difference> {
    let paths: BTreeMap<&str, ()> =
        old.iter().chain(new.iter()).map(|(path, _)| (path, ())).collect();
    let how = |path: &str| match (old.get(path), new.get(path)) {
        (Some(one), Some(two)) if one == two => None,
        (Some(Node::File { digest: one, .. }), Some(Node::File { digest: two, .. })) => {
            Some(if one == two { "has another mode" } else { OTHER })
        }
        (Some(_), Some(_)) => Some("is of another kind or points elsewhere"),
        (Some(_), None) => Some("is missing in the second build"),
        (None, _) => Some("is only in the second build"),
    };
    let difference = |path: &str| {
        let how = how(path)?;
        Some(Difference { output: output.to_owned(), path: path.to_owned(), how })
    };
    paths.into_keys().filter_map(difference).collect()
}

//! Which packages a target needs, in which order, and what each one's sandbox
//! holds.

use std::collections::{BTreeMap, BTreeSet};

use crate::recipe::check::RecipeError;
use crate::recipe::{Package, RecipeSet, Reference, Toolchain};
use xlfs_mistakes::suggest::did_you_mean;

/// Why a target cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    /// No such package or image.
    #[error("the set {set} has no package or image {name:?}{suggestion}")]
    Unknown {
        /// The set.
        set: String,
        /// What was asked for.
        name: String,
        /// `(did you mean ...?)`, or empty.
        suggestion: String,
    },
    /// No such toolchain.
    #[error("the set {set} has no toolchain {name:?}{suggestion}")]
    Toolchain {
        /// The set.
        set: String,
        /// What was asked for.
        name: String,
        /// `(did you mean ...?)`, or empty.
        suggestion: String,
    },
    /// A recipe has mistakes.
    #[error("the recipe of {name} has mistakes: {}", list(problems))]
    Recipe {
        /// The package, image or toolchain.
        name: String,
        /// Each mistake.
        problems: Vec<String>,
    },
    /// Packages need each other to be built.
    #[error("these packages need each other to be built: {}", cycle.join(" -> "))]
    Cycle {
        /// In order; the first one again at the end.
        cycle: Vec<String>,
    },
}

fn list(problems: &[String]) -> String {
    problems.join("; ")
}

/// One output of one package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutputName {
    /// The package.
    pub package: String,
    /// The output.
    pub output: String,
}

/// A package that has to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// The toolchain that builds it.
    pub toolchain: String,
    /// What is in its sandbox beside the toolchain.
    pub inputs: BTreeSet<OutputName>,
    /// Packages that must be built before: of its inputs and of its toolchain.
    pub after: BTreeSet<String>,
}

/// Packages by name, each with what it needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Graph {
    /// All of them.
    pub needs: BTreeMap<String, Need>,
    /// What each image or asked-for package takes.
    pub targets: BTreeMap<String, BTreeSet<OutputName>>,
    /// What each toolchain in use holds out of packages.
    pub toolchains: BTreeMap<String, BTreeSet<OutputName>>,
}

/// Resolves targets (packages or images) with a default toolchain.
pub fn resolve(
    set: &RecipeSet,
    targets: &[String],
    toolchain: Option<&str>,
) -> Result<Graph, GraphError> {
    let default = toolchain.unwrap_or(&set.file.toolchain);
    let chosen = find_toolchain(set, default)?;
    let resolver = Resolver { set, default, chosen };
    let mut graph = Graph::default();
    for target in targets {
        let outputs = if let Some(image) = set.images.get(target) {
            resolver.sound(target)?;
            resolver.with_run(&image.packages, Take::Run)?
        } else {
            let everything = Reference { package: target.clone(), output: None };
            resolver.package(&everything.package)?;
            resolver.outputs(&everything, Take::All)?.into_iter().collect()
        };
        let packages: BTreeSet<_> = outputs.iter().map(|it| it.package.clone()).collect();
        for package in packages {
            resolver.visit(&package, &mut graph, &mut Vec::new())?;
        }
        graph.targets.insert(target.clone(), outputs);
    }
    Ok(graph)
}

/// Names are taken in `set.toml`'s words: none means what the place takes.
#[derive(Clone, Copy)]
enum Take {
    All,
    Run,
}

struct Resolver<'a> {
    set: &'a RecipeSet,
    default: &'a str,
    chosen: &'a Toolchain,
}

impl Resolver<'_> {
    fn visit(
        &self,
        name: &str,
        graph: &mut Graph,
        path: &mut Vec<String>,
    ) -> Result<(), GraphError> {
        if let Some(at) = path.iter().position(|it| it == name) {
            let mut cycle: Vec<String> = path.get(at..).unwrap_or_default().to_vec();
            cycle.push(name.to_owned());
            return Err(GraphError::Cycle { cycle });
        }
        if graph.needs.contains_key(name) {
            return Ok(());
        }
        let package = self.package(name)?;
        let toolchain = package.toolchain.as_deref().unwrap_or(self.default);
        let inputs = self.with_run(&package.depends.build, Take::All)?;
        let mut after: BTreeSet<_> = inputs.iter().map(|it| it.package.clone()).collect();
        let mut part = Some(toolchain);
        while let Some(name) = part {
            let of = find_toolchain(self.set, name)?;
            self.sound(&format!("toolchains.{name}"))?;
            let outputs = self.with_run(&of.packages, Take::All)?;
            after.extend(outputs.iter().map(|it| it.package.clone()));
            graph.toolchains.insert(name.to_owned(), outputs);
            part = of.on.as_deref();
        }
        path.push(name.to_owned());
        for other in &after {
            self.visit(other, graph, path)?;
        }
        path.pop();
        let toolchain = toolchain.to_owned();
        graph.needs.insert(name.to_owned(), Need { toolchain, inputs, after });
        Ok(())
    }

    /// The entries' outputs, and the outputs that those need at run time.
    fn with_run(&self, entries: &[String], take: Take) -> Result<BTreeSet<OutputName>, GraphError> {
        let mut found = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut open: Vec<(Reference, Take)> =
            entries.iter().filter_map(|it| Some((Reference::parse(it)?, take))).collect();
        while let Some((reference, take)) = open.pop() {
            let outputs = self.outputs(&reference, take)?;
            for output in outputs {
                if seen.insert(output.package.clone()) {
                    let package = self.package(&output.package)?;
                    let run = package.depends.run.iter().filter_map(|it| Reference::parse(it));
                    open.extend(run.map(|it| (it, Take::Run)));
                }
                found.insert(output);
            }
        }
        Ok(found)
    }

    fn outputs(&self, reference: &Reference, take: Take) -> Result<Vec<OutputName>, GraphError> {
        let name = self.chosen.instead.get(&reference.package).unwrap_or(&reference.package);
        let package = self.package(name)?;
        let output = |output: &str| OutputName { package: name.clone(), output: output.to_owned() };
        Ok(match (&reference.output, take) {
            (Some(one), _) => vec![output(one)],
            (None, Take::Run) => vec![output("run")],
            (None, Take::All) => self.set.outputs_of(package).map(output).collect(),
        })
    }

    fn package(&self, name: &str) -> Result<&Package, GraphError> {
        self.sound(name)?;
        self.set.packages.get(name).ok_or_else(|| {
            let known = self.set.packages.keys().chain(self.set.images.keys());
            GraphError::Unknown {
                set: self.set.file.name.clone(),
                name: name.to_owned(),
                suggestion: did_you_mean(name, known.map(String::as_str)),
            }
        })
    }

    fn sound(&self, name: &str) -> Result<(), GraphError> {
        let Some(problems) = self.set.problems.get(name) else { return Ok(()) };
        let problems = problems.iter().map(with_cause).collect();
        Err(GraphError::Recipe { name: name.to_owned(), problems })
    }
}

fn with_cause(error: &RecipeError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

fn find_toolchain<'a>(set: &'a RecipeSet, name: &str) -> Result<&'a Toolchain, GraphError> {
    set.file.toolchains.get(name).ok_or_else(|| GraphError::Toolchain {
        set: set.file.name.clone(),
        name: name.to_owned(),
        suggestion: did_you_mean(name, set.file.toolchains.keys().map(String::as_str)),
    })
}

impl Graph {
    /// Packages that come, directly or not, after this one.
    pub fn dependents(&self, package: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut open = vec![package.to_owned()];
        while let Some(name) = open.pop() {
            for (other, need) in &self.needs {
                if need.after.contains(&name) && found.insert(other.clone()) {
                    open.push(other.clone());
                }
            }
        }
        found
    }

    /// For each package, the seconds from its start to the end of the longest
    /// chain that begins with it.
    pub fn path_lengths(&self, seconds: impl Fn(&str) -> f64) -> BTreeMap<String, f64> {
        let mut after: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, need) in &self.needs {
            for before in &need.after {
                after.entry(before).or_default().push(name);
            }
        }
        let mut lengths = BTreeMap::new();
        for name in self.needs.keys() {
            length(name, &after, &seconds, &mut lengths);
        }
        lengths
    }
}

fn length(
    name: &str,
    after: &BTreeMap<&str, Vec<&str>>,
    seconds: &impl Fn(&str) -> f64,
    lengths: &mut BTreeMap<String, f64>,
) -> f64 {
    if let Some(known) = lengths.get(name) {
        return *known;
    }
    let next = after.get(name).into_iter().flatten();
    let longest = next.map(|it| length(it, after, seconds, lengths)).fold(0.0, f64::max);
    let total = longest + seconds(name);
    lengths.insert(name.to_owned(), total);
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[(&str, &[&str])]) -> Graph {
        let need = |after: &[&str]| Need {
            toolchain: "host".to_owned(),
            inputs: BTreeSet::new(),
            after: after.iter().map(|it| (*it).to_owned()).collect(),
        };
        let needs = edges.iter().map(|(name, after)| ((*name).to_owned(), need(after))).collect();
        Graph { needs, ..Graph::default() }
    }

    #[test]
    fn the_path_that_hangs_on_a_package_is_its_weight() {
        // a is short, but the long c hangs on it by b; d is longer than a alone.
        let graph = graph(&[("a", &[]), ("b", &["a"]), ("c", &["a", "b"]), ("d", &[])]);
        let seconds = |name: &str| match name {
            "a" => 1.0,
            "b" => 2.0,
            "c" => 30.0,
            _ => 20.0,
        };
        let lengths = graph.path_lengths(seconds);
        let expected = [("a", 33.0), ("b", 32.0), ("c", 30.0), ("d", 20.0)];
        assert_eq!(lengths, expected.map(|(name, length)| (name.to_owned(), length)).into());
        assert_eq!(graph.dependents("a"), ["b", "c"].map(str::to_owned).into());
    }
}

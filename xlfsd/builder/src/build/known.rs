//! What a build knows while it goes on: trees of outputs and toolchains, read
//! once, and from them the action of each package.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use super::BuildError;
use crate::action::{self, Action, Surroundings};
use crate::digest::Digest;
use crate::graph::{Graph, OutputName};
use crate::image::{self, Inputs, Parts};
use crate::recipe::{Image, Package, RecipeSet};
use crate::store::{Record, Store, StoreError};
use crate::toolchain::{self, Imported};
use crate::tree::{Conflict, Merge, Tree};

/// A root, its digest, and the machine's packages in it.
#[derive(Debug)]
pub(super) struct ToolchainRoot {
    pub tree: Tree,
    pub digest: Digest,
    pub host_packages: Vec<String>,
}

/// Results of packages by name.
pub(super) type Records = BTreeMap<String, Arc<Record>>;

#[derive(Debug)]
pub(super) struct Known {
    pub store: Store,
    pub set: Arc<RecipeSet>,
    pub graph: Graph,
    pub checked: BTreeSet<String>,
    trees: Mutex<HashMap<Digest, Arc<Tree>>>,
    toolchains: Mutex<HashMap<String, Arc<ToolchainRoot>>>,
    /// Held while a toolchain is put together: packages that wait for it wait here,
    /// instead of each copying it.
    assembling: Mutex<()>,
}

impl Known {
    pub(super) fn new(
        store: Store,
        set: Arc<RecipeSet>,
        graph: Graph,
        checked: BTreeSet<String>,
    ) -> Self {
        let (trees, toolchains, assembling) = Default::default();
        Self { store, set, graph, checked, trees, toolchains, assembling }
    }

    pub(super) fn package(&self, name: &str) -> Result<&Package, BuildError> {
        let missing = || BuildError::Vanished { package: name.to_owned() };
        self.set.packages.get(name).ok_or_else(missing)
    }

    /// The action of a package, all of whose dependencies have results.
    pub(super) fn action(&self, name: &str, records: &Records) -> Result<Action, BuildError> {
        let package = self.package(name)?;
        let missing = || BuildError::Vanished { package: name.to_owned() };
        let need = self.graph.needs.get(name).ok_or_else(missing)?;
        let toolchain = self.toolchain(&need.toolchain, records)?;
        let mut dependencies = BTreeMap::new();
        for output in &need.inputs {
            dependencies.insert(output.clone(), self.output(output, records)?);
        }
        let around = Surroundings {
            set: &self.set,
            toolchain: &need.toolchain,
            toolchain_tree: &toolchain.tree,
            toolchain_digest: &toolchain.digest,
            dependencies: &dependencies,
            check: self.checked.contains(name),
        };
        Ok(action::prepare(&self.store, package, &around)?)
    }

    /// A toolchain's root, all of whose packages have results.
    pub(super) fn toolchain(
        &self,
        name: &str,
        records: &Records,
    ) -> Result<Arc<ToolchainRoot>, BuildError> {
        if let Some(root) = self.toolchains.lock().get(name) {
            return Ok(Arc::clone(root));
        }
        let _alone = self.assembling.lock();
        self.assemble(name, records)
    }

    fn assemble(&self, name: &str, records: &Records) -> Result<Arc<ToolchainRoot>, BuildError> {
        if let Some(root) = self.toolchains.lock().get(name) {
            return Ok(Arc::clone(root));
        }
        let missing = || BuildError::Vanished { package: format!("toolchain {name}") };
        let recipe = self.set.file.toolchains.get(name).ok_or_else(missing)?;
        let (mut tree, mut host_packages) = match &recipe.on {
            Some(on) => {
                let below = self.assemble(on, records)?;
                (below.tree.clone(), below.host_packages.clone())
            }
            None => (Tree::default(), Vec::new()),
        };
        if !recipe.debian.is_empty() {
            let Imported { root, packages } = toolchain::import(&self.store, name, &recipe.debian)?;
            tree.cover(&self.store.read_tree(&root)?);
            host_packages.extend(packages);
        }
        let mut layers = Merge::default();
        for output in self.graph.toolchains.get(name).into_iter().flatten() {
            let (_, layer) = self.output(output, records)?;
            layers.add(&layer, &output.package).map_err(|source: Conflict| {
                BuildError::Toolchain { toolchain: name.to_owned(), source }
            })?;
        }
        tree.cover(layers.tree());
        let digest = tree.digest();
        let root = Arc::new(ToolchainRoot { tree, digest, host_packages });
        self.toolchains.lock().insert(name.to_owned(), Arc::clone(&root));
        Ok(root)
    }

    /// One output of a package that has a result.
    pub(super) fn output(
        &self,
        output: &OutputName,
        records: &Records,
    ) -> Result<(Digest, Arc<Tree>), BuildError> {
        let record = records.get(&output.package);
        let root = record.and_then(|record| record.outputs.get(&output.output));
        let lacks = || StoreError::Lacks { hash: format!("{}:{}", output.package, output.output) };
        let root = root.ok_or_else(lacks)?;
        if let Some(tree) = self.trees.lock().get(root) {
            return Ok((root.clone(), Arc::clone(tree)));
        }
        let tree = Arc::new(self.store.read_tree(root)?);
        self.trees.lock().insert(root.clone(), Arc::clone(&tree));
        Ok((root.clone(), tree))
    }

    /// Composes an image, all of whose packages have results; true if it was there.
    pub(super) fn compose(
        &self,
        image: &Image,
        outputs: &BTreeSet<OutputName>,
        records: &Records,
        inputs: &Inputs,
    ) -> Result<bool, BuildError> {
        let layers = &self.layers(outputs, records)?;
        let parts = Parts { set: &self.set, image, layers, records, inputs };
        Ok(image::compose(&self.store, parts)?)
    }

    /// Composes it once more: names of the artifacts that came out different.
    pub(super) fn compose_again(
        &self,
        image: &Image,
        outputs: &BTreeSet<OutputName>,
        records: &Records,
    ) -> Result<Vec<String>, BuildError> {
        let missing = || BuildError::NotBuilt { package: image.name.clone() };
        let before = self.store.image(&self.set.file.name, &image.name)?.ok_or_else(missing)?;
        let layers = &self.layers(outputs, records)?;
        let parts = Parts { set: &self.set, image, layers, records, inputs: &before.inputs };
        image::again(&self.store, parts)?.ok_or_else(missing)
    }

    fn layers(
        &self,
        outputs: &BTreeSet<OutputName>,
        records: &Records,
    ) -> Result<Vec<(OutputName, Arc<Tree>)>, BuildError> {
        let layer = |output: &OutputName| Ok((output.clone(), self.output(output, records)?.1));
        outputs.iter().map(layer).collect()
    }

    /// Under which name the newest result of a package is kept.
    pub(super) fn latest_name(&self, name: &str) -> String {
        let toolchain = self.graph.needs.get(name).map_or("", |need| &need.toolchain);
        format!("{name}@{toolchain}")
    }

    /// The newest result of a package, whatever its key.
    pub(super) fn latest(&self, name: &str) -> Option<Record> {
        // A record that cannot be read is one that is not there: the package is built again.
        self.store.latest(&self.set.file.name, &self.latest_name(name)).ok().flatten()
    }
}

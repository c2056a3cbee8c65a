//! The unit of work: one package's command and the root it runs in, as an
//! action of the Remote Execution API. Its digest is the key of the result.
//!
//! Everything a step can see is in the input root: toolchain, dependencies'
//! outputs, sources, patches, the steps themselves. So equal digests mean equal
//! work, here and on any other executor of that API; and a dependency that was
//! built again with an equal result changes nothing (early cut-off).

mod script;
pub(crate) mod shell;

pub use script::MARK;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use prost::Message;

use crate::digest::Digest;
use crate::durable::FileError;
use crate::graph::OutputName;
use crate::reapi;
use crate::recipe::package::Rest;
use crate::recipe::{Package, RecipeSet};
use crate::store::{Store, StoreError};
use crate::tree::{Attributes, Conflict, Merge, Node, Tree};

/// Why there is no action.
#[derive(Debug, thiserror::Error)]
pub enum ActionError {
    /// The store fails.
    #[error("cannot prepare the sandbox of {package}")]
    Store {
        /// The package.
        package: String,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// Two dependencies bring one path.
    #[error("the dependencies of {package} do not fit together")]
    Conflict {
        /// The package.
        package: String,
        /// Which, and what.
        #[source]
        source: Conflict,
    },
}

/// What surrounds a package: all that is not in its recipe.
#[derive(Debug)]
pub struct Surroundings<'a> {
    /// The set.
    pub set: &'a RecipeSet,
    /// Name of the toolchain.
    pub toolchain: &'a str,
    /// The toolchain's root.
    pub toolchain_tree: &'a Tree,
    /// Its digest.
    pub toolchain_digest: &'a Digest,
    /// Outputs of dependencies: the root's digest and the tree.
    pub dependencies: &'a BTreeMap<OutputName, (Digest, std::sync::Arc<Tree>)>,
    /// Whether the package's own tests run.
    pub check: bool,
}

/// A package, ready to be built.
#[derive(Debug, Clone)]
pub struct Action {
    /// The key.
    pub digest: Digest,
    /// All that the command sees.
    pub root: Tree,
    /// Program and arguments.
    pub arguments: Vec<String>,
    /// All variables.
    pub environment: BTreeMap<String, String>,
    /// Labels for people, and what stands behind each.
    pub inputs: BTreeMap<String, String>,
}

/// Where the command works, in the sandbox.
pub const WORK: &str = "build";
/// What it leaves, below [`WORK`].
pub const OUT: &str = "out";

/// Puts the action of a package together. Its sources need not be there yet:
/// the lock says what they are.
pub fn prepare(
    store: &Store,
    package: &Package,
    around: &Surroundings<'_>,
) -> Result<Action, ActionError> {
    let name = || package.name.clone();
    let of_store = |source| ActionError::Store { package: name(), source };
    let mut root = base_tree(store).map_err(of_store)?;
    root.cover(around.toolchain_tree);
    let mut layers = Merge::default();
    for (output, (_, tree)) in around.dependencies {
        layers
            .add(tree, &output.package)
            .map_err(|source| ActionError::Conflict { package: name(), source })?;
    }
    root.cover(layers.tree());
    // Modes and owners are for images. A sandbox shows none of them, and some services
    // refuse properties that they do not know.
    root.forget_attributes();
    let mut inputs = own_inputs(package, around.set, around.toolchain, around.check);
    let toolchain = format!("toolchain {}", around.toolchain);
    inputs.insert(toolchain, around.toolchain_digest.short().to_owned());
    for (output, (digest, _)) in around.dependencies {
        let label = format!("dependency {}:{}", output.package, output.output);
        inputs.insert(label, digest.short().to_owned());
    }
    add_own_files(store, package, around, &mut root, &mut inputs).map_err(of_store)?;
    let environment = environment(package, around.set, around.toolchain);
    let arguments = vec!["/bin/sh".to_owned(), "/xlfs/run".to_owned()];
    let digest = digest(store, &root, &arguments, &environment).map_err(of_store)?;
    Ok(Action { digest, root, arguments, environment, inputs })
}

/// What the recipe itself says, by labels for people. Dependencies and the
/// toolchain are not among it: they may not be known yet.
pub fn own_inputs(
    package: &Package,
    set: &RecipeSet,
    toolchain: &str,
    check: bool,
) -> BTreeMap<String, String> {
    let short = |text: &str| Digest::of(text.as_bytes()).short().to_owned();
    let mut inputs = BTreeMap::new();
    let mut put = |label: String, value: String| drop(inputs.insert(label, value));
    put("version".to_owned(), package.version.clone());
    for (step, text) in script::fragments(package) {
        if step != "check" || check {
            put(format!("step {step}"), short(text));
        }
    }
    for used in &package.source {
        let hash = set.sources.get(&used.file).map_or("", |it| it.sha256.as_str());
        let into = used.into.as_deref().unwrap_or_default();
        put(format!("source {}", used.file), short(&format!("{hash} {into} {}", used.unpack)));
    }
    put("patches".to_owned(), package.patches.join(" "));
    for (variable, value) in environment(package, set, toolchain) {
        put(format!("variable {variable}"), value);
    }
    let list = |table: &crate::recipe::package::OutputPatterns| {
        table.iter().map(|(name, list)| format!("{name}={}\n", list.join(" "))).collect::<String>()
    };
    put("outputs".to_owned(), short(&(list(&package.outputs) + &list(&set.file.outputs))));
    let special = package.permission.iter().map(|it| format!("{it:?}\n")).collect::<String>();
    put("permissions".to_owned(), short(&special));
    put("tests".to_owned(), check.to_string());
    inputs
}

/// Folders and files that every sandbox has.
fn base_tree(store: &Store) -> Result<Tree, StoreError> {
    let mut tree = Tree::default();
    let folders =
        ["dev", "proc", "tmp", WORK, "etc", "usr/bin", "usr/sbin", "usr/lib", "usr/lib64"];
    for path in folders {
        tree.insert(path, Node::Folder(Attributes::default()));
    }
    for (path, target) in crate::layout::LINKS {
        tree.insert(path, Node::Link { target: target.to_owned() });
    }
    let files = [
        (
            "etc/passwd",
            "root:x:0:0:root:/:/bin/sh\nbuilder:x:1000:1000:builder:/build/home:/bin/sh\n",
        ),
        ("etc/group", "root:x:0:\nbuilder:x:1000:\n"),
        ("etc/hosts", "127.0.0.1 localhost xlfs\n"),
    ];
    for (path, text) in files {
        put_file(store, &mut tree, path, text.as_bytes(), false)?;
    }
    Ok(tree)
}

fn add_own_files(
    store: &Store,
    package: &Package,
    around: &Surroundings<'_>,
    root: &mut Tree,
    inputs: &mut BTreeMap<String, String>,
) -> Result<(), StoreError> {
    let run = script::run(package, around.check);
    inputs.insert("the builder's script".to_owned(), Digest::of(run.as_bytes()).short().to_owned());
    put_file(store, root, "xlfs/run", run.as_bytes(), true)?;
    let target = around.set.file.toolchains.get(around.toolchain).map_or("", |it| &it.target);
    for (step, text) in script::steps(package, target, around.check) {
        put_file(store, root, &format!("xlfs/steps/{step}"), text.as_bytes(), false)?;
    }
    for used in &package.source {
        if let Some(locked) = around.set.sources.get(&used.file) {
            let digest = Digest { hash: locked.sha256.clone(), size: locked.size };
            let attributes = Attributes::default();
            let node = Node::File { digest, executable: false, attributes };
            root.insert(&format!("xlfs/sources/{}", used.file), node);
        }
    }
    root.insert("xlfs/files", Node::Folder(Attributes::default()));
    let files = around.set.files_of(&package.name);
    if files.is_dir() {
        let mut found = BTreeMap::new();
        put_folder(store, &files, "xlfs/files", root, &mut found)?;
        for (path, digest) in found {
            let label = format!("file {}", path.trim_start_matches("xlfs/files/"));
            inputs.insert(label, digest.short().to_owned());
        }
    }
    if let Some(kernel) = &package.kernel {
        inputs.insert("kernel base".to_owned(), kernel.base.clone());
        put_file(store, root, "xlfs/kernel/base", kernel.base.as_bytes(), false)?;
        for (number, name) in kernel.fragments.iter().enumerate() {
            let text = around.set.fragments.get(name).map_or("", |(text, _)| text);
            let path = format!("xlfs/kernel/{number:02}-{name}.config");
            let digest = put_file(store, root, &path, text.as_bytes(), false)?;
            inputs.insert(format!("kernel fragment {name}"), digest.short().to_owned());
        }
        if kernel.rest == Rest::Base {
            let texts = kernel.fragments.iter().filter_map(|name| around.set.fragments.get(name));
            let all: Vec<&str> = texts.map(|(text, _)| text.as_str()).collect();
            let path = KCONFIG_ALL.trim_start_matches('/');
            put_file(store, root, path, all.join("\n").as_bytes(), false)?;
        }
        put_file(store, root, "xlfs/bin/kernel-config", script::KERNEL_CONFIG.as_bytes(), true)?;
    }
    Ok(())
}

fn put_file(
    store: &Store,
    tree: &mut Tree,
    path: &str,
    bytes: &[u8],
    executable: bool,
) -> Result<Digest, StoreError> {
    let digest = store.put_bytes(bytes)?;
    let attributes = Attributes::default();
    tree.insert(path, Node::File { digest: digest.clone(), executable, attributes });
    Ok(digest)
}

fn put_folder(
    store: &Store,
    from: &Path,
    at: &str,
    tree: &mut Tree,
    found: &mut BTreeMap<String, Digest>,
) -> Result<(), StoreError> {
    for entry in fs::read_dir(from).map_err(FileError::at("read", from))? {
        let real = entry.map_err(FileError::at("read", from))?.path();
        let name = real
            .file_name()
            .and_then(|it| it.to_str())
            .ok_or_else(|| StoreError::Name { name: real.to_string_lossy().into_owned() })?;
        let path = format!("{at}/{name}");
        // Links of a recipe's folder are followed: the recipe's author made them.
        let meta = fs::metadata(&real).map_err(FileError::at("look at", &real))?;
        if meta.is_dir() {
            tree.insert(&path, Node::Folder(Attributes::default()));
            put_folder(store, &real, &path, tree, found)?;
        } else {
            let bytes = fs::read(&real).map_err(FileError::at("read", &real))?;
            let executable = meta.permissions().mode() & 0o111 != 0;
            found.insert(path.clone(), put_file(store, tree, &path, &bytes, executable)?);
        }
    }
    Ok(())
}

fn environment(package: &Package, set: &RecipeSet, toolchain: &str) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> = [
        ("HOME", "/build/home"),
        ("LC_ALL", "C"),
        ("PATH", "/usr/bin:/usr/sbin"),
        ("TMPDIR", "/tmp"),
        ("TZ", "UTC"),
        ("USER", "builder"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let toolchain = set.file.toolchains.get(toolchain);
    let tables = [Some(&set.file.env), toolchain.map(|it| &it.env), Some(&package.env)];
    for table in tables.into_iter().flatten() {
        all.extend(table.clone());
    }
    let epoch = set.file.source_date_epoch.to_string();
    all.insert("SOURCE_DATE_EPOCH".to_owned(), epoch);
    if let Some(path) = all.get_mut("PATH") {
        path.push_str(":/xlfs/bin");
    }
    if package.kernel.as_ref().is_some_and(|kernel| kernel.rest == Rest::Base) {
        all.insert("KCONFIG_ALLCONFIG".to_owned(), KCONFIG_ALL.to_owned());
    }
    all
}

/// All fragments in one file, which Kconfig's modes of one answer (allnoconfig) read
/// before they answer. `kernel-config` adds them again afterwards, to no effect.
const KCONFIG_ALL: &str = "/xlfs/kernel/all";

fn digest(
    store: &Store,
    root: &Tree,
    arguments: &[String],
    environment: &BTreeMap<String, String>,
) -> Result<Digest, StoreError> {
    let variable = |(name, value): (&String, &String)| reapi::command::EnvironmentVariable {
        name: name.clone(),
        value: value.clone(),
    };
    let command = reapi::Command {
        arguments: arguments.to_vec(),
        environment_variables: environment.iter().map(variable).collect(),
        working_directory: WORK.to_owned(),
        output_paths: vec![OUT.to_owned()],
        ..reapi::Command::default()
    };
    let command = store.put_bytes(&command.encode_to_vec())?;
    let action = reapi::Action {
        command_digest: Some((&command).into()),
        input_root_digest: Some((&root.digest()).into()),
        platform: Some(reapi::platform()),
        ..reapi::Action::default()
    };
    store.put_bytes(&action.encode_to_vec())
}

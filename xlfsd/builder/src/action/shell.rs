//! What a person finds who opens a package's sandbox: the steps' variables, and
//! a command that runs a step.

use super::script;
use crate::recipe::Package;
use crate::store::{Store, StoreError};
use crate::tree::Tree;

pub(crate) use super::script::until;

/// Where the shell's start file stands, which `ENV` names (POSIX, sh).
pub(crate) const PROFILE: &str = "/xlfs/shell";
/// Where the script stands that runs the steps before the wanted one.
pub(crate) const UNTIL: &str = "/xlfs/until";

/// Names of the steps as the script marks them, in order.
pub(crate) fn steps(package: &Package, check: bool) -> Vec<&'static str> {
    let stages = script::stages(package, check);
    stages.into_iter().map(|(name, _)| name).filter(|name| *name != script::PATCHES).collect()
}

/// Names of the steps that are files of their own.
pub(crate) fn runnable(package: &Package, check: bool) -> Vec<&'static str> {
    script::steps(package, "", check).into_iter().map(|(name, _)| name).collect()
}

/// Adds a file of the shell's to an action's root.
pub(crate) fn put(
    store: &Store,
    root: &mut Tree,
    path: &str,
    text: &str,
) -> Result<(), StoreError> {
    super::put_file(store, root, path.trim_start_matches('/'), text.as_bytes(), false)?;
    Ok(())
}

/// The start file of a shell that begins in the folder of `step`.
pub(crate) fn profile(package: &Package, target: &str, step: &str) -> String {
    let head = script::head(package, target);
    let name = &package.name;
    let folder = if matches!(step, "unpack" | "prepare") { "$SRC" } else { "$BUILD" };
    format!(
        r#"{head}umask 022
step() {{
    case ${{1:-}} in
    unpack | prepare) set -- "$1" "$SRC" ;;
    *) set -- "${{1:-}}" "$BUILD" ;;
    esac
    (cd "$2" && XLFS_JOBS=$JOBS exec sh -eu "/xlfs/steps/$1")
}}
PS1='[{name}] $PWD $ '
cd "{folder}" 2>/dev/null || cd /build
"#
    )
}

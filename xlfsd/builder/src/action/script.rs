//! The shell that runs a package's steps inside the sandbox.

use crate::recipe::Package;
use crate::recipe::package::{BuildIn, Jobs};

/// Begins the lines with which the script tells that a step starts.
pub const MARK: char = '\u{1e}';

/// Makes a kernel's configuration and holds the fragments against it.
pub(super) const KERNEL_CONFIG: &str = include_str!("kernel-config.sh");

/// The recipe's own fragments, in the order in which they run.
pub(super) fn fragments(package: &Package) -> Vec<(&'static str, &str)> {
    let steps = &package.steps;
    let all = [
        ("unpack", steps.unpack.as_deref()),
        ("prepare", steps.prepare.as_deref()),
        ("configure", steps.configure.as_deref()),
        ("build", steps.build.as_deref()),
        ("check", steps.check.as_deref()),
        ("install", Some(steps.install.as_str())),
    ];
    all.into_iter().filter_map(|(name, text)| Some((name, text?))).collect()
}

/// What every step begins with. The variables are not exported, because a Makefile
/// would take `$VERSION` or `$TARGET` for its own.
pub(super) fn head(package: &Package, target: &str) -> String {
    format!(
        "SRC=/build/src BUILD={} OUT=/build/out SOURCES=/xlfs/sources FILES=/xlfs/files \
         NAME={} VERSION={} TARGET={} JOBS=${{XLFS_JOBS:-1}}; unset XLFS_JOBS\n",
        build_folder(package),
        quoted(&package.name),
        quoted(&package.version),
        quoted(target),
    )
}

/// A word of the shell that is this text.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Files of the steps: the variables, then the fragment.
pub(super) fn steps(package: &Package, target: &str, check: bool) -> Vec<(&'static str, String)> {
    let head = head(package, target);
    let mut all: Vec<_> = fragments(package)
        .into_iter()
        .filter(|(step, _)| *step != "check" || check)
        .map(|(step, text)| (step, format!("{head}{text}\n")))
        .collect();
    if package.steps.unpack.is_none() && package.source.iter().any(|it| it.unpack) {
        all.insert(0, ("unpack", format!("{head}{}", unpack(package))));
    }
    all
}

fn unpack(package: &Package) -> String {
    let mut text = String::new();
    for used in package.source.iter().filter(|it| it.unpack) {
        let folder = match &used.into {
            Some(into) => format!("\"$SRC/{into}\""),
            None => "\"$SRC\"".to_owned(),
        };
        text.push_str(&format!(
            "mkdir -p {folder}\n\
             tar --no-same-owner --strip-components=1 -C {folder} -xf \"$SOURCES/{}\"\n",
            used.file
        ));
    }
    text
}

/// The script that is the action's command.
pub(super) fn run(package: &Package, check: bool) -> String {
    let stages = stages(package, check);
    start(package) + &stages.into_iter().map(|(_, text)| text).collect::<String>()
}

/// The same, up to before a step; none: before what comes after unpacking and patching.
pub(crate) fn until(package: &Package, check: bool, step: Option<&str>) -> String {
    let before = |name: &str| match step {
        Some(step) => name != step,
        None => name == "unpack" || name == PATCHES,
    };
    let stages = stages(package, check).into_iter();
    start(package) + &stages.take_while(|(name, _)| before(name)).map(|it| it.1).collect::<String>()
}

/// A remote executor gives no tokens of ours: there, a package has the machine's
/// processors.
const SHARED: &str = "\
if [ -z \"${XLFS_JOBS:-}\" ]; then
    XLFS_JOBS=$(nproc 2>/dev/null) || XLFS_JOBS=1
    export XLFS_JOBS MAKEFLAGS=\"-j$XLFS_JOBS\"
fi
";
const ALONE: &str = "export XLFS_JOBS=1 MAKEFLAGS=-j1\n";

/// What comes before the first step. All output is one stream, as it is here, also
/// where errors would be another (the API knows two).
fn start(package: &Package) -> String {
    let build = build_folder(package);
    let jobs = if package.jobs == Jobs::Shared { SHARED } else { ALONE };
    let mut text = format!(
        "set -eu\numask 022\nexec 2>&1\n{jobs}\
         step() {{\n    printf '\\036%s\\n' \"$1\"\n    cd \"$2\"\n    sh -eu \"/xlfs/steps/$1\"\n}}\n\
         mkdir -p /build/home /build/src {build}\n\
         mkdir -p /build/out/usr/bin /build/out/usr/lib /build/out/usr/lib64 /build/out/usr/sbin\n"
    );
    for (path, target) in crate::layout::LINKS {
        text.push_str(&format!("ln -s {target} /build/out/{path}\n"));
    }
    text
}

/// Between unpacking and the next step, without a mark of its own.
pub(super) const PATCHES: &str = "patches";

/// What the script does, in order, and the shell that does it.
pub(super) fn stages(package: &Package, check: bool) -> Vec<(&'static str, String)> {
    let build = build_folder(package);
    let mut all = Vec::new();
    let sources = package.source.iter().any(|it| it.unpack);
    if sources || package.steps.unpack.is_some() {
        all.push(("unpack", "step unpack /build/src\n".to_owned()));
    }
    let mut patches = String::new();
    for patch in &package.patches {
        patches.push_str(&format!(
            "cd /build/src\necho 'patch {patch}'\npatch -p1 -N -i '/xlfs/files/{patch}'\n"
        ));
    }
    all.push((PATCHES, patches));
    for (step, _) in fragments(package) {
        match step {
            "unpack" => {}
            "check" if !check => {}
            "prepare" => all.push((step, "step prepare /build/src\n".to_owned())),
            _ => all.push((step, format!("step {step} {build}\n"))),
        }
    }
    if package.strip {
        all.push(("strip", STRIP.to_owned()));
    }
    all
}

fn build_folder(package: &Package) -> &'static str {
    match package.build_in {
        BuildIn::Source => "/build/src",
        BuildIn::Separate => "/build/work",
    }
}

/// Debugging symbols are several times as large as the programs, and hold paths.
/// Objects and modules keep the symbols that a linker needs.
const STRIP: &str = r#"printf '\036strip\n'
cd /build/out
find . -type f \( -perm -0100 -o -name '*.so*' -o -name '*.ko' -o -name '*.a' -o -name '*.o' \) |
while IFS= read -r file; do
    case $file in
    *.a) flags=--strip-debug ;;
    *)
        case $(od -An -N4 -tx1 "$file") in
        *7f*45*4c*46*) ;;
        *) continue ;;
        esac
        case $file in
        *.ko | *.o) flags=--strip-debug ;;
        *) flags=--strip-unneeded ;;
        esac
        ;;
    esac
    chmod u+w "$file"
    ${STRIP:-strip} $flags "$file"
done
"#;

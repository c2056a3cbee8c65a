//! The shell that runs a package's steps inside the sandbox.

use crate::recipe::Package;
use crate::recipe::package::BuildIn;

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

/// Files of the steps: the variables, then the fragment. The variables are not
/// exported, because a Makefile would take `$VERSION` or `$TARGET` for its own.
pub(super) fn steps(package: &Package, target: &str, check: bool) -> Vec<(&'static str, String)> {
    let build = build_folder(package);
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
    let head = format!(
        "SRC=/build/src BUILD={build} OUT=/build/out SOURCES=/xlfs/sources FILES=/xlfs/files \
         NAME={} VERSION={} TARGET={} JOBS=${{XLFS_JOBS:-1}}; unset XLFS_JOBS\n",
        quoted(&package.name),
        quoted(&package.version),
        quoted(target),
    );
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
    let build = build_folder(package);
    let mut text = format!(
        "set -eu\numask 022\n\
         step() {{\n    printf '\\036%s\\n' \"$1\"\n    cd \"$2\"\n    sh -eu \"/xlfs/steps/$1\"\n}}\n\
         mkdir -p /build/home /build/src {build}\n\
         mkdir -p /build/out/usr/bin /build/out/usr/lib /build/out/usr/lib64 /build/out/usr/sbin\n"
    );
    for (path, target) in crate::layout::LINKS {
        text.push_str(&format!("ln -s {target} /build/out/{path}\n"));
    }
    let sources = package.source.iter().any(|it| it.unpack);
    if sources || package.steps.unpack.is_some() {
        text.push_str("step unpack /build/src\n");
    }
    for patch in &package.patches {
        text.push_str(&format!(
            "cd /build/src\necho 'patch {patch}'\npatch -p1 -N -i '/xlfs/files/{patch}'\n"
        ));
    }
    for (step, _) in fragments(package) {
        match step {
            "unpack" => {}
            "check" if !check => {}
            "prepare" => text.push_str("step prepare /build/src\n"),
            _ => text.push_str(&format!("step {step} {build}\n")),
        }
    }
    if package.strip {
        text.push_str(STRIP);
    }
    text
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

//! Images that are broken in one way each: copies of the slot's image in which
//! debugfs replaces one file.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::machine::run;
use super::{SlotsError, system};

/// What a copy of the image has instead of the image's own.
#[derive(Debug, Clone, Copy)]
pub struct Variant {
    pub name: &'static str,
    /// The file that is replaced, and its content.
    pub path: &'static str,
    pub content: &'static str,
    /// A part of the reason that `xlfsctl host slots` gives afterwards; None: it works.
    pub reason: Option<&'static str>,
}

const UNKNOWN: &str = "did not come so far that xlfsd could say why";

/// All of them; the first one works.
pub(super) const ALL: [Variant; 7] = [
    Variant { name: "second", path: "/etc/motd", content: "the second image\n", reason: None },
    Variant {
        // The kernel panics, because init ends.
        name: "panics",
        path: "/sbin/init",
        content: "#!/bin/sh\nexit 1\n",
        reason: Some(UNKNOWN),
    },
    Variant {
        name: "init-hangs",
        path: "/etc/rc",
        content: "#!/bin/sh\necho arm >/dev/watchdog\nwhile true; do sleep 1; done\n",
        reason: Some(UNKNOWN),
    },
    Variant {
        name: "xlfsd-hangs",
        path: "/usr/sbin/xlfsd",
        content: "#!/bin/sh\nexec sleep 100000\n",
        reason: Some(UNKNOWN),
    },
    Variant {
        name: "xlfsd-dies",
        path: "/usr/sbin/xlfsd",
        content: "#!/bin/sh\nexit 1\n",
        reason: Some(UNKNOWN),
    },
    Variant {
        name: "sshd-broken",
        path: "/etc/ssh/sshd_config",
        content: "Nonsense yes\n",
        reason: Some("sshd does not answer"),
    },
    Variant {
        name: "xenstored-missing",
        path: "/usr/sbin/xenstored",
        content: "#!/bin/sh\nexit 1\n",
        reason: Some("xenstore"),
    },
];

/// Writes the variant of the image `slot` to `folder`, and answers its path.
pub fn make(variant: &Variant, slot: &Path, folder: &Path) -> Result<PathBuf, SlotsError> {
    let image = folder.join(format!("{}.ext4", variant.name));
    run(Command::new("cp").arg("--sparse=always").arg(slot).arg(&image))?;
    let content = folder.join("content");
    fs::write(&content, variant.content).map_err(system("write a file"))?;
    let mut commands = tempfile::NamedTempFile::new().map_err(system("make a file"))?;
    // /sbin is a link, which debugfs does not follow on the way to a new file.
    let path = match variant.path.strip_prefix("/sbin/") {
        Some(name) => format!("/usr/sbin/{name}"),
        None => variant.path.to_owned(),
    };
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
    let text = format!(
        "cd {}\nrm {name}\nwrite {} {name}\nsif {name} mode 0100755\n",
        if folder.is_empty() { "/" } else { folder },
        content.display()
    );
    commands.write_all(text.as_bytes()).map_err(system("write a file"))?;
    run(Command::new("/usr/sbin/debugfs").args(["-w", "-f"]).arg(commands.path()).arg(&image))?;
    Ok(image)
}

//! What `make demo` shows: the daemon's main job on real Xen, one command at a
//! time, as a user would type them.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use crate::dom0::{Dom0, Dom0Error};
use crate::lab::{Config, GuestFiles, LabError, boot};
use crate::product::TEMPLATES;

/// What is typed. The lines before it say why.
const STEPS: &[(&str, &str)] = &[
    ("The host, as the daemon sees it", "xlfsctl host info"),
    (
        "A kernel and a ramdisk for the template `minimal`",
        "xlfsctl image import /guest/vmlinuz --kind kernel --alias minimal-kernel && \
         xlfsctl image import /guest/initramfs --kind ramdisk --alias minimal-ramdisk",
    ),
    ("What creating a guest would do", "xlfsctl create web --template minimal --dry-run"),
    ("A guest", "xlfsctl create web --template minimal --set banner=\"hello from xlfs\""),
    ("It boots", "xlfsctl wait web --console-contains xlfs-guest-ready --timeout 5m"),
    ("What it printed", "xlfsctl logs web | tail -n 4; echo"),
    ("What runs", "xlfsctl list"),
    ("It shuts down cleanly", "xlfsctl shutdown web"),
    ("And starts again: its kernel's plan is known now", "xlfsctl start web && xlfsctl list"),
    ("It goes without a trace", "xlfsctl delete web --force && xlfsctl list"),
];

/// Why the demonstration stopped.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The machine did not come up.
    #[error("no Dom0")]
    Lab(#[from] LabError),
    /// A command in Dom0 failed.
    #[error("trouble in Dom0")]
    Dom0(#[from] Dom0Error),
    /// Nobody to show it to.
    #[error("cannot print")]
    Print(#[from] io::Error),
    /// A step did not do what it shows.
    #[error("`{command}` ended with {code}")]
    Step {
        /// What was typed.
        command: &'static str,
        /// How it ended.
        code: i32,
    },
}

/// Shows it, and returns the Dom0 it was shown in.
///
/// # Errors
/// [`DemoError`]; the first step that fails ends it.
pub fn run() -> Result<Dom0, DemoError> {
    let manifest =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../vm-templates/minimal/template.toml");
    let mut config = Config::named("demo")
        .product()?
        .file(manifest, format!("{TEMPLATES}/minimal/template.toml"));
    config.guest = Some(GuestFiles::default());
    println!("Booting Xen and Dom0 in QEMU; this takes 10 to 30 seconds.");
    let dom0 = boot(config)?;
    dom0.spawn(["/bin/sh", "-c", "exec xlfsd >/var/log/xlfsd.log 2>&1"])?;
    dom0.wait_until("xlfsd", Duration::from_secs(60), || {
        Ok(dom0.run(["xlfsctl", "list"])?.success().then_some(()))
    })?;
    for (about, command) in STEPS {
        println!("\n# {about}\ndom0# {command}");
        let typed = dom0.command(["/bin/sh", "-c", command]).deadline(Duration::from_secs(600));
        let output = typed.run()?;
        io::stdout().write_all(output.stdout.as_bytes())?;
        io::stdout().write_all(output.stderr.as_bytes())?;
        io::stdout().flush()?;
        if !output.success() {
            return Err(DemoError::Step { command, code: output.shell_status() });
        }
    }
    Ok(dom0)
}
